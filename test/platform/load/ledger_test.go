package load

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLedgerSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	add := func(ids ...string) {
		t.Helper()
		l, err := OpenLedger(path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for _, id := range ids {
			if err := l.Add(Ack{ID: id, Started: time.Now(), Acked: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add("a", "b")
	tear(t, path, `{"id":"torn","wri`)
	add("c")
	l, err := OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := l.IDs(); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("after two restarts, one of them torn: %q, want a b c", got)
	}
}

func tear(t *testing.T, path, s string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		t.Fatal(err)
	}
}

// A damaged line in the middle could hide a lost post: it is never skipped.
func TestDamagedLedgerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	if err := os.WriteFile(path, []byte("{\"id\":\"a\"}\ngarbage\n{\"id\":\"b\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if l, err := OpenLedger(path); err == nil {
		l.Close()
		t.Error("a damaged ledger was opened")
	} else if !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v: want the line named", err)
	}
}
