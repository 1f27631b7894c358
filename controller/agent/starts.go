package agent

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// starting is the postmaster of our last start, as long as it has not answered.
func (m *supervisor) starting() *postgres.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started
}

// answered: the last start is a success, and so are the files of this host's user that it had.
func (m *supervisor) answered(pg *postgres.Server, replayed platform.LSN) {
	m.mu.Lock()
	fresh := m.started != nil
	if fresh {
		m.ran, m.started = m.started, nil
	}
	if fresh && !m.noArchive {
		m.foreign = ""
	}
	if m.unstarted.past == 0 || replayed > m.unstarted.past {
		if m.fault == m.unstarted.why {
			m.fault = ""
		}
		m.unstarted = unstarted{}
	}
	m.mu.Unlock()
	if !fresh {
		return
	}
	if err := pg.OwnFilesWork(); err != nil {
		m.log.Warn("files that were carried over could not be removed", zap.Error(err))
	}
	select {
	case m.agent.rebuilt <- m.name:
	default: // what it has set aside is kept whole until its next start
	}
}

// unstarted is what is known of starts that ended before PostgreSQL answered once, or at one place of its replay soon after.
type unstarted struct {
	times int // in a row
	why   string
	until time.Duration // before that it is not tried again
	past  platform.LSN  // it has succeeded once it has replayed more than that; 0: once it answers
}

// mostUnstarted bounds the pause between two such starts.
const mostUnstarted = 10 * time.Second

// neverAnswered takes note of a start that ended before PostgreSQL answered once, and lets an act's changes be looked into. Only what
// may be the fault of the data counts for its repair: for the rest it is tried again, with growing pauses, until its host is mended.
func (m *supervisor) neverAnswered(ctx context.Context, pg *postgres.Server) {
	p := m.starting()
	var fault postgres.Fault
	if p != nil {
		fault = pg.Fault(ctx, p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stale {
		m.stale, m.inspected = false, false
	}
	if p == nil || m.started != p {
		return
	}
	m.started = nil
	if p == m.ending { // by us: it was not given the time
		return
	}
	if fault.Data {
		m.memory.StartFailures++
		if fault.At != 0 {
			m.memory = m.memory.Crashed(fault.At)
		}
	}
	m.inVain("PostgreSQL did not start", pg, fault)
}

// crashed takes note of a standby that has answered and has ended by itself since: its replay may do so again and again.
func (m *supervisor) crashed(pg *postgres.Server, goal platform.Goal) {
	m.mu.Lock()
	p, ours := m.ran, m.ran == m.ending
	m.mu.Unlock()
	if p == nil || ours || goal.Kind != platform.GoalReplica {
		m.forgetRan(p)
		return
	}
	select {
	case <-p.Done():
	default:
		return // its end is not known yet: the next look tells
	}
	fault := pg.Crash(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ran = nil
	if fault.Said == "" {
		return
	}
	if fault.Data {
		m.memory = m.memory.Crashed(fault.At)
		fault.At = m.memory.CrashedAt()
	}
	m.inVain("PostgreSQL ended unexpectedly", pg, fault)
	m.unstarted.past = max(m.unstarted.past, fault.At)
}

// forgetRan: how that server has ended tells nothing.
func (m *supervisor) forgetRan(p *postgres.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ran == p {
		m.ran = nil
	}
}

// inVain notes, under mu, a start that has come to nothing, says why, and holds back the next one.
func (m *supervisor) inVain(what string, pg *postgres.Server, fault postgres.Fault) {
	m.unstarted.times++
	if m.unstarted.why = what; fault.Said != "" {
		m.unstarted.why += ": " + fault.Said
	}
	m.unstarted.why += "; see " + pg.Log
	switch mend := m.memory.Mend(); {
	case !fault.Data:
		m.unstarted.why += ". Repair that on this host: the agent keeps trying and leaves the data as it is"
	case mend != "":
		m.unstarted.why += ". The agent keeps trying, but " + mend
	}
	m.fault = m.unstarted.why
	m.unstarted.until = boottime.Now() + min(500*time.Millisecond<<min(m.unstarted.times-1, 6), mostUnstarted)
}
