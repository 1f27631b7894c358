package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestRecovering: a standby that has lost its WAL takes no sessions while its primary is away. Its recovery shows that it stands still, and
// what WAL it asks for; once it gets that it answers.
func TestRecovering(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	for _, i := range []*Server{b, a} {
		check(t, i.StopFast(ctx))
		eventually(t, "the end of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
	}
	segments, err := filepath.Glob(filepath.Join(b.walDir(), "0*"))
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
		check(t, pause(ctx, 2*retryInterval))
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
	segments := entries(t, b.walDir())
	segments = slices.DeleteFunc(segments, func(n string) bool { return !segmentName.MatchString(n) })
	last := segment{1, uint64(control.MinRecovery) / control.SegmentSize}.name(control.SegmentSize)
	first := segment{1, uint64(control.Redo) / control.SegmentSize}.name(control.SegmentSize)
	needed := slices.DeleteFunc(slices.Clone(segments), func(n string) bool { return n <= first || n > last })
	if len(needed) < 3 {
		t.Fatalf("recovery needs %v of %v", needed, segments)
	}
	for _, n := range segments {
		if n >= last {
			check(t, os.Rename(filepath.Join(b.walDir(), n), filepath.Join(away, n)))
		}
	}

	// Each sync of a file in one folder takes a while, and so does each read of WAL.
	for n := range 40 {
		place(t, b, fmt.Sprintf("extra/%d", n), "x")
	}
	source, lib := filepath.Join(away, "slow.c"), filepath.Join(away, "slow.so")
	check(t, os.WriteFile(source, []byte(slowFiles), 0o644))
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", lib, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	real := b.Binaries.Dir
	b.Binaries.Dir = failing(t, b, "postgres", "LD_PRELOAD="+lib+" exec "+real+`/postgres "$@"`)
	s.PrimaryConnInfo = ""
	check(t, b.WriteSettings(ctx, s))
	_, err := b.Start(ctx, StartOptions{})
	check(t, err)
	seen := map[string]bool{}
	look := func() Recovering {
		t.Helper()
		r, err := b.Recovering(ctx)
		if errors.Is(err, ErrNotRunning) { // not yet
			return r
		}
		check(t, err)
		if r.Asks != 0 {
			t.Errorf("it shows what it asks for: %+v", r)
		}
		seen[r.Mark] = true
		return r
	}
	eventually(t, "its recovery", func() bool { return look().Segment != "" })
	if len(seen) < 5 {
		t.Errorf("the sync of 40 files has shown only %d marks: %v", len(seen), seen)
	}
	before := needed[len(needed)-2][8:] // of the one that it lacks
	at := map[string]bool{}
	eventually(t, "segment "+before, func() bool {
		r := look()
		at[r.Segment] = true
		return r.Segment == before
	})
	if delete(at, ""); len(at) < 3 {
		t.Errorf("it came by %v", at)
	}

	check(t, pause(ctx, 20*retryInterval))
	clear(seen)
	for range 40 {
		if r := look(); r.Segment > before || len(seen) > 1 {
			t.Fatalf("it lacks WAL after %s, and gets on: %+v, %v", before, r, seen)
		}
		check(t, pause(ctx, retryInterval/3))
	}
	for _, n := range entries(t, away) {
		if segmentName.MatchString(n) {
			check(t, os.Rename(filepath.Join(away, n), filepath.Join(b.walDir(), n)))
		}
	}
	eventually(t, "its answer", func() bool { _, err := b.Status(ctx); return err == nil })
}

// slowFiles makes a sync in one folder, and a read of WAL, take 50 ms.
const slowFiles = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static void slow(int fd, const char *in) {
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n > 0 && (path[n] = 0, strstr(path, in))) usleep(50000);
}
int fsync(int fd) {
	slow(fd, "/extra/");
	return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
ssize_t pread(int fd, void *to, size_t n, off_t at) {
	slow(fd, "/pg_wal/");
	return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(fd, to, n, at);
}
ssize_t pread64(int fd, void *to, size_t n, off_t at) { return pread(fd, to, n, at); }
`
