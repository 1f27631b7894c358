package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// Data is what a member's files are.
type Data struct {
	Incarnation string            `json:"incarnation"` // a rebuilt or rewound member has another one
	Primary     bool              `json:"primary,omitempty"`
	SystemID    string            `json:"systemID"`
	Timeline    platform.Timeline `json:"timeline"` // of its last completed checkpoint or restartpoint
	PageSize    int               `json:"pageSize"` // bytes
	Checksums   bool              `json:"checksums"`
	HintsLogged bool              `json:"hintsLogged"` // it has checksums, or wal_log_hints is on
}

// Where is how far a member has written.
type Where struct {
	Data
	Redo platform.LSN `json:"redo"`          // where its last completed checkpoint or restartpoint began
	End  platform.LSN `json:"end,omitempty"` // of the WAL that it has flushed or replayed, or beyond; 0: not asked for
	// OldestXID is the oldest transaction whose status it keeps, EndedXIDs the one before which all had ended at that checkpoint; 0: unknown.
	OldestXID uint32 `json:"oldestXID,omitempty"`
	EndedXIDs uint32 `json:"endedXIDs,omitempty"`
	// Multi are the multixacts; an agent of an earlier version does not tell them.
	Multi Multixacts `json:"multi,omitzero"`
}

// Fork is one fork of a relation. In JSON it is a list of five numbers, because there are many.
type Fork struct {
	integrity.Relation
	Fork   page.Fork
	Blocks uint32
}

// first is its first block.
func (f Fork) first() integrity.Block { return integrity.Block{Relation: f.Relation, Fork: f.Fork} }

// Listing is what a member has.
type Listing struct {
	Where
	Forks []Fork           `json:"forks"`
	Left  map[string]int64 `json:"left"` // pages that are not listed, by reason
}

// Member is one member of the cluster. Its methods return within the context; their errors mean that it may answer later.
type Member interface {
	Name() string
	List(ctx context.Context) (Listing, error)
	// Where asks also for the end of WAL.
	Where(ctx context.Context) (Where, error)
	// Read summarises pages. The redo position was read before the first page. sent is how many bytes have crossed the network.
	Read(ctx context.Context, extents []integrity.Extent) (all [][]page.Summary, at Where, sent int64, err error)
	// Transactions reads a part of pg_xact, or of another table. Pages that are not there are left out. sent is how many bytes have crossed
	// the network.
	Transactions(ctx context.Context, want Transactions) (all []Status, at Where, sent int64, err error)
	// End tells that the comparison asks no more. From List until then the member is in no other comparison; so it is without questions
	// for a while.
	End(ctx context.Context)
}

// Known is what a catalog says of a relation.
type Known struct {
	Method page.Method
	Name   string // database, schema and name
}

// Options of a comparison.
type Options struct {
	// Catalog asks a member's server for its relations. Pages that differ of relations that it does not know are unverified.
	Catalog func(context.Context) map[integrity.Relation]Known
	// Wait is how long to look again, after the first look, at what has not settled; 0: not at all.
	Wait time.Duration
	// Every is the pause between two questions whether a checkpoint has completed; 0: 5 seconds.
	Every time.Duration
	// Patience is how long a member may not answer; 0: a minute.
	Patience time.Duration
	// Since makes the comparison incremental; nil: every page is read. Where it cannot rest on that one, which may be the zero value, it is
	// full, and its result says why.
	Since *Base
	// Changes reads the WAL of the first member on a timeline from one position to another or beyond, and returns how many bytes that were.
	// The error is why that cannot be done, or that it would read more than most bytes now.
	Changes func(ctx context.Context, t platform.Timeline, from, until platform.LSN, most int64) (found *Changes, bytes int64, err error)
	// Kept takes what a further comparison may rest on, or nil for nothing, once this one has reached its end; nil: nothing is kept.
	Kept func(*Base)
	// Turn waits until members may be asked, before each look; nil: they always may. An error, which is that of the context, ends it.
	Turn func(ctx context.Context) error
	// Progress is called after each look, with what is known until then; nil: never.
	Progress func(health.Comparison)
}

const (
	defaultEvery    = 5 * time.Second
	defaultPatience = time.Minute
	retryAfter      = time.Second
	// requestDeadline bounds one question to a member.
	requestDeadline = 30 * time.Second
	// endDeadline bounds how long it waits for members to hear of its end.
	endDeadline = 2 * time.Second
	// holdEvery is how often members are asked while the comparison waits for its turn. See HeldFor.
	holdEvery = 30 * time.Second
	// HeldFor is for how long after a question a member is in no other comparison.
	HeldFor = 2 * time.Minute
	// listPatience is how long a member may not answer at the beginning.
	listPatience = 20 * time.Second
	// LookBlocks is how many pages one question to a member is about, at most.
	LookBlocks = 1024
	// mostLooks is how often a page that is not equal is compared again, after a checkpoint of every member each time.
	mostLooks = 3
	// mostWaiting bounds the pages that are compared again, mostListed those that differ and are listed one by one.
	mostWaiting = 100_000
	mostListed  = 100
)

