package supervisor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity/structure"
)

const (
	// listedDamage is how many damaged relations are kept, and listedEvidence how many findings of each; listedReasons bounds the reasons of
	// what is unverified.
	listedDamage   = 100
	listedEvidence = 5
	listedReasons  = 100
	// evidenceText is the longest text of a finding, in bytes.
	evidenceText = 400
	// partKept is how often is noted, to be kept, how far a part of a check has come. What follows may take long without a further note.
	partKept = 200 * time.Millisecond
	// structureRetry is the pause after a check that found no session with the server.
	structureRetry = 10 * time.Second
)

// ErrChecking is returned where the member's structure is being checked.
var ErrChecking = errors.New("a check of its structure is running")

// inspection is the check of the structure that was asked for last. shared.mu guards it.
type inspection struct {
	number    int                 // of checks that were asked for; parts of an earlier one change nothing
	wanted    bool                // it is running, or begins as soon as the member is calm
	order     platform.CheckOrder // for which it runs, if scheduled
	scheduled bool
	of        string // the incarnation of the data that the rest is about
	begun     time.Duration
	ended     instant
	tried     instant // when the last one ended
	wholeOf   string  // the incarnation of the data that the last complete one was about
	wholeAt   instant // when that ended
	o         structure.Options
	unseen    bool              // nothing has begun yet
	known     *health.Structure // never changed; nil: none
	tally     tally
	part      part
}

// part is how far the running part of a check has come, so that a killed agent's next process continues there.
type part struct {
	result tally
	at     *structure.Place // nil: not known
	kept   time.Duration    // when this was taken
}

// tally sums what the parts of a check have shown.
type tally struct {
	result structure.Result
	damage []health.StructureDamage
}

// keep is what the file has of it; nil for nothing. Called with mu held.
func (i *inspection) keep(now time.Duration, wall time.Time) *KeptStructure {
	if i.known == nil {
		return nil
	}
	k := &KeptStructure{Of: i.of, Check: i.known, Ended: i.ended.wall(now, wall), WholeOf: i.wholeOf, WholeEnded: i.wholeAt.wall(now, wall),
		Tried: i.tried.wall(now, wall), From: i.o.From, Rate: i.o.Rate, Install: i.o.Install, Scheduled: i.scheduled}
	if i.part.at != nil {
		both := tally{}
		both.add(&i.tally.result)
		both.add(&i.part.result.result)
		sums := *i.known
		both.publish(&sums)
		k.Check, k.From = &sums, i.part.at
	}
	return k
}

// restore is the opposite. A check that was running continues where its last part ended.
func (i *inspection) restore(k *KeptStructure, now time.Duration, wall time.Time) {
	*i = inspection{number: 1, of: k.Of, known: k.Check, ended: instantOf(k.Ended, now, wall), wholeOf: k.WholeOf,
		wholeAt: instantOf(k.WholeEnded, now, wall), tried: instantOf(k.Tried, now, wall)}
	if !k.Check.Running {
		return
	}
	i.wanted, i.scheduled, i.begun, i.order.Depth = true, k.Scheduled, now, platform.CheckStructure
	i.o = structure.Options{From: k.From, Rate: k.Rate, Install: k.Install}
	if k.From == nil {
		i.unseen, i.known = true, &health.Structure{Running: true, Waiting: "the agent was restarted, and the check begins anew"}
		return
	}
	i.tally = tallyOf(k.Check)
	i.show(func(k *health.Structure) { k.Waiting = "the agent was restarted, and the check continues where it was" })
}

// Inspector asks the member's server to check the structure of its data, when an operator or the schedule asks for that. It has sessions of
// its own with the server, and touches nothing that a lease needs. After an interruption, such as a pause, it continues where it stopped.
type Inspector struct {
	*shared
	asked chan struct{} // capacity 1: a check was asked for, or is no longer wanted
}

// inspected is how a part of a check has ended.
type inspected struct {
	number int
	result structure.Result
	at     structure.Place
	err    error
}

