package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/backup/target"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

const wide = "INSERT INTO t SELECT %d, repeat(md5(g::text), 20) FROM generate_series(1, 2500) g"

// TestArchiveAndRestore: a primary is archived while it runs, then the replica that was promoted; restores from the archive end where they
// should, on both timelines.
func TestArchiveAndRestore(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		a, ctx := newNode(t, v, "a"), kit.Context(t, 3*kit.Patience)
		a.init(1)
		a.start()
		to, dir := vault(t, v)
		source := Source{Data: a.data, Format: a.format()}
		archiver := kit.Must[*Archiver](t)(New(cluster, source, []Named{to}))
		a.sql("CREATE TABLE t (n int, text text)")
		a.sql("SELECT pg_switch_wal()")
		a.sql(fmt.Sprintf(wide, 1))
		flushed := a.lsn("SELECT pg_current_wal_flush_lsn()")
		p := steps(t, archiver, flushed, 1)
		held := platform.LSN(uint64(flushed) &^ (source.Format.Segment - 1))
		if p.Held != held || p.At["vault"] != held || len(p.Archived) < 2 || len(p.Gaps)+len(p.Unreadable)+len(p.Conflicts) > 0 {
			t.Fatalf("%+v, want %s", p, held)
		}
		copies := map[string]*node{}
		var redo platform.LSN
		for _, name := range []string{"time", "name", "lsn", "end"} {
			copies[name] = newNode(t, v, name)
			at := a.copyTo(copies[name], "-X", "none")
			redo = max(redo, at)
		}
		b := newNode(t, v, "b")
		a.copyTo(b, "-R", "-X", "stream")
		b.start()

		a.sql(fmt.Sprintf(wide, 2))
		now := parseTime(t, a.sql("SET timezone = 'UTC'; SELECT clock_timestamp()"))
		a.sql("SELECT txid_current()") // a commit behind that time
		a.sql(fmt.Sprintf(wide, 3))
		a.sql("SELECT pg_create_restore_point('before-patch')")
		a.sql(fmt.Sprintf(wide, 4))
		middle := a.lsn("SELECT pg_current_wal_insert_lsn()")
		a.sql(fmt.Sprintf(wide, 5))
		flushed = a.lsn("SELECT pg_current_wal_flush_lsn()")
		steps(t, archiver, flushed, 1)
		for name, err := range archiver.Partial(ctx, flushed) {
			t.Fatalf("%s: %v", name, err)
		}
		r := kit.Must[*Reader](t)(Open(ctx, to, cluster, source.Format))
		if f, err := FormatAt(ctx, to, cluster); err != nil || f != source.Format {
			t.Errorf("the archive says that its format is %+v, %v, want %+v", f, err, source.Format)
		}
		if _, err := FormatAt(ctx, to, "mail"); !errors.Is(err, target.ErrNotThere) {
			t.Errorf("the format of a cluster that is not there: %v", err)
		}
		if end, err := r.Newest(ctx, 1, redo); err != nil || end != flushed {
			t.Errorf("the archive ends at %s, %v; want %s", end, err, flushed)
		}
		at := kit.Must[Point](t)(r.AtTime(ctx, 1, redo, now))
		named := kit.Must[Point](t)(r.AtName(ctx, 1, redo, "before-patch"))
		if at.End || at.Inclusive || named.End || !named.Inclusive || at.LSN >= named.LSN || named.LSN >= middle || at.Newest.After(now) {
			t.Errorf("%+v, %+v, then %s", at, named, middle)
		}
		var none *NoSuchPointError
		if _, err := r.AtName(ctx, 1, redo, "before"); !errors.As(err, &none) || none.To != flushed {
			t.Errorf("no such point: %v", err)
		}
		end := kit.Must[Point](t)(r.AtTime(ctx, 1, redo, time.Now().Add(time.Hour)))
		if !end.End || end.LSN != flushed || end.Newest.Before(now) {
			t.Errorf("behind all: %+v", end)
		}

		// The replica has all, is promoted, and is archived from here on.
		kit.Eventually(t, "the replica", func() bool { return b.lsn("SELECT pg_last_wal_replay_lsn()") >= flushed })
		a.end()
		b.must("pg_ctl", "-D", b.data, "-w", "promote")
		fork := b.lsn("SELECT pg_current_wal_flush_lsn()")
		second := kit.Must[*Archiver](t)(New(cluster, Source{Data: b.data, Format: source.Format}, []Named{to}))
		steps(t, second, fork, 2)
		if failed := second.Partial(ctx, fork); len(failed) > 0 {
			t.Fatal(failed)
		}
		r = kit.Must[*Reader](t)(Open(ctx, to, cluster, source.Format))
		if len(r.held.partials) != 1 || !r.held.partials[ondisk.Segment{Timeline: 2, Number: uint64(fork) / source.Format.Segment}] {
			t.Errorf("what timeline 1 had of the segment of the fork is served: %v", r.held.partials)
		}
		if end, err := r.Newest(ctx, 2, redo); err != nil || end != fork {
			t.Errorf("it ends at %s: %v; want %s", end, err, fork)
		}
		b.sql(fmt.Sprintf(wide, 6))
		later := b.lsn("SELECT pg_current_wal_flush_lsn()")
		p = steps(t, second, later, 2)
		if len(p.Gaps)+len(p.Conflicts)+len(p.Unreadable) > 0 || p.Held != platform.LSN(uint64(later)&^(source.Format.Segment-1)) {
			t.Errorf("%+v", p)
		}
		for name, err := range second.Partial(ctx, later) {
			t.Fatalf("%s: %v", name, err)
		}
		r = kit.Must[*Reader](t)(Open(ctx, to, cluster, source.Format))
		if end, err := r.Newest(ctx, 2, redo); err != nil || end != later || !slices.Equal(r.Timelines(), []platform.Timeline{1, 2}) {
			t.Errorf("it ends at %s on %v: %v; want %s", end, r.Timelines(), err, later)
		}
		if again := kit.Must[Point](t)(r.AtTime(ctx, 2, redo, now)); again != at {
			t.Errorf("on the way of timeline 2: %+v, want %+v", again, at)
		}
		for s := range r.held.segments {
			kit.Check(t, r.Fetch(ctx, s, &bytes.Buffer{}))
		}
		for name, c := range map[string]struct {
			lines []string
			rows  string
		}{
			"time": {append(at.target(), "recovery_target_timeline = '2'"), "1 2"},
			"name": {[]string{"recovery_target_name = 'before-patch'", "recovery_target_timeline = '2'"}, "1 2 3"},
			"lsn":  {append(Point{LSN: middle}.target(), "recovery_target_timeline = '2'"), "1 2 3 4"},
			"end":  {[]string{"recovery_target_timeline = '2'"}, "1 2 3 4 5 6"},
		} {
			copies[name].restore(dir, c.lines...)
			if rows := copies[name].sql("SELECT string_agg(DISTINCT n::text, ' ' ORDER BY n::text) FROM t"); rows != c.rows {
				t.Errorf("restored to %s: %q, want %q", name, rows, c.rows)
			}
			copies[name].end()
		}
	})
}

