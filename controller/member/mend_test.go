package member

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

// TestMendsAPage: the replica is stopped, the page replaced, and then it starts again; once for each operation, and never data of another
// name.
func TestMendsAPage(t *testing.T) {
	ended := func(in *Input) { in.Seen.Process, in.Seen.Role = health.ProcessEnded, health.RoleUnknown }
	for _, c := range []struct {
		name    string
		changes []func(*Input)
		want    Kind
	}{
		{"it runs", nil, StopClean},
		{"it is stopped", []func(*Input){ended}, Mend},
		{"it answers nothing", []func(*Input){func(in *Input) { in.Seen.Role = health.RoleUnknown }}, Nothing},
		{"it was done, and it is stopped", []func(*Input){ended, func(in *Input) { in.Durable.Mended = &health.Mended{Number: 7} }},
			StartStandby},
		{"it was done", []func(*Input){func(in *Input) { in.Durable.Mended = &health.Mended{Number: 7} }}, Nothing},
		{"another one was done", []func(*Input){func(in *Input) { in.Durable.Mended = &health.Mended{Number: 6} }}, StopClean},
		{"of other data", []func(*Input){func(in *Input) { in.Goal.Mend.Incarnation = "m2_9" }}, Nothing},
		{"a former primary", []func(*Input){ended, func(in *Input) { in.Seen.AsPrimary, in.Seen.Clean, in.Seen.End = true, true, 100 }},
			StartStandby},
		{"to be sealed", []func(*Input){func(in *Input) {
			in.Goal.Kind, in.Goal.Epoch, in.Durable.Sealed = platform.GoalSealed, ep(3), ep(3)
		}}, Seal},
	} {
		in := Input{Now: now, GuardComplete: true, Name: "m2", Durable: Durable{Epoch: ep(2), Incarnation: "m2_1", SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 1, SystemID: "7", Incarnation: "m2_1",
				Upstream: &platform.Upstream{Member: "m1"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7", Timeline: 1,
				Position: 200, Replayed: 200, Known: true, Streaming: true, Receiver: true, Upstream: "m1", Application: "m2_1"}}
		in.Goal.Mend = &platform.Mend{Number: 7, Incarnation: "m2_1", Page: "base/5/7 block 3", From: "m1"}
		in.Seen.SyncNames = SyncNames(ReplicaSet())
		in.Durable.Peers, in.Durable.Longest = in.peers(), in.longest()
		for _, change := range c.changes {
			change(&in)
		}
		if act := Next(in); act.Kind != c.want {
			t.Errorf("%s: %q (%s), waits for %q; want %q", c.name, act.Kind, act.Why, act.Wait, c.want)
		}
	}
}
