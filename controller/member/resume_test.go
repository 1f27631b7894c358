package member

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func resume() Resume {
	return Resume{Run: "r1", Length: 5 * time.Second, Goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: ep(3), MembersVersion: 5,
		Sets: []platform.DurabilitySet{{ID: 7, Acks: 1, Names: []string{"m2_2", "m3_3"}}}, OtherMembers: []string{"m2", "m3"}}}
}

// An agent continues without a leader only in the run to which the goal was confirmed, only as the primary it was, and only
// while its guards hold a lease of that epoch.
func TestWhoMayResume(t *testing.T) { // S6, L8
	type input struct {
		Resume
		run  string
		d    Durable
		held Lease
		now  time.Duration
	}
	for name, change := range map[string]func(*input){
		"":                              func(*input) {},
		"nothing was kept":              func(in *input) { in.Resume = Resume{} },
		"nothing was kept, without run": func(in *input) { in.Resume, in.run = Resume{}, "" },
		"another boot, or a copy":       func(in *input) { in.run = "r2" },
		"the cluster was paused":        func(in *input) { in.Goal.Paused = true },
		"it was a replica":              func(in *input) { in.Goal.Kind = platform.GoalReplica },
		"it has obeyed a later epoch":   func(in *input) { in.d.Epoch = ep(4) },
		"it never ran as primary of it": func(in *input) { in.d.Ran = ep(2) },
		"the epoch is closed":           func(in *input) { in.d.Closed = ep(3) },
		"it was sealed":                 func(in *input) { in.d.Sealed = ep(4) },
		"no guard holds a lease":        func(in *input) { in.held = Lease{} },
		"the guards hold a later epoch": func(in *input) { in.held.Epoch = ep(4) },
		"the lease has ended":           func(in *input) { in.now = in.held.End },
	} {
		in := input{resume(), "r1", Durable{Epoch: ep(3), Ran: ep(3), Closed: ep(2)}, Lease{Epoch: ep(3), End: time.Hour}, time.Hour - 1}
		change(&in)
		if got := in.MayResume(in.run, in.d, in.held, in.now); got != (name == "") {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// What is confirmed to the controllers is known after a restart as well.
func TestWhatIsKeptFirst(t *testing.T) { // L5
	for _, c := range []struct {
		name   string
		behind bool
		change func(*Resume, *platform.Goal)
	}{
		{"all is known", false, func(*Resume, *platform.Goal) {}},
		{"a newer list", true, func(_ *Resume, g *platform.Goal) { g.MembersVersion++ }},
		{"another set", true, func(_ *Resume, g *platform.Goal) { g.Sets = append(g.Sets, platform.DurabilitySet{ID: 8}) }},
		{"a set less", true, func(_ *Resume, g *platform.Goal) { g.Sets = nil }},
		{"no process continues from it: no resume record", false, func(t *Resume, g *platform.Goal) { *t = Resume{}; g.MembersVersion++ }},
		{"no process continues from it: another run", false, func(t *Resume, g *platform.Goal) { t.Run = "r0"; g.MembersVersion++ }},
		{"no process continues from it: another epoch", false, func(_ *Resume, g *platform.Goal) { g.Epoch, g.MembersVersion = ep(4), 6 }},
		{"no primary any more", false, func(_ *Resume, g *platform.Goal) { g.Kind, g.MembersVersion = platform.GoalStopped, 6 }},
	} {
		kept := resume()
		g := kept.Goal
		c.change(&kept, &g)
		if got := kept.Behind("r1", &g); got != c.behind {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
