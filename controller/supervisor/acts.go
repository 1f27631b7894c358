package supervisor

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// actor carries out acts: PostgreSQL's starts, promotions, repairs and stops. One act runs at a time, beside the looks.
type actor struct{ *shared }

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
func (m *actor) do(ctx context.Context, act member.Act, goal platform.Goal) error {
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
		return within(ctx, 2*time.Minute, func(ctx context.Context) error { return m.initialise(ctx, pg, goal) })
	case member.StartPrimary, member.StartStandby:
		return within(ctx, quick, func(ctx context.Context) error { return m.start(ctx, pg, goal, act) })
	case member.Promote:
		return within(ctx, promoteBound, func(ctx context.Context) error { return m.promote(ctx, pg, goal, act.Durable) })
	case member.Open:
		return within(ctx, checkpointMax, func(ctx context.Context) error { return m.open(ctx, pg, goal) })
	case member.LoadSet, member.Settings:
		return within(ctx, quick, func(ctx context.Context) error { return m.load(ctx, pg, goal, act.Durable) })
	case member.Checkpoint:
		return within(ctx, checkpointMax, func(ctx context.Context) error { return m.checkpoint(ctx, pg, goal) })
	case member.EndSenders:
		return within(ctx, quick, func(ctx context.Context) error { return pg.EndSenders(ctx, m.staleSenders()) })
	case member.Slots:
		return within(ctx, quick, func(ctx context.Context) error { return pg.EnsureSlots(ctx, slotNames(goal), m.seen().Strays) })
	case member.DropSlots:
		return within(ctx, quick, func(ctx context.Context) error { return m.dropSlots(ctx, pg) })
	case member.Seal:
		return within(ctx, quick, func(ctx context.Context) error { return m.seal(ctx, pg, goal, act.Durable) })
	case member.Quieten:
		return within(ctx, quick, func(ctx context.Context) error { return m.quieten(ctx, pg, goal, act.Durable) })
	case member.StopReceiver:
		return within(ctx, quick, func(ctx context.Context) error { return m.stopReceiver(ctx, pg, goal, act.Durable) })
	case member.Mend:
		return within(ctx, mendBound, func(ctx context.Context) error { return mender{m}.mend(ctx, pg, goal) })
	case member.Freeze:
		return within(ctx, quick, pg.PauseReplay)
	case member.Thaw:
		return within(ctx, quick, pg.ResumeReplay)
	case member.Kill:
		return m.kill()
	case member.StopClean:
		if goal.Kind == platform.GoalReplica { // a restart is the first step of its repair
			m.recall(func(r *member.Memory) { r.Restarted = true })
		}
		return m.stopClean(ctx, pg, goal)
	case member.Rewind:
		return within(ctx, rewindBound, func(ctx context.Context) error { return m.rewind(ctx, pg, goal, act.Durable) })
	case member.Clone:
		return within(ctx, cloneBound, func(ctx context.Context) error { return m.clone(ctx, pg, goal, act.Durable) })
	case member.Adopt:
		return within(ctx, quick, func(ctx context.Context) error { return m.adopt(ctx, pg, goal, act.Durable) })
	case member.Disarm:
		return m.disarm()
	case member.Release:
		return within(ctx, quick, func(ctx context.Context) error { return m.release(ctx, pg, goal, act.Durable) })
	}
	return fmt.Errorf("the agent does not implement the act %q", act.Kind)
}

func within(ctx context.Context, bound time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return f(ctx)
}

// renames are acts that give the data a new incarnation, or replace it, once they are done.
func renames(k member.Kind) bool {
	return k == member.Rewind || k == member.Clone || k == member.Adopt
}

// keep writes the act's promises, unless they hold only once it is done, and publishes them at once.
func (m *actor) keep(act member.Act) error {
	if renames(act.Kind) {
		return nil
	}
	return m.keepDurable(act.Durable)
}

func (m *actor) keepDurable(d member.Durable) error {
	m.mu.Lock()
	same := d == m.durable
	d.Listen, d.Port = m.durable.Listen, m.durable.Port
	m.mu.Unlock()
	if same {
		return nil
	}
	if err := m.o.Home.KeepDurable(m.o.Name, d); err != nil {
		return err
	}
	m.mu.Lock()
	m.durable = d
	m.mu.Unlock()
	m.o.Host.Report()
	return nil
}

// recall changes what the run remembers.
func (m *actor) recall(change func(*member.Memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.memory)
}

func (m *actor) initialise(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	if pg.Replication.User != "" {
		return fmt.Errorf(
			"members.%s.replication in the agent's file is for members of adopted clusters, and this one is new: delete it and restart the agent, "+
				"or start the cluster's PostgreSQL to have it adopted", m.o.Name)
	}
	if err := pg.Initialise(ctx); err != nil {
		return err
	}
	m.again()
	return nil
}

// again makes the next look inspect the data again, because an act has changed it.
func (m *actor) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.stale = true
}

// checkpoint serves a planned stop, and a durability set that follows an empty one.
func (m *actor) checkpoint(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
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

// end notes that the agent itself ends the last started server, so its end is no evidence of a fault.
func (m *actor) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.starts.ending = m.starts.started; m.starts.started == nil {
		m.starts.ending = m.starts.ran
	}
}

func (m *actor) kill() error {
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
	for _, other := range goal.SlotOwners() {
		names = append(names, postgres.SlotName(other))
	}
	return names
}