// Begin begins a check of the structure of the member's data, at most rate MB a second on average. install creates missing
// extensions. ErrChecking is returned where one is running.
func (m *Inspector) Begin(rate int, install bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inspection.wanted {
		return ErrChecking
	}
	m.next(structure.Options{Install: install, Rate: int64(rate) << 20})
	return nil
}

// begin begins a check that is scheduled.
func (m *Inspector) begin(o platform.CheckOrder) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inspection.wanted {
		return ErrChecking
	}
	m.next(structure.Options{Rate: m.rate(o.Rate)})
	m.inspection.scheduled, m.inspection.order = true, o
	return nil
}

// next replaces the check that has ended; called with mu held.
func (m *Inspector) next(o structure.Options) {
	i := &m.inspection
	m.inspection = inspection{number: i.number + 1, wanted: true, unseen: true, o: o, tried: i.tried, wholeOf: i.wholeOf, wholeAt: i.wholeAt,
		known: &health.Structure{Running: true, Waiting: "it begins"}}
	m.signal()
	m.signalShown()
}

// turn waits until a check that is scheduled may look at more. A pause of the cluster interrupts it instead.
func (m *Inspector) turn(ctx context.Context) error {
	waited := false
	for {
		m.mu.Lock()
		i, news := &m.inspection, m.news
		waits := m.rests(i.order, i.begun, boottime.Now())
		if waits == waitsForOrder {
			waits = "" // see mayInspect
		}
		if waits != "" || waited {
			i.show(func(k *health.Structure) { k.Waiting = waits })
		}
		m.mu.Unlock()
		if waits == "" {
			return ctx.Err()
		}
		waited = true
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// Stop ends the check of the structure that is running. What it has found stays.
func (m *Inspector) Stop() { m.stop("stopped by an operator") }

func (m *Inspector) stop(why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inspection.wanted {
		m.inspection.end(why)
		m.signal()
		m.signalShown()
	}
}

// Last is the last check of the structure of the member's present data, or the running one; nil for none.
func (m *Inspector) Last() *health.Structure {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.inspection
	switch other := !i.unseen && i.of != m.durable.Incarnation; {
	case i.known == nil || other && !i.wanted:
		return nil
	case other:
		return &health.Structure{Running: true, Waiting: "the data was replaced, and the check begins anew"}
	}
	known := *i.known
	if !i.wanted {
		known.AgeMS = i.ended.ageMS(boottime.Now())
	}
	return &known
}

func (m *Inspector) signal() {
	select {
	case m.asked <- struct{}{}:
	default:
	}
}

// end ends it; called with mu held. why is "" where it is complete.
func (i *inspection) end(why string) {
	now := boottime.Now()
	i.wanted, i.ended, i.tried = false, instant{now, true}, instant{now, true}
	if why == "" {
		i.wholeOf, i.wholeAt = i.of, i.ended
	}
	i.show(func(k *health.Structure) {
		k.Running, k.Waiting, k.Complete, k.Ended = false, "", why == "", why
		if !i.unseen {
			k.TookMS = (now - i.begun).Milliseconds()
		}
	})
}

// show changes what is known; called with mu held.
func (i *inspection) show(change func(*health.Structure)) {
	next := *i.known
	change(&next)
	i.known = &next
}

// inspectLoop checks what was asked for, while the member runs and nothing changes.
func (m *Inspector) inspectLoop(ctx context.Context) {
	var running chan inspected // nil while nothing runs
	cancel := func() {}
	due, of := time.Duration(0), 0
	for {
		pg, incarnation, may, news := m.mayInspect()
		number, wanted := m.wanted()
		switch {
		case running != nil && !(may && wanted && number == of):
			cancel() // and its end is awaited below
		case running == nil && may && wanted && boottime.Now() >= due:
			running, of = make(chan inspected, 1), number
			cancel = m.inspect(ctx, pg, incarnation, running)
		}
		if running == nil && !wanted {
			news = nil // nothing to do until a check is asked for
		}
		select {
		case <-ctx.Done():
			if running != nil {
				m.finished(<-running) // so that the next process continues there
			}
			return
		case end := <-running:
			cancel()
			running, due = nil, m.finished(end)
		case <-m.asked:
			due = 0
		case <-news:
		}
	}
}

// mayInspect tells whether the member is calm, and no order asks for a pause. news is closed when that may have changed.
func (m *Inspector) mayInspect() (pg *postgres.Server, incarnation string, may bool, news <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	may = m.calm()
	if i := &m.inspection; i.wanted && i.scheduled {
		may = may && m.rests(i.order, 0, 0) == ""
	}
	return m.pg, m.durable.Incarnation, may, m.news
}

func (m *Inspector) wanted() (number int, wanted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inspection.number, m.inspection.wanted
}

// inspect begins a part of the check, in a goroutine of its own, which sends how it has ended. A check of other data begins anew.
func (m *Inspector) inspect(ctx context.Context, pg *postgres.Server, incarnation string, ended chan<- inspected) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	i := &m.inspection
	if i.unseen || i.of != incarnation {
		i.of, i.begun, i.unseen, i.tally, i.o.From = incarnation, boottime.Now(), false, tally{}, nil
		i.known = &health.Structure{Running: true, Position: m.view.seen.Position}
	}
	i.show(func(k *health.Structure) { k.Waiting = "" })
	o, number := i.o, i.number
	if i.part = (part{}); i.scheduled {
		o.Turn = m.turn
	}
	m.mu.Unlock()
	checker := structure.Checker{Local: pg.Local()}
	sink := structure.Sink{Verdict: func(v structure.Verdict) { m.verdict(number, v) },
		Progress: func(p structure.Progress) { m.progress(number, p) }}
	m.log.Info("the structure of the data is checked", zap.Bool("resumed", o.From != nil))
	m.o.Group.Go(func() error {
		result, at, err := checker.Run(ctx, o, sink)
		ended <- inspected{number, result, at, err}
		return nil
	})
	return cancel
}

func (m *Inspector) progress(number int, p structure.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.inspection
	if i.number != number || !i.wanted {
		return
	}
	if p.Total > 0 {
		i.show(func(k *health.Structure) { k.Percent = int(100 * p.Done / p.Total) })
	}
	if now := boottime.Now(); i.part.at == nil || now-i.part.kept >= partKept {
		at := p.At
		i.part = part{at: &at, kept: now}
		i.part.result.add(p.Result)
		m.signalShown()
	}
}

// verdict keeps what a check has found.
func (m *Inspector) verdict(number int, v structure.Verdict) {
	if v.State < structure.Suspect {
		return
	}
	d := health.StructureDamage{Database: v.Database, Relation: v.Relation, Node: v.Node, Check: string(v.Check),
		Suspect: v.State == structure.Suspect, Found: v.Found}
	for _, f := range v.Findings[:min(listedEvidence, len(v.Findings))] {
		d.Evidence = append(d.Evidence, health.StructureFinding{Kind: string(f.Kind), Block: f.Block,
			Text: strings.ToValidUTF8(f.Text[:min(evidenceText, len(f.Text))], "")})
	}
	m.log.Warn("the check of the structure found damage", zap.String("database", v.Database), zap.String("relation", v.Relation),
		zap.Stringer("verdict", v.State), zap.String("check", string(v.Check)), zap.Any("evidence", d.Evidence))
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.inspection
	if i.number != number {
		return
	}
	again := slices.IndexFunc(i.tally.damage, func(o health.StructureDamage) bool { // found before a kill of the agent, and not counted then
		return o.Database == d.Database && o.Relation == d.Relation && o.Node == d.Node && o.Check == d.Check
	})
	switch {
	case again >= 0:
		i.tally.damage[again] = d
	case len(i.tally.damage) >= listedDamage:
		return
	default:
		i.tally.damage = append(i.tally.damage, d)
	}
	i.show(func(k *health.Structure) { k.Damage = slices.Clone(i.tally.damage) })
}

// finished takes the result of a part, and says when the next may begin.
func (m *Inspector) finished(end inspected) (due time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.inspection
	if i.number != end.number {
		return 0
	}
	i.tally.add(&end.result)
	i.o.From, i.part = &end.at, part{}
	i.show(i.tally.publish)
	switch {
	case !i.wanted:
	case end.err == nil:
		i.end("")
	case errors.Is(end.err, structure.ErrNoServer):
		i.show(func(k *health.Structure) { k.Waiting = end.err.Error() })
		due = boottime.Now() + structureRetry
	case errors.Is(end.err, context.Canceled):
		i.show(func(k *health.Structure) {
			k.Waiting = waitsForMember
			if i.scheduled && m.calm() {
				k.Waiting = waitsForOrder
			}
		})
	default:
		i.end(end.err.Error())
	}
	m.ordered.notBefore = boottime.Now() + orderRetry
	m.signalShown()
	m.log.Info("a check of the structure has ended", zap.Bool("complete", end.err == nil), zap.NamedError("because", end.err),
		zap.Int64("pages", i.known.Blocks), zap.Int("damaged", len(i.known.Damage)))
	return due
}

// add sums a part.
func (t *tally) add(r *structure.Result) {
	s := &t.result
	if s.Counts == nil {
		s.Counts, s.Unverified = map[structure.Check]structure.Counts{}, map[structure.Why]int64{}
	}
	if r.Version > 0 {
		s.Version, s.Standby = r.Version, r.Standby
	}
	s.Databases += r.Databases
	s.Blocks += r.Blocks
	s.Vanished += r.Vanished
	s.Retried += r.Retried
	s.GaveWay += r.GaveWay
	for c, n := range r.Counts {
		sum := s.Counts[c]
		s.Counts[c] = structure.Counts{Clean: sum.Clean + n.Clean, Suspect: sum.Suspect + n.Suspect, Corrupt: sum.Corrupt + n.Corrupt,
			Unverified: sum.Unverified + n.Unverified}
	}
	for why, n := range r.Unverified {
		s.Unverified[why] += n
	}
}

// tallyOf reads what publish and verdict have written.
func tallyOf(k *health.Structure) tally {
	t := tally{damage: slices.Clone(k.Damage)}
	t.result = structure.Result{Version: k.Version, Standby: k.Standby, Databases: k.Databases, Blocks: k.Blocks, Vanished: k.Vanished,
		Retried: k.Retried, GaveWay: k.GaveWay, Counts: map[structure.Check]structure.Counts{}, Unverified: map[structure.Why]int64{}}
	for c, n := range k.Checks {
		t.result.Counts[structure.Check(c)] = structure.Counts(n)
	}
	for _, u := range k.Unverified {
		t.result.Unverified[structure.Why{Check: structure.Check(u.Check), Text: u.Why}] = u.Relations
	}
	return t
}

// publish writes the sums into what is known.
func (t *tally) publish(k *health.Structure) {
	r := &t.result
	k.Version, k.Standby, k.Databases, k.Blocks = r.Version, r.Standby, r.Databases, r.Blocks
	k.Vanished, k.Retried, k.GaveWay = r.Vanished, r.Retried, r.GaveWay
	k.Checks = map[string]health.StructureCounts{}
	for c, n := range r.Counts {
		k.Checks[string(c)] = health.StructureCounts(n)
	}
	k.Unverified = nil
	for why, n := range r.Unverified {
		k.Unverified = append(k.Unverified, health.StructureReason{Check: string(why.Check), Why: why.Text, Relations: n})
	}
	slices.SortFunc(k.Unverified, func(a, b health.StructureReason) int {
		return cmp.Or(cmp.Compare(b.Relations, a.Relations), cmp.Compare(a.Check, b.Check), cmp.Compare(a.Why, b.Why))
	})
	k.Unverified = k.Unverified[:min(listedReasons, len(k.Unverified))]
}
