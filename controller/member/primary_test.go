package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Guards that killed a standby under the lease of an epoch that it was to lead take no lease of that epoch any more, and without one
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
		"it never ran":              {func(*Input) {}, Disarm, ""},
		"of another epoch":          {func(in *Input) { in.Spent = ep(1) }, Nothing, "waiting for the lease"},
		"it has run":                {func(in *Input) { in.Durable.Ran = e }, Persist, ""}, // its epoch is closed
		"it runs as a standby":      {func(in *Input) { in.Seen.Process, in.Seen.Role = health.ProcessRunning, health.RoleStandby }, Nothing, "waiting for the lease"},
		"others of its tree do":     {func(in *Input) { in.Seen.Process = health.ProcessEnding }, Kill, ""},
		"a lease was taken since":   {func(in *Input) { in.Lease = Lease{Epoch: e, End: now + time.Second} }, StartStandby, ""},
		"there is nothing to start": {func(in *Input) { in.Seen.Data = health.DataEmpty }, Nothing, "empty"},
	} {
		if act := lead(c.change); act.Kind != c.want || !strings.Contains(act.Wait, c.wait) {
			t.Errorf("%s: %q (%s), waits for %q; want %q", name, act.Kind, act.Why, act.Wait, c.want)
		}
	}
}
