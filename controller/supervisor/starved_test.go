package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/health"
)

// TestOutOfDescriptors: an agent that has few descriptors left, or none, says nothing against its primary: not that it is stuck, and
// not that its processes have ended, which would have it killed.
func TestOutOfDescriptors(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	m.prober.writeProbe(ctx, pg)
	m.observer.ask(ctx, pg)
	free := takeDescriptors(t)
	before, begun := m.Snapshot(), boottime.Now()
	for boottime.Now()-begun < 2*platform.Stuck(platform.DefaultLease) {
		m.prober.writeProbe(ctx, pg)
		m.observer.ask(ctx, pg)
		<-time.After(lookEvery)
	}
	if r, half := m.Snapshot(), (boottime.Now()-begun).Milliseconds()/2; r.Stale-before.Stale > half || r.WriteStale-before.WriteStale > half {
		t.Errorf("after %s: %+v", boottime.Now()-begun, r)
	}
	seen := map[health.Process]int{}
	for n := range 40 {
		hold := free(n % 8) // from none to what a look needs
		var g glance
		m.observer.process(ctx, pg, &g)
		hold()
		seen[g.seen.Process]++
	}
	if seen[health.ProcessEnded]+seen[health.ProcessEnding] > 0 || seen[health.ProcessRunning] == 0 || seen[health.ProcessUnknown] == 0 {
		t.Errorf("its process was seen as %v", seen)
	}
}

// takeDescriptors takes every descriptor of this process; free gives some back until its result is called.
func takeDescriptors(t *testing.T) (free func(int) func()) {
	t.Helper()
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	open, err := filepath.Glob("/proc/self/fd/*")
	check(t, err)
	most := 0
	for _, path := range open {
		fd, err := strconv.Atoi(filepath.Base(path))
		check(t, err)
		most = max(most, fd)
	}
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(most) + 16, Max: old.Max}))
	var held []*os.File
	take := func() {
		for {
			f, err := os.Open("/dev/null")
			if errors.Is(err, unix.EMFILE) {
				return
			}
			check(t, err)
			held = append(held, f)
		}
	}
	take()
	t.Cleanup(func() {
		for _, f := range held {
			f.Close()
		}
		check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	})
	return func(n int) func() {
		for range min(n, len(held)) {
			held[len(held)-1].Close()
			held = held[:len(held)-1]
		}
		return take
	}
}
