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
	// reportedBlocks is how many pages that differ a report has. The agent itself, when asked, lists more.
	reportedBlocks = 3
	// comparePatience is how long another member may not answer, for example during a failover or until its next restartpoint.
	comparePatience = 10 * time.Minute
)

// ErrNotCalm is returned where the files may not be read now.
var ErrNotCalm = errors.New(waitsForMember)

// comparing is what comparisons have shown, and what they do. shared.mu guards it. Its results are about the data that they name, so a new
// copy of the member's data ends none.
type comparing struct {
	readUntil time.Duration        // no scan before that: pages are being read for a comparison
	cancel    context.CancelFunc   // of the comparison that this agent runs; nil for none
	order     *platform.CheckOrder // for which it runs; nil: an operator asked for it
	begun     time.Duration        // when it did
	waits     string               // why it does not work now; "" if it does
	why       string               // it was ended before its end for; "" for no reason but a cancellation
	last      *health.Comparison   // the last or the running one; never changed
	ended     instant              // when it did
	whole     *health.Comparison   // the last one that has reached its end
	wholeAt   instant              // when that ended
	tried     instant              // when the last one ended that no restart has interrupted
	mended    [][2]string          // pages of members that were mended while it runs: the member, the page
	holder    string               // the member whose agent's comparison has this member
	verifies  bool                 // it looks again at a page of another member that was mended
	heldUntil time.Duration        // if it asks nothing until then, it has it no more
}

// take gives the member to the comparison of one member's agent, unless another one has it.
func (c *comparing) take(own, by string, now time.Duration) error {
	switch {
	case c.cancel != nil && by != own:
		return &compare.BusyError{By: own}
	case c.holder != "" && c.holder != by && now < c.heldUntil:
		return &compare.BusyError{By: c.holder}
	}
	c.holder, c.heldUntil = by, now+compare.HeldFor
	return nil
}

// publish puts the last comparison into a report. One that is running, or ended early, does not hide what the last one that has reached its
// end has shown.
func (c *comparing) publish(r *health.Member, now time.Duration) {
	shown := c.shown(now)
	switch {
	case shown == nil || shown.Complete || c.whole == nil:
	case shown.Differ == 0:
		whole := *c.whole
		whole.AgeMS = c.wholeAt.ageMS(now)
		shown = &whole
	default:
		shown = shown.With(c.whole)
	}
	if r.Comparison = shown; shown != nil {
		shown.Damage = slices.Clone(shown.Damage[:min(reportedBlocks, len(shown.Damage))])
	}
}

func (c *comparing) shown(now time.Duration) *health.Comparison {
	if c.last == nil {
		return nil
	}
	shown := *c.last
	if !shown.Running {
		shown.AgeMS = c.ended.ageMS(now)
	} else {
		shown.Paused = c.waits
	}
	return &shown
}

// keep writes it into what the file has.
func (c *comparing) keep(k *KeptChecks, now time.Duration, wall time.Time) {
	k.Comparison, k.Ended, k.WholeEnded, k.Tried = c.last, c.ended.wall(now, wall), c.wholeAt.wall(now, wall), c.tried.wall(now, wall)
	k.Scheduled = c.order != nil
	if c.whole != c.last {
		k.Whole = c.whole
	}
}

// restore is the opposite. One that was running has ended with the process that made it.
func (c *comparing) restore(k *KeptChecks, now time.Duration, wall time.Time) {
	c.last, c.whole = k.Comparison, k.Whole
	c.ended, c.wholeAt, c.tried = instantOf(k.Ended, now, wall), instantOf(k.WholeEnded, now, wall), instantOf(k.Tried, now, wall)
	switch {
	case c.last == nil:
	case c.last.Running:
		c.last.Running, c.last.Ended = false, "the agent was restarted: run `mainstay integrity check` once more"
		if c.tried = (instant{}); k.Scheduled {
			c.last.Ended = "the agent was restarted: it begins anew as soon as no other check of the cluster runs"
		}
		c.ended = instant{now, true}
	case c.last.Complete && c.whole == nil:
		c.whole = c.last
	}
}

