package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrNotRunning is returned when an operation needs a running server and there is none.
var ErrNotRunning = errors.New("PostgreSQL is not running; start the member first")

// RunningError is returned when an operation needs a stopped server.
type RunningError struct{ PID int }

func (e *RunningError) Error() string {
	return fmt.Sprintf("PostgreSQL runs (postmaster %d); stop the member first", e.PID)
}

// Running finds the member's postmaster: the pid of postmaster.pid, if that process is a postgres whose working directory
// is the data directory. start is the process's start time in the kernel's ticks since boot: with the pid it names the
// process for as long as the host is up. A postmaster.pid left by a crash gives ok false.
func (i *Instance) Running() (pid int, start string, ok bool) {
	raw, err := i.Owner.readFile(filepath.Join(i.Data, "postmaster.pid"))
	if err != nil {
		return 0, "", false
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 || !i.isPostmaster(pid) {
		return 0, "", false
	}
	st, err := readStat(pid)
	if err != nil || st.state == "Z" {
		return 0, "", false
	}
	return pid, st.start, true
}

// isPostmaster checks executable and working directory; a program replaced by an upgrade still counts.
func (i *Instance) isPostmaster(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "postgres" {
		return false
	}
	cwd, err1 := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	data, err2 := os.Stat(i.Data)
	return err1 == nil && err2 == nil && os.SameFile(cwd, data)
}

// StartedByUs tells whether the running postmaster was given our config_file.
func (i *Instance) StartedByUs() bool {
	pid, _, ok := i.Running()
	if !ok {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(raw, []byte("config_file="+i.mainFile()))
}

// stopped is nil only if no postmaster runs on the data.
func (i *Instance) stopped() error {
	if pid, _, ok := i.Running(); ok {
		return &RunningError{pid}
	}
	return nil
}

type procStat struct {
	name, state, start string
	ppid               int
}

// readStat reads /proc/PID/stat, whose second field may hold blanks and parentheses.
func readStat(pid int) (procStat, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	s := string(raw)
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return procStat{}, fmt.Errorf("/proc/%d/stat is unreadable", pid)
	}
	f := strings.Fields(s[end+1:])
	if len(f) < 20 {
		return procStat{}, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	ppid, err := strconv.Atoi(f[1])
	return procStat{name: s[open+1 : end], state: f[0], ppid: ppid, start: f[19]}, err
}

// StopFast asks the postmaster for a fast shutdown (clients are ended, a shutdown checkpoint is written, senders are
// waited for). The caller waits, with its bound, and watches the processes. None running is fine.
func (i *Instance) StopFast(ctx context.Context) error { return i.signal(ctx, syscall.SIGINT) }

// StopImmediate asks for an immediate shutdown, without a checkpoint. It is no fence: only the end of the whole process
// tree is.
func (i *Instance) StopImmediate(ctx context.Context) error { return i.signal(ctx, syscall.SIGQUIT) }

func (i *Instance) signal(ctx context.Context, s syscall.Signal) (err error) {
	defer i.wrap("stop", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, _, ok := i.Running()
	if !ok {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// RemoveStalePid removes postmaster.pid. It is for a process tree proven empty, where a pid reused by a stranger would
// keep PostgreSQL from starting; everywhere else PostgreSQL deals with the file itself.
func (i *Instance) RemoveStalePid(ctx context.Context) (err error) {
	defer i.wrap("remove the stale postmaster.pid of", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := i.stopped(); err != nil {
		return err
	}
	return i.Owner.removeFile(filepath.Join(i.Data, "postmaster.pid"))
}
