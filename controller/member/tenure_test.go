package member

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func tenure() Tenure {
	return Tenure{Run: "r1", Length: 5 * time.Second, Goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: ep(3), List: 5,
		Sets: []platform.Set{{ID: 7, Acks: 1, Names: []string{"m2_2", "m3_3"}}}, Slots: []string{"m2", "m3"}}}
}

// An agent continues without a leader only in the run to which the goal was confirmed, only as the primary it was, and only
// while its guards hold a lease of that epoch.
func TestWhoGoesOn(t *testing.T) { // S6, L8
	type input struct {
		Tenure
		run  string
		d    Durable
		held Lease
		now  time.Duration
	}
	for name, change := range map[string]func(*input){
		"":                              func(*input) {},
		"nothing was kept":              func(in *input) { in.Tenure = Tenure{} },
		"nothing was kept, without run": func(in *input) { in.Tenure, in.run = Tenure{}, "" },
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
		in := input{tenure(), "r1", Durable{Epoch: ep(3), Ran: ep(3), Closed: ep(2)}, Lease{Epoch: ep(3), End: time.Hour}, time.Hour - 1}
		change(&in)
		if got := in.GoesOn(in.run, in.d, in.held, in.now); got != (name == "") {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// What is confirmed to the controllers is known after a restart as well.
func TestWhatIsKeptFirst(t *testing.T) { // L5
	for _, c := range []struct {
		name   string
		behind bool
		change func(*Tenure, *platform.Goal)
	}{
		{"all is known", false, func(*Tenure, *platform.Goal) {}},
		{"a newer list", true, func(_ *Tenure, g *platform.Goal) { g.List++ }},
		{"another set", true, func(_ *Tenure, g *platform.Goal) { g.Sets = append(g.Sets, platform.Set{ID: 8}) }},
		{"a set less", true, func(_ *Tenure, g *platform.Goal) { g.Sets = nil }},
		{"no process continues from it: no tenure", false, func(t *Tenure, g *platform.Goal) { *t = Tenure{}; g.List++ }},
		{"no process continues from it: another run", false, func(t *Tenure, g *platform.Goal) { t.Run = "r0"; g.List++ }},
		{"no process continues from it: another epoch", false, func(_ *Tenure, g *platform.Goal) { g.Epoch, g.List = ep(4), 6 }},
		{"no primary any more", false, func(_ *Tenure, g *platform.Goal) { g.Kind, g.List = platform.GoalStopped, 6 }},
	} {
		kept := tenure()
		g := kept.Goal
		c.change(&kept, &g)
		if got := kept.Behind("r1", &g); got != c.behind {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