// written is a primary with a few segments of WAL, stopped.
func written(t *testing.T, v pg.Version, segment, segments int) (n *node, upto platform.LSN) {
	n = newNode(t, v, "p")
	n.init(segment)
	n.start()
	n.sql("CREATE TABLE t (n int, text text)")
	for range segments {
		n.sql(fmt.Sprintf(wide, 1))
		n.sql("SELECT pg_switch_wal()")
	}
	upto = n.lsn("SELECT pg_current_wal_flush_lsn()")
	n.end()
	return n, upto
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	f := kit.Must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	b := make([]byte, 1)
	_, err := f.ReadAt(b, at)
	kit.Check(t, err)
	b[0] ^= 8
	_, err = f.WriteAt(b, at)
	kit.Check(t, err)
}

// TestWhatIsFound is about all that may be wrong with an archive, and with what should enter it.
func TestWhatIsFound(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		n, upto := written(t, v, 1, 6)
		for name, test := range map[string]func(*testing.T, found){
			"gap": gapIsNamed, "rot": rotIsFound, "unreadable": unreadableIsNot, "conflict": conflictIsKept, "targets": oneTargetFails,
			"resume": resumes, "partial": partialIsServed, "expire": expires, "crossing": crossingIsChecked,
		} {
			t.Run(name, func(t *testing.T) {
				f := found{n: n, upto: upto, v: v, source: Source{Data: filepath.Join(v.Dir, name), Format: n.format()}}
				kit.Check(t, os.CopyFS(filepath.Join(f.source.Data, "pg_wal"), os.DirFS(filepath.Join(n.data, "pg_wal"))))
				f.to, f.dir = vault(t, v)
				here, err := f.source.list(t.Context())
				kit.Check(t, err)
				for s := range here.segments {
					if platform.LSN((s.Number+1)*f.source.Format.Segment) <= upto {
						f.all = append(f.all, s)
					}
				}
				slices.SortFunc(f.all, func(a, b ondisk.Segment) int { return int(a.Number) - int(b.Number) })
				test(t, f)
			})
		}
	})
}

