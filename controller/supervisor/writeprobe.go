package supervisor

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

// advanceEvery is the number of write probes between two rounds of advancing a standby's slots.
const advanceEvery = 20

const (
	// writeProbeEvery is the interval of write probes.
	writeProbeEvery = 500 * time.Millisecond
	// writeProbeFine is the age of the last successful one up to which none is reported as late.
	writeProbeFine = writeProbeEvery * 3 / 2
	// mostExcused bounds how long commits of others excuse a hanging probe.
	mostExcused = 30 * time.Second
)

// prober proves a primary's write path. Only writeProbeLoop's goroutine uses its own fields.
type prober struct {
	*shared
	writer writer
}

// writeProbeLoop makes a small local commit twice a second while the member is a writable primary: it proves the write path, and gives
// replicas WAL to receive. It also advances slots from which no standby streams (a standby's, and a primary's for replicas behind an
// upstream), so that they do not hold WAL for ever.
func (m *prober) writeProbeLoop(ctx context.Context) {
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
		pg, seen, goal := m.pg, m.view.seen, m.told.goal
		leading := seen.Role == health.RolePrimary && goal.Kind == platform.GoalPrimary && m.memory.Opened == goal.Epoch
		if !leading {
			m.hangs.writes = writes{}
		}
		standby := seen.Role == health.RoleStandby && goal.Kind == platform.GoalReplica
		if goal.Paused {
			leading, standby = false, false
			m.hangs.writes = writes{}
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

// writer is the kept session of the write probe.
type writer struct {
	sess  *postgres.Session // nil for none
	pid   int               // its postmaster
	pg    *postgres.Server
	begun time.Duration
}

func (w *writer) end() {
	if w.sess != nil {
		w.sess.Close()
	}
	w.sess = nil
}

// with runs f on the session, which it opens if there is none, or none of this postmaster.
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

// writes is the evidence of the write probes about an open primary's write path.
type writes struct {
	stall     stall
	err       string
	hangs     bool // the last probe that was tried timed out; later ones could not be tried for lack of a slot
	saturated bool
	excused   time.Duration // by others' commits, since the last successful probe
	flush     platform.LSN  // up to which the looks have seen WAL flushed
}

// flushed notes how far WAL is flushed. If that advances while a probe hangs, others' commits succeed: the write path works, and
// something outside it blocks the probe. A probe that failed with an error is not excused so. If no slot is left for another try,
// others' commits are the only evidence, so they excuse for as long as they are seen.
func (w *writes) flushed(at platform.LSN, now time.Duration) {
	if at > w.flush && (w.err == "" || w.hangs) && w.stall.counting && (w.excused < mostExcused || w.saturated) {
		if !w.saturated {
			w.excused += now - w.stall.tried
		}
		w.stall.excused(now)
	}
	w.flush = max(w.flush, at)
}

// writeProbe makes one small local commit, and records its result.
func (m *prober) writeProbe(ctx context.Context, pg *postgres.Server) {
	begun := boottime.Now()
	m.mu.Lock()
	m.hangs.writes.stall.begin(begun)
	m.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := m.writer.with(bounded, pg, func(s *postgres.Session) error {
		m.backends.write.Store(int64(s.PID))
		return s.WriteProbe(bounded)
	})
	if ctx.Err() != nil {
		return
	}
	lives := m.writeBackendLives()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hangs.writes.hangs = m.hangs.writes.hangs && lives
	m.hangs.writes.ended(begun, boottime.Now(), err)
}

// writeBackendLives tells whether the server's process of the last session still exists: one that hangs in a write does, whatever has
// become of our end of its connection.
func (m *prober) writeBackendLives() bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d", m.backends.write.Load()))
	return err == nil
}

// ended records the result of a probe. A server without a free slot is alive, but that proves nothing about its disk. A probe that hung
// before all slots were taken still counts as hanging while its process exists: when a disk hangs, other sessions hang as well and take the
// slots.
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
	case saturated(err) && w.hangs: // not tried: others' commits excuse from the last try on
	case beside(err):
		w.stall.excused(now)
	default:
		w.stall.failed(now)
	}
}

// advance moves the idle slot for each other member to that member's position, and that of the archive to what every target holds, so that
// only the WAL that may still be needed from here is kept.
func (m *prober) advance(ctx context.Context, pg *postgres.Server, goal platform.Goal, own platform.LSN) {
	m.mu.Lock()
	others, archived := m.told.others.Positions, m.told.others.KeptFrom
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	for _, other := range goal.SlotOwners() {
		at := min(others[other], own)
		if other == platform.ArchiveOwner {
			at = min(archived, own)
		}
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
