package integrity

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"mainstay/health/integrity/page"
	"mainstay/test/kit"
)

// TestOnePage is read and replaced where it lies: in a later segment, in a tablespace, with small pages. Nothing else is written, and no
// file that is not PostgreSQL's own.
func TestOnePage(t *testing.T) {
	for _, size := range []int{1024, 8192} {
		dir := fake(t, size)
		in := func(path string) string { return filepath.Join(dir, path) }
		space := t.TempDir()
		kit.Check(t, os.Symlink(space, in("pg_tblspc/16390")), os.MkdirAll(filepath.Join(space, fakeVersion, "5"), 0o755))
		pages(t, in("base/5/7"), size, 0, fakeSegment)
		pages(t, in("base/5/7.1"), size, fakeSegment, 3)
		pages(t, filepath.Join(space, fakeVersion, "5/8"), size, 0, 3)
		s, err := OpenStopped(dir)
		kit.Check(t, err)
		defer s.Close()
		for _, b := range []Block{{Relation{DefaultSpace, 5, 7}, page.Main, 1}, {Relation{DefaultSpace, 5, 7}, page.Main, fakeSegment + 1},
			{Relation{16390, 5, 8}, page.Main, 2}} {
			scanner := &Scanner{Dir: dir}
			want := validPage(size, b.Number, 1)
			p, l, err := scanner.Page(t.Context(), Options{}, b)
			if kit.Check(t, err); !bytes.Equal(p, want) || l.Size != size {
				t.Fatalf("%s of %d bytes is another page", b, size)
			}
			next := validPage(size, b.Number, 9)
			kit.Check(t, s.Replace(b, next))
			for number := max(1, b.Number) - 1; number <= b.Number; number++ { // it, and the one before it
				at := b
				at.Number = number
				p, err := s.Page(at)
				if kit.Check(t, err); bytes.Equal(p, next) != (number == b.Number) {
					t.Errorf("%s of %d bytes: page %d", b, size, number)
				}
			}
		}
		for name, b := range map[string]Block{"behind the end": {Relation{DefaultSpace, 5, 7}, page.Main, fakeSegment + 3},
			"no file": {Relation{DefaultSpace, 5, 9}, page.Main, 0}, "no tablespace": {Relation{16399, 5, 8}, page.Main, 0}} {
			if _, err := s.Page(b); err == nil {
				t.Errorf("%s: it is read", name)
			}
			if err := s.Replace(b, validPage(size, b.Number, 9)); err == nil {
				t.Errorf("%s: it is written", name)
			}
		}
		if _, err := s.Page(Block{Relation{DefaultSpace, 5, 9}, page.Main, 0}); !errors.Is(err, ErrNoPage) {
			t.Errorf("no file: %v", err)
		}
		b := Block{Relation{DefaultSpace, 5, 10}, page.Main, 0}
		secret := filepath.Join(t.TempDir(), "secret")
		pages(t, secret, size, 0, 1)
		kit.Check(t, os.Link(secret, in("base/5/10")))
		if err := s.Replace(b, validPage(size, 0, 9)); !errors.Is(err, errForeign) {
			t.Errorf("a file with another name outside: %v", err)
		}
		kit.Check(t, os.Remove(in("base/5/10")), os.Symlink(in("base/5/7"), in("base/5/10")))
		if err := s.Replace(b, validPage(size, 0, 9)); err == nil {
			t.Error("a link was followed")
		}
		if err := s.Replace(Block{Relation{DefaultSpace, 5, 7}, page.Main, 0}, make([]byte, size/2)); err == nil {
			t.Error("half a page was written")
		}
	}
}

// TestFork: a map is read and removed with all its segments, and none is no fault. What rows are in is never removed.
func TestFork(t *testing.T) {
	dir := fake(t, 8192)
	pages(t, filepath.Join(dir, "base/5/7"), 8192, 0, 1)
	pages(t, filepath.Join(dir, "base/5/7_fsm"), 8192, 0, fakeSegment)
	pages(t, filepath.Join(dir, "base/5/7_fsm.1"), 8192, fakeSegment, 1)
	s, err := OpenStopped(dir)
	kit.Check(t, err)
	defer s.Close()
	b := Block{Relation: Relation{DefaultSpace, 5, 7}, Fork: page.FreeSpace}
	if _, _, err := s.Fork(b, 8192); err == nil {
		t.Error("more is read than is kept")
	}
	names, content, err := s.Fork(b, 1<<30)
	if kit.Check(t, err); len(names) != 2 || names[1] != "base/5/7_fsm.1" || len(content[1]) != 8192 {
		t.Fatalf("%q", names)
	}
	kit.Check(t, s.RemoveFork(b, len(names)), s.RemoveFork(b, len(names)))
	if names, _, err := s.Fork(b, 1<<30); err != nil || len(names) != 0 {
		t.Errorf("%q is there: %v", names, err)
	}
	b.Fork = page.Main
	if err := s.RemoveFork(b, 1); err == nil {
		t.Error("a table was removed")
	}
}