// Reasons for what is not verified.
const (
	freeSpaceMap    = "free space maps are not logged"
	tooMany         = "more pages had not settled than are compared again"
	notFinished     = "not finished"
	unknownRelation = "the catalog does not have the relation"
	notRead         = "a page was not read"
)

// ErrOneMember is returned where there is nothing to compare with.
var ErrOneMember = errors.New("there is only one member: a comparison needs two that run")

// BusyError is returned where another comparison has a member.
type BusyError struct {
	By string // the member whose agent compares
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("the agent of %s runs a comparison: `mainstay integrity show` shows how far it is, and "+
		"`mainstay integrity check %s --stop` ends it", e.By, e.By)
}

// Run compares. The first member's order of reading is everybody's. It returns what it knows also with an error: that of a member that did
// not answer, or whose data changed meanwhile, or the context's.
func Run(ctx context.Context, members []Member, o Options) (health.Comparison, error) {
	r := newRun(members, o)
	r.c.Members, r.c.Running = slices.Clone(r.names), true
	if len(members) > 0 {
		r.c.By = r.names[0]
	}
	begun := time.Now()
	err := r.all(ctx)
	r.end(ctx)
	if err == nil && r.o.Kept != nil {
		r.o.Kept(r.baseOf(begun))
	}
	r.give()
	r.c.Running, r.c.Waiting, r.c.Complete = false, 0, err == nil
	r.age()
	r.c.TookMS = time.Since(begun).Milliseconds()
	switch {
	case ctx.Err() != nil:
		r.c.Ended = "it was cancelled"
	case err != nil:
		r.c.Ended = err.Error()
	}
	return r.c, err
}

// end lets every member go.
func (r *run) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endDeadline)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range r.asked {
		wg.Go(func() { m.End(ctx) })
	}
	wg.Wait()
}

func newRun(members []Member, o Options) *run {
	o.Every = cmp.Or(o.Every, defaultEvery)
	o.Patience = cmp.Or(o.Patience, defaultPatience)
	r := &run{o: o, asked: members, members: members, waiting: map[integrity.Block]*waiting{},
		statusWaits: map[tablePage]*waitingStatus{}, maps: map[integrity.Block]*staleMap{}}
	r.c.Unverified, r.c.Wrong, r.c.Suspect = map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, m := range members {
		r.names = append(r.names, m.Name())
	}
	return r
}

// account is what a comparison has found.
type account struct {
	c     health.Comparison
	names []string // of the members
}

// run is one comparison, in one goroutine but for its questions to the members.
type run struct {
	account
	o       Options
	asked   []Member
	members []Member // of them those that answered
	data    []Data
	hints   bool // are logged on every member
	catalog map[integrity.Relation]Known
	total   int64 // pages to look at
	forks   []Fork
	// shortest is the least length of each fork on any member; it is listed without a length.
	shortest map[Fork]uint32
	from     platform.LSN // Base.From, for the next one
	since    *since       // nil: all pages are read
	waiting  map[integrity.Block]*waiting
	heap     heap
	maps     map[integrity.Block]*staleMap
	// spans are what is compared of tables but for members of multixacts, of which nextMembers are the next ones, by cluster member.
	// statusWaits are the pages of tables that differ.
	spans       []span
	nextMembers []uint32
	statusWaits map[tablePage]*waitingStatus
	// reading: not every page was read yet. confirmed is when pages were last compared again meanwhile.
	reading   bool
	confirmed time.Time
}

// waiting is a page that is not equal yet.
type waiting struct {
	seen  []page.Summary // at the last look
	ends  platform.LSN   // the larger end of WAL of all members after that look; 0: not known yet
	now   judgement
	looks int  // further ones, once every page was read
	early int  // further ones before that
	sure  bool // the last two showed the same, and a checkpoint of every member has passed between them
	// listed: it is in the result already.
	listed bool
}

// speaks tells whether it may be damaged by what is known: it is compared again as soon as that can show more.
func (w *waiting) speaks() bool { return w.now.Verdict == page.Differs || w.now.Kind == page.Shortened }

// done tells whether it is not compared again. A page that is always newer than the last checkpoint never settles; one that differs is
// compared until the difference is sure.
func (w *waiting) done() bool { return w.sure || w.looks >= mostLooks && w.now.Verdict != page.Differs }

