package supervisor

import (
	"context"

	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/fencing/process"
)

// reach finds the member's process tree, and its cgroup if the host supports cgroups.
func (m *observer) reach(pg *postgres.Server) error {
	m.makeCgroup(pg)
	if m.handles.tree != nil {
		return nil
	}
	tree, err := process.NewTree(pg.Data, m.handles.cgroup)
	if err == nil {
		m.setTree(tree)
	}
	return err
}

// makeCgroup creates the member's cgroup, or opens the one that an earlier agent created.
func (m *observer) makeCgroup(pg *postgres.Server) {
	if m.handles.cgroup != nil || m.o.Config.Cgroup == "off" {
		return
	}
	if c, err := process.Create(process.CgroupName(m.o.Name, pg.Data)); err == nil {
		m.mu.Lock()
		m.handles.cgroup = c
		m.mu.Unlock()
	}
}

// leftBehind lists the member's processes when no data directory identifies them.
func (m *observer) leftBehind(ctx context.Context, pg *postgres.Server) ([]int, error) {
	m.makeCgroup(pg)
	tree, cgroup, postmaster := m.held()
	switch {
	case postmaster != nil && postmaster.Alive():
		return []int{postmaster.PID()}, nil
	case tree != nil: // it follows the directory to wherever that was moved
		return tree.Pids()
	case cgroup != nil:
		return cgroup.Pids()
	}
	return nil, m.guards.leftArmed(ctx, m.o.Config.GuardDir(m.o.Name))
}

// watch kicks the supervisor as soon as the postmaster ends, even one that an earlier agent started.
func (m *observer) watch(ctx context.Context, pid int) {
	if m.handles.proc != nil && m.handles.proc.PID() == pid && m.handles.proc.Alive() {
		return
	}
	h, err := process.Watch(pid)
	if err != nil {
		return
	}
	m.mu.Lock()
	old := m.handles.proc
	m.handles.proc = h
	m.mu.Unlock()
	if old != nil {
		old.Close()
	}
	run := m.o.Context
	m.o.Group.Go(func() error {
		select {
		case <-h.Done():
			wakeup.Signal(m.kick)
		case <-run.Done():
		}
		return nil
	})
}
