package consensus

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/test/kit"
)

// filled is a stopped controller whose folder holds a snapshot and entries after it.
func filled(t *testing.T) (n *node, id string) {
	t.Helper()
	all := nodes(t, "c1")
	bootstrapped(t, all)
	n = leaderOf(t, all)
	n.say("alpha-alpha-alpha")
	if err := n.log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.say("omega-omega-omega")
	id = n.log.ID()
	n.kill()
	return n, id
}

func TestFolderNotToBeTrusted(t *testing.T) {
	edit := func(path string, f func([]byte) []byte) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	snapshot := func(n *node, file string) string {
		found, err := filepath.Glob(filepath.Join(n.dir, snapshotDir, "*", file))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		return found[0]
	}
	flip := func(word string) func([]byte) []byte {
		return func(b []byte) []byte {
			if !bytes.Contains(b, []byte(word)) {
				t.Fatalf("%q is not there", word)
			}
			return bytes.ReplaceAll(b, []byte(word), bytes.ToUpper([]byte(word)))
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(n *node)
		path  string // ends of the file named
		says  string
	}{
		{"not bbolt", func(n *node) {
			edit(n.dir+"/raft.db", func([]byte) []byte { return bytes.Repeat([]byte("junk"), 9000) })
		}, "raft.db", "the store is damaged"},
		{"cut short", func(n *node) { edit(n.dir+"/raft.db", func(b []byte) []byte { return b[:4*4096] }) }, "raft.db", "the store is damaged"},
		{"pages of zeros", func(n *node) {
			edit(n.dir+"/raft.db", func(b []byte) []byte { return append(b[:2*4096], make([]byte, len(b)-2*4096)...) })
		}, "raft.db", "the store is damaged"},
		{"pages of ones", func(n *node) {
			edit(n.dir+"/raft.db", func(b []byte) []byte {
				return append(b[:2*4096], bytes.Repeat([]byte{0xff}, len(b)-2*4096)...)
			})
		}, "raft.db", "the store is damaged"},
		{"a rotten entry", func(n *node) { edit(n.dir+"/raft.db", flip("omega-omega")) }, "raft.db", "its checksum does not match"},
		{"a rotten snapshot", func(n *node) { edit(snapshot(n, "state.bin"), flip("alpha-alpha")) }, "", "the snapshot is damaged"},
		{"a snapshot without its description", func(n *node) { edit(snapshot(n, "meta.json"), func([]byte) []byte { return nil }) }, "",
			"the snapshot is damaged"},
		{"an emptied store", func(n *node) { os.Truncate(n.dir+"/raft.db", 0) }, "raft.db", `it belongs to raft id ""`},
		{"no id", func(n *node) { os.Remove(n.dir + "/id") }, "id", "missing or damaged"},
		{"another's id", func(n *node) {
			edit(n.dir+"/id", func(b []byte) []byte { return bytes.Replace(b, []byte("c1-"), []byte("c1-0"), 1) })
		}, "raft.db", "it belongs to raft id"},
		{"a copy", func(n *node) {
			if err := os.CopyFS(n.dir+"-copy", os.DirFS(n.dir)); err != nil {
				t.Fatal(err)
			}
			n.dir += "-copy"
		}, "raft.db", "copied or restored"},
		{"another controller's", func(n *node) { n.name = "c7" }, "id", "belongs to controller c1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, id := filled(t)
			c.spoil(n)
			_, err := n.open()
			var se *StoreError
			if !errors.As(err, &se) {
				t.Fatalf("want a StoreError, have %v", err)
			}
			if !strings.HasSuffix(se.Path, c.path) || !strings.Contains(err.Error(), c.says) ||
				!strings.Contains(err.Error(), "move "+n.dir+" away") || !strings.Contains(err.Error(), "mainstay controllers remove "+n.name) ||
				!strings.Contains(err.Error(), "mainstay controllers add "+n.address+"`") {
				t.Errorf("%v\nwant %q about %q", err, c.says, c.path)
			}
			if err := os.Rename(n.dir, n.dir+"-away"); err != nil {
				t.Fatal(err)
			}
			if n.start(); n.log.ID() == id || !n.machine.has() {
				t.Errorf("the new folder has the id %s, and %v", n.log.ID(), n.machine.all)
			}
		})
	}
}

// S3: what has lost its store is a new controller.
func TestLostStoreGetsANewID(t *testing.T) {
	n := nodes(t, "c1")[0].start()
	first := n.log.ID()
	if !strings.HasPrefix(first, "c1-") || len(first) != len("c1-")+8 {
		t.Errorf("id %q", first)
	}
	n.kill()
	if n.start(); n.log.ID() != first {
		t.Errorf("an untouched folder: %s, then %s", first, n.log.ID())
	}
	if err := n.log.Bootstrap([]Server{n.server()}); err != nil {
		t.Fatal(err)
	}
	leaderOf(t, []*node{n})
	n.kill()
	if err := os.Remove(n.dir + "/raft.db"); err != nil {
		t.Fatal(err)
	}
	if n.start(); n.log.ID() == first {
		t.Error("the old id, without its votes")
	}
}

func TestOneProcessAFolder(t *testing.T) {
	n := nodes(t, "c1")[0].start()
	second := *n
	second.address = "127.0.0.1:0"
	if _, err := second.open(); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), n.dir+"/raft.db is in use by another controller") {
		t.Errorf("want ErrInUse, have %v", err)
	}
}

func TestUnfinishedSnapshotIsRemoved(t *testing.T) {
	n, _ := filled(t)
	left := filepath.Join(n.dir, snapshotDir, "2-9-9.tmp")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	n.start()
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	kit.Eventually(t, "the entries after the snapshot", func() bool { return n.machine.has("alpha-alpha-alpha", "omega-omega-omega") })
}
