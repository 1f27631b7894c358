package agent

import (
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// A member's goals never go backwards: not by a deposed leader's answer to a later report, nor by an earlier answer to one that
// comes late. Seed 23874 of the simulator: a primary loaded the empty durability list again, with a stricter set in force.
func TestGoalsGoForwardOnly(t *testing.T) {
	set := func(id uint64) platform.Goal {
		return platform.Goal{Kind: platform.GoalPrimary, Sets: []platform.DurabilitySet{{ID: id}}}
	}
	m := assemble(&shared{name: "a"})
	m.wants(set(2), platform.Age{Generation: 1, Index: 8, Number: 20})
	for _, late := range []platform.Age{{Generation: 1, Index: 7, Number: 21}, {Generation: 1, Index: 9, Number: 19}} {
		if m.wants(set(1), late); m.told.goal.Sets[0].ID != 2 {
			t.Errorf("%+v was obeyed", late)
		}
	}
	if m.wants(set(3), platform.Age{Generation: 1, Index: 8, Number: 21}); m.told.goal.Sets[0].ID != 3 {
		t.Error("a later answer was not obeyed")
	}
}

// Of two controllers that were recovered by themselves, while both were stopped, an agent obeys the one that it heard first; a later
// generation ends that (S1). Else members would be led by two groups, whose epochs and leases do not know of each other.
func TestOneOfTwoRecoveries(t *testing.T) {
	home, err := openHome(t.TempDir(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer home.close()
	a := &Agent{home: home, log: zap.NewNop()}
	for _, c := range []struct {
		platform   string
		generation uint64
		mark       string
		obeyed     bool
	}{
		{"p", 1, "", true}, {"p", 2, "one", true}, {"p", 2, "other", false}, {"p", 2, "", false}, {"p", 1, "", false}, {"p", 2, "one", true},
		{"q", 3, "one", false}, {"p", 3, "last", true}, {"p", 2, "one", false},
	} {
		if got := a.trusts(&wire.ReportAnswer{PlatformID: c.platform, Generation: c.generation, Mark: c.mark}); got != c.obeyed {
			t.Errorf("generation %d %q of %s: obeyed %v", c.generation, c.mark, c.platform, got)
		}
	}
	if kept, err := home.bond(); err != nil || kept != (bond{"p", 3, "last"}) {
		t.Errorf("on disk: %+v, %v", kept, err)
	}
}
