package process

import (
	"errors"

	"golang.org/x/sys/unix"
)

// NewSession names the processes of an app server that was started as the leader of a session of its own:
//
//   - those in its cgroup, where there is one;
//   - the leader, and those of its session;
//   - every descendant of these.
//
// pid and start are the leader's (Handle.Start); 0 if only the cgroup is known. Without a cgroup, a process escapes that made a
// session of its own and whose parents had all ended before the scan: it detached itself.
func NewSession(pid int, start uint64, cgroup *Cgroup) *Tree {
	return &Tree{leader: id{pid, start}, cgroup: cgroup}
}

// session finds the leader and its session. After the leader has ended, the session is still its own as long as no other process has
// its pid, which the kernel does not reuse while the session exists; with a cgroup that is not needed.
func (t *Tree) session(all map[int]proc) (found []int) {
	leader, there := all[t.leader.pid]
	switch {
	case t.leader.pid == 0, there && leader.start != t.leader.start, !there && t.cgroup != nil:
		return nil
	}
	for pid, p := range all {
		if p.session == t.leader.pid && p.start >= t.leader.start {
			found = append(found, pid)
		}
	}
	return found
}

// Left tells whether any process of the tree still runs. If the leader has ended, the kernel's answer about its cgroup is enough,
// and /proc is not read.
func (t *Tree) Left() (bool, error) {
	if t.cgroup != nil {
		leader, err := readProc(t.leader.pid)
		if gone(err) || err == nil && leader.start != t.leader.start {
			return t.cgroup.Populated()
		}
	}
	pids, err := t.Pids()
	return len(pids) > 0 || t.populated(), err
}

// Signal sends sig to every present process of the tree.
func (t *Tree) Signal(sig unix.Signal) error {
	procs, err := t.scan(nil)
	for _, p := range procs {
		err = errors.Join(err, send(p, sig))
	}
	return err
}

// Group opens the cgroup of that path in the service manager's terms, such as /system.slice/web.service.
func Group(path string) (*Cgroup, error) {
	m, _, err := self()
	if err != nil {
		return nil, err
	}
	dir, ok := m.under(path)
	if !ok {
		return nil, &UnavailableError{Reason: "the mount " + m.point + " does not show " + path}
	}
	return OpenCgroup(dir)
}
