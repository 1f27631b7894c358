package quarantine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/health"
)

// TestKeepPages: what a mending replaces is a piece with a record; where it does not fit, nothing of it is left, and a user's file among
// the pieces is in nobody's way.
func TestKeepPages(t *testing.T) {
	h := New(Options{Config: config.Agent{Data: t.TempDir(), Quarantine: config.Quarantine{Limit: 1 << 20}}})
	q := h.of("feed-e1")
	check(t, os.MkdirAll(q.dir, 0o755), os.WriteFile(filepath.Join(q.dir, "notes.txt"), nil, 0o600))
	r := Repair{Member: "feed-e1", Goal: platform.Goal{Cluster: "feed"}, Incarnation: "feed-e1_1"}
	m := health.Mended{Page: "base/5/7 block 3"}
	if _, err := h.KeepPages(r, m, map[string][]byte{strings.Repeat("x", 300): {1}}); err == nil || !strings.Contains(err.Error(), m.Page) {
		t.Errorf("a name that no folder takes: %v", err)
	}
	if all, err := q.list(); err != nil || len(all) != 0 {
		t.Errorf("after that it has %+v, %v", all, err)
	}
	id, err := h.KeepPages(r, m, map[string][]byte{"base/5/7 block 3": {1, 2}})
	check(t, err)
	all, err := q.list()
	if check(t, err); len(all) != 1 || all[0].ID != id || all[0].Size != 2 {
		t.Fatalf("it has %+v", all)
	}
	if kept, err := os.ReadFile(filepath.Join(all[0].Place, "base_5_7 block 3")); err != nil || len(kept) != 2 {
		t.Errorf("%v, %v", kept, err)
	}
}
