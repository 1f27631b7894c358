package supervisor

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// start starts PostgreSQL. Before a start as a standby the guards are disarmed; before one as a primary they already hold the lease.
func (m *actor) start(ctx context.Context, pg *postgres.Server, goal platform.Goal, act member.Act) error {
	primary := act.Kind == member.StartPrimary
	if !primary {
		if err := m.disarm(); err != nil {
			return err
		}
		if err := m.guards.renew(ctx, m.guardOptions(pg)); err != nil {
			m.log.Warn("the guards may have no launcher; PostgreSQL is then started as the agent's child", zap.Error(err))
		}
	}
	if err := (mender{m}).settleMending(pg); err != nil { // a page must be the old or the new one, and nothing between
		return err
	}
	s, err := settings(pg, goal, act.Durable)
	if err != nil {
		return err
	}
	if pg, err = m.raiseKept(ctx, pg); err != nil {
		return err
	}
	noArchive := false
	if (goal.Kind == platform.GoalReplica || goal.Kind == platform.GoalSealed) && goal.Opened {
		if noArchive, err = m.withoutForeign(ctx, pg, goal); err != nil {
			return err
		}
		s.NoArchive = s.NoArchive || noArchive
	}
	if (goal.Kind == platform.GoalReplica || goal.Kind == platform.GoalSealed) && goal.Frozen(act.Durable.Incarnation) {
		if s.Hold, err = pg.HoldAt(ctx); err != nil {
			return err
		}
	}
	if err := pg.WriteSettings(ctx, s); err != nil {
		return err
	}
	fd, done, err := m.cgroupFD()
	if err != nil {
		return err
	}
	defer done()
	if primary {
		if err := m.arm(goal); err != nil {
			return fmt.Errorf("start %s as primary: %w", m.o.Name, err)
		}
	}
	m.mu.Lock()
	raise := m.starts.short || m.starts.unstarted.times > 0
	m.mu.Unlock()
	p, err := pg.Start(ctx, postgres.StartOptions{AsPrimary: primary, CgroupFD: fd, Raise: raise, Launch: m.guards.launch})
	if err != nil {
		return err
	}
	d := act.Durable
	d.AlterSystem = false // from this start on the agent's files are in force
	m.mu.Lock()
	if d.SystemID == "" {
		d.SystemID = m.view.seen.SystemID // the agent now manages this data, so nothing is left to adopt
	}
	m.starts.started, m.starts.noArchive = p, noArchive
	m.memory.MovedAt = boottime.Now()
	m.mu.Unlock()
	return m.keepDurable(d)
}

// withoutForeign sets aside timelines that do not belong to the cluster. If the archive delivered some, the next start omits
// restore_command. The start after that uses the archive again for WAL that the primary no longer has; no foreign history is left by
// then.
func (m *actor) withoutForeign(ctx context.Context, pg *postgres.Server, goal platform.Goal) (found bool, err error) {
	foreign, err := pg.SetAsideHistories(ctx, goal.Timeline, goal.History)
	if len(foreign) == 0 {
		return false, err
	}
	text := fmt.Sprintf(
		"its restore_command delivered %s, which does not belong to this cluster (timeline %d): the agent set it aside in pg_wal and started "+
			"PostgreSQL without restore_command; delete it from the archive, stop the other server from archiving there, and restart PostgreSQL",
		strings.Join(foreign, ", "), goal.Timeline)
	m.log.Warn(text)
	m.mu.Lock()
	m.starts.foreign = text
	m.mu.Unlock()
	return true, err
}

// arm checks last, before PostgreSQL becomes writable, that the lease still runs and that both guards hold it: a start as a standby has
// disarmed them (L2).
func (m *actor) arm(goal platform.Goal) error {
	m.mu.Lock()
	lease := m.leasing.lease
	m.mu.Unlock()
	if lease.Epoch != goal.Epoch || lease.End <= boottime.Now() {
		return fmt.Errorf("the lease of epoch %s ended before PostgreSQL became writable", goal.Epoch)
	}
	return m.extendLease(lease.Epoch, lease.End)
}
