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
