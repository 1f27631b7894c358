package postgres

import (
	"context"
	"errors"
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder makes a folder of the owner's, on which others cannot put anything beside it if it is closed, as on a mounted disk.
func (i *Server) folder(t *testing.T, name string, closed bool) string {
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
func rebuild(t *testing.T, i *Server, from Source, suffix string) (aside string, parts []Part, err error) {
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
	took := counted(t, a, b)
	for n, name := range []string{"open", "mounted"} {
		closed := n == 1
		t.Run(name, func(t *testing.T) {
			kill(t, b)
			wal, from := b.folder(t, name, closed), must(filepath.EvalSymlinks(b.wal().dir()))
			for _, n := range entries(t, from) {
				check(t, os.Rename(filepath.Join(from, n), filepath.Join(wal, n)))
			}
			plant(t, b, b.wal().dir(), wal)
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
			if to := must(os.Readlink(b.wal().dir())); to != wal {
				t.Errorf("pg_wal leads to %s", to)
			}
			if kept := entries(t, filepath.Join(aside, "pg_wal")); !slices.Equal(kept, old) {
				t.Errorf("kept %v, it was %v", kept, old)
			}
			if slices.ContainsFunc(append(entries(t, wal), entries(t, filepath.Dir(wal))...),
				func(n string) bool { return strings.Contains(n, "clone") }) {
				t.Error("something is left of the copy's making")
			}
			follow(t, b, a)
			start(t, b, false)
			streams(t, b)
			took("the rebuild", kit.Work{Starts: 1, Forced: 1, Backups: 1})
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
	check(t, os.Rename(b.wal().dir(), wal))
	plant(t, b, b.wal().dir(), wal)
	old := entries(t, wal)
	parts, err := b.Outlying(asideMark + "x")
	check(t, err)

	aside, err := b.SetAside(ctx, asideMark+"x") // and the agent dies before it comes to the parts
	check(t, err)
	if err := b.Clone(ctx, a.source(), "", nil, nil); err == nil ||
		!strings.Contains(err.Error(), wal+", where pg_wal of the copy belongs, holds") {
		t.Fatalf("a copy over the former WAL: %v", err)
	}
	check(t, b.FinishAside(ctx, aside, parts))
	check(t, b.FinishAside(ctx, aside, parts))

	left := b.Data + ".mainstay-clone-left" // a copy whose WAL is in its place already
	check(t, b.Owner.makeDir(left, 0o700))
	plant(t, b, filepath.Join(left, "pg_wal"), wal)
	check(t, b.Owner.writeFile(filepath.Join(wal, "000000010000000000000009"), nil, 0o600))
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	if exists(filepath.Join(wal, "000000010000000000000009")) || exists(left) || must(os.Readlink(b.wal().dir())) != wal {
		t.Error("what an earlier attempt left is still there, or the layout is another")
	}
	if kept := entries(t, filepath.Join(aside, "pg_wal")); !slices.Equal(kept, old) {
		t.Errorf("kept %v, it was %v", kept, old)
	}
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
}

// TestRebuildWithTablespace: tablespaces are set aside with the data, the copy has them where this host has them, and what stands in the
// way is said before a checkpoint is forced on the primary.
func TestRebuildWithTablespace(t *testing.T) {
	ca := newAuthority(t)
	a, b, ctx := newPrimary(t, ca, "feed-e1"), newServer(t, ca, "feed-w1"), testContext(t)
	theirs, mine := a.folder(t, "sp=ce", false), b.folder(t, "space", true)
	check(t, a.exec(ctx, "CREATE TABLESPACE s LOCATION "+quoteLiteral(theirs)))
	check(t, a.exec(ctx, "CREATE TABLE public.v TABLESPACE s AS SELECT 1 AS n"))
	version := entries(t, theirs)
	link := filepath.Join(spaceDir, entries(t, filepath.Join(a.Data, spaceDir))[0])

	took := counted(t, a, b)
	copied := kit.Work{Starts: 1, Forced: 1, Backups: 1}
	refused := func(what string, words ...string) {
		t.Helper()
		_, _, err := rebuild(t, b, a.source(), asideMark+"refused")
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v; want %q", what, err, w)
			}
		}
		took(what, kit.Work{})
		if left, _ := filepath.Glob(b.Data + ".*"); len(left) > 0 {
			t.Errorf("%s: it left %v", what, left)
		}
	}
	refused("the primary's own folder", theirs, "is in use by the server of "+a.Data, "--tablespace-mapping")

	// The first copy, made by hand: its folder is another than the primary's.
	conninfo := must(b.ConnInfo(a.source(), cloneName, ""))
	check(t, b.Owner.makeDir(b.Data, 0o700))
	_, err := b.run(ctx, "pg_basebackup", "-D", b.Data, "-c", "fast", "-d", conninfo, "-T", strings.ReplaceAll(theirs, "=", `\=`)+"="+mine)
	check(t, err)
	check(t, a.EnsureSlots(ctx, []string{SlotName(b.Member)}, nil))
	n := 1
	serves := func() {
		t.Helper()
		follow(t, b, a)
		start(t, b, false)
		n++
		check(t, a.exec(ctx, "INSERT INTO public.v VALUES ($1)", n))
		eventually(t, "the row in the tablespace", func() bool {
			return b.exec(ctx, "SELECT 1 / count(*) FROM public.v WHERE n = $1", n) == nil
		})
		took("a copy", copied)
		check(t, b.OwnFilesWork())
		if to := must(os.Readlink(filepath.Join(b.Data, link))); to != mine || !slices.Equal(entries(t, theirs), version) {
			t.Errorf("the tablespace is %s, the primary's folder holds %v", to, entries(t, theirs))
		}
	}
	serves()

	kill(t, b)
	check(t, os.Rename(mine, mine+"-away"))
	refused("a folder that is not there", mine, "mkdir -p "+mine, "chown "+b.Owner.Name)
	check(t, os.Rename(mine+"-away", mine))
	check(t, b.Owner.relink(filepath.Join(b.Data, link), theirs))
	refused("a folder that two servers lead to", theirs, "is in use by the server of "+a.Data)
	check(t, b.Owner.relink(filepath.Join(b.Data, link), mine))
	if os.Geteuid() == 0 {
		check(t, os.Chown(mine, 0, 0))
		check(t, os.Chmod(mine, 0o755))
		refused("a folder that is root's", mine, "chown "+b.Owner.Name)
		check(t, os.Chown(mine, int(b.Owner.UID), int(b.Owner.GID)))
	}

	for _, suffix := range []string{asideMark + "1", asideMark + "2"} {
		aside, parts, err := rebuild(t, b, a.source(), suffix)
		check(t, err)
		place := filepath.Join(mine, suffix)
		if len(parts) != 1 || parts[0] != (Part{link, mine, place}) || must(os.Readlink(filepath.Join(aside, link))) != place ||
			!slices.Equal(entries(t, place), version) {
			t.Errorf("set aside as %s with %+v, which holds %v", aside, parts, entries(t, place))
		}
		serves()
	}

	// The agent dies after the rename of the data: the next attempt has no link to read.
	kill(t, b)
	parts, err := b.Outlying(asideMark + "3")
	check(t, err)
	aside, err := b.SetAside(ctx, asideMark+"3")
	check(t, err)
	check(t, b.FinishAside(ctx, aside, parts))
	other := *a
	other.Database = "template1"
	check(t, other.exec(ctx, "ALTER DATABASE postgres RENAME TO elsewhere")) // a cluster may be without it
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	check(t, other.exec(ctx, "ALTER DATABASE elsewhere RENAME TO postgres"))
	serves()

	// What was set aside is whole: moved back by hand, it is a member again, and its tablespace stays where it was moved to.
	kill(t, b)
	check(t, os.Rename(b.Data, b.Data+"-later"))
	check(t, os.Rename(aside, b.Data))
	removePidFile(t, b)
	start(t, b, false)
	eventually(t, "the tablespace", func() bool { return b.exec(ctx, "SELECT n FROM public.v") == nil }) // it replays the renames
}
