package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Guards that killed a standby under the lease of an epoch that it should have led take no lease of that epoch any more, and without one
// nothing is done for it: they are let idle first (S8). Seen live on a busy machine, for six minutes; seed 111 of the
// simulator, where an agent loses its state in an epoch that has opened.
func TestSpentLease(t *testing.T) {
	e := ep(2)
	lead := func(change func(in *Input)) Act {
		in := Input{Now: now, GuardComplete: true, Spent: e, Durable: Durable{Epoch: e, SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: e, Timeline: 2, SystemID: "7"},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 1}}
		change(&in)
		return Next(in)
	}
	for name, c := range map[string]struct {
		change func(in *Input)
		want   Kind
		wait   string
	}{
		"it never ran":     {func(*Input) {}, Disarm, ""},
		"of another epoch": {func(in *Input) { in.Spent = ep(1) }, Nothing, "waiting for the lease"},
		"it has run":       {func(in *Input) { in.Durable.Ran = e }, Persist, ""}, // its epoch is closed
		"it runs as a standby": {func(in *Input) { in.Seen.Process, in.Seen.Role = health.ProcessRunning, health.RoleStandby }, Nothing,
			"waiting for the lease"},
		"others of its tree do":     {func(in *Input) { in.Seen.Process = health.ProcessEnding }, Kill, ""},
		"a lease was taken since":   {func(in *Input) { in.Lease = Lease{Epoch: e, End: now + time.Second} }, StartStandby, ""},
		"there is nothing to start": {func(in *Input) { in.Seen.Data = health.DataEmpty }, Nothing, "empty"},
	} {
		if act := lead(c.change); act.Kind != c.want || !strings.Contains(act.Wait, c.wait) {
			t.Errorf("%s: %q (%s), waits for %q; want %q", name, act.Kind, act.Why, act.Wait, c.want)
		}
	}
}

// Processes without a pid file are killed where the member is ours, and let alone where nothing says so: a server that its user starts
// looks like that for a moment.
func TestWhoseTreeIsKilled(t *testing.T) {
	for _, c := range []struct {
		name string
		goal platform.GoalKind
		d    Durable
		want Kind
	}{
		{"never ours, its cluster is not taken in", platform.GoalObserve, Durable{}, Nothing},
		{"never ours, no goal yet", platform.GoalNone, Durable{}, Nothing},
		{"ours, no goal yet", platform.GoalNone, Durable{SystemID: "7"}, Kill},
		{"it has run for us", platform.GoalObserve, Durable{Ran: ep(2)}, Kill},
		{"wanted as a primary", platform.GoalPrimary, Durable{}, Kill},
		{"to be stopped", platform.GoalStopped, Durable{}, Kill},
	} {
		in := Input{Now: now, Goal: platform.Goal{Kind: c.goal, Epoch: ep(2)}, Durable: c.d,
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnding}}
		if act := Next(in); act.Kind != c.want || act.Kind == Nothing && act.Wait == "" {
			t.Errorf("%s: %q (%s), want %q", c.name, act.Kind, act.Wait, c.want)
		}
	}
}
