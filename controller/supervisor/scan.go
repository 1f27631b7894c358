package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

const (
	// firstScan is the longest pause between the agent's start and its first scan.
	firstScan = 10 * time.Minute
	// scanSettles is how long a scan waits at its end for the server's next checkpoint, which settles what it has found.
	scanSettles = 15 * time.Minute
	// scanDeadline bounds one read: a stop of the agent waits for it.
	scanDeadline = time.Second
	// never is longer than any host runs.
	never = 100 * 365 * 24 * time.Hour
	// verifyRetry is the pause after a scan that the controllers asked for, and that left something open: a page that kept changing, or that
	// no checkpoint had settled yet.
	verifyRetry = 30 * time.Second
	// scanRetry is the longest pause after a scan that failed.
	scanRetry = 10 * time.Minute
	// reportedPages is how many damaged pages ask for a report at once, loggedPages how many the log names, keptPages how many are kept.
	reportedPages = 3
	loggedPages   = 100
	keptPages     = 1000
)

// scans are what the scans of the member's files have shown.
type scans struct {
	of     string        // the incarnation of the data that the rest is about
	report health.Scan   // without an age
	ended  time.Duration // when the last complete scan did
	damage string        // clause of Member.Damage
	due    time.Duration // when the next scan may begin, of whichever data; 0: not known yet
	off    bool          // there will be none
}

// publish puts it into a report, without what is about other data than the present.
func (s *scans) publish(r *health.Member, now time.Duration) {
	var scan health.Scan
	if s.of == r.Incarnation {
		scan, r.Damage = s.report, health.JoinDamage(r.Damage, s.damage)
	}
	if scan.Complete {
		scan.AgeMS = (now - s.ended).Milliseconds()
	}
	if scan.Off = s.off; !s.off && s.due > 0 && !scan.Running {
		scan.NextMS = max(1, (s.due - now).Milliseconds())
	}
	if r.Scan = nil; scan != (health.Scan{}) {
		r.Scan = &scan
	}
}

// damagedPage is a settled finding: a page, or a file without one.
type damagedPage struct {
	at   integrity.Block
	text string
}

// pass reads the whole of the data once. Whatever interrupts it, such as a stop of PostgreSQL, the next scan begins where it has ended.
type pass struct {
	of     string        // the incarnation of the data
	asked  string        // for whose sake; see health.Scan.For
	begun  time.Duration // 0: there is none
	from   *integrity.Block
	done   int64 // bytes that the scans before the present one have read
	counts health.Scan
	// skipped are the pages that were left out, by reason. Each scan of a pass lists them anew.
	skipped map[integrity.Reason]int64
	found   []damagedPage
	more    int64 // settled findings beyond keptPages
}

// scanner reads the pages of the member's files in the background, so that damage is found before the pages are needed. It touches nothing
// that a lease needs: it reads with no lock held, and what it publishes is in memory.
type scanner struct {
	*shared
	// What follows is scanLoop's while no scan runs, and the scan's while one does.
	files   *integrity.Scanner
	pass    pass
	last    []damagedPage // that the last complete pass has found
	lastOf  string        // of the data with that incarnation
	more    int64         // that it found beyond those
	at      *integrity.Block
	read    int64 // bytes that the present scan has read
	unsure  unsure
	asked   string // see platform.Goal.Verify; the last
	control controlFile
	byHand  chan struct{} // capacity 1: scan now
}

// unsure are the pages that looked damaged when the present scan ended.
type unsure struct {
	count int64
	first *integrity.Block  // in the order of the files, where the next scan begins; nil for none
	pages []integrity.Block // no more than keptPages
}

func (u *unsure) add(b integrity.Block) {
	if u.count++; u.first == nil || b.Compare(*u.first) < 0 {
		u.first = &b
	}
	if len(u.pages) < keptPages {
		u.pages = append(u.pages, b)
	}
}

// scanEnd is how a scan has ended.
type scanEnd struct {
	result integrity.Result
	err    error
}

