package state

import (
	"slices"
	"strings"
	"testing"

	"mainstay/controller/platform"
)

func freeze(member, incarnation string) Command {
	return onFeed(Command{At: "2026-11-30T06:00:00.000Z", Freeze: &FreezeMember{Member: member, Incarnation: incarnation, For: "m1_1",
		Why: "a lost write", Pages: []string{"base/5/7 block 3"}}})
}

func release(reason string, members ...string) Command {
	return onFeed(Command{By: "ann", Freeze: &FreezeMember{Release: members, Reason: reason}})
}

// joined is the test cluster with m2 and m3 streaming.
func joined(t *testing.T) *State {
	t.Helper()
	return run(t, bootstrapped(t, 1), onFeed(Command{Rejoined: &Rejoined{Member: "m2", Note: "streams"}}),
		onFeed(Command{Rejoined: &Rejoined{Member: "m3", Note: "streams"}}))
}

// TestFreeze: its goal says so under every leader, also one that has only a snapshot, in every epoch and while it is sealed.
func TestFreeze(t *testing.T) {
	s := run(t, joined(t), freeze("m2", "m2_2"))
	b, err := EncodeSnapshot(s)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = DecodeSnapshot(b); err != nil {
		t.Fatal(err)
	}
	for what, now := range map[string]*State{"in peace": s, "in an attempt": run(t, s, failover()),
		"after an abandoned attempt": run(t, s, failover(), onFeed(Command{Abandon: &Abandon{Attempt: ep(2), Reason: "well again"}}))} {
		g := now.GoalOf("feed", "m2")
		if !g.Frozen("m2_2") || g.Frozen("m2_9") || g.Freeze.Pages[0] != "base/5/7 block 3" {
			t.Errorf("%s: %+v", what, g)
		}
		if g := now.GoalOf("feed", "m3"); g.Freeze != nil {
			t.Errorf("%s: m3 is frozen too: %+v", what, g)
		}
	}
	op := s.Clusters["feed"].Operations[len(s.Clusters["feed"].Operations)-1]
	if op.Kind != Verdict || op.To != "m2" || !strings.Contains(op.Reason, "a lost write") {
		t.Errorf("the history says %+v", op)
	}
}

// TestFrozenIsPromotedByAnOperatorAlone: nobody else chooses between the damage that a promotion replays and the commits that are lost
// without it.
func TestFrozenIsPromotedByAnOperatorAlone(t *testing.T) {
	s := run(t, joined(t), freeze("m2", "m2_2"), failover())
	accepted := func(by, to string) Command {
		return onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseSeal, To: to,
			Accepted: &Acceptance{By: by, Reason: "asked", Completeness: true}}})
	}
	refused(t, s, promote(nil), "its replay is frozen, and no operator has chosen it: a lost write")
	refused(t, run(t, s, accepted(ByPolicy, "")), promote(nil), "no operator has chosen it")
	refused(t, run(t, s, accepted("ann", "m3")), promote(nil), "no operator has chosen it")
	s = run(t, s, accepted("ann", "m2"))
	if g := s.GoalOf("feed", "m2"); g.Freeze != nil {
		t.Errorf("chosen, it must replay: %+v", g)
	}
	s = run(t, s, promote(nil))
	if m := s.Clusters["feed"].Members["m2"]; m.Freeze != nil {
		t.Errorf("promoted: %+v", m)
	}
}

