package supervisor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// keepResume writes the resume record that a later process of this run needs, when an answer has changed it. It runs apart, because
// answers arrive on the lease path (L6). If a write hangs nothing waits for it; the member confirms less meanwhile.
func (m *Supervisor) keepResume(ctx context.Context) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.learned:
		}
		t := m.changed()
		if t == nil {
			continue
		}
		err := m.o.Home.KeepResume(m.o.Name, *t)
		if err != nil && !failed {
			m.log.Warn("cannot write the resume record, which a restarted agent needs while no leader answers", zap.Error(err))
		}
		if failed = err != nil; !failed {
			m.mu.Lock()
			m.leasing.kept.Done(*t)
			m.mu.Unlock()
		}
	}
}

// changed is the resume record to write, nil for none.
func (m *Supervisor) changed() *member.Resume {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := member.Resume{Run: m.o.Run, Goal: m.told.goal, Length: m.leasing.promises.Length, Peers: m.told.others.Peers}
	return m.leasing.kept.Next(m.memory.Opened, now)
}

// takeUpResume applies, once in the life of this process, the resume record of an earlier one: the lease that the guards still hold,
// and the agents to ask for promises. It asks them at once, because it does not know how long no leader has answered. It reads the
// disk, so a look calls it.
func (m *observer) takeUpResume(ctx context.Context, pg *postgres.Server) {
	m.mu.Lock()
	t, waits := m.leasing.kept.Written, m.leasing.inherits
	m.mu.Unlock()
	if !waits || m.reach(pg) != nil {
		return
	}
	if err := m.guards.ensure(ctx, m.guardOptions(pg)); err != nil {
		m.note(err)
		return
	}
	held, err := m.guards.lease()
	if err != nil {
		m.note(err)
		return
	}
	now := boottime.Now()
	if !m.inherit(t, held, now) {
		return
	}
	m.log.Info("continues as primary under the lease that its guards hold", zap.String("epoch", held.Epoch.String()),
		zap.Duration("left", held.End-now))
	m.o.Host.Hasten(platform.Heartbeat(t.Length))
	m.o.Host.Report()
}

// inherit is tried once. If a leader has already given this process a goal, that goal and its peers are used; the resume record then
// only adds that the epoch was opened and how long its leases are.
func (m *shared) inherit(t member.Resume, held member.Lease, now time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leasing.inherits = false
	g, peers := t.Goal, t.Peers
	if m.told.from != (platform.Age{}) {
		g, peers = m.told.goal, m.told.others.Peers
	}
	if !t.MayResume(m.o.Run, m.durable, held, now) || g.Kind != platform.GoalPrimary || g.Epoch != t.Goal.Epoch {
		return false
	}
	m.told.goal, m.memory.Opened, m.leasing.lease = g, g.Epoch, m.leasing.lease.Extend(held.Epoch, held.End)
	m.told.others.Peers = peers
	m.leasing.promises.Resume(now, t.Length)
	return true
}

func (m *shared) behind(goal platform.Goal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leasing.kept.Behind(m.o.Run, &goal)
}