func (r *run) all(ctx context.Context) error {
	if len(r.members) < 2 {
		return ErrOneMember
	}
	lists, err := r.list(ctx)
	if err != nil {
		return err
	}
	if err := r.rest(ctx, lists); err != nil {
		return err
	}
	r.known(ctx)
	if err := r.first(ctx); err != nil {
		return err
	}
	if err := r.status(ctx); err != nil {
		return err
	}
	return r.settle(ctx)
}

// first reads every page that must be read once.
func (r *run) first(ctx context.Context) error {
	var b batch
	r.reading, r.confirmed = true, time.Now()
	defer func() { r.reading = false }()
	for _, f := range r.forks {
		for from, left := range r.blocks(f) {
			for left > 0 {
				count := min(left, LookBlocks-b.blocks)
				at := f.first()
				at.Number = from
				b.extents = append(b.extents, r.extent(at, count))
				b.blocks += count
				from, left = from+count, left-count
				if b.blocks == LookBlocks {
					if err := r.look(ctx, b, r.noted); err != nil {
						return err
					}
					b = batch{}
					if err := r.confirm(ctx); err != nil {
						return err
					}
				}
			}
		}
	}
	if b.blocks == 0 {
		return nil
	}
	return r.look(ctx, b, r.noted)
}

// confirm looks again at pages while others are still to be read, which may take days: the primary's next image of a page that was found
// may be replayed at any time. One that only moves is read once more, to see whether it is older for good.
func (r *run) confirm(ctx context.Context) error {
	if r.o.Wait <= 0 || len(r.waiting) == 0 || time.Since(r.confirmed) < r.o.Every {
		return nil
	}
	redo, err := r.where(ctx)
	if err != nil {
		return err
	}
	var due []integrity.Block
	for at, w := range r.waiting {
		if !w.sure && w.ends <= redo && (w.speaks() || w.early == 0) {
			due = append(due, at)
		}
	}
	err = r.again(ctx, due)
	r.confirmed = time.Now()
	return err
}

func (r *run) extent(from integrity.Block, count uint32) integrity.Extent {
	rules := page.Rules{Method: r.catalog[from.Relation].Method, Fork: from.Fork, HintsLogged: r.hints}
	return integrity.Extent{Block: from, Count: count, Rules: rules}
}

// look asks all members about the same pages, and judges each.
func (r *run) look(ctx context.Context, b batch, each func(at integrity.Block, s []page.Summary, redo []platform.LSN)) error {
	if err := r.turn(ctx); err != nil {
		return err
	}
	got := make([][][]page.Summary, len(r.members))
	redo, sent := make([]platform.LSN, len(r.members)), make([]int64, len(r.members))
	err := r.each(ctx, r.o.Patience, func(ctx context.Context, n int) error {
		all, at, bytes, err := r.members[n].Read(ctx, b.extents)
		if err == nil {
			err = r.unchanged(n, at.Data)
		}
		got[n], redo[n] = all, at.Redo
		sent[n] += bytes
		return err
	})
	for _, bytes := range sent {
		r.c.SentBytes += bytes
	}
	if err != nil {
		return err
	}
	s := make([]page.Summary, len(r.members))
	for n, e := range b.extents {
		for i := range e.Count {
			for m := range s {
				s[m] = got[m][n][i]
			}
			at := e.Block
			at.Number += i
			each(at, s, redo)
		}
	}
	r.c.Horizon = slices.Min(redo)
	r.tell()
	return nil
}

// turn waits until members may be asked.
func (r *run) turn(ctx context.Context) error {
	if r.o.Turn == nil {
		return ctx.Err()
	}
	return r.holding(ctx, r.o.Turn)
}

// holding does what may last. Meanwhile the members hear now and then that the comparison still has them.
func (r *run) holding(ctx context.Context, do func(context.Context) error) error {
	waits, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, m := range r.members {
		wg.Go(func() {
			for wakeup.Pause(waits, holdEvery) == nil {
				bound, cancel := context.WithTimeout(waits, requestDeadline)
				_, _ = m.Where(bound) // what matters is that it was asked
				cancel()
			}
		})
	}
	err := do(ctx)
	stop()
	wg.Wait()
	return err
}

func (r *run) tell() {
	if r.o.Progress == nil {
		return
	}
	c := r.c
	c.Unverified, c.Wrong, c.Suspect = maps.Clone(c.Unverified), maps.Clone(c.Wrong), maps.Clone(c.Suspect)
	c.Waiting, c.Percent = 0, 100
	for _, w := range r.waiting {
		if !w.done() {
			c.Waiting++
		}
	}
	for _, w := range r.statusWaits {
		if !w.sure && !w.gone {
			c.Waiting++
		}
	}
	for at, w := range r.maps {
		if _, counted := r.waiting[at]; !counted && !w.done() {
			c.Waiting++
		}
	}
	if r.total > 0 {
		c.Percent = int(100 * min(c.Blocks, r.total) / r.total)
	}
	r.o.Progress(c)
}

