package member

import (
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

// TestFreeze: a replica that must not replay is paused, and started so that it holds; it is neither pointed anew nor repaired. Released, it
// replays again, by a restart where it holds at a position.
func TestFreeze(t *testing.T) {
	frozen := func(in *Input) { in.Goal.Freeze = &platform.Freeze{Incarnation: "m2_1"} }
	kept := func(in *Input) { frozen(in); in.Durable.Frozen = "m2_1" }
	paused := func(in *Input) { kept(in); in.Seen.Paused = true }
	free := func(in *Input) { in.Durable.Frozen, in.Seen.Paused = "m2_1", true }
	ended := func(in *Input) { in.Seen.Process, in.Seen.Role = health.ProcessEnded, health.RoleUnknown }
	sealed := func(in *Input) { in.Goal.Kind, in.Goal.Epoch, in.Durable.Sealed = platform.GoalSealed, ep(3), ep(3) }
	unnamed := func(in *Input) { in.Durable.Incarnation = "" }
	for _, c := range []struct {
		name    string
		changes []func(*Input)
		want    Kind
		text    string // of why, or of the wait
	}{
		{"it is free", nil, Nothing, ""},
		{"a freeze of other data", []func(*Input){func(in *Input) { in.Goal.Freeze = &platform.Freeze{Incarnation: "m2_9"} }}, Nothing, ""},
		{"first the agent keeps that it has paused it", []func(*Input){frozen}, Persist, "must be frozen"},
		{"then it pauses it", []func(*Input){kept}, Freeze, "spoke against its primary"},
		{"it is paused", []func(*Input){paused}, Nothing, "frozen at 0/64"},
		{"its server has ended", []func(*Input){kept, ended}, StartStandby, "no further"},
		{"its upstream has changed", []func(*Input){paused, func(in *Input) { in.Seen.Upstream = "m3" }}, Nothing, "frozen"},
		{"it has diverged", []func(*Input){paused, func(in *Input) {
			in.Goal.Timeline, in.Goal.History = 2, platform.History{{Timeline: 1, End: 50}}
		}}, Nothing, "frozen"},
		{"it has received what a slot keeps", []func(*Input){paused, func(in *Input) { in.Seen.Keeps = 10 }}, StopReceiver, ""},
		{"and stays so", []func(*Input){paused, func(in *Input) { in.Seen.Keeps, in.Seen.Receiver, in.Seen.Streaming = 10, false, false }},
			Nothing, "frozen"},
		{"the agent has lost its state, and replay continues", []func(*Input){frozen, unnamed}, Persist, "must be frozen"},
		{"and then it is paused", []func(*Input){kept, unnamed}, Freeze, ""},
		{"the agent has lost its state, and its server has ended", []func(*Input){kept, unnamed, ended}, StartStandby, "no further"},
		{"to be sealed, and the agent has lost its state", []func(*Input){frozen, unnamed, sealed}, Persist, "must be frozen"},
		{"released, and the agent has lost its state since", []func(*Input){free, unnamed}, Thaw, "released"},
		{"it runs as primary", []func(*Input){kept, func(in *Input) { in.Seen.Role = health.RolePrimary }}, Kill, ""},
		{"released", []func(*Input){free}, Thaw, "released"},
		{"released while it holds", []func(*Input){free, func(in *Input) { in.Seen.Held = true }}, StopClean, "restart it without"},
		{"released while it is down", []func(*Input){free, ended}, Persist, "not frozen"},
		{"it replays again", []func(*Input){free, func(in *Input) { in.Seen.Paused = false }}, Persist, "not frozen"},
		{"its user has paused it", []func(*Input){func(in *Input) { in.Seen.Paused = true }}, Nothing, ""},
		{"to be sealed, and not paused yet", []func(*Input){kept, sealed}, Freeze, "before it is sealed"},
		{"to be sealed, and paused", []func(*Input){paused, sealed}, Seal, ""},
		{"to be sealed, and not known yet", []func(*Input){frozen, sealed}, Persist, "must be frozen"},
		{"to be sealed, and down", []func(*Input){kept, sealed, ended}, StartStandby, ""},
		{"chosen by an operator", []func(*Input){free, lead, func(in *Input) { in.Seen.Held = false }}, Promote, ""},
		{"chosen by an operator while it holds", []func(*Input){free, lead, func(in *Input) { in.Seen.Held = true }}, StopClean,
			"restart it without"},
	} {
		in := Input{Now: now, GuardComplete: true, Name: "m2", Durable: Durable{Epoch: ep(2), Incarnation: "m2_1", SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 1, SystemID: "7", Incarnation: "m2_1",
				Upstream: &platform.Upstream{Member: "m1"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7", Timeline: 1,
				Position: 200, Replayed: 100, Known: true, Streaming: true, Receiver: true, Upstream: "m1", Application: "m2_1"}}
		in.Seen.SyncNames = SyncNames(ReplicaSet())
		in.Durable.Peers, in.Durable.Longest = in.peers(), in.longest()
		for _, change := range c.changes {
			change(&in)
		}
		if act := Next(in); act.Kind != c.want || !strings.Contains(act.Why+act.Wait, c.text) {
			t.Errorf("%s: %q (%s), waits for %q; want %q, %q", c.name, act.Kind, act.Why, act.Wait, c.want, c.text)
		}
	}
}

// lead is a goal to lead the next epoch, with a lease.
func lead(in *Input) {
	in.Goal.Kind, in.Goal.Epoch, in.Goal.Timeline, in.Durable.Epoch = platform.GoalPrimary, ep(3), 2, ep(3)
	in.Lease = Lease{Epoch: ep(3), End: now + 1}
}

// TestReportsFrozen once PostgreSQL has paused, and not before.
func TestReportsFrozen(t *testing.T) {
	in := Input{Durable: Durable{Incarnation: "m2_1"}, Goal: platform.Goal{Kind: platform.GoalReplica},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Replayed: 100, Keeps: 7}}
	in.Goal.Freeze = &platform.Freeze{Incarnation: "m2_1"}
	if f := ReportFrozen(&in); f != nil {
		t.Errorf("not paused yet: %+v", f)
	}
	in.Seen.Paused, in.Seen.Held = true, true
	if f := ReportFrozen(&in); f == nil || f.At != 100 || !f.Held || f.Keeps != 7 || f.Incarnation != "m2_1" {
		t.Errorf("paused: %+v", f)
	}
	if in.Goal.Freeze = nil; ReportFrozen(&in) != nil {
		t.Error("its user has paused it")
	}
}

// TestLineage: a rewind keeps damaged pages under the new name, and so does a change of name; a whole copy has none of them (S5).
func TestLineage(t *testing.T) {
	in := Input{Durable: Durable{Incarnation: "m1_1"}, Seen: Seen{Data: health.DataPresent}}
	in.Goal.Damaged = "m1_1"
	in.Durable.Rename("m1_3")
	in.Durable.Rename("m1_3")
	if in.Durable.Rename("m1_4"); !in.damaged() || in.Durable.Lineage != "m1_1 m1_3" {
		t.Errorf("rewound: %+v", in.Durable)
	}
	for range 2 * mostNames {
		in.Durable.Rename(in.Durable.Incarnation + "x")
	}
	if n := len(strings.Fields(in.Durable.Lineage)); n != mostNames {
		t.Errorf("it has %d names", n)
	}
	in.Goal.Damaged = in.Durable.Incarnation
	if in.Durable.Replace("m1_9"); in.damaged() || in.Durable.Lineage != "" || in.Durable.Former == "" {
		t.Errorf("copied: %+v", in.Durable)
	}
}
