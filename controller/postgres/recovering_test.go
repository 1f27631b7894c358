package postgres

import (
	"fmt"
	"mainstay/controller/wakeup"
	"mainstay/test/kit"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRecovering: a standby that has lost its WAL takes no sessions while its primary is away. Its recovery shows that it stands still, and
// what WAL it asks for; once it gets that it answers.
func TestRecovering(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx, took := testContext(t), counted(t, a, b)
	for _, i := range []*Server{b, a} {
		check(t, i.StopFast(ctx))
		eventually(t, "the end of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
	}
	segments, err := filepath.Glob(filepath.Join(b.wal().dir(), "0*"))
	check(t, err)
	for _, path := range segments {
		check(t, os.Remove(path))
	}
	p, err := b.Start(ctx, StartOptions{})
	check(t, err)
	control := must(b.ControlData(ctx))
	var r Recovering
	eventually(t, "what it asks for", func() bool {
		r, err = b.Recovering(ctx)
		return err == nil && r.Asks != 0
	})
	if !b.Signs(false).Starting || r.Asks > control.Redo || uint64(control.Redo-r.Asks) >= control.SegmentSize || r.Restoring {
		t.Errorf("%+v, redo at %s", r, control.Redo)
	}
	before := r
	for range 3 { // it asks again and again meanwhile
		check(t, wakeup.Pause(ctx, 2*retryInterval))
		if r, err = b.Recovering(ctx); err != nil || r != before {
			t.Errorf("it stands still: %+v, then %+v, %v", before, r, err)
		}
	}
	start(t, a, true)
	streams(t, b)
	select {
	case <-p.Done():
		t.Error("it has ended: ", p.Err())
	default:
	}
	if after := must(b.Status(ctx)); after.Replay == 0 {
		t.Errorf("%+v", after)
	}
	took("the recovery", kit.Work{Starts: 2}) // one is the primary's
}

// TestRecoveringWithoutTitles: with update_process_title off, and while files are synced before recovery, a recovery that gets on shows it,
// and one that stands still too.
func TestRecoveringWithoutTitles(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	check(t, a.exec(testContext(t), "ALTER SYSTEM SET update_process_title = off"))
	b, s := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	check(t, b.exec(ctx, "ALTER SYSTEM SET update_process_title = off"))
	for n := range 3 {
		insert(t, a, n+2)
		check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	}
	check(t, a.exec(ctx, "CREATE TABLE public.gone AS SELECT 1; DROP TABLE public.gone")) // its replay sets minRecoveryPoint
	end := must(a.Status(ctx)).Flush
	eventually(t, "the replay", func() bool { st, err := b.Status(ctx); return err == nil && st.Replay >= end })
	kill(t, a)
	kill(t, b)
	removePidFile(t, b)
	control := must(b.ControlData(ctx))
	away := filepath.Join(filepath.Dir(b.Conf), "away")
	check(t, b.Owner.makeDir(away, 0o700))
	segments := entries(t, b.wal().dir())
	segments = slices.DeleteFunc(segments, func(n string) bool { return !segmentName.MatchString(n) })
	last := segment{1, uint64(control.MinRecovery) / control.SegmentSize}.name(control.SegmentSize)
	first := segment{1, uint64(control.Redo) / control.SegmentSize}.name(control.SegmentSize)
	needed := slices.DeleteFunc(slices.Clone(segments), func(n string) bool { return n <= first || n > last })
	if len(needed) < 3 {
		t.Fatalf("recovery needs %v of %v", needed, segments)
	}
	for _, n := range segments {
		if n >= last {
			check(t, os.Rename(filepath.Join(b.wal().dir(), n), filepath.Join(away, n)))
		}
	}

	// Each sync of a file in one folder, and each read of WAL, stops until the test lets it pass.
	for n := range 40 {
		place(t, b, fmt.Sprintf("extra/%d", n), "x")
	}
	gate := newGate(t, away)
	real := b.Binaries.Dir
	b.Binaries.Dir = failing(t, b, "postgres", "LD_PRELOAD="+gate.lib+" exec "+real+`/postgres "$@"`)
	s.PrimaryConnInfo = ""
	check(t, b.WriteSettings(ctx, s))
	_, err := b.Start(ctx, StartOptions{})
	check(t, err)
	seen := map[string]bool{}
	look := func() Recovering {
		t.Helper()
		r, err := b.Recovering(testContext(t))
		check(t, err)
		if r.Asks != 0 {
			t.Errorf("it shows what it asks for: %+v", r)
		}
		seen[r.Mark] = true
		return r
	}
	gate.stopped(t)
	for look().Segment == "" {
		gate.pass(t)
		gate.stopped(t)
	}
	if len(seen) < 40 {
		t.Errorf("the sync of 40 files has shown only %d marks: %v", len(seen), seen)
	}
	before := needed[len(needed)-2][8:] // of the one that it lacks
	at := map[string]bool{}
	for r := look(); r.Segment != before; r = look() {
		at[r.Segment] = true
		gate.pass(t)
		gate.stopped(t)
	}
	if len(at) < 2 || at[""] {
		t.Errorf("it came by %v", at)
	}

	gate.open(t)
	var still Recovering
	same, since := 0, time.Now()
	eventually(t, "a recovery that stands still", func() bool {
		r := look()
		if r.Segment > before {
			t.Fatalf("it lacks WAL after %s, and gets on: %+v", before, r)
		}
		if r.Mark != still.Mark {
			still, same, since = r, 0, time.Now()
		}
		same++
		return same >= 40 && time.Since(since) > 20*retryInterval
	})
	for _, n := range entries(t, away) {
		if segmentName.MatchString(n) {
			check(t, os.Rename(filepath.Join(away, n), filepath.Join(b.wal().dir(), n)))
		}
	}
	eventually(t, "its answer", func() bool { _, err := b.Status(ctx); return err == nil })
}

// A gate stops each sync of a file in a folder named extra, and each read of WAL, of servers that run with its library, and says so.
type gate struct {
	lib, path     string
	stops, passes *os.File // one byte for each
}

func newGate(t *testing.T, dir string) *gate {
	t.Helper()
	g := &gate{lib: filepath.Join(dir, "gate.so"), path: filepath.Join(dir, "gate")}
	for _, f := range []struct {
		name string
		file **os.File
	}{{g.path, &g.passes}, {g.path + ".stops", &g.stops}} {
		check(t, unix.Mkfifo(f.name, 0o666))
		check(t, os.Chmod(f.name, 0o666)) // the umask
		*f.file = must(os.OpenFile(f.name, os.O_RDWR, 0))
		t.Cleanup(func() { (*f.file).Close() })
	}
	source := filepath.Join(dir, "gate.c")
	check(t, os.WriteFile(source, []byte(gateSource), 0o644))
	out, err := exec.Command("gcc", "-shared", "-fPIC", fmt.Sprintf("-DGATE=%q", g.path), "-o", g.lib, source).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return g
}

// stopped waits until the server stops at the gate.
func (g *gate) stopped(t *testing.T) {
	t.Helper()
	check(t, g.stops.SetReadDeadline(time.Now().Add(patience)))
	if _, err := g.stops.Read(make([]byte, 1)); err != nil {
		t.Fatal("nothing stopped at the gate: ", err)
	}
}

// pass lets through what stopped.
func (g *gate) pass(t *testing.T) {
	t.Helper()
	_, err := g.passes.Write([]byte{0})
	check(t, err)
}

// open lets through what stopped, and everything that follows.
func (g *gate) open(t *testing.T) {
	t.Helper()
	check(t, os.Remove(g.path))
	g.pass(t)
}

const gateSource = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void stop(int fd, const char *in) {
	char link[64], path[4096], byte = 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0 || (path[n] = 0, !strstr(path, in))) return;
	int gate = open(GATE, O_RDONLY), stops = open(GATE ".stops", O_WRONLY);
	if (gate >= 0 && stops >= 0 && write(stops, &byte, 1) == 1)
		while (read(gate, &byte, 1) < 0 && errno == EINTR);
	if (gate >= 0) close(gate);
	if (stops >= 0) close(stops);
}
int fsync(int fd) {
	stop(fd, "/extra/");
	return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
	stop(fd, "/pg_wal/");
	return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, to, n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off_t at) { return pread(fd, to, n, at); }
`