// comparer reads the member's files for comparisons with other members, one question at a time. It touches nothing that a lease needs.
type comparer struct {
	*shared
	serving      chan struct{} // capacity 1: filled while a question is being answered; what follows is who has filled it
	files        *integrity.Scanner
	control      controlFile
	lastCompared sinceLast
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
	return compare.Where{Redo: c.Redo, OldestXID: c.XIDs.Oldest, EndedXIDs: c.EndedXIDs(),
		Multi: compare.Multixacts(c.Multi),
		Data: compare.Data{Incarnation: incarnation, Primary: m.seen().Role == health.RolePrimary,
			SystemID: c.SystemID, Timeline: c.Timeline, PageSize: int(c.PageSize), Checksums: c.Checksums,
			HintsLogged: c.Checksums || c.WALLogHints}}, c, nil
}

// take gives the member to a comparison.
func (m *comparer) take(by string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.comparing.take(m.o.Name, by, boottime.Now())
}

// CompareList lists the member's forks for a comparison by the agent of a member. The errors are ErrNotCalm, a compare.BusyError, and those
// of the disk.
func (m *comparer) CompareList(ctx context.Context, by string) (l compare.Listing, err error) {
	if err := m.take(by); err != nil {
		return l, err
	}
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

// CompareWhere says how far the member has written. The errors are those of CompareList.
func (m *comparer) CompareWhere(ctx context.Context, by string) (at compare.Where, err error) {
	if err := m.take(by); err != nil {
		return at, err
	}
	pg, incarnation, leave, err := m.enter(ctx)
	if err != nil {
		return at, err
	}
	defer leave()
	if at, _, err = m.where(ctx, pg, incarnation); err == nil {
		at.End, err = m.endOfWAL(ctx, boottime.Now())
	}
	return at, err
}

// CompareRead summarises pages of the member, rate MB a second at most (0: at the rate of its scans, which no rate exceeds). The errors are
// those of CompareList.
func (m *comparer) CompareRead(ctx context.Context, by string, rate int, extents []integrity.Extent) (
	all [][]page.Summary, at compare.Where, err error) {
	if err := m.take(by); err != nil {
		return nil, at, err
	}
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
	o := integrity.Options{Rate: m.rate(rate), Deadline: scanDeadline, Again: integrity.Again{Every: rereadAfter}}
	all, err = m.files.Summaries(ctx, o, extents)
	return all, at, err
}

// ComparePage reads one page of the member from its disk. The errors are ErrNotCalm, integrity.ErrNoPage, and those of the disk.
func (m *comparer) ComparePage(ctx context.Context, b integrity.Block) (a compare.PageAnswer, err error) {
	pg, incarnation, leave, err := m.enter(ctx)
	if err != nil {
		return a, err
	}
	defer leave()
	if a.Where, _, err = m.where(ctx, pg, incarnation); err != nil { // the page has all that was written out by then
		return a, err
	}
	a.Page, _, err = m.files.Page(ctx, integrity.Options{Deadline: scanDeadline}, b)
	return a, err
}

// CompareTransactions reads a part of pg_xact or of another table, at a rate as CompareRead does. The errors are those of CompareList.
func (m *comparer) CompareTransactions(ctx context.Context, by string, rate int, want compare.Transactions) (
	all []compare.Status, at compare.Where, err error) {
	if err := m.take(by); err != nil {
		return nil, at, err
	}
	pg, incarnation, leave, err := m.enter(ctx)
	if err != nil {
		return nil, at, err
	}
	defer leave()
	at, control, err := m.where(ctx, pg, incarnation)
	if err != nil {
		return nil, at, err
	}
	layout := page.Layout{Size: int(control.PageSize)}
	o := integrity.Options{Rate: m.rate(rate), Deadline: scanDeadline}
	err = m.files.Table(ctx, o, want.Folder(), want.From, want.Count, func(number uint32, content []byte) error {
		all = append(all, want.StatusOf(layout, number, content))
		return nil
	})
	return all, at, err
}

// CompareEnd tells that the comparison by the agent of a member asks no more.
func (m *comparer) CompareEnd(by string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.comparing.holder == by {
		m.comparing.holder = ""
	}
}

// rate is bytes a second: what a check may read at most of those MB a second (0: any), within the limit of the agent's file.
func (m *shared) rate(asked int) int64 {
	limit := m.o.Config.Integrity.Rate
	if asked > 0 && (limit <= 0 || asked < limit) {
		limit = asked
	}
	return int64(limit) << 20
}

// ownFiles is the member to its own agent's comparison.
type ownFiles struct {
	*comparer
	rate int // MB a second; 0: that of scans
}

// Name is the member's name.
func (m ownFiles) Name() string { return m.o.Name }

func (m ownFiles) List(ctx context.Context) (compare.Listing, error) {
	return m.CompareList(ctx, m.o.Name)
}

func (m ownFiles) Where(ctx context.Context) (compare.Where, error) {
	return m.CompareWhere(ctx, m.o.Name)
}

func (m ownFiles) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, int64, error) {
	all, at, err := m.CompareRead(ctx, m.o.Name, m.rate, extents)
	return all, at, 0, err
}

