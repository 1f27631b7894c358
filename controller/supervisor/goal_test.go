package supervisor

import (
	"testing"

	"mainstay/controller/platform"
)

// A member's goals never go backwards: not by a deposed leader's answer to a later report, nor by an earlier answer to one that
// comes late. Seed 23874 of the simulator: a primary loaded the empty durability list again, with a stricter set in force.
func TestGoalsGoForwardOnly(t *testing.T) {
	set := func(id uint64) platform.Goal {
		return platform.Goal{Kind: platform.GoalPrimary, Sets: []platform.DurabilitySet{{ID: id}}}
	}
	m := assemble(&shared{o: Options{Name: "a"}})
	m.Wants(set(2), platform.Age{Generation: 1, Index: 8, Number: 20})
	for _, late := range []platform.Age{{Generation: 1, Index: 7, Number: 21}, {Generation: 1, Index: 9, Number: 19}} {
		if m.Wants(set(1), late); m.told.goal.Sets[0].ID != 2 {
			t.Errorf("%+v was obeyed", late)
		}
	}
	if m.Wants(set(3), platform.Age{Generation: 1, Index: 8, Number: 21}); m.told.goal.Sets[0].ID != 3 {
		t.Error("a later answer was not obeyed")
	}
}
