package agent

import (
	"context"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// advanceEvery is how many write probes lie between two rounds of advancing a standby's slots.
const advanceEvery = 20

const (
	// writeProbeEvery is the pace of the small local commit.
	writeProbeEvery = 500 * time.Millisecond
	// writeProbeFine is the age of the last good one up to which there is nothing to tell.
	writeProbeFine = writeProbeEvery * 3 / 2
	// mostExcused bounds for how long others' commits excuse ours.
	mostExcused = 30 * time.Second
)

// writeProbeLoop makes the small local commit twice a second while the member is a writable primary: it proves the write path,
// and gives replicas something to receive. Slots that nobody streams from (a standby's, and a primary's for the replicas behind
// a relay) it keeps from holding WAL for ever.
func (m *supervisor) writeProbeLoop(ctx context.Context) {
	ticker := time.NewTicker(writeProbeEvery)
	defer ticker.Stop()
	defer m.writer.end()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m.mu.Lock()
		pg, seen, goal := m.pg, m.seen, m.goal
		leading := seen.Role == health.RolePrimary && goal.Kind == platform.GoalPrimary && m.memory.Opened == goal.Epoch
		if !leading {
			m.writes = writes{}
		}
		standby := seen.Role == health.RoleStandby && goal.Kind == platform.GoalReplica
		if goal.Paused {
			leading, standby = false, false
			m.writes = writes{}
		}
		m.mu.Unlock()
		if pg == nil || !leading && !standby || pg.Stopping() {
			m.writer.end()
			continue
		}
		if leading {
			m.writeProbe(ctx, pg)
		}
		if (leading || standby) && n%advanceEvery == 0 {
			m.advance(ctx, pg, goal, seen.Position)
		}
	}
}

// writer is the kept session of the small commit.
type writer struct {
	sess  *postgres.Session // nil for none
	pid   int               // the postmaster it is of
	pg    *postgres.Server
	begun time.Duration
}

func (w *writer) end() {
	if w.sess != nil {
		w.sess.Close()
	}
	w.sess = nil
}

// with runs f on the session, which is opened where there is none, or not of this postmaster.
func (w *writer) with(ctx context.Context, pg *postgres.Server, f func(*postgres.Session) error) error {
	pid, _, _ := pg.Running()
	now := boottime.Now()
	if w.sess != nil && (w.sess.Lost() || w.pid != pid || w.pg != pg || now-w.begun > sessionLife) {
		w.end()
	}
	if w.sess == nil {
		sess, err := pg.Keep(ctx)
		if err != nil {
			return err
		}
		*w = writer{sess, pid, pg, now}
	}
	return f(w.sess)
}

// writes is what the write probes of an open primary tell of its write path.
type writes struct {
	stall     stall
	err       string
	hangs     bool // the last one that ended had not ended in time, and none since could be tried for want of a slot
	saturated bool
	excused   time.Duration // by others' commits, since one of ours was made
	flush     platform.LSN  // as far as the looks have seen WAL flushed
}

// flushed takes in how far WAL is flushed. Where that advances while a small commit hangs, others get through: the write path
// works, and something beside it holds the commit up. One that was turned away with an error is not excused so. Where no slot is
// left for another try, that others get through is all there is to see, so it excuses for as long as it is seen.
func (w *writes) flushed(at platform.LSN, now time.Duration) {
	if at > w.flush && (w.err == "" || w.hangs) && w.stall.counting && (w.excused < mostExcused || w.saturated) {
		if !w.saturated {
			w.excused += now - w.stall.tried
		}
		w.stall.excused(now)
	}
	w.flush = max(w.flush, at)
}

// writeProbe makes one small local commit, and notes how it ended.
func (m *supervisor) writeProbe(ctx context.Context, pg *postgres.Server) {
	begun := boottime.Now()
	m.mu.Lock()
	m.writes.stall.begin(begun)
	m.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := m.writer.with(bounded, pg, func(s *postgres.Session) error {
		m.writeBackend.Store(int64(s.PID))
		return s.WriteProbe(bounded)
	})
	if ctx.Err() != nil {
		return
	}
	lives := m.writeBackendLives()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes.hangs = m.writes.hangs && lives
	m.writes.ended(begun, boottime.Now(), err)
}

// writeBackendLives tells whether the server's process of the last session still exists: one that hangs in a write does, whatever has
// become of our end of its connection.
func (m *supervisor) writeBackendLives() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", m.writeBackend.Load()))
	return err == nil
}

// ended notes how a small commit ended. A server without a free slot is alive, and proves nothing about its disk. But a commit that hung
// before all slots were taken still hangs while its process exists: when a disk hangs, sessions that hang with it take the slots.
func (w *writes) ended(begun, now time.Duration, err error) {
	w.hangs = err != nil && (hung(err) || w.hangs && saturated(err))
	w.saturated, w.err = saturated(err), ""
	if err != nil {
		w.err = health.Brief(err)
	}
	switch {
	case err == nil:
		w.stall.since(begun, now)
		w.excused = 0
	case saturated(err) && w.hangs: // nothing was tried: what others get through is excused from the last try on
	case beside(err):
		w.stall.excused(now)
	default:
		w.stall.failed(now)
	}
}

// advance moves the idle slot for each other member to where that member is, so that the WAL it may still need from here is
// kept, and no more.
func (m *supervisor) advance(ctx context.Context, pg *postgres.Server, goal platform.Goal, own platform.LSN) {
	m.mu.Lock()
	others := m.others
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, other := range goal.OtherMembers {
		at := min(others[other], own)
		if at == 0 {
			continue
		}
		err := m.writer.with(ctx, pg, func(s *postgres.Session) error { return s.AdvanceSlot(ctx, postgres.SlotName(other), at) })
		if err != nil && ctx.Err() == nil {
			m.log.Debug("advance slots failed", zap.Error(err))
			return
		}
	}
}
