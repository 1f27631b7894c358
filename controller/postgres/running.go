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
	"time"
)

// ErrNotRunning is returned when an operation needs a running server and there is none.
var ErrNotRunning = errors.New("PostgreSQL is not running; start the member first")

// RunningError is returned when an operation needs a stopped server.
type RunningError struct{ PID int }

func (e *RunningError) Error() string {
	return fmt.Sprintf("PostgreSQL runs (postmaster %d); stop the member first", e.PID)
}

// Running finds the member's postmaster; ok is false also if that is not known.
func (i *Server) Running() (pid int, start string, ok bool) {
	pid, start, err := i.Postmaster()
	return pid, start, err == nil
}

// Postmaster finds the member's postmaster: the pid of postmaster.pid, if that process is a postgres whose working directory
// is the data directory. start is the process's start time in the kernel's ticks since boot: with the pid it names the
// process for as long as the host is up. The error is ErrNotRunning where there surely is none, as after a crash that left
// postmaster.pid; any other means that it is not known, perhaps for want of descriptors, and is no evidence.
func (i *Server) Postmaster() (pid int, start string, err error) {
	raw, err := i.lockFile()
	if errors.Is(err, os.ErrNotExist) {
		return 0, "", ErrNotRunning
	}
	if err != nil {
		return 0, "", err
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, "", ErrNotRunning
	}
	if err := i.isPostmaster(pid); err != nil {
		return 0, "", err
	}
	st, err := readStat(pid)
	if err != nil {
		return 0, "", unlessGone(err)
	}
	if st.state == "Z" {
		return 0, "", ErrNotRunning
	}
	return pid, st.start, nil
}

// unlessGone is ErrNotRunning where a process is gone, or belongs to another user and may not be inspected.
func unlessGone(err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrPermission) {
		return ErrNotRunning
	}
	return err
}

// isPostmaster checks executable and working directory; a program replaced by an upgrade still counts.
func (i *Server) isPostmaster(pid int) error {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return unlessGone(err)
	}
	if filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "postgres" {
		return ErrNotRunning
	}
	cwd, err1 := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	data, err2 := os.Stat(i.Data)
	if err := errors.Join(err1, err2); err != nil {
		return unlessGone(err)
	}
	if !os.SameFile(cwd, data) {
		return ErrNotRunning
	}
	return nil
}

// StartedByUs tells whether the running postmaster was given our config_file.
func (i *Server) StartedByUs() bool {
	pid, _, ok := i.Running()
	if !ok {
		return false
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(raw, []byte("config_file="+i.mainFile()))
}

// stopped is nil only if surely no postmaster runs on the data.
func (i *Server) stopped() error {
	pid, _, err := i.Postmaster()
	switch {
	case err == nil:
		return &RunningError{pid}
	case !errors.Is(err, ErrNotRunning):
		return fmt.Errorf("it is not known whether PostgreSQL runs: %w", err)
	}
	return nil
}

type procStat struct {
	name, state, start string
	ppid               int
	used               time.Duration // of processors
}

// userHZ is how many ticks of /proc are a second, on all architectures that PostgreSQL is run on.
const userHZ = 100

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
	var used time.Duration
	for _, ticks := range f[11:13] { // of user and of system
		n, _ := strconv.ParseInt(ticks, 10, 64) // the kernel writes numbers
		used += time.Duration(n) * time.Second / userHZ
	}
	return procStat{name: s[open+1 : end], state: f[0], ppid: ppid, start: f[19], used: used}, err
}

// StopFast asks the postmaster for a fast shutdown (clients are ended, a shutdown checkpoint is written, senders are
// waited for). The caller waits, with its bound, and watches the processes. None running is fine.
func (i *Server) StopFast(ctx context.Context) error { return i.signal(ctx, syscall.SIGINT) }

// StopImmediate asks for an immediate shutdown, without a checkpoint. It is no fence: only the end of the whole process
// tree is.
func (i *Server) StopImmediate(ctx context.Context) error { return i.signal(ctx, syscall.SIGQUIT) }

func (i *Server) signal(ctx context.Context, s syscall.Signal) (err error) {
	defer i.wrap("stop", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, _, err := i.Postmaster()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
