package supervisor

import (
	"fmt"
	"slices"

	"mainstay/controller/boottime"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// resources reports what a server needs from its host and its user beside its data: an archive, libraries that order text, free WAL
// senders, and processes that read. All of it comes from looks that are taken anyway.
func (m *observer) resources(s postgres.Status, r *health.Member) {
	if a := s.Archiver; a != nil {
		r.Archiver = &health.Archiver{Archived: a.Archived, Failed: a.Failed, Waiting: a.Waiting, Kept: a.Kept, Segment: a.Segment,
			Until: a.Until}
	}
	m.mu.Lock()
	surveyed := m.surveyed
	m.mu.Unlock()
	if surveyed.of != m.session.pid {
		surveyed = survey{}
	}
	for _, c := range slices.Concat(s.Collations, surveyed.collations) {
		r.Collations = append(r.Collations, health.Collation(c))
	}
	r.ShortFiles = surveyed.short
	r.StuckWorkers = m.workers.Stuck(m.session.pid, s.IOWorkers, boottime.Now())
	if limit := s.Demanded["max_wal_senders"]; !s.InRecovery && limit > 0 && len(s.Senders) >= limit {
		r.MaxSenders = limit
	}
}

// clientOf names a sender's process and where its client is.
func clientOf(w postgres.Sender) string {
	if w.Addr == "" {
		return fmt.Sprintf("process %d, from this host", w.PID)
	}
	return fmt.Sprintf("process %d, from %s", w.PID, w.Addr)
}
