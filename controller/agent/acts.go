package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
)

// Bounds of the acts. An act that takes longer is cancelled, reported and retried, or the next step of the repair follows.
const (
	quick         = 10 * time.Second
	killBound     = 5 * time.Second
	stopBound     = 12 * time.Second
	promoteBound  = 60 * time.Second
	checkpointMax = 2 * time.Minute
	rewindBound   = 10 * time.Minute
	cloneBound    = 24 * time.Hour
)

// do carries out one act. The act's promises are on disk before anything else happens (S3).
func (m *supervisor) do(ctx context.Context, act member.Act, goal platform.Goal) error {
	m.mu.Lock()
	pg := m.pg
	m.mu.Unlock()
	if err := m.keep(act); err != nil {
		return err
	}
	switch act.Kind {
	case member.Persist:
		return nil
	case member.Initialise:
		return m.within(ctx, 2*time.Minute, func(ctx context.Context) error { return m.initialise(ctx, pg, goal) })
	case member.StartPrimary, member.StartStandby:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.start(ctx, pg, goal, act) })
	case member.Promote:
		return m.within(ctx, promoteBound, func(ctx context.Context) error { return m.promote(ctx, pg, goal, act.Durable) })
	case member.Open:
		return m.within(ctx, checkpointMax, func(ctx context.Context) error { return m.open(ctx, pg, goal) })
	case member.LoadSet, member.Settings:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.load(ctx, pg, goal, act.Durable) })
	case member.Checkpoint:
		return m.within(ctx, checkpointMax, func(ctx context.Context) error { return m.checkpoint(ctx, pg, goal) })
	case member.EndSenders:
		return m.within(ctx, quick, func(ctx context.Context) error { return pg.EndSenders(ctx, m.staleSenders()) })
	case member.Slots:
		return m.within(ctx, quick, func(ctx context.Context) error { return pg.EnsureSlots(ctx, slotNames(goal), m.strays()) })
	case member.DropSlots:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.dropSlots(ctx, pg) })
	case member.Seal:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.seal(ctx, pg, goal, act.Durable) })
	case member.Quieten:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.quieten(ctx, pg, goal, act.Durable) })
	case member.StopReceiver:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.stopReceiver(ctx, pg, goal, act.Durable) })
	case member.Kill:
		return m.kill()
	case member.StopClean:
		if goal.Kind == platform.GoalReplica { // a restart is the first step of its repair
			m.recall(func(r *member.Memory) { r.Restarted = true })
		}
		return m.stopClean(ctx, pg, goal)
	case member.Rewind:
		return m.within(ctx, rewindBound, func(ctx context.Context) error { return m.rewind(ctx, pg, goal, act.Durable) })
	case member.Clone:
		return m.within(ctx, cloneBound, func(ctx context.Context) error { return m.clone(ctx, pg, goal, act.Durable) })
	case member.Adopt:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.adopt(ctx, pg, goal, act.Durable) })
	case member.Disarm:
		return m.disarm()
	case member.Release:
		return m.within(ctx, quick, func(ctx context.Context) error { return m.release(ctx, pg, goal, act.Durable) })
	}
	return fmt.Errorf("the agent does not implement the act %q", act.Kind)
}

func (m *supervisor) within(ctx context.Context, bound time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return f(ctx)
}

// renames are acts that give the data a new incarnation, or replace it, once they are done.
func renames(k member.Kind) bool {
	return k == member.Rewind || k == member.Clone || k == member.Adopt
}

// keep writes the act's promises, unless they hold only once it is done, and publishes them at once.
func (m *supervisor) keep(act member.Act) error {
	if renames(act.Kind) {
		return nil
	}
	return m.keepDurable(act.Durable)
}

func (m *supervisor) keepDurable(d member.Durable) error {
	m.mu.Lock()
	same := d == m.durable
	d.Listen, d.Port = m.durable.Listen, m.durable.Port
	m.mu.Unlock()
	if same {
		return nil
	}
	if err := m.agent.home.keepDurable(m.name, d); err != nil {
		return err
	}
	m.mu.Lock()
	m.durable = d
	m.mu.Unlock()
	wakeup.Signal(m.agent.kick)
	return nil
}

// recall changes what the run remembers.
func (m *supervisor) recall(change func(*member.Memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.memory)
}

