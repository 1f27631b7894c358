package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder makes a folder of the owner's, on which others cannot put anything beside it if it is closed, as on a mounted disk.
func (i *Instance) folder(t *testing.T, name string, closed bool) string {
	t.Helper()
	above := filepath.Join(filepath.Dir(i.Conf), "disk-"+name)
	dir := filepath.Join(above, name)
	check(t, i.Owner.makeDir(above, 0o755))
	check(t, i.Owner.makeDir(dir, 0o700))
	switch {
	case closed && os.Geteuid() == 0:
		check(t, os.Chown(above, 12345, 12345))
	case closed:
		check(t, os.Chmod(above, 0o555))
		t.Cleanup(func() { os.Chmod(above, 0o755) })
	}
	return dir
}

// rebuild sets data aside with all its parts, as the agent does, while a copy is made.
func rebuild(t *testing.T, i *Instance, from Source, suffix string) (aside string, parts []Part, err error) {
	t.Helper()
	kill(t, i)
	err = i.Clone(testContext(t), from, "", nil, func(ctx context.Context) (err error) {
		if parts, err = i.Outlying(suffix); err != nil {
			return err
		}
		aside, err = i.SetAside(ctx, suffix, parts...)
		return err
	})
	return aside, parts, err
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, e := range must(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	return names
}

// TestRebuildWithLinkedWAL: pg_wal on a disk of its own stays there, and the former WAL goes with the data that was set aside.
func TestRebuildWithLinkedWAL(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	for n, name := range []string{"open", "mounted"} {
		closed := n == 1
		t.Run(name, func(t *testing.T) {
			kill(t, b)
			wal, from := b.folder(t, name, closed), must(filepath.EvalSymlinks(b.walDir()))
			for _, n := range entries(t, from) {
				check(t, os.Rename(filepath.Join(from, n), filepath.Join(wal, n)))
			}
			plant(t, b, b.walDir(), wal)
			old := entries(t, wal)

			suffix := asideMark + name
			aside, parts, err := rebuild(t, b, a.source(), suffix)
			check(t, err)
			place := wal + "." + suffix
			if closed {
				place = filepath.Join(wal, suffix)
			}
			if len(parts) != 1 || parts[0] != (Part{"pg_wal", wal, place}) {
				t.Fatalf("parts %+v", parts)
			}
			if to := must(os.Readlink(b.walDir())); to != wal {
				t.Errorf("pg_wal leads to %s", to)
			}
			if kept := entries(t, filepath.Join(aside, "pg_wal")); !slices.Equal(kept, old) {
				t.Errorf("kept %v, it was %v", kept, old)
			}
			if slices.ContainsFunc(append(entries(t, wal), entries(t, filepath.Dir(wal))...), func(n string) bool { return strings.Contains(n, "clone") }) {
				t.Error("something is left of the copy's making")
			}
			follow(t, b, a)
			start(t, b, false)
			streams(t, b)
			check(t, b.OwnFilesWork())
			var inside *KeptInsideError
			if err := b.nothingKeptInside(); errors.As(err, &inside) != closed {
				t.Errorf("a rewind: %v", err)
			}
		})
	}
}

// TestRebuildCutShort: whenever it ends between the rename of the data and that of the copy, the next attempt makes a whole one in the
// same layout, and the former WAL is where the link of the data that was set aside says.
func TestRebuildCutShort(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	kill(t, b)
	ctx, wal := testContext(t), b.folder(t, "wal", false)
	check(t, os.Remove(wal))
	check(t, os.Rename(b.walDir(), wal))
	plant(t, b, b.walDir(), wal)
	old := entries(t, wal)
	parts, err := b.Outlying(asideMark + "x")
	check(t, err)

	aside, err := b.SetAside(ctx, asideMark+"x") // and the agent dies before it comes to the parts
	check(t, err)
	if err := b.Clone(ctx, a.source(), "", nil, nil); err == nil || !strings.Contains(err.Error(), wal+", where pg_wal of the copy belongs, holds") {
		t.Fatalf("a copy over the former WAL: %v", err)
	}
	check(t, b.FinishAside(ctx, aside, parts))
	check(t, b.FinishAside(ctx, aside, parts))

	left := b.Data + ".mainstay-clone-left" // a copy whose WAL is in its place already
	check(t, b.Owner.makeDir(left, 0o700))
	plant(t, b, filepath.Join(left, "pg_wal"), wal)
	check(t, b.Owner.writeFile(filepath.Join(wal, "000000010000000000000009"), nil, 0o600))
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	if exists(filepath.Join(wal, "000000010000000000000009")) || exists(left) || must(os.Readlink(b.walDir())) != wal {
		t.Error("what an earlier attempt left is still there, or the layout is another")
	}
	if kept := entries(t, filepath.Join(aside, "pg_wal")); !slices.Equal(kept, old) {
		t.Errorf("kept %v, it was %v", kept, old)
	}
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
}
