package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRunningCannotBeTold: who cannot look knows neither that PostgreSQL runs nor that it does not.
func TestRunningCannotBeTold(t *testing.T) {
	i, _ := bare(t)
	if _, _, err := i.Postmaster(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("without a pid file: %v", err)
	}
	pidFile := filepath.Join(i.Data, "postmaster.pid")
	for name, text := range map[string]string{"a damaged one": "x\n", "another program's": strconv.Itoa(os.Getpid()) + "\n"} {
		put(t, pidFile, text)
		if _, _, err := i.Postmaster(); !errors.Is(err, ErrNotRunning) || i.stopped() != nil {
			t.Errorf("with %s: %v", name, err)
		}
	}
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &old))
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}))
	_, _, err := i.Postmaster()
	stopped := i.stopped()
	check(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &old))
	if errors.Is(err, ErrNotRunning) || !errors.Is(err, unix.EMFILE) || stopped == nil {
		t.Errorf("without descriptors: %v, %v", err, stopped)
	}
}

// TestTimeUsed: what a process uses of the processors is counted.
func TestTimeUsed(t *testing.T) {
	before, err := readStat(os.Getpid())
	check(t, err)
	var used time.Duration
	eventually(t, "a tick of the processor", func() bool {
		for n := range 1 << 20 {
			used += time.Duration(n & 1)
		}
		after, err := readStat(os.Getpid())
		check(t, err)
		used = after.used - before.used
		return used >= 3*time.Second/userHZ
	})
	if used > time.Minute {
		t.Errorf("%s", used)
	}
}