func (m ownFiles) Transactions(ctx context.Context, want compare.Transactions) ([]compare.Status, compare.Where, int64, error) {
	all, at, err := m.CompareTransactions(ctx, m.o.Name, m.rate, want)
	return all, at, 0, err
}

func (m ownFiles) End(context.Context) { m.CompareEnd(m.o.Name) }

// Peers are the agents of the cluster's other members, as the last answer of a leader has named them.
func (m *comparer) Peers() map[string]platform.Peer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told.others.Peers
}

// Comparing is a comparison that is asked for.
type Comparing struct {
	Others []compare.Member
	Wait   time.Duration // compare.Options.Wait
	Done   func()        // is called at its end
	Order  *platform.CheckOrder
	// Incremental: what no WAL has changed since the last one is not read again, where that is known. Oldest is how old the last full one may
	// be for that; 0: as old as it is.
	Incremental bool
	Oldest      time.Duration
}

// Compare begins a comparison of the member with others, and ends when the agent does. The errors are ErrNotCalm, a compare.BusyError and
// compare.ErrOneMember.
func (m *comparer) Compare(asked Comparing) error {
	if len(asked.Others) == 0 {
		return compare.ErrOneMember
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.comparing
	if !m.calm() {
		return ErrNotCalm
	} else if c.cancel != nil {
		return &compare.BusyError{By: m.o.Name}
	} else if err := c.take(m.o.Name, m.o.Name, boottime.Now()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(m.o.Context)
	c.cancel, c.order, c.begun, c.waits, c.why, c.mended = cancel, asked.Order, boottime.Now(), "", "", nil
	c.last = &health.Comparison{By: m.o.Name, Running: true, Members: []string{m.o.Name}}
	o := compare.Options{Wait: asked.Wait, Catalog: m.catalog, Patience: comparePatience, Turn: m.compareTurn,
		Progress: func(now health.Comparison) { m.compared(&now) }}
	own := ownFiles{comparer: m}
	o.Kept = func(b *compare.Base) { m.newBase(ctx, b, asked.Incremental) }
	if asked.Order != nil {
		own.rate = asked.Order.Rate
	}
	m.signalShown()
	m.o.Group.Go(func() error {
		defer asked.Done()
		defer cancel()
		if asked.Incremental {
			o.Since, o.Changes = m.base(ctx, asked.Oldest), m.changes(own.rate)
		}
		result, err := compare.Run(ctx, append([]compare.Member{own}, asked.Others...), o)
		m.log.Info("a comparison has ended", zap.Strings("members", result.Members), zap.Int64("pages", result.Blocks),
			zap.Int64("equal", result.Equal), zap.Int64("differ", result.Differ), zap.Any("unverified", result.Unverified), zap.Error(err))
		for _, d := range result.Damage {
			m.log.Warn("a page is not the same on all members", zap.String("path", d.Path), zap.Uint32("block", d.Block),
				zap.String("kind", d.Kind), zap.Strings("suspects", d.Suspects), zap.Bool("named", d.Named), zap.String("evidence", d.Detail))
		}
		if m.o.Context.Err() != nil {
			return nil // the next process finds it running, and says that it was interrupted
		}
		m.compared(&result)
		m.o.Host.Report()
		return nil
	})
	return nil
}

// compareByOrder begins a comparison that is scheduled.
func (m *comparer) compareByOrder(o platform.CheckOrder) error {
	others, done := m.o.Host.Others(m.o.Name, m.Peers(), nil, o.Rate)
	if err := m.Compare(Comparing{Others: others, Wait: scheduledWait, Done: done, Order: &o, Incremental: o.Full > 0,
		Oldest: o.Full}); err != nil {
		done()
		return err
	}
	m.o.Host.Report()
	return nil
}

// compareTurn waits until the comparison may look at pages.
func (m *comparer) compareTurn(ctx context.Context) error {
	for {
		m.mu.Lock()
		c, news := &m.comparing, m.news
		switch c.waits = ""; {
		case !m.calm():
			c.waits = waitsForMember
		case c.order != nil:
			c.waits = m.rests(*c.order, c.begun, boottime.Now())
		}
		waits := c.waits
		m.mu.Unlock()
		if waits == "" {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// compared publishes how far a comparison is. What it has found is reported at once, and outlasts a restart of the agent.
func (m *comparer) compared(now *health.Comparison) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &m.comparing
	for _, page := range c.mended {
		now, _ = now.Mended(page[0], page[1])
	}
	found := c.last != nil && now.Differ > c.last.Differ
	if c.last = now; now.Running {
		if found {
			m.signalShown()
			m.o.Host.Report()
		}
		return
	}
	if c.why != "" {
		now.Ended = c.why
	}
	at := boottime.Now()
	c.cancel, c.ended, c.tried = nil, instant{at, true}, instant{at, true}
	if now.Complete {
		c.whole, c.wholeAt = now, c.ended
	}
	m.ordered.notBefore = at + orderRetry
	m.signalShown()
}

// endComparison ends the one that the agent runs for the member; false if there is none. why is "" where an operator has asked for it.
func (m *comparer) endComparison(why string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.comparing.cancel == nil {
		return false
	}
	m.comparing.why = why
	m.comparing.cancel()
	return true
}

// catalog asks the member's server for its relations.
func (m *comparer) catalog(ctx context.Context) map[integrity.Relation]compare.Known {
	all := map[integrity.Relation]compare.Known{}
	m.mu.Lock()
	pg := m.pg
	m.mu.Unlock()
	if pg == nil {
		return all
	}
	relations, err := pg.Relations(ctx)
	if err != nil {
		m.log.Warn("a comparison runs without a part of the catalog", zap.Error(err))
	}
	for _, r := range relations {
		all[integrity.Relation{Space: r.Space, Database: r.Database, Node: r.Node}] = compare.Known{
			Method: page.MethodOf(r.Kind, r.Method), Name: r.Name}
	}
	return all
}

// CancelComparison ends the comparison that the agent runs for the member; false if there is none.
func (m *comparer) CancelComparison() bool { return m.endComparison("") }

// Comparison is the last comparison, or the running one, with every page that it lists; nil for none. It is about the data that it names.
func (m *comparer) Comparison() *health.Comparison {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.comparing.shown(boottime.Now())
}

// ScanNow begins a scan of the member's files, or leaves a running one alone. The error is the reason why none can begin now.
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
