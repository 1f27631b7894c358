package integrity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health/integrity/page"
	"mainstay/test/kit"
)

const (
	fakeVersion = "PG_15_202209061"
	fakeSegment = 128 // pages
)

// fake makes a data directory with nothing but a control file.
func fake(t *testing.T, pageSize int) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"global", "base/5", "pg_tblspc"} {
		kit.Check(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	c := make([]byte, 8192)
	for at, n := range map[int]uint32{8: 1300, 12: 202209061, 204: 8, 216: uint32(pageSize), 220: fakeSegment, 224: 8192, 228: 16 << 20,
		252: 1} {
		binary.LittleEndian.PutUint32(c[at:], n)
	}
	binary.LittleEndian.PutUint64(c[208:], math.Float64bits(1234567))
	binary.LittleEndian.PutUint32(c[288:], crc32.Checksum(c[:288], crc32.MakeTable(crc32.Castagnoli)))
	kit.Check(t, os.WriteFile(filepath.Join(dir, "global/pg_control"), c, 0o600))
	return dir
}

// pages writes a file of valid pages, which begins with that block.
func pages(t *testing.T, path string, pageSize, first, count int) {
	t.Helper()
	var all []byte
	for n := range count {
		all = append(all, validPage(pageSize, uint32(first+n), 1)...)
	}
	kit.Check(t, os.WriteFile(path, all, 0o600))
}

func validPage(size int, block uint32, lsn platform.LSN) []byte {
	p := make([]byte, size)
	binary.LittleEndian.PutUint32(p[4:], uint32(lsn))
	binary.LittleEndian.PutUint16(p[12:], page.HeaderSize)
	binary.LittleEndian.PutUint16(p[14:], uint16(size))
	binary.LittleEndian.PutUint16(p[16:], uint16(size))
	binary.LittleEndian.PutUint16(p[18:], uint16(size|4))
	binary.LittleEndian.PutUint16(p[8:], page.Checksum(p, block))
	return p
}

func TestCatalogue(t *testing.T) {
	dir := fake(t, 8192)
	in := func(path string) string { return filepath.Join(dir, path) }
	space, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	kit.Check(t, os.Symlink(space, in("pg_tblspc/16390")), os.MkdirAll(filepath.Join(space, fakeVersion, "5"), 0o755),
		os.MkdirAll(filepath.Join(space, "PG_14_202107181", "5"), 0o755), os.Symlink("/nowhere/at/all", in("pg_tblspc/16391")),
		os.MkdirAll(in("pg_tblspc/16392/"+fakeVersion+"/5"), 0o755))
	pages(t, elsewhere, 8192, 0, 1)
	for _, f := range []string{"global/1260", "base/5/1259", "base/5/1259_fsm", "base/5/1259_vm", "base/5/16384", "base/5/16384_init",
		"base/5/16384_vm", "base/5/t3_16400", "base/5/t3_16400_fsm", "base/5/PG_VERSION", "base/5/pg_filenode.map", "base/5/pg_internal.init",
		"base/5/pg_internal.init.77", "base/5/1259.bak", "base/5/1259_main", "base/5/01259", "base/5/notes",
		"pg_tblspc/16390/" + fakeVersion + "/5/16395", "pg_tblspc/16390/" + fakeVersion + "/5/16395.1",
		"pg_tblspc/16390/PG_14_202107181/5/16396", "pg_tblspc/16392/" + fakeVersion + "/5/16397"} {
		pages(t, in(f), 8192, 0, 1)
	}
	kit.Check(t, os.Symlink(elsewhere, in("base/5/16500")), os.Symlink("1259", in("base/5/16501")), syscall.Mkfifo(in("base/5/16502"), 0o600),
		os.Mkdir(in("base/5/16503"), 0o755))
	foreign := int64(4)
	if os.Geteuid() == 0 {
		pages(t, in("base/5/16504"), 8192, 0, 1)
		kit.Check(t, os.Chown(in("base/5/16504"), 1, 1))
		foreign++
	}
	c := kit.Must[*Catalogue](t)((&Scanner{Dir: dir}).Catalogue(testContext(t)))
	var got []string
	for _, f := range c.Files {
		got = append(got, fmt.Sprintf("%s %s %d %s", f.Relation, f.Fork, f.Segment, f.Path))
	}
	want := []string{
		"1663/5/1259 main 0 base/5/1259", "1663/5/1259 fsm 0 base/5/1259_fsm", "1663/5/1259 vm 0 base/5/1259_vm",
		"1663/5/16384 init 0 base/5/16384_init", "1664/0/1260 main 0 global/1260",
		"16390/5/16395 main 0 pg_tblspc/16390/" + fakeVersion + "/5/16395",
		"16390/5/16395 main 1 pg_tblspc/16390/" + fakeVersion + "/5/16395.1",
		"16392/5/16397 main 0 pg_tblspc/16392/" + fakeVersion + "/5/16397",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	for reason, n := range map[Reason]int64{Unlogged: 2, Temporary: 2, Unnamed: 4, Foreign: foreign} {
		if c.Skipped[reason].Files != n {
			t.Errorf("%s: %+v, want %d files", reason, c.Skipped[reason], n)
		}
	}
	if len(c.Notes) != 4+int(foreign) {
		t.Errorf("%+v", c.Notes)
	}
	s := &Scanner{Dir: dir}
	r, err := s.Scan(testContext(t), Options{Again: quick}, Sink{})
	if err != nil || r.Blocks != int64(len(want)) || r.Verified != r.Blocks-1 || r.Bad != 1 { // the second segment has a page of the first
		t.Errorf("%+v, %v", r, err)
	}
}

// TestManyFiles: no call lists more than a few files of a folder, as each call has a deadline.
func TestManyFiles(t *testing.T) {
	dir := fake(t, 8192)
	const count = 2*listedAtOnce + 10
	for n := range count {
		pages(t, filepath.Join(dir, fmt.Sprintf("base/5/%d", 20000+n)), 8192, 0, 0)
	}
	tr := kit.Must[*tree](t)(openTree(dir))
	defer tr.close()
	f, _ := tr.folderOf(DefaultSpace, 5)
	c, l := &Catalogue{Skipped: map[Reason]Skipped{}, pages: 8192}, &listing{folder: f}
	for before, more := 0, true; more; before = len(c.Files) {
		if more = tr.files(c, l); len(c.Files)-before > listedAtOnce {
			t.Errorf("%d at once", len(c.Files)-before)
		}
	}
	if len(c.Files) != count {
		t.Errorf("%d of %d files", len(c.Files), count)
	}
	if whole := kit.Must[*Catalogue](t)((&Scanner{Dir: dir}).Catalogue(testContext(t))); len(whole.Files) != count {
		t.Errorf("%d of %d files are in the catalogue", len(whole.Files), count)
	}
}

func TestShapes(t *testing.T) {
	const whole = fakeSegment * 8192
	for _, tt := range []struct {
		name  string
		sizes []int64 // by segment; below zero: not there
		want  []Kind
		block uint32
	}{
		{"one", []int64{8192}, nil, 0},
		{"two", []int64{whole, 8192}, nil, 0},
		{"full, and an empty one", []int64{whole, 0}, nil, 0},
		{"truncated", []int64{8192, 0, 0}, nil, 0},
		{"truncated to nothing", []int64{0, 0}, nil, 0},
		{"short before another", []int64{whole - 8192, 8192}, []Kind{ShortSegment}, 0},
		{"short in the middle", []int64{whole, 8192, whole, 8192}, []Kind{ShortSegment}, 128},
		{"empty in the middle", []int64{whole, 0, 8192}, []Kind{ShortSegment}, 128},
		{"the first missing", []int64{-1, 8192}, []Kind{MissingSegment}, 0},
		{"a middle one missing", []int64{whole, -1, -1, 8192}, []Kind{MissingSegment}, 128},
		{"missing before an empty one", []int64{whole, -1, 0}, nil, 0},
		{"odd", []int64{8193}, []Kind{OddSize}, 0},
		{"an extension that failed", []int64{whole, 8192 + 4096}, nil, 0},
		{"a part of a page before another segment", []int64{4096, 8192}, []Kind{OddSize}, 0},
		{"a part of a page, and an empty segment", []int64{8192 + 4096, 0}, nil, 0},
		{"an odd end behind a whole segment", []int64{whole, 8193}, []Kind{OddSize}, 128},
		{"a part of a page too long", []int64{whole + 4096}, []Kind{OddSize}, 0},
		{"too long", []int64{whole + 8192}, []Kind{OddSize}, 0},
	} {
		c := &Catalogue{pages: 8192}
		c.Files = append(c.Files, File{Relation: Relation{1663, 5, 1}, Size: 8192, Path: "before"})
		for n, size := range tt.sizes {
			if size >= 0 {
				c.Files = append(c.Files, File{Relation: Relation{1663, 5, 2}, Segment: uint32(n), Size: size, Path: fmt.Sprintf("2.%d", n)})
			}
		}
		c.Files = append(c.Files, File{Relation: Relation{1663, 5, 3}, Size: 0, Path: "behind"})
		var got []Kind
		for _, f := range c.shapes(whole) {
			if got = append(got, f.Kind); f.Number != tt.block || f.Node != 2 || f.Detail == "" {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestPartialPage: what an extension that failed leaves behind the last page is not read, and counted as left out.
func TestPartialPage(t *testing.T) {
	dir := fake(t, 8192)
	path := filepath.Join(dir, "base/5/1000")
	pages(t, path, 8192, 0, 3)
	kit.Check(t, os.Truncate(path, 3*8192+4096))
	r, err := (&Scanner{Dir: dir}).Scan(testContext(t), Options{Again: quick}, Sink{Finding: func(f Finding) { t.Errorf("%+v", f) }})
	if err != nil || r.Verified != 3 || r.Blocks != 3 || r.Skipped[Partial] != (Skipped{Files: 1}) || len(r.Notes) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

// read is a Scanner.fetch that lets a test change what a read of one page's file gives.
func reading(file string, change func(n int64, b []byte) error) func(*tree, folder, string, []byte, int64) (int, error) {
	var count atomic.Int64
	return func(t *tree, f folder, name string, b []byte, from int64) (int, error) {
		n, err := t.fetch(f, name, b, from)
		if name == file && err == nil {
			err = change(count.Add(1), b)
		}
		return n, err
	}
}

func TestSuspects(t *testing.T) {
	var redo atomic.Int64
	server := func(context.Context) (Positions, error) {
		return Positions{Redo: platform.LSN(redo.Load()), End: 100}, nil
	}
	spoil := func(n int64, b []byte) error { b[5000] = byte(n); return nil }
	for _, tt := range []struct {
		name      string
		change    func(n int64, b []byte) error
		positions func(context.Context) (Positions, error)
		redo      int64
		kind      Kind
		settled   bool
		torn      int64
		changing  int64
	}{
		{"sound", func(int64, []byte) error { return nil }, nil, 0, "", false, 0, 0},
		{"wrong each time", func(_ int64, b []byte) error { b[5000] = 1; return nil }, nil, 0, WrongChecksum, true, 0, 0},
		{"wrong, no checkpoint", func(_ int64, b []byte) error { b[5000] = 1; return nil }, server, 99, WrongChecksum, false, 0, 0},
		{"wrong, a checkpoint", func(_ int64, b []byte) error { b[5000] = 1; return nil }, server, 100, WrongChecksum, true, 0, 0},
		{"no answer", func(_ int64, b []byte) error { b[5000] = 1; return nil },
			func(context.Context) (Positions, error) { return Positions{}, errors.New("no") }, 0, WrongChecksum, false, 0, 0},
		{"torn once", func(n int64, b []byte) error {
			if n == 1 {
				b[5000] = 1
			}
			return nil
		}, server, 0, "", false, 1, 0},
		{"torn some times", func(n int64, b []byte) error {
			if n < 6 {
				b[5000] = byte(n)
			}
			return nil
		}, nil, 0, "", false, 1, 0},
		{"another each time", spoil, nil, 0, "", false, 0, 1},
		{"an error of the disk", func(int64, []byte) error { return syscall.EIO }, nil, 0, ReadError, true, 0, 0},
		{"an error once", func(n int64, b []byte) error {
			if n == 1 {
				return syscall.EIO
			}
			return nil
		}, nil, 0, "", false, 0, 0},
		{"beyond WAL", func(_ int64, b []byte) error { copy(b, validPage(8192, 0, 101)); return nil }, server, 100, AheadOfWAL, true, 0, 0},
		{"beyond WAL, nobody to ask", func(_ int64, b []byte) error { copy(b, validPage(8192, 0, 101)); return nil }, nil, 0, "", false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := fake(t, 8192)
			pages(t, filepath.Join(dir, "base/5/1000"), 8192, 0, 40)
			pages(t, filepath.Join(dir, "base/5/1001"), 8192, 0, 1)
			redo.Store(tt.redo)
			l := &lab{t: t}
			s := &Scanner{Dir: dir, fetch: reading("1001", tt.change)}
			var found []Finding
			r, err := s.Scan(testContext(t), Options{Again: quick, Positions: tt.positions},
				Sink{Finding: func(f Finding) { found = append(found, f) }})
			kit.Check(l.t, err)
			if r.Torn != tt.torn || r.Changing != tt.changing || r.Skipped[Changing].Blocks != tt.changing || len(found) > 1 ||
				(len(found) == 1) != (tt.kind != "") || r.Blocks != 41 {
				t.Fatalf("%+v, %+v", r, found)
			}
			if len(found) == 1 && (found[0].Kind != tt.kind || found[0].Settled != tt.settled || found[0].Node != 1001 || found[0].Number != 0) {
				t.Errorf("%+v", found[0])
			}
		})
	}
}

// TestUnreadable: what the agent lacks to read a file is no evidence against the data, at first and when a page is read again.
func TestUnreadable(t *testing.T) {
	for _, none := range []error{syscall.EMFILE, syscall.ENOMEM, syscall.ETIMEDOUT, syscall.EACCES} {
		for _, after := range []int64{0, 1} {
			dir := fake(t, 8192)
			pages(t, filepath.Join(dir, "base/5/1001"), 8192, 0, 1)
			s := &Scanner{Dir: dir, fetch: reading("1001", func(n int64, b []byte) error {
				if n > after {
					return none
				}
				b[5000] = 1
				return nil
			})}
			r, err := s.Scan(testContext(t), Options{Again: quick}, Sink{})
			if err != nil || r.Skipped[Unopened] != (Skipped{1, 1}) || r.Settled+r.Unsettled > 0 {
				t.Errorf("%v after %d reads: %+v, %v", none, after, r, err)
			}
		}
	}
}

// TestHung: a disk that does not answer ends the scan in time, and no second one begins before it has answered.
func TestHung(t *testing.T) {
	dir := fake(t, 8192)
	pages(t, filepath.Join(dir, "base/5/1000"), 8192, 0, 3)
	pages(t, filepath.Join(dir, "base/5/1001"), 8192, 0, 5)
	release := make(chan struct{})
	var late error
	s := &Scanner{Dir: dir, fetch: func(tr *tree, f folder, name string, b []byte, from int64) (int, error) {
		if name == "1001" {
			<-release
			_, late = f.root.Stat(f.dir) // what a call that hangs uses stays open for it
		}
		return tr.fetch(f, name, b, from)
	}}
	r, err := s.Scan(testContext(t), Options{Deadline: 100 * time.Millisecond}, Sink{})
	if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "base/5/1001") || r.Verified != 3 || r.Skipped[Unfinished].Blocks != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.Scan(testContext(t), Options{}, Sink{}); !errors.Is(err, ErrBusy) || s.Waiting() != 1 {
		t.Errorf("a second scan: %v, %d calls", err, s.Waiting())
	}
	close(release)
	for ctx := testContext(t); s.Waiting() > 0; {
		kit.Check(t, wakeup.Pause(ctx, time.Millisecond))
	}
	kit.Check(t, late)
	if r, err := s.Scan(testContext(t), Options{}, Sink{}); err != nil || r.Verified != 8 {
		t.Errorf("when it answers again: %+v, %v", r, err)
	}
}

// TestResume ends a scan after each of its reads, and begins where it ended: every page is seen once, of small pages too.
func TestResume(t *testing.T) {
	for _, size := range []int{1024, 8192, 32768} {
		dir := fake(t, size)
		total := 0
		for n, count := range []int{3, 128, 0, 77, 1} {
			pages(t, filepath.Join(dir, fmt.Sprintf("base/5/%d", 1000+n)), size, 0, count)
			total += count
		}
		pages(t, filepath.Join(dir, "base/5/1001.1"), size, fakeSegment, 70)
		total += 70
		seen := map[Block]int{}
		o := Options{Parallel: 2, Rules: func(Relation, page.Fork) (page.Rules, bool) { return page.Rules{}, true }}
		for rounds := 0; ; rounds++ {
			ctx, cancel := context.WithCancel(testContext(t))
			r, err := (&Scanner{Dir: dir}).Scan(ctx, o, Sink{Summary: func(b Block, s page.Summary) { seen[b]++ },
				Finding: func(f Finding) { t.Errorf("%d bytes: %+v", size, f) }, Progress: func(p Progress) { o.From = p.At; cancel() }})
			cancel()
			if rounds > total || err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("%d bytes, round %d: %v", size, rounds, err)
			}
			if err == nil && r.Blocks == 0 {
				break
			}
		}
		for b, n := range seen {
			if n != 1 {
				t.Errorf("%d bytes: %s was seen %d times", size, b, n)
			}
		}
		if len(seen) != total {
			t.Errorf("%d bytes: %d of %d pages were seen", size, len(seen), total)
		}
	}
}

func TestRateAndProgress(t *testing.T) {
	dir := fake(t, 8192)
	for n := range 8 {
		pages(t, filepath.Join(dir, fmt.Sprintf("base/5/%d", 1000+n)), 8192, 0, 128)
	}
	begun := time.Now()
	var last Progress
	r, err := (&Scanner{Dir: dir}).Scan(testContext(t), Options{Rate: 32 << 20}, Sink{Progress: func(p Progress) {
		if p.Done <= last.Done || p.Total != 8<<20 {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}})
	if took := time.Since(begun); err != nil || r.Bytes != 8<<20 || last.Done != last.Total || took < 240*time.Millisecond {
		t.Errorf("%s for %+v, %v, %+v", took, r, err, last)
	}
}

// TestRateOfSuspects: pages that are read again count for the rate as well.
func TestRateOfSuspects(t *testing.T) {
	const rate, bad = 8 << 20, 128
	dir := fake(t, 8192)
	kit.Check(t, os.WriteFile(filepath.Join(dir, "base/5/1000"), bytes.Repeat(validPage(8192, bad, 1), bad), 0o600))
	var read atomic.Int64
	s := &Scanner{Dir: dir, fetch: func(tr *tree, f folder, name string, b []byte, from int64) (int, error) {
		read.Add(int64(len(b)))
		return tr.fetch(f, name, b, from)
	}}
	begun := time.Now()
	r, err := s.Scan(testContext(t), Options{Rate: rate, Again: quick}, Sink{})
	took := time.Since(begun)
	if err != nil || r.Settled != bad || read.Load() < defaultReads*bad*8192 {
		t.Fatalf("%d bytes, %+v, %v", read.Load(), r, err)
	}
	if least := time.Duration(float64(read.Load()-chunk) / rate * float64(time.Second)); took < least {
		t.Errorf("%d bytes in %s, want %s at least", read.Load(), took, least)
	}
}

// TestVanished: a relation that goes during a scan is no finding.
func TestVanished(t *testing.T) {
	dir := fake(t, 8192)
	for n := range 4 {
		pages(t, filepath.Join(dir, fmt.Sprintf("base/5/%d", 1000+n)), 8192, 0, 20)
	}
	var once sync.Once
	s := &Scanner{Dir: dir, fetch: func(tr *tree, f folder, name string, b []byte, from int64) (int, error) {
		once.Do(func() {
			kit.Check(t, os.Remove(filepath.Join(dir, "base/5/1003")), os.Truncate(filepath.Join(dir, "base/5/1002"), 5*8192))
		})
		return tr.fetch(f, name, b, from)
	}}
	r, err := s.Scan(testContext(t), Options{Parallel: 1, Again: quick}, Sink{Finding: func(f Finding) { t.Errorf("%+v", f) }})
	if err != nil || r.Verified != 45 || r.Vanished != 35 || r.Blocks != 45 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestCacheIsLeft: reading through the cache leaves in it what was there, and nothing else.
func TestCacheIsLeft(t *testing.T) {
	f := kit.Must[*os.File](t)(os.CreateTemp("/var/tmp", "mst"))
	defer os.Remove(f.Name())
	defer f.Close()
	if size := int64(os.Getpagesize()); size != sector {
		t.Skipf("memory has pages of %d bytes", size)
	}
	content := make([]byte, chunk)
	kit.Must[int](t)(f.Write(content))
	kit.Check(t, f.Sync())
	advise(f, 0, 0, adviseDontNeed)
	if slices.Contains(resident(f, 0, chunk), true) {
		t.Skip("the filesystem of /var/tmp keeps everything in memory")
	}
	advise(f, 0, 0, adviseRandom)
	kit.Must[int](t)(f.ReadAt(content[:sector], 5*sector))
	before := resident(f, 0, chunk)
	n, err := readCached(f, content, 0)
	if after := resident(f, 0, chunk); err != nil || n != chunk || !slices.Equal(before, after) || !before[5] || before[6] {
		t.Errorf("%d, %v: before %v, after %v", n, err, before, after)
	}
}

func TestNoDirectory(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"nothing":    os.RemoveAll,
		"no control": func(dir string) error { return os.Remove(filepath.Join(dir, "global/pg_control")) },
		"short":      func(dir string) error { return os.Truncate(filepath.Join(dir, "global/pg_control"), 100) },
		"a pipe": func(dir string) error {
			path := filepath.Join(dir, "global/pg_control")
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600))
		},
	} {
		dir := fake(t, 8192)
		kit.Check(t, prepare(dir))
		s := &Scanner{Dir: dir}
		if _, err := s.Scan(testContext(t), Options{}, Sink{}); err == nil || !strings.Contains(err.Error(), dir) || s.Waiting() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLook(t *testing.T) {
	dir := fake(t, 8192)
	space := filepath.Join(dir, "pg_tblspc/16390", fakeVersion, "5")
	kit.Check(t, os.MkdirAll(space, 0o755))
	pages(t, filepath.Join(space, "1000"), 8192, 0, fakeSegment)
	pages(t, filepath.Join(space, "1000.1"), 8192, fakeSegment, 3)
	pages(t, filepath.Join(dir, "base/5/1001"), 8192, 0, 2)
	pages(t, filepath.Join(dir, "base/5/1002"), 8192, 1, 2) // all in the wrong place
	in := func(space, node, number uint32) Block {
		return Block{Relation: Relation{space, 5, node}, Number: number}
	}
	s := &Scanner{Dir: dir, fetch: reading("1001", func(n int64, b []byte) error { b[5000] = byte(n); return nil })}
	rules := func(Relation, page.Fork) (page.Rules, bool) { return page.Rules{Method: page.Heap}, true }
	blocks := []Block{in(16390, 1000, fakeSegment+2), in(16390, 1000, fakeSegment+3), in(16391, 1000, 0), in(DefaultSpace, 1001, 0),
		in(DefaultSpace, 1002, 1), in(DefaultSpace, 1003, 0)}
	got := kit.Must[[]Seen](t)(s.Look(testContext(t), Options{Again: quick, Rules: rules}, blocks))
	for n, want := range []struct {
		state  page.State
		steady bool
	}{{page.Used, true}, {page.Absent, true}, {page.Absent, true}, {page.Bad, false}, {page.Bad, true}, {page.Absent, true}} {
		if g := got[n]; g.Block != blocks[n] || g.Condition.State != want.state || g.Summary.State != want.state || g.Steady != want.steady ||
			(g.Page == nil) != (want.state == page.Absent) {
			t.Errorf("%s: %+v", blocks[n], g)
		}
	}
	s.fetch = reading("1001", func(int64, []byte) error { return syscall.EIO })
	got = kit.Must[[]Seen](t)(s.Look(testContext(t), Options{Again: quick}, blocks[3:4]))
	if g := got[0]; g.Failed == "" || g.Steady || g.Page != nil || g.Summary.State != page.Unread {
		t.Errorf("%+v", g)
	}
}

func TestTransactions(t *testing.T) {
	dir := fake(t, 8192)
	kit.Check(t, os.Mkdir(filepath.Join(dir, "pg_xact"), 0o755))
	for name, count := range map[string]int{"0000": 32, "0001": 2, "000A": 1, "00B": 1, "notes": 1} {
		kit.Check(t, os.WriteFile(filepath.Join(dir, "pg_xact", name), make([]byte, count*8192), 0o600))
	}
	var got []uint32
	s := &Scanner{Dir: dir}
	collect := func(n uint32, p []byte) error {
		if got = append(got, n); len(p) != 8192 {
			t.Errorf("page %d has %d bytes", n, len(p))
		}
		return nil
	}
	kit.Check(t, s.Transactions(testContext(t), Options{}, 0, math.MaxUint32, collect))
	if len(got) != 35 || got[0] != 0 || got[33] != 33 || got[34] != 320 {
		t.Errorf("%v", got)
	}
	got = nil
	kit.Check(t, s.Transactions(testContext(t), Options{}, 31, 2, collect))
	if len(got) != 2 || got[0] != 31 || got[1] != 32 {
		t.Errorf("a part: %v", got)
	}
	stop := errors.New("stop")
	if err := s.Transactions(testContext(t), Options{}, 0, math.MaxUint32, func(uint32, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	kit.Check(t, os.RemoveAll(filepath.Join(dir, "pg_xact")))
	if err := s.Transactions(testContext(t), Options{}, 0, math.MaxUint32, collect); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
