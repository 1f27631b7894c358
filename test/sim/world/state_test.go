package world

import (
	"bytes"
	"testing"
	"time"

	"mainstay/controller/state"
)

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
		for _, seed := range []uint64{1 + i, EstatesFrom + i} {
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