// found is a pg_wal with the segments all, which are complete, and an empty target.
type found struct {
	n      *node
	upto   platform.LSN
	v      pg.Version
	source Source
	to     Named
	dir    string
	all    []ondisk.Segment
}

func (f found) name(n int) string { return f.all[n].Name(f.source.Format.Segment) }

func (f found) wal(n int) string { return filepath.Join(f.source.Data, "pg_wal", f.name(n)) }

func (f found) object(n int) string {
	return filepath.Join(f.dir, names{cluster}.segment(1, f.name(n)))
}

func (f found) archiver(t *testing.T, more ...Named) *Archiver {
	t.Helper()
	return kit.Must[*Archiver](t)(New(cluster, f.source, append([]Named{f.to}, more...)))
}

func (f found) begin(n int) platform.LSN {
	return platform.LSN(f.all[n].Number * f.source.Format.Segment)
}

func (f found) reader(t *testing.T) *Reader {
	t.Helper()
	return kit.Must[*Reader](t)(Open(t.Context(), f.to, cluster, f.source.Format))
}

// firstRecord is where one begins in a segment.
func (f found) firstRecord(t *testing.T, n int) platform.LSN {
	t.Helper()
	page := kit.Must[[]byte](t)(os.ReadFile(f.wal(n)))
	walk := ondisk.NewWalkIn(f.source.Format, []platform.Timeline{1}, f.begin(n))
	_ = feed(walk, f.source.Format.Page, f.begin(n), page) // the last record may have no end there
	return walk.End().First
}

func gapIsNamed(t *testing.T, f found) {
	steps(t, f.archiver(t), f.upto, 1)
	from := f.firstRecord(t, 0)
	before := kit.Must[platform.LSN](t)(f.reader(t).Newest(t.Context(), 1, from))
	kit.Check(t, os.Remove(f.object(2)), os.Remove(f.object(3)))
	r := f.reader(t)
	want := Gap{"vault", 1, f.name(2), f.name(3)}
	if gaps, err := r.Gaps(t.Context(), 1, from); err != nil || !slices.Equal(gaps, []Gap{want}) {
		t.Errorf("%v, %v", gaps, err)
	}
	later := map[string][]byte{} // a beginning of a segment is the last that there is
	for n := 4; n < len(f.all); n++ {
		if raw, err := os.ReadFile(f.object(n)); err == nil {
			later[f.object(n)] = raw
			kit.Check(t, os.Remove(f.object(n)))
		}
	}
	beginning := strings.TrimSuffix(f.object(4), ".zst") + ".partial.zst"
	kit.Check(t, os.WriteFile(beginning, later[f.object(4)], 0o600))
	if gaps, err := f.reader(t).Gaps(t.Context(), 1, from); err != nil || !slices.Equal(gaps, []Gap{want}) {
		t.Errorf("with the beginning of the segment behind it: %v, %v", gaps, err)
	}
	kit.Check(t, os.Remove(beginning))
	for path, raw := range later {
		kit.Check(t, os.WriteFile(path, raw, 0o600))
	}
	var gap *GapError
	if end, err := r.Newest(t.Context(), 1, from); !errors.As(err, &gap) || gap.Gap != want || end > f.begin(2) || end == 0 ||
		!strings.Contains(err.Error(), f.name(2)+" to "+f.name(3)) {
		t.Errorf("%s, %v", end, err)
	}
	if _, err := r.AtTime(t.Context(), 1, from, time.Now()); !errors.As(err, &gap) {
		t.Error(err)
	}
	for what, from := range map[string]platform.LSN{"behind all": f.begin(len(f.all)-1) + 10<<20, "in a gap": f.begin(2) + 40} {
		if end, err := r.Newest(t.Context(), 1, from); !errors.As(err, &gap) {
			t.Errorf("%s: %s, %v", what, end, err)
		}
	}
	// pg_wal has both: they are archived. Where it has one, the other is a gap, and holds nothing back.
	had := kit.Must[[]byte](t)(os.ReadFile(f.wal(3)))
	kit.Check(t, os.Remove(f.wal(3)))
	p := steps(t, f.archiver(t), f.upto, 1)
	if !slices.Equal(p.Gaps, []Gap{{"vault", 1, f.name(3), f.name(3)}}) || p.Held <= f.begin(4) || !slices.Contains(p.Archived, f.name(2)) {
		t.Errorf("%+v", p)
	}
	kit.Check(t, os.WriteFile(f.wal(3), had, 0o600))
	if p := steps(t, f.archiver(t), f.upto, 1); len(p.Gaps) > 0 {
		t.Errorf("%+v", p)
	}
	if end, err := f.reader(t).Newest(t.Context(), 1, from); err != nil || end != before {
		t.Errorf("%s, %v; want %s", end, err, before)
	}
}

