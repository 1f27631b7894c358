package integrity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health/integrity/page"
)

// A server that does not answer must not hold up a scan.
const (
	positionsDeadline = 5 * time.Second
	silence           = 30 * time.Second
)

// chunk is how many bytes one read asks for.
const chunk = 256 << 10

// Scan reads every page of the directory's relations once, those that look wrong again, and says what it found. It returns what it has
// read also with an error: those of the control file, ErrHung, ErrBusy and the context's.
func (s *Scanner) Scan(ctx context.Context, o Options, sink Sink) (Result, error) {
	if err := s.begin(); err != nil {
		return Result{}, err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return Result{}, err
	}
	defer end()
	x.sink = sink
	if err = x.run(ctx); err != nil {
		err = fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	return x.result, err
}

// prepare opens the directory. end closes it, unless a call hangs that uses it: then the garbage collector does, behind that call.
func (s *Scanner) prepare(o Options) (x *scan, end func(), err error) {
	o.fill()
	if s.fetch == nil {
		s.fetch = (*tree).fetch
	}
	t, err := s.open(o.Deadline)
	if err != nil {
		return nil, nil, fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	end = func() {
		if s.waiting.Load() == 0 {
			_ = s.bounded(o.Deadline, "close", func() { _ = t.close() })
		}
	}
	return &scan{Scanner: s, o: o, tree: t, result: Result{Layout: t.layout, Skipped: map[Reason]Skipped{}}}, end, nil
}

// scan is one run of Scan, in one goroutine but for its calls on files.
type scan struct {
	*Scanner
	o         Options
	sink      Sink
	tree      *tree
	catalogue *Catalogue
	result    Result
	progress  Progress
	due       time.Time // when the next read may begin
	zeros     ZeroRun   // that still continues
	suspects  []*suspect
	at        Positions // the last answer
	asked     time.Time // when it was asked for; zero: never, or every answer was an error
	silent    time.Time // until when a server that did not answer is not asked again
}

func (x *scan) run(ctx context.Context) (err error) {
	if x.catalogue, err = x.list(ctx, x.tree, x.o.Deadline); err != nil {
		return err
	}
	shapes := x.catalogue.shapes(x.tree.segment)
	x.selectFiles()
	maps.Copy(x.result.Skipped, x.catalogue.Skipped)
	x.result.Notes = x.catalogue.Notes
	if err = x.pages(ctx); err == nil {
		err = x.shapes(ctx, shapes)
	}
	if err == nil {
		err = x.settle(ctx)
	}
	x.giveUp()
	return err
}

// selectFiles takes what is excluded, and what an earlier scan has done, from the catalogue.
func (x *scan) selectFiles() {
	var kept []File
	for _, f := range x.catalogue.Files {
		if x.o.Only != nil && !x.o.Only(f.Relation, f.Fork) {
			x.catalogue.count(Excluded, f.Size)
			continue
		}
		if from := x.o.From; from != nil {
			before := File{Relation: from.Relation, Fork: from.Fork, Segment: uint32(int64(from.Number) * x.page() / x.tree.segment)}
			if f.compare(before) < 0 {
				continue
			}
		}
		if f.partial(x.page(), x.tree.segment) {
			x.catalogue.skip(f.Path, f.Size%x.page(), Partial, "PostgreSQL does not read what is behind the last page")
		}
		kept = append(kept, f)
	}
	x.catalogue.Files = kept
	for _, f := range kept {
		x.progress.Total += f.Size - x.begin(f)
	}
}

func (x *scan) page() int64 { return int64(x.tree.layout.Size) }

// begin is where the reading of a file begins, in bytes: behind what an earlier scan has done.
func (x *scan) begin(f File) int64 {
	from := x.o.From
	if from == nil || from.Relation != f.Relation || from.Fork != f.Fork {
		return 0
	}
	return min(f.Size, max(0, (int64(from.Number)+1)*x.page()-int64(f.Segment)*x.tree.segment))
}

// part is one read of a file, and what it showed.
type part struct {
	*call
	file       File
	from, size int64 // bytes of the file; the read begins at a multiple of sector
	first      uint32
	read       int // pages
	pages      []seen
	keep       bool        // the content of its pages
	rules      *page.Rules // by which its pages are summarised; nil: Options.Rules says
	newest     platform.LSN
	returned   time.Time // or later
	err        error
}

// seen is what one page looked like.
type seen struct {
	condition page.Condition
	hash      [sha256.Size]byte // of a Bad page
	summary   page.Summary
	content   []byte // where it is kept
}

// pages reads all files in order, a few parts at a time.
func (x *scan) pages(ctx context.Context) error {
	var running []*part
	defer func() {
		for _, p := range running {
			_ = p.wait(x.o.Deadline) // one that hangs is Scanner's now
			x.left(p.size)
		}
	}()
	take := func() error {
		p := running[0]
		if err := p.wait(x.o.Deadline); err != nil {
			return err
		}
		running = running[1:]
		return x.took(ctx, p)
	}
	for n, f := range x.catalogue.Files {
		x.result.Files++
		for from := x.begin(f); from < f.Size; {
			if len(running) == x.o.Parallel {
				if err := take(); err != nil {
					x.rest(n, from)
					return err
				}
			}
			p := x.part(f, from)
			if err := x.pace(ctx, p.size); err != nil {
				x.rest(n, from)
				return err
			}
			p.call = x.start("read "+f.Path, func() { x.look(p) })
			running = append(running, p)
			from += p.size
		}
	}
	for len(running) > 0 {
		if err := take(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rest counts what the scan did not come to.
func (x *scan) rest(n int, from int64) {
	x.left(x.catalogue.Files[n].Size - from)
	for _, f := range x.catalogue.Files[n+1:] {
		x.left(f.Size)
	}
}

func (x *scan) left(bytes int64) {
	s := x.result.Skipped[Unfinished]
	s.Blocks += bytes / x.page()
	x.result.Skipped[Unfinished] = s
}

// part is the next one of a file: up to a multiple of chunk, so that all but the first begin at one.
func (x *scan) part(f File, from int64) *part {
	size := min(chunk-from%chunk, f.Size-from)
	return &part{file: f, from: from, size: size, first: uint32((int64(f.Segment)*x.tree.segment + from) / x.page())}
}

// pace waits until the bound on the rate allows a read.
func (x *scan) pace(ctx context.Context, size int64) error {
	if x.o.Rate <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	if x.due.Before(now) {
		x.due = now
	}
	wait := x.due.Sub(now)
	x.due = x.due.Add(time.Duration(float64(size) / float64(x.o.Rate) * float64(time.Second)))
	return wakeup.Pause(ctx, wait)
}

// tools are what one read needs, kept for the next.
type tools struct {
	buffer     []byte
	summariser page.Summariser
}

var spare = sync.Pool{New: func() any { return &tools{buffer: buffer(chunk + sector)} }}

// look reads a part, and checks its pages. It runs in a goroutine of its own.
func (x *scan) look(p *part) {
	w := spare.Get().(*tools)
	defer spare.Put(w)
	f, ok := x.tree.folderOf(p.file.Space, p.file.Database)
	if !ok {
		p.err = fs.ErrNotExist
		return
	}
	low := p.from % sector // pages may be smaller than a sector
	want := (low + p.size + sector - 1) / sector * sector
	fetch := x.fetch
	if x.o.Cached {
		fetch = (*tree).fetchCached
	}
	n, err := fetch(x.tree, f, f.name(p.file.Node, p.file.Fork, p.file.Segment), w.buffer[:want], p.from-low)
	if err != nil {
		p.err = err
		return
	}
	rules, summarised := page.Rules{}, false
	if p.rules != nil {
		rules, summarised = *p.rules, true
	} else if x.o.Rules != nil {
		rules, summarised = x.o.Rules(p.file.Relation, p.file.Fork)
	}
	w.summariser.Layout = x.tree.layout
	content := w.buffer[low:min(int64(n), low+p.size)]
	if int64(n) < low {
		content = nil
	}
	p.read = len(content) / x.tree.layout.Size
	p.pages = make([]seen, p.read)
	for i := range p.pages {
		b := content[i*x.tree.layout.Size:][:x.tree.layout.Size]
		p.pages[i] = x.seen(w, b, p.first+uint32(i), rules, summarised)
		if p.keep {
			p.pages[i].content = slices.Clone(b)
		}
		if c := &p.pages[i].condition; c.State == page.Used {
			p.newest = max(p.newest, c.Header.LSN)
		}
	}
}

func (x *scan) seen(w *tools, b []byte, block uint32, rules page.Rules, summarised bool) (s seen) {
	if s.condition = x.tree.layout.Check(b, block); summarised {
		s.summary = w.summariser.Checked(b, block, s.condition, rules)
		if s.condition.State == page.Used && s.summary.State == page.Bad {
			s.condition.State, s.condition.Fault, s.condition.Detail = page.Bad, page.WrongItem, s.summary.Detail
		}
	}
	if s.condition.State == page.Bad {
		s.hash = sha256.Sum256(b)
	}
	return s
}

// took counts what a read showed, and reads those again that are due.
func (x *scan) took(ctx context.Context, p *part) error {
	x.examine(ctx, p)
	x.progress.Done += p.size
	x.progress.At = &Block{p.file.Relation, p.file.Fork, p.first + uint32(p.size/x.page()) - 1}
	if x.sink.Progress != nil {
		x.sink.Progress(x.progress)
	}
	return x.again(ctx)
}

// examine counts what a read showed, and sets aside what looks wrong.
func (x *scan) examine(ctx context.Context, p *part) {
	p.returned = time.Now()
	switch {
	case errors.Is(p.err, fs.ErrNotExist):
		x.result.Vanished += p.size / x.page()
		return
	case errors.Is(p.err, errForeign):
		x.leftOut(p, Foreign)
		return
	case p.err != nil && !ofDisk(p.err):
		x.leftOut(p, Unopened)
		return
	case p.err != nil:
		x.suspect(ctx, p, &suspect{file: p.file, block: p.first, pages: p.size / x.page(), failed: p.err.Error()})
		return
	}
	x.result.Bytes += int64(p.read) * x.page()
	x.result.Vanished += p.size/x.page() - int64(p.read)
	end := x.passedBy(ctx, p)
	for i := range p.pages {
		s, block := &p.pages[i], p.first+uint32(i)
		x.zeroRun(Block{p.file.Relation, p.file.Fork, block}, s.condition.State)
		ahead := s.condition.State == page.Used && end > 0 && s.condition.Header.LSN > end
		if ahead {
			s.condition.Detail = fmt.Sprintf("the page has LSN %s, and the server's WAL ends at %s", s.condition.Header.LSN, end)
		}
		if ahead || s.condition.State == page.Bad {
			x.suspect(ctx, p, &suspect{file: p.file, block: block, pages: 1, seen: *s, ahead: ahead})
			continue
		}
		x.known(p.file, block, s)
	}
}

// known counts a page with which nothing is wrong.
func (x *scan) known(f File, block uint32, s *seen) {
	x.result.Blocks++
	switch {
	case s.condition.State == page.Zero:
		x.result.Zero++
	case s.condition.Verified:
		x.result.Verified++
	default:
		x.result.HeaderOnly++
	}
	x.summary(f, block, s)
}

func (x *scan) summary(f File, block uint32, s *seen) {
	if x.sink.Summary != nil && s.summary.State != page.Unread {
		x.sink.Summary(Block{f.Relation, f.Fork, block}, s.summary)
	}
}

// passedBy is the end of WAL where a part has a page beyond it, and 0 where none has or that is not known.
func (x *scan) passedBy(ctx context.Context, p *part) platform.LSN {
	if x.o.Positions == nil || p.newest <= x.at.End { // WAL only grows
		return 0
	}
	at, ok := x.positions(ctx, p.returned)
	if !ok || at.End == 0 || p.newest <= at.End {
		return 0
	}
	return at.End
}

// positions are those of that time or later.
func (x *scan) positions(ctx context.Context, since time.Time) (Positions, bool) {
	if x.o.Positions == nil || x.asked.After(since) {
		return x.at, x.o.Positions != nil
	}
	if time.Now().Before(x.silent) {
		return Positions{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, positionsDeadline)
	defer cancel()
	now := time.Now()
	at, err := x.o.Positions(ctx)
	if err != nil {
		x.silent = time.Now().Add(silence)
		return Positions{}, false
	}
	x.at, x.asked = at, now
	x.result.Ahead = x.result.Ahead || at.End > 0
	return at, true
}

// zeroRun follows runs of pages without content in main forks.
func (x *scan) zeroRun(b Block, state page.State) {
	z := &x.zeros
	switch {
	case b.Fork != page.Main:
	case state != page.Zero:
		if state != page.Blank && z.Count > 0 && z.Relation == b.Relation && z.Number+z.Count == b.Number && x.sink.Zero != nil {
			x.sink.Zero(*z)
		}
		*z = ZeroRun{}
	case z.Count > 0 && z.Relation == b.Relation && z.Number+z.Count == b.Number:
		z.Count++
	default:
		*z = ZeroRun{b, 1}
	}
}

func (x *scan) leftOut(p *part, why Reason) {
	s := x.result.Skipped[why]
	s.Files++
	s.Blocks += p.size / x.page()
	x.result.Skipped[why] = s
	if len(x.result.Notes) < maxNotes {
		x.result.Notes = append(x.result.Notes, Note{p.file.Path, why, p.err.Error()})
	}
}
