package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// advanceEvery is how many beats lie between two rounds of advancing a standby's slots.
const advanceEvery = 20

const (
	// beatEvery is the pace of the small local commit.
	beatEvery = 500 * time.Millisecond
	// beatFine is the age of the last good one up to which there is nothing to tell.
	beatFine = beatEvery * 3 / 2
)

// beatAlong makes the small local commit twice a second while the member is a writable primary: it proves the write path,
// and gives replicas something to receive. Slots that nobody streams from (a standby's, and a primary's for the replicas behind
// a relay) it keeps from holding WAL for ever.
func (m *minder) beatAlong(ctx context.Context) {
	ticker := time.NewTicker(beatEvery)
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
		if !leading {
			m.writes = writes{}
		}
		standby := seen.Role == health.RoleStandby && goal.Kind == platform.GoalReplica
		m.mu.Unlock()
		if inst == nil {
			continue
		}
		if leading {
			m.beat(ctx, inst)
		}
		if (leading || standby) && n%advanceEvery == 0 {
			m.once(ctx, "advance slots", func(ctx context.Context) error { return m.advance(ctx, inst, goal, seen.Position) })
		}
	}
}

// writes is what the beats of an open primary tell of its write path.
type writes struct {
	stall     stall
	err       string
	saturated bool
}

// beat makes one small local commit, on a new connection, and notes how it ended.
func (m *minder) beat(ctx context.Context, inst *postgres.Instance) {
	begun := boottime.Now()
	m.mu.Lock()
	m.writes.stall.begin(begun)
	m.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := inst.Beat(bounded)
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes.ended(begun, boottime.Now(), err)
}

func (w *writes) ended(begun, now time.Duration, err error) {
	w.saturated, w.err = saturated(err), ""
	if err != nil {
		w.err = brief(err)
	}
	switch {
	case err == nil:
		w.stall.since(begun, now)
	case beside(err):
		w.stall.excused(now)
	default:
		w.stall.failed(now)
	}
}

func (m *minder) once(ctx context.Context, what string, f func(context.Context) error) {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := f(bounded); err != nil && ctx.Err() == nil {
		m.log.Debug(what+" failed", zap.Error(err))
	}
}

// advance moves the idle slot for each other member to where that member is, so that the WAL it may still need from here is
// kept, and no more.
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
