package supervisor

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// observer looks at the member. Only the look in progress uses its own fields.
type observer struct {
	*shared
	inspected   bool          // the stopped data was inspected since it stopped
	inspectedAt time.Duration // when that was
	// waitingFor are the settings that wait for the restart of an adopted server, as read from the postmaster waitingOf.
	waitingOf  int
	waitingFor []string
	reached    reached
	workers    postgres.IOWorkers
	pages      postgres.ReadPages
	flushed    flushed
	user       userSide
	session    lookSession
	ancestry   struct {
		of      platform.Timeline
		history platform.History
	}
}

// glance is the result of one look, before it is published.
type glance struct {
	seen   member.Seen
	report health.Member
	begun  time.Duration
	asked  error // why PostgreSQL did not answer, if it runs
}

// glanceAfter starts a look with the values that stay valid while the server does not answer. Its slots stay too, even when it is
// stopped: when another member takes over, the report names the slots that the dead primary had.
func glanceAfter(name, version string, last health.Member, seen member.Seen) *glance {
	g := &glance{report: health.Member{Name: name, Data: last.Data, SystemID: last.SystemID, Version: version, Timeline: last.Timeline,
		Slots: last.Slots, MoreSlots: last.MoreSlots}}
	g.seen.Data, g.seen.SystemID, g.seen.Timeline = seen.Data, seen.SystemID, seen.Timeline
	return g
}

// look observes the member, within lookTimeout, and publishes the result. A notable change is reported at once.
func (m *observer) look(ctx context.Context) {
	m.learnAddress()
	m.mu.Lock()
	pg := m.pg
	if pg == nil {
		m.hangs.looks = stall{} // there is nothing to look at
	}
	m.mu.Unlock()
	if pg == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m.takeUpResume(ctx, pg)
	m.mu.Lock()
	goal, d, last, seen := m.told.goal, m.durable, m.view.report, m.view.seen
	m.mu.Unlock()
	g := glanceAfter(m.o.Name, pg.Binaries.Version, last, seen)
	g.begun = boottime.Now()
	m.process(ctx, pg, g)
	var status *postgres.Status
	fault := ""
	switch g.seen.Process {
	case health.ProcessRunning:
		s, err := m.ask(ctx, pg)
		g.report.Saturated = m.session.isSaturated(boottime.Now())
		m.answer(err)
		fault = m.session.fault
		if status = s; s != nil {
			fault = cmp.Or(fault, sealless(d, *s), m.withoutStream(pg, goal, *s))
			m.running(pg, goal, d, *s, g)
			m.shortage(ctx, pg, d, *s, g)
			g.report.PendingRestart = append(slices.Clone(g.report.PendingRestart), m.waiting(ctx, pg, goal, d)...)
		} else {
			g.asked = err
			if errors.Is(err, postgres.ErrStarting) {
				m.recovering(ctx, pg, goal, g)
			}
		}
		m.inspected = false
	case health.ProcessEnded:
		m.ended(ctx, pg, goal, d, seen, g)
	}
	m.adoptable(ctx, pg, goal, d, g)
	if len(g.report.Refusals) == 0 { // else they say it
		g.report.Error = fault
	}
	g.report.Data, g.report.Process, g.report.Role = g.seen.Data, g.seen.Process, g.seen.Role
	g.report.SystemID, g.report.Timeline = g.seen.SystemID, g.seen.Timeline
	m.lookAtUserSide(ctx, pg, d, status != nil, g.seen.Role)
	g.report.Replaced = m.user.replaced
	g.report.Full, g.report.Tablespaces, g.report.NoFolder = m.user.full, m.user.spaces, m.user.noFolder
	m.mu.Lock()
	g.seen.Unwritten = g.seen.Unwritten || m.unwritten
	m.mu.Unlock()
	m.guard(ctx, pg, g)
	m.mu.Lock()
	memory := m.memory
	m.mu.Unlock()
	memory.Settling = memory.Settle(goal, g.seen)
	m.confirm(ctx, pg, member.Input{Goal: goal, Durable: d, Seen: g.seen, Memory: memory}, status, g)
	m.publish(g, goal, memory.Settling, last)
}

// process determines whether PostgreSQL runs, and watches for its end.
func (m *observer) process(ctx context.Context, pg *postgres.Server, g *glance) {
	if _, err := os.Stat(pg.Data); err != nil {
		m.withoutData(ctx, pg, err, g)
		return
	}
	if err := m.reach(pg); err != nil {
		m.note(err)
		return
	}
	switch pid, _, err := pg.Postmaster(); {
	case err == nil:
		g.seen.Process = health.ProcessRunning
		m.watch(ctx, pid)
		return
	case !errors.Is(err, postgres.ErrNotRunning):
		m.note(err) // unknown, so it has not ended
		return
	}
	left, err := m.handles.tree.Pids()
	m.withoutPostmaster(left, err, g)
	// A postmaster that the agent has just started, and that has no pid file yet, has not ended.
	if p := m.starting(); p != nil && g.seen.Process != health.ProcessRunning {
		select {
		case <-p.Done():
		default:
			g.seen.Process = health.ProcessRunning
		}
	}
}

