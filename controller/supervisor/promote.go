package supervisor

import (
	"context"
	"fmt"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// promote makes a standby primary on the goal's timeline. Its durability set is loaded before it takes the first write.
func (m *actor) promote(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
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
	m.mu.Lock()
	archived := m.told.others.Archived
	m.mu.Unlock()
	shown, err := pg.Promote(ctx, postgres.Promotion{Settings: s, Timeline: goal.Timeline, Archived: archived, Unarchived: m.takeUnarchived,
		Spare: m.backends.pids(), Arm: func() error {
			if err := m.arm(goal); err != nil {
				return fmt.Errorf("promote %s: %w", m.o.Name, err)
			}
			return nil
		}})
	if err == nil && shown.SyncNames == s.SyncNames {
		m.proven(shown)
	}
	m.mu.Lock()
	m.starts.foreign = "" // a primary has no use for an archive's timelines
	m.mu.Unlock()
	return err
}

// open completes an epoch's opening: the timeline is the recorded one, standby.signal is there again, Mainstay's roles exist, and a
// CHECKPOINT is done on the new timeline, so that others can rewind from here. A restarted agent finds the epoch opened and the
// CHECKPOINT done: the primary can be announced, and promises given to it, without another CHECKPOINT (S6).
func (m *actor) open(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
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
func (m *actor) load(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err != nil {
		return err
	}
	if err := pg.WriteSettings(ctx, s); err != nil {
		return err
	}
	m.mu.Lock()
	m.unwritten = m.unwritten && m.pg != pg
	m.slots.tried = triedSlots(pg, s.SyncSlots)
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
func (m *actor) takeBack(pg *postgres.Server, d member.Durable) error {
	if d.SystemID != "" || !pg.StartedByUs() {
		return nil
	}
	m.mu.Lock()
	d.SystemID = m.view.seen.SystemID
	m.mu.Unlock()
	return m.keepDurable(d)
}