func rotIsFound(t *testing.T, f found) {
	steps(t, f.archiver(t), f.upto, 1)
	fi := kit.Must[os.FileInfo](t)(os.Stat(f.object(2)))
	to := filepath.Join(t.TempDir(), "RECOVERYXLOG")
	damaged := func(what string) {
		t.Helper()
		err := f.reader(t).Fetch(t.Context(), f.all[2], &bytes.Buffer{})
		if !errors.Is(err, target.ErrDamaged) || !strings.Contains(err.Error(), f.name(2)) {
			t.Errorf("%s: fetch: %v", what, err)
		}
		if err := Get(t.Context(), f.to, cluster, f.name(2), to); !errors.Is(err, target.ErrDamaged) {
			t.Errorf("%s: get: %v", what, err)
		}
		if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a damaged file is there: %v", what, err)
		}
		_, err = f.reader(t).Newest(t.Context(), 1, f.firstRecord(t, 0))
		if !errors.Is(err, target.ErrDamaged) && !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: newest: %v", what, err)
		}
	}
	for _, at := range []int64{0, 3, fi.Size() / 3, fi.Size() / 2, fi.Size() - 500} {
		flip(t, f.object(2), at)
		damaged(fmt.Sprint("a bit at ", at))
		flip(t, f.object(2), at)
	}
	for at := fi.Size() - 10; at < fi.Size(); at++ { // it may be one of the packer's own, which changes nothing
		flip(t, f.object(2), at)
		var got bytes.Buffer
		err := f.reader(t).Fetch(t.Context(), f.all[2], &got)
		if err == nil && !bytes.Equal(got.Bytes(), kit.Must[[]byte](t)(os.ReadFile(f.wal(2)))) {
			t.Errorf("a bit at %d is not found", at)
		}
		flip(t, f.object(2), at)
	}
	kit.Check(t, Get(t.Context(), f.to, cluster, f.name(2), to), os.Remove(to))
	kit.Check(t, os.Truncate(f.object(2), fi.Size()/2))
	damaged("half of it")
	kit.Check(t, os.Truncate(f.object(2), 0))
	damaged("nothing of it")
	// An archiver that has it whole puts it back, once the target says that it is not there or does not match.
	if p := steps(t, f.archiver(t), f.upto, 1); len(p.Conflicts) > 0 {
		t.Errorf("%+v", p)
	}
	kit.Check(t, os.Truncate(f.object(len(f.all)-1), 7)) // the newest is compared
	steps(t, f.archiver(t), f.upto, 1)
	kit.Check(t, f.reader(t).Fetch(t.Context(), f.all[len(f.all)-1], &bytes.Buffer{}))
	// More than a segment.
	whole := kit.Must[[]byte](t)(os.ReadFile(f.wal(2)))
	in := kit.Must[io.Reader](t)(packed(append(whole, whole[:8192]...)))
	kit.Check(t, os.WriteFile(f.object(2), kit.Must[[]byte](t)(io.ReadAll(in)), 0o600))
	if err := f.reader(t).Fetch(t.Context(), f.all[2], &bytes.Buffer{}); !errors.Is(err, target.ErrDamaged) {
		t.Error("a page more:", err)
	}
	if err := Get(t.Context(), f.to, cluster, f.name(2), to); !errors.Is(err, target.ErrDamaged) {
		t.Error("a page more:", err)
	}
	// Another segment under the name, whole.
	kit.Check(t, os.WriteFile(f.object(2), kit.Must[[]byte](t)(os.ReadFile(f.object(1))), 0o600))
	if err := Get(t.Context(), f.to, cluster, f.name(2), to); !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
	if err := f.reader(t).Fetch(t.Context(), f.all[2], &bytes.Buffer{}); !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
}