// scanLoop scans when it is due, while the member runs and nothing changes. Only one scan runs on a host at a time.
func (m *scanner) scanLoop(ctx context.Context) {
	every := m.o.Config.Integrity.Every
	if every == 0 {
		every = never
	}
	due := m.o.Begun + min(firstScan, every/4)
	if every == never {
		due = never
	}
	m.publish(func(s *scans) { s.due, s.off = due, every == never })
	var running chan scanEnd // nil while none does
	cancel := func() {}
	for {
		pg, incarnation, may, news := m.mayScan()
		asked := m.askedToVerify()
		if asked && running == nil && may {
			m.pass, due = pass{}, boottime.Now() // what was read before shows less
			m.publish(func(s *scans) { s.due = due })
		}
		switch {
		case running != nil && (!may || asked):
			cancel() // and its end is awaited below
		case running == nil && may && boottime.Now() >= due && m.takeTurn():
			running = make(chan scanEnd, 1)
			m.asked = m.toVerify()
			cancel = m.scan(ctx, pg, incarnation, running)
		}
		select {
		case <-ctx.Done():
			if running != nil {
				<-running
				<-m.o.ScanTurn
			}
			return
		case end := <-running:
			cancel()
			<-m.o.ScanTurn
			running, due = nil, m.finish(end, every)
			m.publish(func(s *scans) { s.due = due })
		case <-m.byHand:
			due = boottime.Now()
			m.publish(func(s *scans) { s.due = due })
		case <-news:
		}
	}
}

// mayScan tells whether the member is calm, and no comparison reads its files. news is closed when that may have changed.
func (m *scanner) mayScan() (pg *postgres.Server, incarnation string, may bool, news <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	may = m.calm() && boottime.Now() >= m.comparing.readUntil
	return m.pg, m.durable.Incarnation, may, m.news
}

// calm tells whether the member runs, as a primary or replica of an open primary, and nothing changes; called with mu held.
func (m *shared) calm() bool {
	g, seen := &m.told.goal, &m.view.seen
	return m.pg != nil && seen.Process == health.ProcessRunning && seen.Role != health.RoleUnknown &&
		(g.Kind == platform.GoalPrimary || g.Kind == platform.GoalReplica) && g.Opened && !g.Paused && g.Epoch == m.durable.Epoch &&
		m.activity.cancel == nil && m.activity.needs == ""
}

// toVerify is for whose sake the controllers ask for a scan, or did last.
func (m *scanner) toVerify() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return cmp.Or(m.told.goal.Verify, m.asked)
}

// askedToVerify tells whether a scan was asked for since the last one began.
func (m *scanner) askedToVerify() bool { return m.toVerify() != m.asked }

// takeTurn tells whether no other member of the host is being scanned.
func (m *scanner) takeTurn() bool {
	select {
	case m.o.ScanTurn <- struct{}{}:
		return true
	default:
		return false
	}
}

// scan begins a scan, in a goroutine of its own, which sends how it has ended.
func (m *scanner) scan(ctx context.Context, pg *postgres.Server, incarnation string, ended chan<- scanEnd) (cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	if m.files == nil || m.files.Dir != pg.Data {
		m.files = &integrity.Scanner{Dir: pg.Data}
	}
	if m.pass.begun == 0 || m.pass.of != incarnation {
		m.pass = pass{of: incarnation, asked: m.asked, begun: boottime.Now(), skipped: map[integrity.Reason]int64{}}
		if m.lastOf != incarnation {
			m.last, m.lastOf, m.more = nil, incarnation, 0
		}
	}
	m.at, m.read, m.unsure = m.pass.from, 0, unsure{}
	m.publish(func(s *scans) {
		if s.of != incarnation {
			*s = scans{of: incarnation, due: s.due, off: s.off}
		}
		s.report.Running = true
	})
	// A free space map is not logged: a power cut may tear its pages, and PostgreSQL makes them anew.
	only := func(_ integrity.Relation, fork page.Fork) bool { return fork != page.FreeSpace }
	o := integrity.Options{Only: only, Rate: int64(m.o.Config.Integrity.Rate) << 20, Deadline: scanDeadline, From: m.pass.from,
		Again:     integrity.Again{Checkpoint: scanSettles},
		Positions: func(ctx context.Context) (integrity.Positions, error) { return m.positions(ctx, pg) }}
	m.o.Group.Go(func() error {
		result, err := m.files.Scan(ctx, o, integrity.Sink{Finding: m.finding, Progress: m.progress})
		ended <- scanEnd{result, err}
		return nil
	})
	return cancel
}