// withoutData is a look while the data directory is missing or unreadable. A server keeps running when its directory is moved away, so
// the last process has ended only if none is left; the proof `stopped` rests on that.
func (m *observer) withoutData(ctx context.Context, pg *postgres.Server, why error, g *glance) {
	g.seen.Data = health.DataUnknown
	if errors.Is(why, os.ErrNotExist) {
		g.seen.Data = health.DataEmpty
	} else {
		m.note(why)
	}
	left, err := m.leftBehind(ctx, pg)
	m.withoutPostmaster(left, err, g)
}

// withoutPostmaster counts the member as ended once none of its processes is left.
func (m *observer) withoutPostmaster(left []int, err error, g *glance) {
	switch {
	case err != nil:
		m.note(err)
	case len(left) > 0:
		g.seen.Process = health.ProcessEnding
	default:
		g.seen.Process = health.ProcessEnded
	}
}

// guard keeps the guards running wherever there is data, and reports what protects the member.
func (m *observer) guard(ctx context.Context, pg *postgres.Server, g *glance) {
	m.mu.Lock()
	told := m.told.from.Index // read before they are disarmed and asked
	m.mu.Unlock()
	var fault error
	outside, postmaster := 0, 0
	if m.handles.tree != nil && g.seen.Data == health.DataPresent {
		fault = m.guards.ensure(ctx, m.guardOptions(pg))
		if h := m.handles.proc; h != nil && h.Alive() {
			postmaster = h.PID()
		}
		if m.handles.cgroup != nil && g.seen.Process == health.ProcessRunning {
			outside = m.outside(postmaster)
			g.seen.Outside = outside > 0
		}
		fault = errors.Join(fault, m.disarmPaused())
	}
	g.report.Guard = m.guards.check(fault, outside, postmaster)
	g.report.Guard.Told = told
	m.underWatchdog(&g.report.Guard)
	if m.handles.cgroup == nil {
		g.report.Guard.Missing = append(g.report.Guard.Missing, "a cgroup: a process that detaches itself from the tree escapes the guards")
	}
	g.report.Guard.Missing = append(g.report.Guard.Missing, m.unmasked()...)
	g.report.Guard.Missing = append(g.report.Guard.Missing, unswept()...)
}

// confirm sets the parts of a report that depend on the goal and the memory: seals, openings, durability sets.
func (m *observer) confirm(ctx context.Context, pg *postgres.Server, in member.Input, s *postgres.Status, g *glance) {
	r := &g.report
	r.Sealed, r.Opened, r.Loaded, r.Settled, r.Checkpointed = platform.Epoch{}, false, 0, 0, platform.Epoch{}
	if s == nil {
		return
	}
	r.Frozen = member.ReportFrozen(&in)
	if in.ConfirmsSeal() {
		at := m.sealedPosition(ctx, pg)
		r.Sealed, r.Position, r.PositionKnown = in.Durable.Sealed, max(at.LSN, g.seen.Position), at.Known
	}
	n := len(in.Goal.Sets)
	in.Confirm(r, n > 0 && member.Shows(s.SyncNames, in.Goal.Sets[n-1]), m.behind(in.Goal))
	if r.Opened {
		var err error
		if r.History, err = m.history(ctx, pg, s.Timeline); err != nil { // without it, members of older timelines would count as diverged
			m.note(err)
			r.Opened = false
		}
	}
}

// history is the ancestry of the timeline that an open primary writes. It is read once.
func (m *observer) history(ctx context.Context, pg *postgres.Server, t platform.Timeline) (platform.History, error) {
	if m.ancestry.of == t {
		return m.ancestry.history, nil
	}
	h, err := pg.ReadHistory(ctx, t)
	if err == nil {
		m.ancestry.of, m.ancestry.history = t, h
	}
	return h, err
}

// sealedPosition is the position read after the seal. While it is not known it is read again.
func (m *observer) sealedPosition(ctx context.Context, pg *postgres.Server) postgres.Position {
	m.mu.Lock()
	at := m.view.sealedAt
	m.mu.Unlock()
	if at.Known {
		return at
	}
	p, err := pg.Position(ctx)
	if err != nil {
		return at
	}
	m.mu.Lock()
	m.view.sealedAt = p
	m.mu.Unlock()
	return p
}

// publish stores a look's result for readers. Changes that others wait for are reported at once.
func (m *observer) publish(g *glance, goal platform.Goal, settling member.Settling, last health.Member) {
	m.mu.Lock()
	m.view.seen, m.view.report = g.seen, g.report
	m.memory = m.memory.Looked(goal, g.seen, boottime.Now()) // an act may have changed it since
	m.memory.Settling = settling
	m.view.begun, m.view.at = g.begun, boottime.Now()
	m.tell()
	if g.seen.Process != health.ProcessRunning {
		m.hangs.looks = stall{} // PostgreSQL was not asked
	}
	m.mu.Unlock()
	if member.Notable(&last, &g.report) {
		m.o.Host.Report()
	}
}