func unreadableIsNot(t *testing.T, f found) {
	whole := kit.Must[[]byte](t)(os.ReadFile(f.wal(2)))
	record := int64(f.firstRecord(t, 2) - f.begin(2))
	for what, spoil := range map[string]func(){
		"a record":       func() { flip(t, f.wal(2), record+30) },
		"magic":          func() { flip(t, f.wal(2), 8192) },
		"an address":     func() { flip(t, f.wal(2), 8192+10) },
		"the system":     func() { flip(t, f.wal(2), 24) },
		"a timeline":     func() { flip(t, f.wal(2), 4) },
		"another":        func() { kit.Check(t, os.WriteFile(f.wal(2), kit.Must[[]byte](t)(os.ReadFile(f.wal(1))), 0o600)) },
		"zeros":          func() { kit.Check(t, os.WriteFile(f.wal(2), make([]byte, len(whole)), 0o600)) },
		"too short":      func() { kit.Check(t, os.Truncate(f.wal(2), 8192*3)) },
		"a folder":       func() { kit.Check(t, os.Remove(f.wal(2)), os.Mkdir(f.wal(2), 0o700)) },
		"a link outside": func() { kit.Check(t, os.Remove(f.wal(2)), os.Symlink("/etc/passwd", f.wal(2))) },
	} {
		f.to, f.dir = vault(t, f.v)
		spoil()
		a := f.archiver(t)
		var p Progress
		var err error
		for more := true; more && err == nil; more = p.More {
			p, err = a.Step(t.Context(), f.upto, 1)
		}
		if what == "a link outside" {
			if err == nil {
				t.Errorf("%s: %+v", what, p)
			}
		} else {
			// Where the record over its border is wrong, the segment before it may be the one.
			first := slices.Index(f.names(), p.first())
			last := len(p.Unreadable) - 1
			if err != nil || first < 1 || first > 2 || p.Unreadable[last].Segment != f.name(2) || p.Held != f.begin(first) || len(p.Gaps) > 0 {
				t.Errorf("%s: %+v, %v", what, p, err)
			}
		}
		if _, err := os.Stat(f.object(2)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was archived: %v", what, err)
		}
		kit.Check(t, os.RemoveAll(f.wal(2)), os.WriteFile(f.wal(2), whole, 0o600))
		if p := steps(t, a, f.upto, 1); len(p.Unreadable) > 0 || p.Held <= f.begin(2) {
			t.Errorf("%s, mended: %+v", what, p)
		}
	}
}

// crossingIsChecked: a record that begins in one segment and ends in the next is checked with both, once it is flushed.
func crossingIsChecked(t *testing.T, f found) {
	n := 1
	for f.firstRecord(t, n)-f.begin(n) < 200 {
		n++
	}
	flip(t, f.wal(n), 40+50) // behind the page's header
	a := f.archiver(t)
	var p Progress
	var err error
	for more := true; more && err == nil; more = p.More {
		p, err = a.Step(t.Context(), f.upto, 1)
	}
	if err != nil || len(p.Unreadable) != 2 || p.Unreadable[0].Segment != f.name(n-1) || p.Unreadable[1].Segment != f.name(n) ||
		!strings.Contains(p.Unreadable[0].Err.Error(), "checksum") || p.Held != f.begin(n-1) {
		t.Errorf("%s: %+v, %v", f.name(n), p, err)
	}
	for _, bad := range []int{n - 1, n} {
		if _, err := os.Stat(f.object(bad)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is archived: %v", f.name(bad), err)
		}
	}
	flip(t, f.wal(n), 40+50)
	// The record's end is not flushed: what is there in its place says nothing.
	rest := f.firstRecord(t, n)
	f.to, f.dir = vault(t, f.v)
	if p := steps(t, f.archiver(t), rest-8, 1); p.Held != f.begin(n-1) || len(p.Unreadable) > 0 || slices.Contains(p.Archived, f.name(n-1)) {
		t.Errorf("%+v", p)
	}
	if p := steps(t, f.archiver(t), rest, 1); p.Held != f.begin(n) || len(p.Unreadable) > 0 {
		t.Errorf("%+v, want %s", p, f.begin(n))
	}
}

// TestChangedMeanwhile: a segment that is recycled between its check and its packing is not archived.
func TestChangedMeanwhile(t *testing.T) {
	chunks := [][]byte{[]byte("other"), []byte("content")}
	p := kit.Must[*packer](t)(newPacker(func() ([]byte, error) {
		if len(chunks) == 0 {
			return nil, io.EOF
		}
		chunk := chunks[0]
		chunks = chunks[1:]
		return chunk, nil
	}, sumOfText([]byte("content"))))
	if _, err := io.ReadAll(p); err == nil || !strings.Contains(err.Error(), "has changed since it was checked") {
		t.Error(err)
	}
}

