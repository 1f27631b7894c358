package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

const (
	// readLasts is how long a scan waits behind the last pages that were read for a comparison: the next are expected soon.
	readLasts = 5 * time.Second
	// rereadAfter is the pause before a page that looks damaged is read again for a comparison.
	rereadAfter = 5 * time.Millisecond
	// reportedBlocks is how many pages that differ a report has. Whoever asks the agent itself gets those that the comparison lists.
	reportedBlocks = 3
)

var (
	// ErrNotCalm is returned where the files may not be read now.
	ErrNotCalm = errors.New("the member does not run as primary or replica, or is being changed")
	// ErrComparing is returned where the member's agent compares already.
	ErrComparing = errors.New("a comparison runs already")
)

// comparing is what comparisons have shown, and what they do. shared.mu guards it.
type comparing struct {
	readUntil time.Duration      // no scan before that: pages are being read for a comparison
	cancel    context.CancelFunc // of the comparison that this agent runs; nil for none
	of        string             // the incarnation of the data that the last one was about
	last      *health.Comparison // the last one, or that under way; never changed
	ended     time.Duration      // when it did
}

// publish puts the last comparison into a report, if it is about the present data.
func (c *comparing) publish(r *health.Member, now time.Duration) {
	r.Comparison = nil
	if shown := c.shown(r.Incarnation, now); shown != nil {
		shown.Damage = slices.Clone(shown.Damage[:min(reportedBlocks, len(shown.Damage))])
		r.Comparison = shown
	}
}

func (c *comparing) shown(incarnation string, now time.Duration) *health.Comparison {
	if c.last == nil || c.of != incarnation {
		return nil
	}
	shown := *c.last
	if !shown.Running {
		shown.AgeMS = (now - c.ended).Milliseconds()
	}
	return &shown
}

// comparer reads the member's files for comparisons with other members, one question at a time. It touches nothing that a lease needs.
type comparer struct {
	*shared
	serving chan struct{} // capacity 1: filled while a question is being answered; what follows is who has filled it
	files   *integrity.Scanner
	control controlFile
}

// enter waits for its turn, and for the member to be calm.
func (m *comparer) enter(ctx context.Context) (pg *postgres.Server, incarnation string, leave func(), err error) {
	select {
	case m.serving <- struct{}{}:
	case <-ctx.Done():
		return nil, "", nil, ctx.Err()
	}
	leave = func() { <-m.serving }
	m.mu.Lock()
	pg, incarnation = m.pg, m.durable.Incarnation
	calm := m.calm()
	m.mu.Unlock()
	if !calm {
		leave()
		return nil, "", nil, ErrNotCalm
	}
	if m.files == nil || m.files.Dir != pg.Data {
		m.files = &integrity.Scanner{Dir: pg.Data}
	}
	return pg, incarnation, leave, nil
}

// where reads the control file.
func (m *comparer) where(ctx context.Context, pg *postgres.Server, incarnation string) (compare.Where, postgres.Control, error) {
	c, err := m.control.read(ctx, m.o.Group, pg)
	if err != nil {
		return compare.Where{}, c, err
	}
	return compare.Where{Redo: c.Redo, Data: compare.Data{Incarnation: incarnation, Primary: m.seen().Role == health.RolePrimary,
		SystemID: c.SystemID, Timeline: c.Timeline, PageSize: int(c.PageSize), Checksums: c.Checksums,
		HintsLogged: c.Checksums || c.WALLogHints}}, c, nil
}

func (m *comparer) list(ctx context.Context) (l compare.Listing, err error) {
	pg, incarnation, leave, err := m.enter(ctx)
	if err != nil {
		return l, err
	}
	defer leave()
	where, control, err := m.where(ctx, pg, incarnation)
	if err != nil {
		return l, err
	}
	files, err := m.files.Catalogue(ctx)
	if err != nil {
		return l, err
	}
	l.Where = where
	l.Forks, l.Left = compare.ForksOf(files, int64(control.PageSize), int64(control.RelationSegment))
	return l, nil
}

func (m *comparer) read(ctx context.Context, extents []integrity.Extent) (all [][]page.Summary, at compare.Where, err error) {
	pg, incarnation, leave, err := m.enter(ctx)
	if err != nil {
		return nil, at, err
	}
	defer leave()
	m.mu.Lock()
	m.comparing.readUntil = boottime.Now() + readLasts
	m.mu.Unlock()
	if at, _, err = m.where(ctx, pg, incarnation); err != nil {
		return nil, at, err
	}
	all, err = m.files.Summaries(ctx, integrity.Options{Rate: int64(m.o.Config.Integrity.Rate) << 20, Deadline: scanDeadline,
		Again: integrity.Again{Every: rereadAfter}}, extents)
	return all, at, err
}