// TestFreezeEnds: by an operator, for good as far as that evidence goes; or with the data.
func TestFreezeEnds(t *testing.T) {
	s := run(t, joined(t), freeze("m2", "m2_2"))
	refused(t, s, release("", "m2"), "for a reason only")
	refused(t, s, release("seen", "m2", "m3"), "m3 is not frozen")
	refused(t, s, onFeed(Command{Reincarnate: &Reincarnate{Member: "m2", Reason: "needs a rebuild"}}), "its replay is frozen (a lost write)")
	free := run(t, s, release("seen", "m2"))
	if c := free.Clusters["feed"]; c.Members["m2"].Frozen() != nil || !c.Released("m1_1", []string{"base/5/7 block 3"}) ||
		free.GoalOf("feed", "m2").Freeze != nil {
		t.Errorf("released: %+v", c.Members["m2"])
	}
	refused(t, free, freeze("m3", "m3_3"), "an operator has released what was frozen for m1_1")
	other := freeze("m3", "m3_3") // another page of that data is new evidence
	other.Freeze.Pages = append(other.Freeze.Pages, "base/5/7 block 4")
	refused(t, free, other, "an operator has released what was frozen for m1_1") // as every build says that knows no further pages
	other.Freeze.Further = true
	if s := run(t, free, other); s.Clusters["feed"].Members["m3"].Frozen() == nil {
		t.Error("m3 is not frozen for another page")
	} else if s := run(t, s, release("seen", "m3")); !s.Clusters["feed"].Released("m1_1", other.Freeze.Pages) {
		t.Error("both pages were seen by now")
	}
	unnamed := freeze("m2", "m2_2")
	unnamed.Freeze.Pages = nil
	refused(t, run(t, joined(t), unnamed, release("seen", "m2")), other, "an operator has released what was frozen for m1_1")
	restored := run(t, s, Command{AgentRun: &AgentRun{Host: "h2", Run: "r2"}},
		Command{AgentRun: &AgentRun{Host: "h2", Run: "r3", Older: true}})
	if m := restored.Clusters["feed"].Members["m2"]; m.Incarnation == "m2_2" || m.Frozen() != nil {
		t.Errorf("its disk is an older one: %+v", m)
	}
	again := run(t, restored, onFeed(Command{Rejoined: &Rejoined{Member: "m2", Note: "streams"}}))
	if m := again.Clusters["feed"].Members["m2"]; m.Freeze != nil {
		t.Errorf("with other data: %+v", m)
	}
}

// TestFreezeCoversFurtherPages: what a comparison finds later adds to a freeze in force, and a release is for all of it.
func TestFreezeCoversFurtherPages(t *testing.T) {
	s := run(t, joined(t), freeze("m2", "m2_2"))
	more := freeze("m2", "m2_2")
	more.At = "2026-11-30T07:00:00.000Z"
	more.Freeze.Pages, more.Freeze.Why = []string{"base/5/7 block 3", "base/5/7 block 9"}, "two lost writes"
	refused(t, s, more, "m2 is frozen already")
	more.Freeze.Further = true
	was := *s.Clusters["feed"].Members["m2"].Freeze
	now := run(t, s, more)
	f := now.Clusters["feed"].Members["m2"].Frozen()
	if f == nil || !slices.Equal(f.Pages, more.Freeze.Pages) || f.Since != was.Since || f.As != was.As || f.Why != "two lost writes" ||
		len(was.Pages) != 1 || len(s.Clusters["feed"].Members["m2"].Freeze.Pages) != 1 {
		t.Errorf("%+v, and before %+v", f, was)
	}
	if g := now.GoalOf("feed", "m2"); !slices.Equal(g.Freeze.Pages, more.Freeze.Pages) {
		t.Errorf("its goal: %+v", g.Freeze)
	}
	refused(t, now, more, "m2 is frozen already")
	elsewhere := freeze("m2", "m2_2")
	elsewhere.Freeze.For, elsewhere.Freeze.Further, elsewhere.Freeze.Pages = "m3_3", true, []string{"base/5/8 block 1"}
	refused(t, now, elsewhere, "m2 is frozen already")
	if c := run(t, now, release("seen", "m2")).Clusters["feed"]; !c.Released("m1_1", more.Freeze.Pages) {
		t.Errorf("released: %+v", c.Members["m2"].Freeze)
	}
	all := freeze("m3", "m3_3")
	all.Freeze.Pages = nil
	third := freeze("m3", "m3_3")
	third.Freeze.Further = true
	refused(t, run(t, joined(t), all), third, "m3 is frozen already") // which named no page, and is for all
}

func TestFreezesRefused(t *testing.T) {
	s := joined(t)
	refused(t, s, freeze("m1", "m1_1"), "m1 is not a replica")
	refused(t, s, freeze("m9", "m9_9"), "m9 is not a replica")
	refused(t, s, freeze("m2", "m2_1"), "the data of m2 is not m2_1")
	refused(t, run(t, s, failover()), freeze("m2", "m2_2"), "may need m2")
	refused(t, run(t, s, freeze("m2", "m2_2")), freeze("m2", "m2_2"), "frozen already")
	none := freeze("m2", "m2_2")
	none.Freeze = &FreezeMember{Member: "m2", Incarnation: "m2_2", For: "m1_1"}
	refused(t, s, none, "for a reason only")
	refused(t, bootstrapped(t, 1), freeze("m2", "m2_2"), "the data of m2 is not m2_2") // it has not streamed
	if g := (&platform.DamageGoal{Freeze: &platform.Freeze{}}); g.Frozen("") {
		t.Error("data without a name is frozen")
	}
}
