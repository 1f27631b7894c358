package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endLimit bounds how long what was killed may take to end.
const endLimit = time.Minute

// AsOwner lets a command run as the owner of the data, if that is another user.
func AsOwner(cmd *exec.Cmd) {
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup(Owner())
	if err != nil {
		return
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// Postmaster is the pid of a member's postmaster, 0 if it has none.
func (s *Testbed) Postmaster(member string) int {
	raw, err := os.ReadFile(filepath.Join(s.Data(member), "postmaster.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.SplitN(string(raw), "\n", 2)[0])
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != s.Data(member) {
		return 0
	}
	return pid
}

// Guards are the pids of a member's guards.
func (s *Testbed) Guards(member string) []int {
	var found []int
	for _, pid := range s.own() {
		if raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(raw), "lease-guard:"+member+":") {
			found = append(found, pid)
		}
	}
	return found
}

// Holder is the process that holds a host's watchdog, 0 without one.
func (s *Testbed) Holder(h Host) int {
	lock := filepath.Join(s.path("agent-"+h.Name), "run", "host.watchdog", "holder.lock")
	for _, pid := range s.own() {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		for _, f := range files {
			if target, _ := os.Readlink(f); target == lock && strings.HasPrefix(string(name), "watchdog-holder\x00") {
				return pid
			}
		}
	}
	return 0
}

// Everything lists all processes of a host that the testbed knows: its daemon, its guards, its PostgreSQL, and who holds its
// watchdog.
func (s *Testbed) Everything(h Host) []int {
	var found []int
	if p := s.Proc("agent " + h.Name); p != nil {
		select {
		case <-p.done:
		default:
			p.meant.Store(true) // the caller is about to end them all
			found = append(found, p.PID())
		}
	}
	if pid := s.Holder(h); pid != 0 {
		found = append(found, pid)
	}
	if pid := s.AppServer(h.App); pid != 0 {
		found = append(found, pid)
	}
	if h.Member == "" {
		return found
	}
	found = append(found, s.Guards(h.Member)...)
	return append(found, s.Tree(h.Member)...)
}

// LoseSite kills everything on a site at once: agents, guards, PostgreSQL, app servers and the controller. Mend starts it again.
func (s *Testbed) LoseSite(site string) error {
	var pids []int
	for _, h := range s.Hosts {
		if h.Site != site {
			continue
		}
		if p := s.Proc("controller " + h.Controller); p != nil {
			p.meant.Store(true)
			pids = append(pids, p.PID())
		}
		if h.Controller == "" {
			pids = append(pids, s.Everything(h)...)
		}
	}
	return Signal(syscall.SIGKILL, pids...)
}

// Signal sends a signal to processes; those that have ended are passed over. 0, which stands for no process, is an error:
// the kernel would take it for all of the test's own group.
func Signal(sig syscall.Signal, pids ...int) error {
	var errs []error
	for _, pid := range pids {
		if pid <= 0 {
			errs = append(errs, fmt.Errorf("signal %d to %d: there is no such process", sig, pid))
			continue
		}
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("signal %d to %d: %w", sig, pid, err))
		}
	}
	return errors.Join(errs...)
}

// own lists the processes that run from, or in, the testbed's folder.
func (s *Testbed) own() []int { return Inside(s.Dir) }

// Inside lists the processes that run from, or in, a folder, and PostgreSQL's programs that work on it from elsewhere.
func Inside(dir string) []int {
	var found []int
	for _, pid := range pids() {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if strings.HasPrefix(exe, dir+"/") || strings.HasPrefix(cwd, dir+"/") || postgresTool(exe) && named(pid, dir) {
			found = append(found, pid)
		}
	}
	return found
}

// postgresTool tells whether an agent starts this program in the root folder: initdb, pg_basebackup, pg_rewind, ...
func postgresTool(exe string) bool {
	name := filepath.Base(exe)
	return name == "initdb" || strings.HasPrefix(name, "pg_")
}

// named tells whether the arguments of a process name a path below the folder.
func named(pid int, dir string) bool {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return strings.Contains(string(raw), dir+"/")
}

func pids() []int {
	entries, _ := os.ReadDir("/proc")
	var out []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out
}

// Close ends every process of the testbed and removes its folder and cgroups. It is safe to call twice.
func (s *Testbed) Close() error {
	s.mu.Lock()
	procs := s.procs
	s.over = true
	s.procs = map[string]*Proc{}
	s.mu.Unlock()
	if err := s.thawAll(); err != nil { // a process that hangs there does not end
		return err
	}
	for _, p := range procs {
		_ = syscall.Kill(-p.PID(), syscall.SIGCONT)
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
	}
	for _, p := range procs {
		<-p.done
	}
	if s.client != nil {
		s.client.Close()
	}
	quitPostgreSQL(s.Dir)
	if err := endInside(s.Dir); err != nil {
		return err
	}
	s.removeCgroups()
	if err := s.removeDisks(); err != nil || s.Keep {
		return err
	}
	return os.RemoveAll(s.Dir)
}

// quitPostgreSQL ends the servers of a folder whose agents have ended, in the one fast way that gives shared memory back: what is
// killed leaves some behind, in the system's memory. Servers that do not end in time are left to be killed.
func quitPostgreSQL(dir string) {
	isServer := func(pid int) bool {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return filepath.Base(exe) == "postgres"
	}
	var masters []int
	for _, pid := range Inside(dir) {
		if isServer(pid) && !isServer(parent(pid)) {
			masters = append(masters, pid)
			_ = Signal(syscall.SIGCONT, pid)
			_ = Signal(syscall.SIGQUIT, pid)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for _, pid := range masters {
		for isServer(pid) && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// parent is the process that started another, 0 where that cannot be told.
func parent(pid int) int {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// endInside kills what runs in a folder, until nothing does: a process may be on its way, or just forked.
func endInside(dir string) error {
	deadline := time.Now().Add(endLimit)
	for left := Inside(dir); len(left) > 0; left = Inside(dir) {
		_ = Signal(syscall.SIGKILL, left...)
		_ = Signal(syscall.SIGCONT, left...)
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %s did not end", left, dir)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Sweep does what Close would have done for the testbeds below a folder whose owner was killed: it ends all that runs there,
// and removes the cgroups and the folder. It takes two minutes at most.
func Sweep(dir string) error {
	if err := endInside(dir); err != nil {
		return err
	}
	var all []dataOf
	members, _ := filepath.Glob(filepath.Join(dir, "*", "agent-*", "members", "*", "data"))
	for _, data := range members {
		all = append(all, dataOf{filepath.Base(filepath.Dir(data)), data})
	}
	instances, _ := filepath.Glob(filepath.Join(dir, "*", "agent-*", "instances", "*"))
	for _, folder := range instances {
		all = append(all, dataOf{"instance-" + filepath.Base(folder), folder})
	}
	removeCgroups(all)
	return os.RemoveAll(dir)
}

// dataOf is a data directory of a member: each has a cgroup of its own.
type dataOf struct{ member, data string }

// removeCgroup removes a cgroup, once the kernel has let go of the last who died in it. One that is in use by another testbed
// stays.
func removeCgroup(path string) {
	for deadline := time.Now().Add(endLimit); errors.Is(syscall.Rmdir(path), syscall.EBUSY) && time.Now().Before(deadline); {
		if alive, err := os.ReadFile(filepath.Join(path, "cgroup.procs")); err != nil || len(alive) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *Testbed) removeCgroups() {
	all := s.others
	for _, h := range s.Of(false) {
		all = append(all, dataOf{h.Member, s.Data(h.Member)})
	}
	for _, h := range s.AppHosts() {
		all = append(all, dataOf{"instance-" + h.App, s.appFolder(h)})
	}
	removeCgroups(all)
}

func removeCgroups(all []dataOf) {
	for _, one := range all {
		sum := sha256.Sum256([]byte(one.data))
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			for _, name := range []string{"mainstay-" + one.member + "-" + hex.EncodeToString(sum[:3]), "mainstay-guard-" + one.member,
				"mainstay-watchdog"} {
				found, _ := filepath.Glob(filepath.Join(root, name))
				deeper, _ := filepath.Glob(filepath.Join(root, "*", name))
				for _, path := range append(found, deeper...) {
					removeCgroup(path)
				}
			}
		}
	}
}
