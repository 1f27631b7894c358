package agent

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// A member's goals never go backwards: not by a deposed leader's answer to a later report, nor by an earlier answer to one that
// comes late. Seed 23874 of the simulator: a primary loaded the empty durability list again, with a stricter set in force.
func TestGoalsGoForwardOnly(t *testing.T) {
	set := func(id uint64) platform.Goal {
		return platform.Goal{Kind: platform.GoalPrimary, Sets: []platform.Set{{ID: id}}}
	}
	m := &minder{name: "a"}
	m.wants(set(2), wire.Words{Generation: 1, Index: 8, Number: 20})
	for _, late := range []wire.Words{{Generation: 1, Index: 7, Number: 21}, {Generation: 1, Index: 9, Number: 19}} {
		if m.wants(set(1), late); m.goal.Sets[0].ID != 2 {
			t.Errorf("%+v was obeyed", late)
		}
	}
	if m.wants(set(3), wire.Words{Generation: 1, Index: 8, Number: 21}); m.goal.Sets[0].ID != 3 {
		t.Error("a later answer was not obeyed")
	}
}
