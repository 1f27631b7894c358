package supervisor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mainstay/controller/platform"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

const ms = time.Millisecond

func TestStall(t *testing.T) {
	type step struct {
		at   time.Duration
		what string
		want time.Duration // the age after it
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"looks that end well leave nothing", []step{{1000 * ms, "begin", 0}, {1020 * ms, "over", 0}, {9000 * ms, "", 0}}},
		{"a look that hangs, and others after it", []step{
			{1000 * ms, "begin", 0}, {2500 * ms, "", 1500 * ms}, {3000 * ms, "failed", 2000 * ms}, {3250 * ms, "begin", 2250 * ms},
			{5250 * ms, "failed", 4250 * ms}, {5500 * ms, "begin", 4500 * ms}, {5510 * ms, "over", 0}}},
		{"write probes count from the begin of the last good one", []step{
			{1000 * ms, "begin", 0}, {1010 * ms, "well 1000", 10 * ms}, {1500 * ms, "begin", 500 * ms}, {1520 * ms, "well 1500", 20 * ms},
			{2000 * ms, "begin", 500 * ms}, {4000 * ms, "failed", 2500 * ms}, {4500 * ms, "begin", 3000 * ms}, {4510 * ms, "well 4500", 10 * ms}}},
		{"a saturated server is no stall", []step{
			{1000 * ms, "begin", 0}, {1010 * ms, "well 1000", 10 * ms}, {1500 * ms, "begin", 500 * ms}, {1510 * ms, "excused", 10 * ms},
			{2000 * ms, "begin", 500 * ms}, {2010 * ms, "excused", 10 * ms}, {9000 * ms, "begin", 7000 * ms}, {9010 * ms, "excused", 10 * ms}}},
		{"saturation does not hide a stall that came before", []step{
			{1000 * ms, "begin", 0}, {3000 * ms, "failed", 2000 * ms}, {3500 * ms, "begin", 2500 * ms}, {3510 * ms, "excused", 2000 * ms},
			{4000 * ms, "begin", 2490 * ms}, {4010 * ms, "excused", 2000 * ms}}},
	} {
		var s stall
		for _, st := range c.steps {
			var begun int
			switch {
			case st.what == "begin":
				s.begin(st.at)
			case st.what == "failed":
				s.failed(st.at)
			case st.what == "excused":
				s.excused(st.at)
			case st.what == "over":
				s = stall{}
			case st.what != "":
				if _, err := fmt.Sscanf(st.what, "well %d", &begun); err != nil {
					t.Fatal(err)
				}
				s.since(time.Duration(begun)*ms, st.at)
			}
			if got := s.age(st.at, 0); got != st.want {
				t.Errorf("%s: at %s after %q: %s, want %s", c.name, st.at, st.what, got, st.want)
			}
		}
	}
}

// What happened while the agent had no turn itself does not count.
func TestStallOfAStarvedAgent(t *testing.T) {
	var s stall
	s.begin(1900 * ms)
	if got := s.age(5600*ms, 5000*ms); got != 600*ms {
		t.Errorf("counts from when it was itself again: %s", got)
	}
	s.since(5500*ms, 5510*ms)
	if got := s.age(5600*ms, 5000*ms); got != 100*ms {
		t.Errorf("what began later counts from its begin: %s", got)
	}
}

func TestWhatAWriteProbeProves(t *testing.T) {
	server := func(code pqerror.Code) error { return fmt.Errorf("write probe of m: %w", &pq.Error{Code: code}) }
	for _, c := range []struct {
		err                     error
		beside, hung, saturated bool
	}{
		{server("53300"), true, false, true},
		{server("53100"), false, false, false}, // disk full
		{server("58030"), false, false, false}, // I/O error
		{server("XX000"), false, false, false},
		{server("57P03"), false, false, false}, // shutting down
		{server("57014"), false, true, false},  // statement timeout: the agent's own
		{server("55P03"), true, false, false},  // lock timeout
		{server("42P01"), true, false, false},  // the table was dropped
		{server("3F000"), true, false, false},  // or the schema
		{server("28000"), true, false, false},
		{server("P0001"), true, false, false}, // a trigger raises
		{fmt.Errorf("x: %w", context.DeadlineExceeded), false, true, false},
		{errors.New("connection refused"), false, false, false},
	} {
		if beside(c.err) != c.beside || hung(c.err) != c.hung || saturated(c.err) != c.saturated {
			t.Errorf("%v: beside %v, hung %v, saturated %v", c.err, beside(c.err), hung(c.err), saturated(c.err))
		}
	}
}

// A disk hangs, and the sessions that hang with it take every slot: that nothing new can be tried is no sign of life. A server that was
// well when its slots ran out is left alone.
func TestSaturatedWhileItHangs(t *testing.T) {
	full, late := fmt.Errorf("write probe of m: %w", &pq.Error{Code: "53300"}), fmt.Errorf("write probe of m: %w", context.DeadlineExceeded)
	beats := func(w *writes, err error, from, to time.Duration) {
		for at := from; at < to; at += 500 * ms {
			w.stall.begin(at)
			w.ended(at, at+10*ms, err)
		}
	}
	var hangs, well, passes writes
	for _, w := range []*writes{&hangs, &well, &passes} {
		beats(w, nil, 0, 2000*ms)
	}
	for _, w := range []*writes{&hangs, &passes} {
		w.stall.begin(2000 * ms)
		w.ended(2000*ms, 4000*ms, late)
	}
	beats(&hangs, full, 4000*ms, 9000*ms)
	if age := hangs.stall.age(9000*ms, 0); age != 7500*ms || !hangs.saturated {
		t.Errorf("a commit that hung, and no slot since: counted for %s", age)
	}
	beats(&well, full, 2000*ms, 9000*ms)
	if age := well.stall.age(8600*ms, 0); age > 700*ms {
		t.Errorf("well, and no slot since: counted for %s", age)
	}
	// others' commits succeed for longer than they excuse a hanging probe
	for at := 4000 * ms; at < 120*time.Second; at += 500 * ms {
		beats(&passes, full, at, at+500*ms)
		passes.flushed(platform.LSN(at), at+20*ms)
	}
	if age := passes.stall.age(120*time.Second, 0); age > 3*time.Second {
		t.Errorf("a commit that hung, no slot since, but others commit: counted for %s", age)
	}
	if beats(&hangs, nil, 9000*ms, 9400*ms); hangs.hangs || hangs.stall.age(9020*ms, 0) > 20*ms {
		t.Error("a commit that goes through ends it")
	}
}
