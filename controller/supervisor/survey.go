package supervisor

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/postgres"
	"mainstay/health"
)

const (
	// surveyEvery is how often every database is asked what only it knows. That changes with an update of the host.
	surveyEvery = 10 * time.Minute
	// surveySoon is how often it is tested whether a survey is due: another postmaster runs.
	surveySoon = 5 * time.Second
	// surveyTimeout bounds one.
	surveyTimeout = time.Minute
)

// surveyor asks the server's databases, seldom. Only surveyLoop's goroutine uses its own fields.
type surveyor struct {
	*shared
	of    int // the postmaster that was last asked
	at    int // the number of tests since
	fault string
}

// survey is what the databases have said.
type survey struct {
	of         int // the postmaster
	collations []postgres.Collation
	short      []string // files that contradict the catalog
}

// surveyLoop asks, until ctx ends, each new postmaster soon after its start, and then every surveyEvery.
func (m *surveyor) surveyLoop(ctx context.Context) {
	ticker := time.NewTicker(surveySoon)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		m.mu.Lock()
		pg, role, managed := m.pg, m.view.seen.Role, m.durable.SystemID != "" && !m.told.goal.Paused
		m.mu.Unlock()
		if m.at++; pg == nil || role == health.RoleUnknown || !managed {
			continue
		}
		if pid, _, ok := pg.Running(); ok && (pid != m.of || m.at >= int(surveyEvery/surveySoon)) {
			m.survey(ctx, pg, pid)
		}
	}
}

// survey asks once.
func (m *surveyor) survey(ctx context.Context, pg *postgres.Server, pid int) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	log, wrong := pg.LogSettings(ctx)
	collations, err := pg.ColumnCollations(ctx)
	short, unlisted := pg.ShortFiles(ctx)
	err = errors.Join(err, unlisted)
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != m.fault {
		m.log.Warn("not every database could be asked for its collations and files", zap.Error(err))
	}
	m.fault = fault
	if err != nil && len(collations) == 0 && m.of != pid {
		return // it is asked again soon
	}
	m.of, m.at = pid, 0
	m.mu.Lock()
	defer m.mu.Unlock()
	m.surveyed = survey{pid, collations, short}
	if wrong == nil {
		m.logged.settings = log
	}
}
