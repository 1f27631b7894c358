package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity/serverlog"
)

// ended inspects the data of a stopped member, once after each stop. A crash is reported before that, so that the next epoch need not
// wait for it.
func (m *observer) ended(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable, before member.Seen, g *glance) {
	if m.neverAnswered(ctx, pg) {
		m.inspected = false
	}
	m.crashed(pg, goal)
	if m.inspected && before.Process == health.ProcessEnded && !m.mayHaveChanged(goal, before) {
		was := before
		was.Process = health.ProcessEnded
		g.seen = was
		m.mu.Lock()
		g.report = m.view.report
		m.mu.Unlock()
		return
	}
	if goal.Kind == platform.GoalPrimary && d.Closed.Less(d.Ran) && g.seen.Data != health.DataUnknown {
		return
	}
	if err := m.inspect(ctx, pg, g); err != nil {
		m.note(err)
		g.seen.Data = health.DataUnknown
		return
	}
	m.inspected, m.inspectedAt = true, boottime.Now()
}

// mayHaveChanged tells whether it is time to inspect stopped data again that the agent does not manage: its user may change or replace
// it.
func (m *observer) mayHaveChanged(goal platform.Goal, before member.Seen) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ours := before.Data == health.DataPresent && goal.Kind != platform.GoalObserve && (goal.SystemID == "" || before.SystemID == goal.SystemID)
	return !ours && m.activity.cancel == nil && boottime.Now()-m.inspectedAt > inspectEvery
}

// inspect reads stopped data: what it is, and where its WAL ends.
func (m *observer) inspect(ctx context.Context, pg *postgres.Server, g *glance) error {
	data, err := pg.InspectData(ctx)
	if errors.Is(err, postgres.ErrCorruptControl) {
		g.seen.Data, g.seen.Corrupt, g.report.Corrupt = health.DataPresent, err.Error(), err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	switch data.State {
	case postgres.DataAbsent, postgres.DataEmpty:
		g.seen.Data, g.seen.SystemID, g.seen.Timeline = health.DataEmpty, "", 0
		g.report.Slots, g.report.MoreSlots = nil, 0
		m.setTree(nil) // the directory will be created again
		return nil
	case postgres.DataForeign:
		g.seen.Data, g.seen.SystemID = health.DataForeign, ""
		g.report.Slots, g.report.MoreSlots = nil, 0
		m.setTree(nil) // its replacement is another directory
		return nil
	}
	c := data.Control
	g.seen.Data, g.seen.SystemID, g.seen.Timeline, g.seen.Clean = health.DataPresent, c.SystemID, c.Timeline, c.Clean() && !data.Rewinding
	// A new clone has its source's control file until it is started as a standby.
	_, copied := os.Stat(filepath.Join(pg.Data, "backup_label"))
	g.seen.Copied = copied == nil
	g.seen.AsPrimary = !strings.Contains(c.State, "recovery") && !g.seen.Copied
	g.seen.Shutdown = c.Checkpoint
	if c.Clean() && g.seen.AsPrimary {
		g.report.Clean, g.report.Shutdown = true, c.Checkpoint
	}
	end, err := pg.EndOfWAL(ctx)
	m.flushed.compare(m.shared, end, err)
	if err == nil && end.Timeline != 0 {
		g.seen.Timeline = max(g.seen.Timeline, end.Timeline)
	}
	if err == nil && end.Known {
		g.seen.End, g.seen.Position = end.LSN, end.LSN
	}
	g.report.Position, g.report.PositionKnown = g.seen.End, g.seen.End != 0
	return nil
}

// flushed is how far a running primary had synced its WAL to disk.
type flushed struct {
	at       platform.LSN // 0: not known
	timeline platform.Timeline
	of       string // the incarnation of the data
}

// smallestPage is the smallest page of WAL that PostgreSQL can be built with, in bytes.
const smallestPage = 1024

// note takes a position at which a record ends. One at the end of a page may be amid a record: the WAL writer syncs whole pages.
func (f *flushed) note(now flushed) {
	switch {
	case now.at%smallestPage != 0:
		*f = now
	case now.timeline != f.timeline || now.of != f.of:
		*f = flushed{}
	}
}

// compare notes, once, that valid WAL of a primary that has ended does not reach as far as it had been synced: a record on the disk is
// damaged or gone. Recovery ends there without an error, as at the end of WAL.
func (f *flushed) compare(m *shared, end postgres.Position, err error) {
	before := *f
	*f = flushed{}
	m.mu.Lock()
	defer m.mu.Unlock()
	var none *postgres.NoWALError
	what := "no valid WAL is there from its last checkpoint on"
	switch {
	case before.at == 0 || before.of != m.durable.Incarnation:
		return
	case errors.As(err, &none):
	case err != nil || end.LSN == 0 || end.Timeline != before.timeline || end.LSN >= before.at:
		return
	default:
		what = "valid WAL ends at " + end.LSN.String()
	}
	what += ", and PostgreSQL had synced it up to " + before.at.String()
	m.log.Error("synced WAL is damaged or gone", zap.String("evidence", what))
	m.logged.add(health.SignOfWAL, serverlog.Entry{Message: what}, instant{boottime.Now(), true})
}
