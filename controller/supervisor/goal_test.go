package supervisor

import (
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
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

// A primary that does not start gets a new epoch with each restart in place, and the pauses between its starts grow all the same. The
// first restart after a crash does not wait, nor does a member with another part to play.
func TestRestartsInPlacePause(t *testing.T) {
	primary := func(number uint64) platform.Goal {
		return platform.Goal{Kind: platform.GoalPrimary, Epoch: platform.Epoch{Generation: 1, Number: number}}
	}
	for name, c := range map[string]struct {
		starts int // in vain before the goal changes
		next   platform.Goal
		waits  bool
	}{
		"first restart":        {1, primary(2), false},
		"later restart":        {2, primary(2), true},
		"same epoch":           {2, primary(1), true},
		"stopped before that":  {2, platform.Goal{Kind: platform.GoalStopped, Epoch: platform.Epoch{Generation: 1, Number: 1}}, true},
		"replica from then on": {3, platform.Goal{Kind: platform.GoalReplica, Epoch: platform.Epoch{Generation: 1, Number: 2}}, false},
	} {
		m := assemble(&shared{o: Options{Name: "a"}, log: zap.NewNop()})
		m.Wants(primary(1), platform.Age{Number: 1})
		for range c.starts {
			m.inVain("PostgreSQL did not start", &postgres.Server{}, postgres.Fault{Said: "the port is taken"})
		}
		if m.Wants(c.next, platform.Age{Number: 2}); (m.starts.unstarted.until > boottime.Now()) != c.waits {
			t.Errorf("%s: the next start waits: %t", name, !c.waits)
		}
	}
}