// conflictIsKept: a segment of another branch with the same name is served no more than it was, and both are kept.
func conflictIsKept(t *testing.T, f found) {
	steps(t, f.archiver(t), f.upto, 1)
	last := len(f.all) - 1
	// The void behind a switch record may differ without a record that does.
	flip(t, f.wal(last), int64(f.source.Format.Segment)-1)
	p := steps(t, f.archiver(t), f.upto, 1)
	if len(p.Conflicts) != 1 || p.Conflicts[0].Name != (names{cluster}.segment(1, f.name(last))) ||
		!strings.HasPrefix(p.Conflicts[0].Kept, "feed/wal/00000001/conflict/"+f.name(last)+".") {
		t.Fatalf("%+v", p)
	}
	flip(t, f.wal(last), int64(f.source.Format.Segment)-1)
	mine, err := contentSum(t.Context(), f.to, names{cluster}.segment(1, f.name(last)))
	kit.Check(t, err)
	if other, err := contentSum(t.Context(), f.to, p.Conflicts[0].Kept); err != nil || other == mine {
		t.Error("both have the same content", err)
	}
	if p := steps(t, f.archiver(t), f.upto, 1); len(p.Conflicts) > 0 {
		t.Errorf("%+v", p)
	}
	if got := f.reader(t).held.segments; len(got) != len(f.all) {
		t.Errorf("%d segments are served instead of %d", len(got), len(f.all))
	}
}

