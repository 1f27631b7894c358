package supervisor

import (
	"fmt"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
)

// Guards that have not answered in time are incomplete only after a while, or when the kernel or they themselves say so.
func TestLateGuardsAreWhole(t *testing.T) {
	late, refused := fmt.Errorf("guard a: %w", guard.ErrNoAnswer), &guard.RefusedError{Code: machine.NotYours}
	var g guards
	now := time.Hour
	for _, c := range []struct {
		name  string
		after time.Duration // since the one before
		peer  bool
		err   error
		alive bool
		want  bool
	}{
		{"late before they ever answered", 0, false, late, true, false},
		{"well", 0, true, nil, true, true},
		{"late", unansweredFine / 2, false, late, true, true},
		{"late for long", unansweredFine/2 + 1, false, late, true, false},
		{"well again", 0, true, nil, true, true},
		{"one is dead", 0, false, late, false, false},
		{"late after that", 0, false, late, true, false},
		{"well once more", 0, true, nil, true, true},
		{"one does not watch the other", 0, false, nil, true, false},
		{"late, and nothing good was heard since", 0, false, late, true, false},
		{"well for the last time", 0, true, nil, true, true},
		{"a refusal is an answer", 0, false, refused, true, false},
	} {
		now += c.after
		if got := g.whole(c.peer, c.err, c.alive, now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Guards that are well are not asked for a while, which ends with the lease that they hold. What they said is worth nothing once they are
// told something, also while they were asked, and of another postmaster; of guards that are not well nothing is kept.
func TestGuardsAreAskedSeldom(t *testing.T) {
	well := guard.Report{State: machine.Idle}
	told := func(g *guards) { g.bid() }
	idle := guard.Status{Peer: true, Guards: [2]guard.Report{well, well}}
	const now = time.Hour
	armed, half, kills := idle, idle, idle
	armed.Guards[0].State, armed.Guards[1].State, armed.End = machine.Armed, machine.Armed, now+5*time.Second
	half.Guards[1].State, kills.Guards[0].State = machine.Armed, machine.Killing
	ending := armed
	ending.End = now + renewedFor/2
	for _, c := range []struct {
		name       string
		said       guard.Status
		err        error
		between    func(*guards) // asking and the answer
		after      func(*guards)
		later      time.Duration
		postmaster int
		want       bool
	}{
		{"idle", idle, nil, nil, nil, restFor - 1, 7, true},
		{"idle for long", idle, nil, nil, nil, restFor, 7, false},
		{"armed", armed, nil, nil, nil, renewedFor - 1, 7, true},
		{"armed, and not renewed", armed, nil, nil, nil, renewedFor, 7, false},
		{"its lease has ended", ending, nil, nil, nil, renewedFor / 2, 7, false},
		{"armed and told since", armed, nil, nil, told, 1, 7, false},
		{"one armed", half, nil, nil, nil, 1, 7, false},
		{"one kills", kills, nil, nil, nil, 1, 7, false},
		{"alone", guard.Status{Guards: idle.Guards}, nil, nil, nil, 1, 7, false},
		{"late", idle, guard.ErrNoAnswer, nil, nil, 1, 7, false},
		{"another postmaster", idle, nil, nil, nil, 1, 8, false},
		{"told since", idle, nil, nil, told, 1, 7, false},
		{"told meanwhile", idle, nil, told, nil, 1, 7, false},
	} {
		var g guards
		bids, _ := g.before()
		if c.between != nil {
			c.between(&g)
		}
		g.answer(c.said, c.err, bids, 7, now)
		if c.after != nil {
			c.after(&g)
		}
		if _, got := g.last(c.postmaster, now+c.later); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// Guards that were armed for another epoch, and may have killed since, are bound to nothing that the holder of the watchdog
// minds: it may just have fed the device for longer than a short lease of the new epoch runs.
func TestGuardsArmedForAnEpoch(t *testing.T) {
	before := platform.Epoch{Generation: 1, Number: 4}
	for armed, want := range map[platform.Epoch]bool{{}: false, before: false, before.Next(): true} {
		if g := (&guards{armed: armed}); g.armedFor(before.Next()) != want {
			t.Errorf("armed for %s: bound is %v", armed, !want)
		}
	}
}

// Each report may add to what idle guards have said to be missing, without a change to the ones before it, which may be on their way.
func TestRestingGuardsShareNothing(t *testing.T) {
	said := guard.Status{Peer: true, Missing: append(make([]string, 0, 4), "a launcher")}
	said.Guards[0].State, said.Guards[1].State = machine.Idle, machine.Idle
	var g guards
	g.answer(said, nil, 0, 7, time.Hour)
	first, ok := g.last(7, time.Hour+1)
	second, alike := g.last(7, time.Hour+2)
	if !ok || !alike {
		t.Fatal("idle guards are asked again")
	}
	lists := [][]string{append(said.Missing, "asked"), append(first.Missing, "first"), append(second.Missing, "second")}
	for i, want := range []string{"asked", "first", "second"} {
		if got := lists[i]; len(got) != 2 || got[1] != want {
			t.Errorf("%s: %q", want, got)
		}
	}
}
