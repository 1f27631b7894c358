package consensus

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// A store whose older content comes back in place, under its inode and its id, has forgotten entries it confirmed (S3). What lies in
// memory outside the folder records that, and so do the others; where none of them can, the controller starts.
func TestStorePutBack(t *testing.T) {
	all := nodes(t, "c1")
	n := all[0]
	n.memory = filepath.Join(t.TempDir(), "boot")
	bootstrapped(t, all)
	leaderOf(t, all)
	n.say("a")
	id := n.log.ID()
	n.kill()
	path := filepath.Join(n.dir, storeFile)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n.start()
	leaderOf(t, all)
	last := n.say("b")
	n.kill()
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n.start() // nothing was put back
	leaderOf(t, all)
	n.kill()

	refused := func(what, want string) {
		t.Helper()
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := n.open()
		if se := (*StoreError)(nil); !errors.As(err, &se) || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "mainstay controllers remove c1") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("with what lies in memory", "it was put back to an older state: since this host was booted it has held entry ")
	n.memory = filepath.Join(t.TempDir(), "another boot")
	var asked []Server
	confirmed := last
	n.confirmed = func(_ context.Context, whose string, others []Server) uint64 {
		if whose != id {
			t.Errorf("asked about %s, want %s", whose, id)
		}
		asked = others
		return confirmed
	}
	refused("with what others know", "another controller knows that it had entry ")
	if len(asked) != 0 {
		t.Errorf("it asked itself: %v", asked)
	}
	confirmed = 0 // no controller has answered, or knows
	n.memory = filepath.Join(t.TempDir(), "a third boot")
	log, err := n.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Confirmed(last); err == nil || !strings.Contains(err.Error(), "it was put back") {
		t.Errorf("asked later: %v", err)
	}
	if err := log.Confirmed(0); err != nil {
		t.Error(err)
	}
	n.kill()
	if err := os.WriteFile(path, now, 0o600); err != nil {
		t.Fatal(err)
	}
	n.confirmed = func(context.Context, string, []Server) uint64 { return last }
	n.memory = filepath.Join(t.TempDir(), "a fourth boot")
	n.start()
}

// Entries that raft takes back were not committed: a store without them was not put back. The first entries are dropped behind a
// snapshot, which goes further.
func TestLatelyFollowsWhatRaftTakesBack(t *testing.T) {
	n := nodes(t, "c1")[0]
	n.memory = filepath.Join(t.TempDir(), "boot")
	n.start()
	s := n.log.store
	kept := func() held {
		l, h, err := openLately(n.memory, n.log.ID(), n.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		return h
	}
	var entries []*raft.Log
	for i := range uint64(9) {
		entries = append(entries, &raft.Log{Index: i + 1, Term: 3, Data: frame([]byte("a"))})
	}
	for _, step := range []struct {
		name string
		do   func() error
		want held
	}{
		{"a term", func() error { return s.SetUint64([]byte(termKey), 3) }, held{term: 3}},
		{"a vote", func() error { return s.SetUint64([]byte(voteKey), 3) }, held{term: 3, vote: 3}},
		{"another key", func() error { return s.SetUint64([]byte("other"), 9) }, held{term: 3, vote: 3}},
		{"entries", func() error { return s.StoreLogs(entries) }, held{3, 3, 9}},
		{"the first dropped", func() error { return s.DeleteRange(1, 4) }, held{3, 3, 9}},
		{"the last taken back", func() error { return s.DeleteRange(8, 9) }, held{3, 3, 7}},
		{"one entry", func() error { return s.StoreLog(entries[7]) }, held{3, 3, 8}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.name, err)
		}
		if got := kept(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// Where nothing can be kept in memory the log opens all the same, unless what an earlier process left there can be neither followed nor
// removed: it might say more than is true.
func TestWithoutMemory(t *testing.T) {
	n := nodes(t, "c1")[0]
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.memory = filepath.Join(file, "boot") // no folder
	if _, err := n.open(); err == nil || !strings.Contains(err.Error(), "its progress in memory: ") {
		t.Errorf("below a file: %v", err)
	}
	n.memory = t.TempDir()
	n.start()
	path := latelyPath(n.memory, n.log.ID())
	n.kill()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // cannot be written, and can be removed
		t.Fatal(err)
	}
	n.start()
	if n.log.store.lately != nil {
		t.Error("it is kept all the same")
	}
}

// Files of folders that are gone do not pile up; those of others stay.
func TestLatelyIsCleared(t *testing.T) {
	memory, dir := t.TempDir(), filepath.Join(t.TempDir(), "raft")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	open := func(id, dir string) {
		l, _, err := openLately(memory, id, dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	open("c1-1", dir)
	open("c2-2", filepath.Join(dir, "gone"))
	open("c3-3", dir)
	files, err := filepath.Glob(filepath.Join(memory, "*"))
	if err != nil || len(files) != 2 || filepath.Base(files[0]) != "raft-c1-1" || filepath.Base(files[1]) != "raft-c3-3" {
		t.Errorf("%v, %v", files, err)
	}
}
