package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// advanceEvery is how many beats lie between two rounds of advancing a standby's slots.
const advanceEvery = 20

// beatAlong makes the small local commit twice a second while the member is a writable primary: it proves the write path,
// and gives replicas something to receive. On a standby it keeps the slots for the others from holding WAL for ever.
func (m *minder) beatAlong(ctx context.Context) {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m.mu.Lock()
		inst, seen, goal := m.inst, m.seen, m.goal
		leading := seen.Role == health.RolePrimary && goal.Kind == platform.GoalPrimary && m.memory.Opened == goal.Epoch
		m.mu.Unlock()
		switch {
		case inst == nil:
		case leading:
			m.once(ctx, "beat", inst.Beat)
		case seen.Role == health.RoleStandby && goal.Kind == platform.GoalReplica && n%advanceEvery == 0:
			m.once(ctx, "advance slots", func(ctx context.Context) error { return m.advance(ctx, inst, goal, seen.Position) })
		}
	}
}

func (m *minder) once(ctx context.Context, what string, f func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := f(bounded); err != nil && ctx.Err() == nil {
		m.log.Debug(what+" failed", zap.Error(err))
	}
}

// advance moves a standby's slot for each other member to where that member is, so that the WAL it may still need from
// here is kept, and no more.
func (m *minder) advance(ctx context.Context, inst *postgres.Instance, goal platform.Goal, own platform.LSN) error {
	m.mu.Lock()
	others := m.others
	m.mu.Unlock()
	for _, other := range goal.Slots {
		if at := min(others[other], own); at != 0 {
			if err := inst.AdvanceSlot(ctx, postgres.SlotName(other), at); err != nil {
				return err
			}
		}
	}
	return nil
}
