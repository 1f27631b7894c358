package postgres

import (
	"io/fs"
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"testing"
)

// TestGroupAccess: a copy is readable by the group if the cluster's data is (initdb -g), or if this host's was; a key never becomes so.
func TestGroupAccess(t *testing.T) {
	ca := newAuthority(t)
	a, b, ctx := newPrimary(t, ca, "feed-e1"), newServer(t, ca, "feed-w1"), testContext(t)
	check(t, a.Owner.writeFile(filepath.Join(a.Data, "server.key"), []byte("key"), 0o600))
	check(t, a.EnsureSlots(ctx, []string{SlotName(b.Member)}, nil))
	took := counted(t, a, b)
	has := func(what string, dir, file fs.FileMode) {
		t.Helper()
		for path, want := range map[string]fs.FileMode{".": dir, "global": dir, "pg_wal": dir,
			"PG_VERSION": file, "global/1262": file, "standby.signal": file, "server.key": 0o600} {
			if got := must(os.Stat(filepath.Join(b.Data, path))).Mode().Perm(); got != want {
				t.Errorf("%s: %s has mode %o, want %o", what, path, got, want)
			}
		}
	}
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	has("neither", 0o700, 0o600)

	check(t, os.Chmod(b.Data, 0o750))
	aside, _, err := rebuild(t, b, a.source(), asideMark+"1")
	check(t, err)
	has("this host's", 0o750, 0o640)
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	took("two copies", kit.Work{Starts: 1, Forced: 2, Backups: 2})
	kill(t, b)

	check(t, os.RemoveAll(aside))
	check(t, os.RemoveAll(b.Data))
	kill(t, a)
	check(t, openTree(a.Data))
	removePidFile(t, a)
	start(t, a, true)
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	has("the cluster's", 0o750, 0o640)
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	kill(t, b)
	check(t, os.Chmod(b.Data, 0o700)) // as an earlier version left it
	_, _, err = rebuild(t, b, a.source(), asideMark+"2")
	check(t, err)
	has("the cluster's, again", 0o750, 0o640)
}
