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