func (m *supervisor) initialise(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	if pg.Replication.User != "" {
		return fmt.Errorf(
			"members.%s.replication in the agent's file is for members of adopted clusters, and this one is new: delete it and restart the agent, "+
				"or start the cluster's PostgreSQL to have it adopted", m.name)
	}
	if err := pg.Initialise(ctx); err != nil {
		return err
	}
	m.again()
	return nil
}

// again makes the next look inspect the data again, because an act has changed it.
func (m *supervisor) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stale = true
}

// start starts PostgreSQL. Before a start as a standby the guards are disarmed; before one as a primary they already hold the lease.
func (m *supervisor) start(ctx context.Context, pg *postgres.Server, goal platform.Goal, act member.Act) error {
	primary := act.Kind == member.StartPrimary
	if !primary {
		if err := m.disarm(); err != nil {
			return err
		}
		if err := m.guards.renew(ctx, m.guardOptions(pg)); err != nil {
			m.log.Warn("the guards may have no launcher; PostgreSQL is then started as the agent's child", zap.Error(err))
		}
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
			return fmt.Errorf("start %s as primary: %w", m.name, err)
		}
	}
	m.mu.Lock()
	raise := m.short || m.unstarted.times > 0
	m.mu.Unlock()
	p, err := pg.Start(ctx, postgres.StartOptions{AsPrimary: primary, CgroupFD: fd, Raise: raise, Launch: m.guards.launch})
	if err != nil {
		return err
	}
	d := act.Durable
	d.AlterSystem = false // from this start on the agent's files are in force
	m.mu.Lock()
	if d.SystemID == "" {
		d.SystemID = m.seen.SystemID // the agent now manages this data, so nothing is left to adopt
	}
	m.started, m.noArchive = p, noArchive
	m.memory.MovedAt = boottime.Now()
	m.mu.Unlock()
	return m.keepDurable(d)
}

// withoutForeign sets aside timelines that do not belong to the cluster. If the archive delivered some, the next start omits
// restore_command. The start after that uses the archive again for WAL that the primary no longer has; no foreign history is left by
// then.
func (m *supervisor) withoutForeign(ctx context.Context, pg *postgres.Server, goal platform.Goal) (found bool, err error) {
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
	m.foreign = text
	m.mu.Unlock()
	return true, err
}

// arm checks last, before PostgreSQL becomes writable, that the lease still runs and that both guards hold it: a start as a standby has
// disarmed them (L2).
func (m *supervisor) arm(goal platform.Goal) error {
	m.mu.Lock()
	lease := m.lease
	m.mu.Unlock()
	if lease.Epoch != goal.Epoch || lease.End <= boottime.Now() {
		return fmt.Errorf("the lease of epoch %s ended before PostgreSQL became writable", goal.Epoch)
	}
	return m.hold(lease.Epoch, lease.End)
}

// promote makes a standby primary on the goal's timeline. Its durability set is loaded before it takes the first write.
func (m *supervisor) promote(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err != nil {
		return err
	}
	if d.AlterSystem {
		if err := alterForPromotion(ctx, pg, s); err != nil {
			return err
		}
		m.alterSlots(ctx, pg, s)
	}
	shown, err := pg.Promote(ctx, postgres.Promotion{Settings: s, Timeline: goal.Timeline, Spare: m.backends(), Arm: func() error {
		if err := m.arm(goal); err != nil {
			return fmt.Errorf("promote %s: %w", m.name, err)
		}
		return nil
	}})
	if err == nil && shown.SyncNames == s.SyncNames {
		m.proven(shown)
	}
	m.mu.Lock()
	m.foreign = "" // a primary has no use for an archive's timelines
	m.mu.Unlock()
	return err
}

// open completes an epoch's opening: the timeline is the recorded one, standby.signal is there again, Mainstay's roles exist, and a
// CHECKPOINT is done on the new timeline, so that others can rewind from here. A restarted agent finds the epoch opened and the
// CHECKPOINT done: the primary can be announced, and promises given to it, without another CHECKPOINT (S6).
func (m *supervisor) open(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	s, err := pg.Open(ctx, goal.Timeline, !goal.Opened)
	if err != nil {
		return err
	}
	if err := pg.RestoreStandbySignal(ctx); err != nil {
		return err
	}
	m.proven(s)
	m.mu.Lock()
	d := m.durable
	m.mu.Unlock()
	d.SystemID = s.SystemID
	if err := m.keepDurable(d); err != nil {
		return err
	}
	m.recall(func(r *member.Memory) { r.Opened = goal.Epoch })
	return nil
}

