// Package fakepg starts process trees that look like a member's to fencing/process: a program called postgres with the
// data directory as working directory, a backend, and an archive command in a session of its own. It is for tests, which
// call Main first in TestMain; nothing else may import it. A tree ends with its test, and automatically after two minutes.
package fakepg

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

const lifetime = 2 * time.Minute

// Main does not return in a process that was started as a fake postgres.
func Main() {
	if filepath.Base(os.Args[0]) != "postgres" {
		return
	}
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	if len(os.Args) > 1 && os.Args[1] == "postmaster" {
		pids, err := family(len(os.Args) > 2 && os.Args[2] == "detached")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		json.NewEncoder(os.Stdout).Encode(pids)
	}
	time.Sleep(lifetime)
	os.Exit(0)
}

// family starts a postmaster's descendants and returns all their pids.
func family(detached bool) ([]int, error) {
	backend := exec.Command(os.Args[0], "backend")
	archive := exec.Command("sleep", strconv.Itoa(int(lifetime.Seconds())))
	archive.Dir, archive.SysProcAttr = "/", &syscall.SysProcAttr{Setsid: true}
	pids := []int{os.Getpid()}
	for _, cmd := range []*exec.Cmd{backend, archive} {
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		pids = append(pids, cmd.Process.Pid)
	}
	if !detached {
		return pids, nil
	}
	out, err := exec.Command("sh", "-c", "cd /; setsid sleep 120 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		return nil, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	return append(pids, pid), err
}

// Server is one running tree.
type Server struct {
	Postmaster int
	handles    []*process.Handle // of all of its processes, the postmaster first
}

// Options chooses the tree.
type Options struct {
	DataDir  string
	Cgroup   *process.Cgroup // nil starts it in the test's own
	Detached bool            // with one more process that left the tree; only a cgroup still contains it
}

// Start starts a tree and ends it with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	cmd := exec.Command(Binary(t), "postmaster")
	if o.Detached {
		cmd.Args = append(cmd.Args, "detached")
	}
	cmd.Dir, cmd.Stderr, cmd.SysProcAttr = o.DataDir, os.Stderr, &syscall.SysProcAttr{Setsid: true}
	if o.Cgroup != nil {
		f, err := o.Cgroup.OpenFD()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start a fake postgres: %v", err)
	}
	s := &Server{Postmaster: cmd.Process.Pid}
	t.Cleanup(func() { s.end(); cmd.Process.Kill(); cmd.Wait() })
	s.follow(t, out)
	return s
}

func (s *Server) follow(t testing.TB, out io.ReadCloser) {
	t.Helper()
	out.(*os.File).SetReadDeadline(time.Now().Add(20 * time.Second))
	var pids []int
	if err := json.NewDecoder(out).Decode(&pids); err != nil {
		t.Fatalf("the fake postgres did not start: %v", err)
	}
	for _, pid := range pids {
		h, err := process.Watch(pid)
		if err != nil {
			t.Fatal(err)
		}
		s.handles = append(s.handles, h)
	}
}

// Binary is a program called postgres: the test's own, under another name.
func Binary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postgres")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Link(exe, path) == nil {
		return path
	}
	b, err := os.ReadFile(exe)
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *Server) end() {
	for _, h := range s.handles {
		h.Signal(unix.SIGKILL)
		h.Close()
	}
}

// Pids are all processes of the tree as it was started, the postmaster first.
func (s *Server) Pids() []int {
	pids := make([]int, len(s.handles))
	for i, h := range s.handles {
		pids[i] = h.PID()
	}
	return pids
}

// Alive are those of Pids that have not ended.
func (s *Server) Alive() []int {
	var pids []int
	for _, h := range s.handles {
		if h.Alive() {
			pids = append(pids, h.PID())
		}
	}
	return pids
}

// WaitEnded waits until every process has ended and tells whether that was within the time.
func (s *Server) WaitEnded(within time.Duration) bool {
	deadline := time.After(within)
	for _, h := range s.handles {
		select {
		case <-h.Done():
		case <-deadline:
			return false
		}
	}
	return true
}

// EndedAt waits until every process has ended and returns when that was (CLOCK_BOOTTIME); false if it was not within the time. It
// watches on a thread of real-time priority, if that is allowed, so that it measures the tree and not the test.
func (s *Server) EndedAt(within time.Duration) (at time.Duration, ended bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // permanently: the thread ends with the goroutine, and its priority with it
		realtime := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}
		unix.SchedSetAttr(0, &realtime, 0)
		deadline := boottime.Now() + within
		ended = true
		for _, h := range s.handles {
			ended = ended && endsBy(h.PID(), deadline)
		}
		at = boottime.Now()
	}()
	<-done
	return at, ended
}

func endsBy(pid int, deadline time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	for {
		left := max(0, deadline-boottime.Now())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err == nil && n == 1 {
			return true
		}
		if left == 0 {
			return false
		}
	}
}

// Signal sends sig to every process of the tree.
func (s *Server) Signal(t testing.TB, sig unix.Signal) {
	t.Helper()
	for _, h := range s.handles {
		if err := h.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
}

// Cgroup makes a cgroup for the test and removes it afterwards; it skips the test if it cannot make one.
func Cgroup(t testing.TB) *process.Cgroup {
	t.Helper()
	c, err := process.Create(fmt.Sprintf("mainstay-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		c.Kill()
		deadline := time.Now().Add(5 * time.Second)
		for err := c.Remove(); err != nil; err = c.Remove() {
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	return c
}

// EndWithTest kills another process that outlives its parents on purpose, such as a guard, when the test ends.
func EndWithTest(t testing.TB, pid int) {
	h, err := process.Watch(pid)
	if err != nil {
		return
	}
	t.Cleanup(func() {
		h.Signal(unix.SIGKILL)
		<-h.Done()
		unix.Wait4(pid, nil, unix.WNOHANG, nil)
		h.Close()
	})
}
