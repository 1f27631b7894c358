package quarantine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// TestSetAsideWithParts: the record names what lies outside of the data before anything is moved, counts its size, and is enough for the
// next attempt to do what an agent that died did not come to.
func TestSetAsideWithParts(t *testing.T) {
	dir := t.TempDir()
	owner, err := postgres.OwnerOf(dir)
	check(t, err)
	pg := &postgres.Server{Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Owner: owner,
		Binaries: postgres.Binaries{Major: 15}}
	wal, space := filepath.Join(dir, "wal"), filepath.Join(dir, "space")
	version := filepath.Join("PG_15_202209061", "5")
	for _, path := range []string{wal, filepath.Join(space, version), filepath.Join(pg.Data, "pg_tblspc"), pg.Conf} {
		check(t, os.MkdirAll(path, 0o700))
	}
	for _, path := range []string{"wal/000000010000000000000001", filepath.Join("space", version, "1"), "data/PG_VERSION", "space/user's"} {
		check(t, os.WriteFile(filepath.Join(dir, path), make([]byte, 100), 0o600))
	}
	links := map[string]string{"pg_wal": wal, "pg_tblspc/16384": space}
	for link, to := range links {
		check(t, os.Symlink(to, filepath.Join(pg.Data, link)))
	}
	h := New(Options{Config: config.Agent{Data: filepath.Join(dir, "agent"), Quarantine: config.Quarantine{Limit: 1 << 20}}})
	repair := Repair{Member: "feed-e1", Goal: platform.Goal{Cluster: "feed", Incarnation: "feed-e1_5"}, Doubted: func() bool { return false }}

	_, err = h.SetAside(t.Context(), pg, repair)
	check(t, err)
	all, err := h.of(repair.Member).list()
	check(t, err)
	if len(all) != 1 || len(all[0].Parts) != 2 || all[0].Size != 300 {
		t.Fatalf("recorded %+v", all)
	}
	moved := func() {
		t.Helper()
		for _, part := range all[0].Parts {
			to, err := os.Readlink(filepath.Join(all[0].Place, part.Link))
			if err != nil || to != part.Place || part.From != links[part.Link] || to != part.From+".mainstay-aside-feed-e1_5-rebuild" {
				t.Errorf("%+v leads to %s, %v", part, to, err)
			}
		}
		for path, want := range map[string][]string{wal: nil, space: {"user's"}} {
			var names []string
			entries, err := os.ReadDir(path)
			check(t, err)
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if !slices.Equal(names, want) {
				t.Errorf("%s holds %v, want %v", path, names, want)
			}
		}
	}
	moved()

	for _, part := range all[0].Parts { // as if the agent had died after the rename of the data
		entries, err := os.ReadDir(part.Place)
		check(t, err)
		for _, e := range entries {
			check(t, os.Rename(filepath.Join(part.Place, e.Name()), filepath.Join(part.From, e.Name())))
		}
		link := filepath.Join(all[0].Place, part.Link)
		check(t, os.Remove(link))
		check(t, os.Symlink(part.From, link))
	}
	discarded, err := h.SetAsideBefore(t.Context(), pg, repair)
	check(t, err)
	if discarded == nil || discarded.Kept != all[0].Place {
		t.Errorf("set aside before: %+v", discarded)
	}
	moved()
	check(t, h.of(repair.Member).remove(t.Context(), all[0]))
	for _, path := range []string{wal, space} {
		if _, err := os.Stat(path + ".mainstay-aside-feed-e1_5-rebuild"); !os.IsNotExist(err) {
			t.Errorf("after the drop: %v", err)
		}
	}
}