// load writes the goal's settings and makes sure that they are in force: the durability list by value and source.
func (m *supervisor) load(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err != nil {
		return err
	}
	if err := pg.WriteSettings(ctx, s); err != nil {
		return err
	}
	m.mu.Lock()
	m.unwritten = m.unwritten && m.pg != pg
	m.slotsTried = triedSlots(pg, s.SyncSlots)
	m.mu.Unlock()
	if d.AlterSystem {
		keys := []string{"synchronous_standby_names"}
		if goal.Kind == platform.GoalReplica {
			keys = append(keys, "primary_conninfo", "primary_slot_name")
		}
		if err := alter(ctx, pg, s, keys); err != nil {
			return err
		}
		m.alterSlots(ctx, pg, s)
		if goal.Kind == platform.GoalReplica {
			if err := pg.GiveBack(ctx); err != nil {
				return err
			}
		}
	}
	want := map[string]string{"synchronous_standby_names": s.SyncNames}
	if goal.Kind == platform.GoalReplica {
		want["primary_conninfo"] = s.PrimaryConnInfo
	}
	shown, err := pg.Load(ctx, want)
	if err != nil {
		return err
	}
	m.proven(shown)
	return m.takeBack(pg, d)
}

// takeBack records that the agent manages this data again: it runs as the agent started it, but its member was removed and added again.
func (m *supervisor) takeBack(pg *postgres.Server, d member.Durable) error {
	if d.SystemID != "" || !pg.StartedByUs() {
		return nil
	}
	m.mu.Lock()
	d.SystemID = m.seen.SystemID
	m.mu.Unlock()
	return m.keepDurable(d)
}

// checkpoint serves a planned stop, and a durability set that follows an empty one.
func (m *supervisor) checkpoint(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	if err := pg.Checkpoint(ctx); err != nil {
		return err
	}
	m.recall(func(r *member.Memory) {
		r.Checkpointed = goal.Checkpoint
		if n := len(goal.Sets); n > 0 {
			r.SetCheckpoint = goal.Sets[n-1].ID
		}
	})
	return nil
}

// seal stops the member from receiving, then reads its position. The seal's number is on disk already.
func (m *supervisor) seal(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	p, err := m.receiveNothing(ctx, pg, goal, d)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealedAt, m.memory.SealConfirmed, m.memory.SealedAt = p, goal.Epoch, boottime.Now()
	return nil
}

func (m *supervisor) quieten(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err == nil {
		err = pg.Quieten(ctx, s)
	}
	if err == nil {
		m.recall(func(r *member.Memory) { r.Quiet = goal.Epoch })
	}
	return err
}

func (m *supervisor) stopReceiver(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	goal.Upstream = nil
	if _, err := m.receiveNothing(ctx, pg, goal, d); err != nil {
		return err
	}
	m.recall(func(r *member.Memory) { r.Apart = goal.Epoch })
	return nil
}

func (m *supervisor) receiveNothing(ctx context.Context, pg *postgres.Server, goal platform.Goal,
	d member.Durable) (postgres.Position, error) {
	s, err := settings(pg, goal, d)
	if err != nil {
		return postgres.Position{}, err
	}
	if d.AlterSystem {
		if err := pg.AlterSystem(ctx, map[string]string{"primary_conninfo": "", "restore_command": ""}); err != nil {
			return postgres.Position{}, err
		}
	}
	p, shown, err := pg.Seal(ctx, s)
	if err == nil {
		m.proven(shown)
	}
	return p, err
}

// end notes that the agent itself ends the last started server, so its end is no evidence of a fault.
func (m *supervisor) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending = m.started; m.started == nil {
		m.ending = m.ran
	}
}

func (m *supervisor) kill() error {
	m.end()
	tree, cgroup, _ := m.held()
	switch {
	case tree != nil:
		return tree.Kill(killBound)
	case cgroup != nil:
		return cgroup.Kill()
	}
	return nil
}

func slotNames(goal platform.Goal) []string {
	var names []string
	for _, other := range goal.OtherMembers {
		names = append(names, postgres.SlotName(other))
	}
	return names
}
