package state

import (
	"testing"

	"mainstay/controller/platform"
)

func mendPage(member, incarnation, from string) Command {
	return onFeed(Command{By: "ann", Mend: &MendPage{Member: member, Incarnation: incarnation, Page: "base/5/7 block 3", From: from,
		Reason: "mend"}})
}

// TestMend: it is part of the goal of that data as long as it runs, in peace; its end is in the history.
func TestMend(t *testing.T) {
	s := run(t, joined(t), mendPage("m2", "m2_2", "m1"))
	m := s.Clusters["feed"].Members["m2"].Mend
	want := platform.Mend{Number: m.Number, Incarnation: "m2_2", Page: "base/5/7 block 3", From: "m1"}
	if g := s.GoalOf("feed", "m2"); g.Mend == nil || *g.Mend != want || m.Number == 0 || !g.Mends("m2_2", 0) || g.Mends("m2_2", m.Number) ||
		g.Mends("m2_9", 0) {
		t.Fatalf("its goal: %+v, want %+v", g.Mend, want)
	}
	if g := s.GoalOf("feed", "m3"); g.Mend != nil {
		t.Errorf("the goal of m3: %+v", g.Mend)
	}
	if g := run(t, s, failover()).GoalOf("feed", "m2"); g.Mend != nil {
		t.Errorf("in an attempt: %+v", g.Mend)
	}
	refused(t, s, mendPage("m3", "m3_3", "m1"), "a page of m2 is being mended")
	refused(t, s, freeze("m2", "m2_2"), "a page of m2 is being mended")
	refused(t, s, onFeed(Command{Reincarnate: &Reincarnate{Member: "m2", Reason: "rebuild"}}), "a page of m2 is being mended")
	end := func(number uint64, done bool) Command {
		return onFeed(Command{Mend: &MendPage{Member: "m2", Ended: number, Done: done, Outcome: "it is the page of m1"}})
	}
	refused(t, s, end(m.Number+1, true), "is not running")
	for done, result := range map[bool]Result{true: Done, false: Failed} {
		over := run(t, s, end(m.Number, done))
		op := over.Clusters["feed"].Operations[len(over.Clusters["feed"].Operations)-1]
		if over.Clusters["feed"].Members["m2"].Mend != nil || op.Kind != Mending || op.Result != result || op.From != "m1" || op.To != "m2" ||
			op.Outcome != "it is the page of m1" || op.ID != m.Operation {
			t.Errorf("done %v: %+v", done, op)
		}
	}
}

func TestMendsRefused(t *testing.T) {
	s := joined(t)
	refused(t, s, mendPage("m1", "m1_1", "m2"), "m1 is the primary: switch over first")
	refused(t, s, mendPage("m9", "m9_9", "m1"), "no member m9")
	refused(t, s, mendPage("m2", "m2_1", "m1"), "the data of m2 is not m2_1")
	refused(t, s, mendPage("m2", "m2_2", "m2"), "from another member")
	refused(t, run(t, s, failover()), mendPage("m2", "m2_2", "m1"), "is running; wait for its end")
	refused(t, run(t, s, freeze("m2", "m2_2")), mendPage("m2", "m2_2", "m1"), "the replay of m2 is frozen")
	paused := run(t, s, onFeed(Command{Pause: &SetPause{Pause: &Pause{By: "ann", Reason: "work"}}}))
	refused(t, paused, mendPage("m2", "m2_2", "m1"), "is paused")
}
