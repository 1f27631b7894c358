package api

import (
	"strings"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// TestClearDamage: an operator sets the evidence aside that the member reports now, which may be more than that of the verdict, and is
// shown it. What was set aside before of the same data stays so.
func TestClearDamage(t *testing.T) {
	s := subjectWith(t, func(_, replica *health.Member) { replica.Damage = "3 bad pages" })
	clear := wire.ClearRequest{Member: "m2", Reason: " the table was restored "}
	if _, err := s.clearDamage(clear); err == nil || err.Error() != "nothing is known against the data of m2" {
		t.Errorf("without a verdict: %v", err)
	}
	s.c.Members["m2"].Excluded, s.c.Members["m2"].DamagedAs = "1 bad page", s.c.Members["m2"].Incarnation
	p, err := s.clearDamage(clear)
	if err != nil {
		t.Fatal(err)
	}
	want := state.Judge{Member: "m2", Incarnation: s.c.Members["m2"].Incarnation, Cleared: "1 bad page; 3 bad pages",
		Reason: "the table was restored"}
	if j := p.cmd.Judge; j == nil || *j != want || !strings.HasSuffix(p.answer.Plan[0], "in spite of: 1 bad page; 3 bad pages") {
		t.Errorf("got %+v, want %+v; the plan is %q", j, want, p.answer.Plan)
	}
	for _, c := range []struct{ as, cleared string }{
		{s.c.Members["m2"].Incarnation, "an earlier page; 1 bad page; 3 bad pages"}, {"m2_of_before", "1 bad page; 3 bad pages"},
	} {
		s.c.Members["m2"].Cleared, s.c.Members["m2"].ClearedAs = "an earlier page", c.as
		if p, err := s.clearDamage(clear); err != nil || p.cmd.Judge.Cleared != c.cleared {
			t.Errorf("what was set aside of %s: %+v, %v", c.as, p.cmd.Judge, err)
		}
	}
	s = subjectWith(t, func(_, replica *health.Member) {
		replica.Checks = &health.Checks{Found: &health.StructureFound{Incarnation: replica.Incarnation,
			Damage: []health.RelationFile{{Name: "d.public.t", Check: "heap", Kind: "page", Own: true}}}}
	})
	s.c.Members["m2"].Excluded = "1 bad page"
	if p, err := s.clearDamage(clear); err != nil || p.cmd.Judge.Cleared != "1 bad page; "+health.Inspected+"d.public.t (heap: page)" {
		t.Errorf("what a check of the structure has found: %+v, %v", p.cmd.Judge, err)
	}
	if _, err := s.clearDamage(wire.ClearRequest{Member: "m9", Reason: "x"}); err == nil || !strings.Contains(err.Error(), "it has m1, m2") {
		t.Errorf("of a stranger: %v", err)
	}
}

// TestRelease: an operator lets one replica, or all, replay again, and is told what that may carry over; and what the promotion of a frozen
// one does, where he asks for that.
func TestRelease(t *testing.T) {
	s := subjectWith(t, func(_, _ *health.Member) {})
	if _, err := s.release(wire.ReleaseRequest{Reason: "x"}); err == nil || !strings.Contains(err.Error(), "no replica of") {
		t.Errorf("nothing is frozen: %v", err)
	}
	if _, err := s.release(wire.ReleaseRequest{Member: "m2", Reason: "x"}); err == nil || err.Error() != "the replay of m2 is not frozen" {
		t.Errorf("it is not frozen: %v", err)
	}
	m := s.c.Members["m2"]
	m.Freeze = &state.Freeze{As: m.Incarnation, For: "m1_1", Why: "a lost write"}
	for _, member := range []string{"", "m2"} {
		p, err := s.release(wire.ReleaseRequest{Member: member, Reason: " mended "})
		if err != nil || len(p.cmd.Freeze.Release) != 1 || p.cmd.Freeze.Release[0] != "m2" || p.cmd.Freeze.Reason != "mended" ||
			!strings.Contains(p.answer.Plan[0], "m2 replays again, with what may carry damage over: a lost write") {
			t.Errorf("%q: %+v, %v", member, p, err)
		}
	}
	if _, err := s.release(wire.ReleaseRequest{Member: "m9", Reason: "x"}); err == nil || !strings.Contains(err.Error(), "it has m1, m2") {
		t.Errorf("of a stranger: %v", err)
	}
	p, err := s.failover(wire.FailoverRequest{To: "m2", AcceptLoss: "asked"})
	if err != nil || !strings.Contains(strings.Join(p.answer.Warnings, "\n"), "its promotion replays all WAL that it has") {
		t.Errorf("its promotion: %+v, %v", p.answer.Warnings, err)
	}
}

// TestRepair: a page of a replica is mended where commits can do without it; a primary's is not, and the next command is named.
func TestRepair(t *testing.T) {
	s := subjectWith(t, func(_, _ *health.Member) {})
	m := s.c.Members["m2"]
	repair := func(member, from string) (planned, error) {
		return s.repair(wire.RepairRequest{Member: member, Page: "base/5/7 block 3", From: from})
	}
	for what, c := range map[string]struct{ member, from, want string }{
		"a stranger":          {"m9", "m1", "it has m1, m2"},
		"the primary":         {"m1", "m2", "run `mainstay switchover " + s.c.Name + "` first"},
		"a stranger's page":   {"m2", "m9", "has no member m9"},
		"one that is needed":  {"m2", "m1", "commits have enough other replicas"},
		"a map of one needed": {"m2", "", "commits have enough other replicas"},
	} {
		if _, err := repair(c.member, c.from); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	s.conf.Durability.Acks, s.c.Sets[len(s.c.Sets)-1].Acks = 0, 0
	m.Excluded = "bad pages"
	p, err := repair("m2", "m1")
	if err != nil || p.cmd.Mend == nil || p.cmd.Mend.Member != "m2" || p.cmd.Mend.From != "m1" || p.cmd.Mend.Incarnation != m.Incarnation ||
		p.mends != "m2" || len(p.answer.Warnings) != 1 || !strings.Contains(p.answer.Warnings[0], "stays excluded: bad pages") {
		t.Errorf("it can be spared: %+v, %v", p, err)
	}
}