// publish changes what reports say.
func (m *scanner) publish(change func(*scans)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.scans)
}

// progress follows a scan.
func (m *scanner) progress(p integrity.Progress) {
	m.at, m.read = p.At, p.Done
	percent := 100
	if total := m.pass.done + p.Total; total > 0 {
		percent = int(100 * (m.pass.done + p.Done) / total)
	}
	m.publish(func(s *scans) { s.report.Percent = percent })
}

// finding takes what a scan has found. What is not settled may be mended by a checkpoint.
func (m *scanner) finding(f integrity.Finding) {
	end := m.seen().Position
	switch ahead := f.Kind == integrity.AheadOfWAL; {
	case !f.Settled, ahead && end == 0:
		m.unsure.add(f.Block)
		return
	case ahead && f.LSN <= end: // its server may have been replaying that record
		return
	}
	p := damagedPage{f.Block, health.DamagedPage(fmt.Sprintf("%s block %d", f.Path, f.Number), string(f.Kind))}
	if slices.Contains(m.pass.found, p) { // by an earlier scan of this pass
		return
	}
	if len(m.pass.found) == keptPages { // the end of the scan tells how many
		m.pass.more++
		return
	}
	m.pass.found = append(m.pass.found, p)
	if len(m.pass.found) <= loggedPages {
		m.log.Warn("a scan found damage", zap.String("path", f.Path), zap.Uint32("block", f.Number), zap.String("kind", string(f.Kind)),
			zap.String("evidence", f.Detail))
	}
	m.damage()
	if len(m.pass.found) <= reportedPages { // the next report tells of further ones
		m.o.Host.Report()
	}
}

// damage publishes what the last complete pass and the present one have found.
func (m *scanner) damage() {
	all := slices.Concat(m.last, m.pass.found)
	slices.SortFunc(all, func(a, b damagedPage) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.text, b.text)) })
	all = slices.Compact(all)
	texts, more := make([]string, len(all)), max(m.more, m.pass.more)
	for n, p := range all {
		texts[n] = p.text
	}
	m.publish(func(s *scans) {
		s.report.Findings, s.damage = int64(len(all))+more, health.NamePages(health.Scanned, texts, more)
	})
}

// finish takes the result of a scan, and says when the next may begin.
func (m *scanner) finish(end scanEnd, every time.Duration) (due time.Duration) {
	m.count(&end.result)
	now := boottime.Now()
	if end.err == nil {
		due = max(now, m.pass.begun+every)
		m.complete(now)
		if m.leftOpen() {
			due = min(due, now+verifyRetry)
		}
		return due
	}
	m.pass.from, m.pass.done = m.resumeAt(), m.pass.done+m.read
	m.publish(func(s *scans) { s.report.Running = false })
	m.damage()
	if errors.Is(end.err, context.Canceled) {
		return now
	}
	m.log.Warn("a scan has failed; it is tried again", zap.Error(end.err))
	return now + min(every, scanRetry)
}

// leftOpen tells whether the last complete scan does not answer what the controllers ask, and has found nothing either.
func (m *scanner) leftOpen() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &m.scans.report
	return m.told.goal.Verify != "" && m.told.goal.Verify == s.For && s.Checksums && s.Findings == 0 && !s.Clean()
}