// noted takes the first look at a page.
func (r *run) noted(at integrity.Block, s []page.Summary, redo []platform.LSN) {
	r.c.Blocks++
	r.c.PageBytes += int64(r.data[0].PageSize)
	r.mapped(at, s)
	switch j := r.judge(s, redo, 0); {
	case j.Verdict == page.Equal:
		r.c.Equal++
	case len(r.waiting) >= mostWaiting:
		r.c.Unverified[tooMany]++
	default:
		r.waiting[at] = &waiting{seen: slices.Clone(s), now: j}
	}
}

// settle looks again at what is not equal, each time a checkpoint of every member has passed what was there at the look before.
func (r *run) settle(ctx context.Context) error {
	if r.o.Wait <= 0 {
		return nil
	}
	if len(r.waiting) > 0 {
		r.known(ctx) // relations may be new
	}
	for until := time.Now().Add(r.o.Wait); len(r.waiting)+len(r.statusWaits)+len(r.maps) > 0; {
		if err := r.turn(ctx); err != nil {
			return err
		}
		redo, err := r.where(ctx)
		if err != nil {
			return err
		}
		var due []integrity.Block
		for at, w := range r.waiting {
			if !w.done() && w.ends <= redo {
				due = append(due, at)
			}
		}
		if err := r.again(ctx, due); err != nil {
			return err
		}
		looked, open, err := r.settleStatus(ctx, redo)
		if err != nil {
			return err
		}
		lookedAtMaps, openMaps, err := r.settleMaps(ctx, redo)
		if err != nil {
			return err
		}
		if looked = looked || lookedAtMaps; looked {
			r.tell()
		}
		open = open || openMaps
		for _, w := range r.waiting {
			open = open || !w.done()
		}
		if !open || time.Now().After(until) {
			return nil
		}
		if len(due) > 0 || looked {
			continue // what has moved meanwhile has no end yet
		}
		if err := wakeup.Pause(ctx, r.o.Every); err != nil {
			return err
		}
	}
	return nil
}

// where asks how far all members are. Pages that were read before have an end of WAL from then on.
func (r *run) where(ctx context.Context) (redo platform.LSN, err error) {
	all := make([]Where, len(r.members))
	err = r.each(ctx, r.o.Patience, func(ctx context.Context, n int) (err error) {
		if all[n], err = r.members[n].Where(ctx); err == nil {
			err = r.unchanged(n, all[n].Data)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	end := platform.LSN(0)
	redo = all[0].Redo
	for _, w := range all {
		redo, end = min(redo, w.Redo), max(end, w.End)
	}
	for _, w := range r.waiting {
		if w.ends == 0 {
			w.ends = end
		}
	}
	for _, w := range r.statusWaits {
		if w.ends == 0 {
			w.ends = end
		}
	}
	for _, w := range r.maps {
		if w.ends == 0 {
			w.ends = end
		}
	}
	r.c.Horizon = redo
	return redo, nil
}

// again looks at pages that waited.
func (r *run) again(ctx context.Context, due []integrity.Block) error {
	slices.SortFunc(due, integrity.Block.Compare)
	for len(due) > 0 {
		var b batch
		for len(due) > 0 && b.blocks < LookBlocks {
			last := len(b.extents) - 1
			if next := due[0]; last >= 0 && follows(b.extents[last], next) {
				b.extents[last].Count++
			} else {
				b.extents = append(b.extents, r.extent(next, 1))
			}
			b.blocks++
			due = due[1:]
		}
		if err := r.look(ctx, b, r.looked); err != nil {
			return err
		}
	}
	return nil
}

func follows(e integrity.Extent, b integrity.Block) bool {
	e.Number += e.Count
	return e.Block == b
}

// looked takes a further look at a page. A checkpoint of every member has passed the look before.
func (r *run) looked(at integrity.Block, s []page.Summary, redo []platform.LSN) {
	w := r.waiting[at]
	stays := slices.EqualFunc(w.seen, s, alike)
	seen := platform.LSN(0)
	if stays {
		seen = w.ends
	}
	j := r.judge(s, redo, seen)
	if j.Verdict == page.Equal {
		r.c.Equal++
		delete(r.waiting, at)
		return
	}
	if r.reading {
		w.early++
	} else {
		w.looks++
	}
	// What no rule decides stays so, unless it is changing. A difference counts once the same pages have shown it before and after.
	w.sure = stays && (j.Verdict == page.Differs && w.now.Verdict == page.Differs || j.Verdict == page.Undecidable && j.Kind == page.NoRule)
	w.seen, w.now, w.ends = slices.Clone(s), j, 0
	if w.sure && j.Verdict == page.Differs {
		r.found(at, w)
	}
}