// oneTargetFails: the others are served, and what the one lacks is held for it.
func oneTargetFails(t *testing.T, f found) {
	other, dir := vault(t, f.v)
	other.Name = "cloud"
	away := dir + ".away"
	kit.Check(t, os.Rename(dir, away))
	a := f.archiver(t, other)
	p, err := a.Step(t.Context(), f.upto, 1)
	if err != nil || p.Failed["cloud"] == nil || p.Failed["vault"] != nil || p.Held != 0 || p.At["vault"] == 0 || len(p.Archived) == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	kit.Check(t, os.Rename(away, dir))
	p = steps(t, a, f.upto, 1)
	if p.Held != p.At["vault"] || p.Held != p.At["cloud"] || p.Held <= f.begin(4) {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Archived, f.names()) {
		t.Errorf("%v", p.Archived)
	}
	// One is away again: what it lacks is held for it.
	a = f.archiver(t, other)
	f.to, f.dir = vault(t, f.v)
	other, _ = vault(t, f.v)
	other.Name = "cloud"
	for _, targets := range [][]Named{{f.to, other}, {other, f.to}} {
		a = kit.Must[*Archiver](t)(New(cluster, f.source, targets))
		p = steps(t, a, f.begin(2), 1)
		behind := p.Held
		failing := &refusing{Target: other.Target, err: unix.ENOSPC}
		for _, d := range a.targets {
			if d.Name == "cloud" {
				d.Target = failing
			}
		}
		if p, err = a.Step(t.Context(), f.begin(4), 1); err != nil || p.Held != behind || p.At["cloud"] != behind ||
			p.At["vault"] <= behind || p.Failed["cloud"] == nil {
			t.Errorf("%+v, %v", p, err)
		}
		for n := range f.all { // for the other order
			kit.Check(t, f.to.Remove(t.Context(), names{cluster}.segment(1, f.name(n))),
				other.Remove(t.Context(), names{cluster}.segment(1, f.name(n))))
		}
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Step(late, f.upto, 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// first is the first segment that is unreadable.
func (p Progress) first() string {
	if len(p.Unreadable) == 0 {
		return ""
	}
	return p.Unreadable[0].Segment
}

// refusing is a target that takes nothing.
type refusing struct {
	target.Target
	err error
}

func (r *refusing) Put(_ context.Context, name string, _ io.Reader, _ int64) (target.Receipt, error) {
	return target.Receipt{}, &target.Error{Target: "cloud", Name: name, Doing: "put", Err: r.err}
}

func (f found) names() (all []string) {
	for n := range f.all {
		all = append(all, f.name(n))
	}
	return all
}

func resumes(t *testing.T, f found) {
	a := f.archiver(t)
	p, err := a.Step(t.Context(), f.upto, 1)
	if err != nil || len(p.Archived) != mostSegments || !p.More || p.Held != f.begin(mostSegments) {
		t.Fatalf("%+v, %v", p, err)
	}
	reads := 0
	f.source.Pace = func(context.Context, int) error { reads++; return nil }
	p = steps(t, f.archiver(t), f.upto, 1)
	if !slices.Equal(p.Archived, f.names()[mostSegments:]) || reads == 0 {
		t.Errorf("%v after %d reads", p.Archived, reads)
	}
	reads = 0
	again := f.archiver(t)
	steps(t, again, f.upto, 1)
	if compared := int(f.source.Format.Segment/readAhead) * 2; reads > compared {
		t.Errorf("%d reads where nothing is new, want %d", reads, compared)
	}
	reads = 0
	if p := steps(t, again, f.upto, 1); reads > 0 || p.Held <= f.begin(4) {
		t.Errorf("%d reads, %+v", reads, p)
	}
	stop := errors.New("stop")
	f.to, f.dir = vault(t, f.v)
	f.source.Pace = func(context.Context, int) error { return stop }
	if _, err := f.archiver(t).Step(t.Context(), f.upto, 1); !errors.Is(err, stop) {
		t.Error(err)
	}
	f.source.Pace, f.source.From = nil, f.begin(3)
	if p := steps(t, f.archiver(t), f.upto, 1); !slices.Equal(p.Archived, f.names()[3:]) {
		t.Errorf("from %s: %v", f.source.From, p.Archived)
	}
}

// partialIsServed: the beginning of the newest segment is, until the whole one is there, and never where another follows.
func partialIsServed(t *testing.T, f found) {
	a := f.archiver(t)
	begin := f.begin(3)
	upto := begin + 8192*4 + 100
	steps(t, a, upto, 1)
	for range 2 {
		if failed := a.Partial(t.Context(), upto); len(failed) > 0 {
			t.Fatal(failed)
		}
	}
	to := filepath.Join(t.TempDir(), "RECOVERYXLOG")
	kit.Check(t, Get(t.Context(), f.to, cluster, f.name(3), to))
	whole, got := kit.Must[[]byte](t)(os.ReadFile(f.wal(3))), kit.Must[[]byte](t)(os.ReadFile(to))
	cut := int(upto - begin)
	if !bytes.Equal(got[:cut], whole[:cut]) || len(got) != len(whole) || len(bytes.Trim(got[cut:], "\x00")) > 0 {
		t.Errorf("%d bytes", len(got))
	}
	end, err := f.reader(t).Newest(t.Context(), 1, f.firstRecord(t, 0))
	if err != nil || end <= begin || end > upto {
		t.Errorf("it ends at %s, %v; want one before %s", end, err, upto)
	}
	partial := filepath.Join(f.dir, names{cluster}.partial(1, f.name(3)))
	kept := kit.Must[[]byte](t)(os.ReadFile(partial))
	steps(t, a, f.upto, 1)
	if _, err := os.Stat(partial); !errors.Is(err, os.ErrNotExist) {
		t.Error("the whole segment is there, and the partial one too:", err)
	}
	kit.Check(t, os.WriteFile(partial, kept, 0o600), os.Remove(f.object(3)))
	var gap *GapError
	if err := Get(t.Context(), f.to, cluster, f.name(3), to); !errors.As(err, &gap) {
		t.Error(err)
	}
	for _, name := range []string{f.all[len(f.all)-1].Name(1 << 20)[:23] + "F", "00000002.history", "0000000100000000000000FF", "backup_label",
		"../../etc/passwd", "000000010000000000000003.00000028.backup"} {
		if err := Get(t.Context(), f.to, cluster, name, to); !errors.Is(err, target.ErrNotThere) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A segment of pg_wal that is recycled, and not written again, is none.
	kit.Check(t, os.Rename(f.wal(1), f.wal(3)))
	if failed := f.archiver(t).Partial(t.Context(), upto); len(failed) > 0 {
		t.Errorf("before the first step: %v", failed)
	}
	late := f.archiver(t)
	if _, err := late.Step(t.Context(), begin, 1); err != nil {
		t.Fatal(err)
	}
	if failed := late.Partial(t.Context(), upto); !errors.Is(failed["vault"], ErrUnreadable) {
		t.Error(failed)
	}
}

func expires(t *testing.T, f found) {
	steps(t, f.archiver(t), f.upto, 1)
	r := f.reader(t)
	if n, err := r.Expire(t.Context(), f.begin(3)+100); err != nil || n != 3 {
		t.Errorf("%d, %v", n, err)
	}
	left := f.reader(t)
	if len(left.held.segments) != len(f.all)-3 || !left.held.segments[f.all[3]] {
		t.Errorf("%v", left.held.segments)
	}
	if gaps, err := left.Gaps(t.Context(), 1, f.begin(3)); err != nil || len(gaps) > 0 {
		t.Error(gaps, err)
	}
	// What was removed on purpose is archived no more, and is no gap.
	if p := steps(t, f.archiver(t), f.upto, 1); len(p.Archived)+len(p.Gaps) > 0 {
		t.Errorf("%+v", p)
	}
}

// away is a target that cannot be reached for some calls.
type away struct {
	target.Target
	calls int
	err   error
}

func (a *away) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if a.calls--; a.calls >= 0 {
		return nil, &target.Error{Target: "vault", Name: name, Doing: "get", Err: a.err}
	}
	return a.Target.Get(ctx, name)
}

// TestGetTriesAgain: a target that is away for a moment must not end a recovery, and one that has no such file is not asked again.
func TestGetTriesAgain(t *testing.T) {
	dir := t.TempDir()
	there := kit.Must[target.Target](t)(target.Open("vault", target.Config{Directory: dir}))
	in := kit.Must[io.Reader](t)(packed([]byte("1\t0/3000000\tfork\n")))
	kit.Must[target.Receipt](t)(there.Put(t.Context(), names{cluster}.history(2), in, -1))
	to := filepath.Join(t.TempDir(), "RECOVERYHISTORY")
	for _, c := range []struct {
		err   error
		calls int
		limit time.Duration
		left  int // calls that were not made
		there bool
	}{
		{unix.ECONNREFUSED, 2, kit.Patience, -1, true},
		{context.DeadlineExceeded, 1, kit.Patience, -1, true},
		{unix.ECONNREFUSED, 9, 1500 * time.Millisecond, 7, false},
		{target.ErrNotThere, 9, kit.Patience, 8, false},
		{unix.EACCES, 9, kit.Patience, 8, false},
	} {
		a := &away{there, c.calls, c.err}
		err := Get(kit.Context(t, c.limit), Named{"vault", a}, cluster, "00000002.history", to)
		if (err == nil) != c.there || err != nil && !errors.Is(err, c.err) || a.calls != c.left {
			t.Errorf("%v: %v, %d left", c.err, err, a.calls)
		}
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "1\t0/3000000\tfork\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestSizes: segments of other sizes, all versions.
func TestSizes(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		for _, size := range []int{4, 32} {
			t.Run(fmt.Sprint(size), func(t *testing.T) {
				v := v
				v.Dir = filepath.Join(v.Dir, fmt.Sprint(size))
				kit.Check(t, os.Mkdir(v.Dir, 0o755))
				n, upto := written(t, v, size, 3)
				to, _ := vault(t, v)
				a := kit.Must[*Archiver](t)(New(cluster, Source{Data: n.data, Format: n.format()}, []Named{to}))
				p := steps(t, a, upto, 1)
				if p.Held != platform.LSN(uint64(upto)&^(uint64(size)<<20-1)) || len(p.Archived) < 3 || len(p.Gaps)+len(p.Unreadable) > 0 {
					t.Errorf("%+v", p)
				}
				out := filepath.Join(t.TempDir(), "file")
				last := p.Archived[len(p.Archived)-1]
				kit.Check(t, Get(t.Context(), to, cluster, last, out))
				if !bytes.Equal(kit.Must[[]byte](t)(os.ReadFile(out)), kit.Must[[]byte](t)(os.ReadFile(filepath.Join(n.data, "pg_wal", last)))) {
					t.Error(last, "is another")
				}
			})
		}
	})
}

// TestHungSource: a disk of pg_wal that does not answer holds a step no longer than its deadline.
func TestHungSource(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root mounts filesystems")
	}
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "fuse", 0, fmt.Sprintf("rootmode=40000,user_id=0,group_id=0,fd=%d", fuse.Fd())); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { kit.Check(t, fuse.Close(), unix.Unmount(dir, unix.MNT_DETACH)) })
	a := kit.Must[*Archiver](t)(New(cluster, Source{Data: dir, Format: ondisk.Format{Major: 15, SystemID: "1", Segment: 1 << 20, Page: 8192}},
		[]Named{{"vault", nil}}))
	begun := time.Now()
	if _, err := a.Step(kit.Context(t, 100*time.Millisecond), 1<<24, 1); err == nil || time.Since(begun) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}