// CompareList lists the member's forks for a comparison.
func (m *Supervisor) CompareList(ctx context.Context) (compare.Listing, error) {
	return m.comparer.list(ctx)
}

// CompareWhere says how far the member has written.
func (m *Supervisor) CompareWhere(ctx context.Context) (at compare.Where, err error) {
	pg, incarnation, leave, err := m.comparer.enter(ctx)
	if err != nil {
		return at, err
	}
	defer leave()
	if at, _, err = m.comparer.where(ctx, pg, incarnation); err == nil {
		at.End, err = m.endOfWAL(ctx, boottime.Now())
	}
	return at, err
}

// CompareRead summarises pages of the member, at the rate of its scans.
func (m *Supervisor) CompareRead(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, error) {
	return m.comparer.read(ctx, extents)
}

// ownFiles is the member to its own agent's comparison.
type ownFiles struct{ *Supervisor }

func (m ownFiles) List(ctx context.Context) (compare.Listing, error) { return m.CompareList(ctx) }

func (m ownFiles) Where(ctx context.Context) (compare.Where, error) { return m.CompareWhere(ctx) }

func (m ownFiles) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, int64, error) {
	all, at, err := m.CompareRead(ctx, extents)
	return all, at, 0, err
}

// Peers are the agents of the cluster's other members, as the last answer of a leader has named them.
func (m *Supervisor) Peers() map[string]platform.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told.others.Peers
}

// Compare begins a comparison of the member with others, and ends when the agent does. wait is Options.Wait. done is called at its end. The
// errors are ErrNotCalm, ErrComparing and compare.ErrOneMember.
func (m *Supervisor) Compare(others []compare.Member, wait time.Duration, done func()) error {
	if len(others) == 0 {
		return compare.ErrOneMember
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.comparing
	if !m.calm() {
		return ErrNotCalm
	} else if c.cancel != nil {
		return ErrComparing
	}
	ctx, cancel := context.WithCancel(m.o.Context)
	c.cancel, c.of, c.last = cancel, m.durable.Incarnation, &health.Comparison{By: m.o.Name, Running: true, Members: []string{m.o.Name}}
	o := compare.Options{Wait: wait, Catalog: m.catalog, Progress: func(now health.Comparison) { m.compared(&now) }}
	m.o.Group.Go(func() error {
		defer done()
		defer cancel()
		result, err := compare.Run(ctx, append([]compare.Member{ownFiles{m}}, others...), o)
		m.log.Info("a comparison has ended", zap.Strings("members", result.Members), zap.Int64("pages", result.Blocks),
			zap.Int64("equal", result.Equal), zap.Int64("differ", result.Differ), zap.Any("unverified", result.Unverified), zap.Error(err))
		for _, d := range result.Damage {
			m.log.Warn("a page is not the same on all members", zap.String("path", d.Path), zap.Uint32("block", d.Block),
				zap.String("kind", d.Kind), zap.Strings("suspects", d.Suspects), zap.Bool("named", d.Named), zap.String("evidence", d.Detail))
		}
		m.compared(&result)
		m.o.Host.Report()
		return nil
	})
	return nil
}

// compared publishes how far a comparison is.
func (m *Supervisor) compared(now *health.Comparison) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.comparing.last = now
	if !now.Running {
		m.comparing.cancel, m.comparing.ended = nil, boottime.Now()
	}
}

// catalog asks the member's server for its relations.
func (m *Supervisor) catalog(ctx context.Context) map[integrity.Relation]compare.Known {
	all := map[integrity.Relation]compare.Known{}
	pg := m.Server()
	if pg == nil {
		return all
	}
	relations, err := pg.Relations(ctx)
	if err != nil {
		m.log.Warn("a comparison does without a part of the catalog", zap.Error(err))
	}
	for _, r := range relations {
		all[integrity.Relation{Space: r.Space, Database: r.Database, Node: r.Node}] = compare.Known{
			Method: page.MethodOf(r.Kind, r.Method), Name: r.Name}
	}
	return all
}

// CancelComparison ends the comparison that the agent runs for the member; false if there is none.
func (m *Supervisor) CancelComparison() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.comparing.cancel == nil {
		return false
	}
	m.comparing.cancel()
	return true
}

// Comparison is the last comparison of the present data, or that under way, with every page that it lists; nil for none.
func (m *Supervisor) Comparison() *health.Comparison {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.comparing.shown(m.durable.Incarnation, boottime.Now())
}

// ScanNow begins a scan of the member's files, or leaves the one under way. The error is that none can begin now.
func (m *Supervisor) ScanNow() error {
	m.mu.Lock()
	calm := m.calm()
	m.mu.Unlock()
	if !calm || m.o.ScanTurn == nil {
		return fmt.Errorf("%s is not scanned now: %w", m.o.Name, ErrNotCalm)
	}
	select {
	case m.scanner.byHand <- struct{}{}:
	default:
	}
	return nil
}
