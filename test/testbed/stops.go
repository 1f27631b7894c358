package testbed

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// Tree lists the processes of a member's PostgreSQL.
func (s *Testbed) Tree(member string) []int {
	var found []int
	for _, pid := range pids() {
		if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err == nil && cwd == s.Data(member) {
			found = append(found, pid)
		}
	}
	return found
}

// Daemons lists what runs of these: "agent db-e1", "controller c1".
func (s *Testbed) Daemons(names ...string) []int {
	var found []int
	for _, name := range names {
		p := s.Proc(name)
		if p == nil {
			continue
		}
		select {
		case <-p.done:
		default:
			found = append(found, p.PID())
		}
	}
	return found
}

// OnHost lists everything of the testbed that runs on a host, a controller too.
func (s *Testbed) OnHost(host string) []int {
	var found []int
	for _, h := range s.Hosts {
		if h.Name != host {
			continue
		}
		if h.Controller != "" {
			found = append(found, s.Daemons("controller "+h.Controller)...)
			continue
		}
		found = append(found, s.Daemons("agent "+host)...)
		found = append(found, s.Guards(h.Member)...)
		found = append(found, s.Tree(h.Member)...)
	}
	return found
}

// Stop stops processes (SIGSTOP) until all that list returns are: what it lists may fork in between. It returns whom
// Continue has to continue.
func Stop(list func() []int) ([]int, error) {
	var all []int
	for deadline := time.Now().Add(endLimit); ; {
		running := slices.DeleteFunc(list(), stopped)
		if len(running) == 0 {
			return all, nil
		}
		if time.Now().After(deadline) {
			return all, fmt.Errorf("processes %v are not stopped by SIGSTOP", running)
		}
		if err := Signal(syscall.SIGSTOP, running...); err != nil {
			return all, err
		}
		for _, pid := range running {
			if !slices.Contains(all, pid) {
				all = append(all, pid)
			}
		}
	}
}

// Continue continues the stopped processes, except those that have ended meanwhile.
func Continue(pids []int) error { return Signal(syscall.SIGCONT, pids...) }

// stopped tells whether a process is stopped, or has ended.
func stopped(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	at := bytes.LastIndexByte(raw, ')')
	if err != nil || at < 0 || at+2 >= len(raw) {
		return true
	}
	return slices.Contains([]byte("TtZX"), raw[at+2])
}
