package supervisor

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// starting is the postmaster of the agent's last start until it has answered.
func (m *shared) starting() *postgres.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.starts.started
}

// answered notes that the last start has succeeded, and that the host user's files in its data work.
func (m *shared) answered(pg *postgres.Server, replayed platform.LSN) {
	m.mu.Lock()
	fresh := m.starts.started != nil
	if fresh {
		m.starts.ran, m.starts.started = m.starts.started, nil
	}
	if fresh && !m.starts.noArchive {
		m.starts.foreign = ""
	}
	if m.starts.unstarted.past == 0 || replayed > m.starts.unstarted.past {
		if m.activity.fault == m.starts.unstarted.why {
			m.activity.fault = ""
		}
		m.starts.unstarted = unstarted{}
	}
	m.mu.Unlock()
	if !fresh {
		return
	}
	if err := pg.OwnFilesWork(); err != nil {
		m.log.Warn("files that were carried over could not be removed", zap.Error(err))
	}
	m.o.Quarantine.Answered(m.o.Name)
}

// unstarted is the record of starts that ended before PostgreSQL answered once, or soon after at the same position of its replay.
type unstarted struct {
	times int // in a row
	why   string
	until time.Duration // no start before this
	past  platform.LSN  // the start counts as successful once replay is past this; 0: once it answers
}

// mostUnstarted bounds the pause between two such starts.
const mostUnstarted = 10 * time.Second

// neverAnswered handles a start that ended before PostgreSQL answered once, and tells whether an act has changed the stopped data since
// it was inspected. Only a fault that the data may have caused counts for its repair; other faults are retried, with growing pauses,
// until the host is repaired.
func (m *shared) neverAnswered(ctx context.Context, pg *postgres.Server) (changed bool) {
	p := m.starting()
	var fault postgres.Fault
	if p != nil {
		fault = pg.Fault(ctx, p)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	changed, m.view.stale = m.view.stale, false
	if p == nil || m.starts.started != p {
		return changed
	}
	m.starts.started = nil
	if p == m.starts.ending { // ended by the agent itself before it could answer
		return changed
	}
	if fault.Data {
		m.memory.StartFailures++
		if fault.At != 0 {
			m.memory = m.memory.Crashed(fault.At)
		}
	}
	m.inVain("PostgreSQL did not start", pg, fault)
	return changed
}

// crashed handles a standby that has answered and has since ended unexpectedly: its replay may end it again and again.
func (m *shared) crashed(pg *postgres.Server, goal platform.Goal) {
	m.mu.Lock()
	p, ours := m.starts.ran, m.starts.ran == m.starts.ending
	m.mu.Unlock()
	if p == nil || ours || goal.Kind != platform.GoalReplica {
		m.forgetRan(p)
		return
	}
	select {
	case <-p.Done():
	default:
		return // its end is not known yet; the next look handles it
	}
	fault := pg.Crash(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts.ran = nil
	if fault.Said == "" {
		return
	}
	if fault.Data {
		m.memory = m.memory.Crashed(fault.At)
		fault.At = m.memory.CrashedAt()
	}
	m.inVain("PostgreSQL ended unexpectedly", pg, fault)
	m.starts.unstarted.past = max(m.starts.unstarted.past, fault.At)
}

// forgetRan drops a server whose end is no evidence.
func (m *shared) forgetRan(p *postgres.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.starts.ran == p {
		m.starts.ran = nil
	}
}

// inVain records, under mu, a failed start and its reason, and delays the next one.
func (m *shared) inVain(what string, pg *postgres.Server, fault postgres.Fault) {
	m.starts.unstarted.times++
	if m.starts.unstarted.why = what; fault.Said != "" {
		m.starts.unstarted.why += ": " + fault.Said
	}
	m.starts.unstarted.why += "; see " + pg.Log
	switch mend := m.memory.Mend(); {
	case !fault.Data:
		m.starts.unstarted.why += ". Repair that on its host: the agent keeps trying and leaves the data as it is"
	case mend != "":
		m.starts.unstarted.why += ". The agent keeps trying, but " + mend
	}
	m.activity.fault = m.starts.unstarted.why
	m.starts.unstarted.until = boottime.Now() + min(500*time.Millisecond<<min(m.starts.unstarted.times-1, 6), mostUnstarted)
}
