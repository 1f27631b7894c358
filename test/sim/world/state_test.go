package world

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/health"
)

// TestNoReportIsEdited: a report that was sent is in the views of controllers, and on its way to others.
func TestNoReportIsEdited(t *testing.T) {
	encoded := func(r *[1]health.Member) string {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	total := 0
	for seed := range uint64(20) {
		w := New(1+seed, Options{})
		first := map[*[1]health.Member]string{}
		var watch func()
		watch = func() {
			for _, h := range w.hosts {
				for _, m := range h.members {
					if m.sent && first[m.report] == "" {
						first[m.report] = encoded(m.report)
					}
				}
			}
			w.after(time.Millisecond, watch)
		}
		watch()
		w.Run()
		for r, was := range first {
			if is := encoded(r); was != is {
				t.Fatalf("seed %d: a report was edited:\n%s\n%s", seed, was, is)
			}
		}
		total += len(first)
	}
	if total < 5000 {
		t.Errorf("only %d reports were compared", total)
	}
}

// TestNoStateIsEdited: a state shares what has not changed with those before it, so nothing may be edited that a former one holds. Every
// state of some scenarios is the same at their end as when it was new.
func TestNoStateIsEdited(t *testing.T) {
	encoded := func(s *state.State) []byte {
		b, err := state.EncodeSnapshot(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	total := 0
	for i := range uint64(20) {
		for _, seed := range []uint64{1 + i, AppsFrom + i} {
			w := New(seed, Options{})
			var first [][]byte
			var watch func()
			watch = func() { // before the next command is applied, nearly always
				for len(first) < len(w.raft.states) {
					first = append(first, encoded(w.raft.states[len(first)]))
				}
				w.after(time.Millisecond, watch)
			}
			watch()
			w.Run()
			for n, was := range first {
				if is := encoded(w.raft.states[n]); !bytes.Equal(was, is) {
					t.Fatalf("seed %d: state %d was edited:\n%s\n%s", seed, n, was, is)
				}
			}
			total += len(first)
		}
	}
	if total < 5000 {
		t.Errorf("only %d states were compared", total)
	}
}
