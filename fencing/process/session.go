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
// pid and start are the leader's (Handle.Start); 0 where only the cgroup is known. Without a cgroup a process escapes that
// made a session of its own and whose parents had all ended before the scan: it detached itself.
func NewSession(pid int, start uint64, cgroup *Cgroup) *Tree {
	return &Tree{leader: id{pid, start}, cgroup: cgroup}
}

// session finds the leader and its session. Once the leader has ended, others are only its own as long as nobody else has
// its pid, which the kernel gives to nobody while the session lives; with a cgroup that question is not asked.
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

// Left tells whether any process of the tree has yet to end. Once the leader has, and the kernel says that its cgroup is
// empty, nothing is left that could be found by reading all of /proc, and that is not done.
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

// Signal sends sig to every process of the tree that there is at this moment.
func (t *Tree) Signal(sig unix.Signal) error {
	procs, err := t.scan(nil)
	for _, p := range procs {
		err = errors.Join(err, send(p, sig))
	}
	return err
}

// Group opens the cgroup that the service manager calls by this path, such as /system.slice/web.service.
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