// count adds what a scan of the pass has read. Pages that a further scan reads again, because what they show was not settled when the scan
// before it was interrupted, count twice.
func (m *scanner) count(r *integrity.Result) {
	c := &m.pass.counts
	c.Checksums = r.Layout.Checksums
	c.Blocks += r.Blocks
	c.Verified += r.Verified
	c.Unverified += r.HeaderOnly + r.Changing
	c.Changing += r.Changing
	for why, s := range r.Skipped {
		if why != integrity.Unfinished && why != integrity.Changing {
			m.pass.skipped[why] = max(m.pass.skipped[why], s.Blocks)
		}
	}
}

// complete ends a pass.
func (m *scanner) complete(now time.Duration) {
	c := m.pass.counts
	for _, blocks := range m.pass.skipped {
		c.Unverified += blocks
	}
	c.Complete, c.Unsettled, c.For = true, m.unsure.count, m.pass.asked
	found := m.pass.found
	for _, p := range m.last { // what is found once more, and not settled once more, is still there
		if slices.Contains(m.unsure.pages, p.at) && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	m.last, m.more, m.pass = found, m.pass.more, pass{}
	m.publish(func(s *scans) { s.report, s.ended = c, now })
	m.damage()
	m.log.Info("a scan has read the data", zap.Int64("pages", c.Blocks), zap.Int64("verified", c.Verified),
		zap.Int64("unverified", c.Unverified), zap.Int("findings", len(m.last)), zap.Int64("unsettled", c.Unsettled))
}

// resumeAt is the block behind which the next scan of a pass begins: what the last one has read, without the pages that looked damaged and
// of which nothing is known yet.
func (m *scanner) resumeAt() *integrity.Block {
	if m.unsure.first == nil {
		return m.at
	}
	b := *m.unsure.first
	switch {
	case b.Number > 0:
		b.Number--
	case b.Fork > page.Main:
		b.Fork, b.Number = b.Fork-1, math.MaxUint32
	default:
		b.Node, b.Fork, b.Number = b.Node-1, page.Init, math.MaxUint32
	}
	if m.at == nil || m.at.Compare(b) < 0 { // a file that is missing as a whole, beyond what was read
		return m.at
	}
	return &b
}

// positions says how far the server is, by a look that begins after it was asked, and where its last checkpoint began, by its control file.
func (m *scanner) positions(ctx context.Context, pg *postgres.Server) (at integrity.Positions, err error) {
	if at.End, err = m.endOfWAL(ctx, boottime.Now()); err != nil {
		return at, err
	}
	c, err := m.control.read(ctx, m.o.Group, pg)
	at.Redo = c.Redo
	return at, err
}

// controlFile reads a server's control file. The disk may hang: then the read is left to its goroutine, and none is begun beside it. It
// serves one goroutine.
type controlFile struct {
	pending chan controlRead // of a read that has not answered yet; nil for none
}

type controlRead struct {
	postgres.Control
	err error
}

func (f *controlFile) read(ctx context.Context, group *errgroup.Group, pg *postgres.Server) (postgres.Control, error) {
	if f.pending != nil {
		select {
		case <-f.pending:
		default:
			return postgres.Control{}, errors.New("an earlier read of the control file has not returned")
		}
	}
	done := make(chan controlRead, 1)
	f.pending = done
	group.Go(func() error {
		c, err := pg.ControlData(ctx)
		done <- controlRead{c, err}
		return nil
	})
	select {
	case c := <-done:
		f.pending = nil
		return c.Control, c.err
	case <-ctx.Done():
		return postgres.Control{}, ctx.Err()
	}
}

// endOfWAL is how far the server has flushed, or received and replayed, at that time or later.
func (m *shared) endOfWAL(ctx context.Context, since time.Duration) (platform.LSN, error) {
	for {
		m.mu.Lock()
		seen, begun, news := &m.view.seen, m.view.begun, m.news
		end, answered := seen.Position, seen.Role != health.RoleUnknown
		m.mu.Unlock()
		if begun >= since && answered {
			return end, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
