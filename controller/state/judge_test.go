package state

import "testing"

func judge(member, incarnation, excluded string) Command {
	return onFeed(Command{Judge: &Judge{Member: member, Incarnation: incarnation, Excluded: excluded}})
}

// TestVerdict: damage follows the data through a change of primary, until a whole copy has taken its place (S5).
func TestVerdict(t *testing.T) {
	s := run(t, bootstrapped(t, 1), judge("m1", "m1_1", "bad pages"), failover(), promote(nil))
	m := s.Clusters["feed"].Members["m1"]
	if m.Excluded != "bad pages" || m.DamagedAs != "m1_1" || m.Incarnation == "m1_1" {
		t.Fatalf("after the failover: %+v", m)
	}
	s = run(t, s, onFeed(Command{Opened: &Opened{Epoch: ep(2), SystemID: "7", Timeline: 2}}))
	if g := s.GoalOf("feed", "m1"); g.Damaged != "m1_1" || g.Damage != "bad pages" || g.Incarnation != m.Incarnation {
		t.Errorf("its goal: %+v", g)
	}
	also := run(t, s, judge("m2", "m2_2", "bad pages as well"))
	if g := also.GoalOf("feed", "m1"); g.Damaged != "m1_1" || g.Damage != "" {
		t.Errorf("its goal while the primary is damaged too: %+v", g)
	}
	also = run(t, also, onFeed(Command{Judge: &Judge{Member: "m2", Incarnation: "m2_2", Cleared: "bad pages as well", Reason: "looked"}}))
	if g := also.GoalOf("feed", "m1"); g.Damage != "" {
		t.Errorf("its goal while an operator lives with the primary's damage: %+v", g)
	}
	s = run(t, s, onFeed(Command{Rejoined: &Rejoined{Member: "m1", Note: "streams again"}}))
	if m := s.Clusters["feed"].Members["m1"]; m.Excluded != "" || m.DamagedAs != "" {
		t.Errorf("with other data: %+v", m)
	}
}

// TestVerdictStays: a member that streams again under the name of its damaged data is as damaged as before.
func TestVerdictStays(t *testing.T) {
	s := run(t, bootstrapped(t, 1), judge("m2", "m2_2", "bad pages"), onFeed(Command{Rejoined: &Rejoined{Member: "m2", Note: "streams"}}))
	if m := s.Clusters["feed"].Members["m2"]; m.Excluded != "bad pages" {
		t.Errorf("%+v", m)
	}
	refused(t, run(t, s, failover()), promote(nil), "bad pages")
}

// TestDamagedPrimaryRestarts: in place, where no other member can take over, since nobody becomes a primary by that.
func TestDamagedPrimaryRestarts(t *testing.T) {
	s := run(t, bootstrapped(t, 1), judge("m1", "m1_1", "bad pages"), failover())
	run(t, s, promote(func(p *Promote) { p.Member, p.Timeline = "m1", 1 }))
}

func TestVerdictsRefused(t *testing.T) {
	s := bootstrapped(t, 1)
	withdraw := func(reason string) Command {
		return onFeed(Command{Judge: &Judge{Member: "m2", Incarnation: "m2_2", Cleared: "bad pages", Reason: reason}})
	}
	refused(t, s, judge("m9", "m9_1", "bad pages"), "no member m9")
	joined := run(t, s, onFeed(Command{Rejoined: &Rejoined{Member: "m2", Note: "streams"}}))
	refused(t, joined, judge("m2", "m2_1", "bad pages"), "the data of m2 is m2_2, not m2_1")
	refused(t, s, withdraw("looked"), "nothing is known against")
	s = run(t, s, judge("m2", "m2_2", "bad pages"))
	refused(t, s, judge("m2", "m2_2", "more bad pages"), "excluded already: bad pages")
	refused(t, s, withdraw(""), "for a reason only")
	s = run(t, s, withdraw("looked"))
	if m := s.Clusters["feed"].Members["m2"]; m.Excluded != "" || m.DamagedAs != "" || m.Cleared != "bad pages" || m.ClearedAs != "m2_2" {
		t.Errorf("withdrawn: %+v", m)
	}
	last := s.Clusters["feed"].Operations[len(s.Clusters["feed"].Operations)-1]
	if last.Kind != Verdict || last.Result != Done || last.To != "m2" || last.Reason != "exclusion of m2 withdrawn: looked" {
		t.Errorf("the history says %+v", last)
	}
}

// TestVerdictEndsNothing: what becomes known of a member's data does not end a change that is running.
func TestVerdictEndsNothing(t *testing.T) {
	s := run(t, bootstrapped(t, 1), onFeed(Command{Begin: &Begin{Kind: Switchover, To: "m2"}}), judge("m3", "m3_3", "bad pages"))
	if op := s.Clusters["feed"].runningChange(); op == nil || op.Kind != Switchover {
		t.Errorf("the switchover has become %+v", op)
	}
}

// TestLateVerdict: evidence about data that already has a new name, because its member is to be rewound, keeps it from having that name.
func TestLateVerdict(t *testing.T) {
	s := run(t, bootstrapped(t, 1), failover(), promote(nil), judge("m1", "m1_1", "bad pages"),
		onFeed(Command{Opened: &Opened{Epoch: ep(2), SystemID: "7", Timeline: 2}}))
	m := s.Clusters["feed"].Members["m1"]
	if g := s.GoalOf("feed", "m1"); m.Excluded != "bad pages" || g.Damaged != "m1_1" || g.Incarnation == "m1_1" {
		t.Errorf("%+v, its goal %+v", m, g)
	}
}

// TestClearedEndsWithTheData: what an operator has set aside is about data that is gone.
func TestClearedEndsWithTheData(t *testing.T) {
	s := run(t, bootstrapped(t, 1), judge("m2", "m2_2", "bad pages"),
		onFeed(Command{Judge: &Judge{Member: "m2", Incarnation: "m2_2", Cleared: "bad pages", Reason: "looked"}}),
		onFeed(Command{Reincarnate: &Reincarnate{Member: "m2", Reason: "needs a rebuild"}}),
		onFeed(Command{Rejoined: &Rejoined{Member: "m2", Note: "streams"}}))
	if m := s.Clusters["feed"].Members["m2"]; m.Cleared != "" || m.ClearedAs != "" {
		t.Errorf("%+v", m)
	}
}
