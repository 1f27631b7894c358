package integrity

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"mainstay/controller/platform"
	"mainstay/health/integrity/page"
)

// Scanner checks one data directory. All checks of a directory go through one Scanner, one at a time, so that no second one begins while
// a call of the first hangs in a disk.
type Scanner struct {
	Dir string // the data directory

	busy    atomic.Bool                                                             // a check runs
	waiting atomic.Int64                                                            // goroutines in a call on a file
	fetch   func(t *tree, f folder, name string, b []byte, from int64) (int, error) // nil: (*tree).fetch
}

// Positions are how far a running server is.
type Positions struct {
	Redo platform.LSN // of its last completed checkpoint or restartpoint, by pg_control or pg_control_checkpoint()
	End  platform.LSN // of the WAL it has flushed, or replayed; or beyond. Zero: not known
}

// Options of a scan. The zero value checks the pages of a directory without a server, as fast as the disk allows.
type Options struct {
	Rate     int64         // bytes a second, on average, what is read again included; 0: no bound
	Deadline time.Duration // of one call on a file; 0: 30 seconds
	Parallel int           // reads at a time, of 256 kB; 0: 4 where Rate is bounded, else 16
	From     *Block        // begins behind this block, where an earlier scan ended; nil: at the first one
	// Only leaves out the forks for which it is false; nil: none.
	Only func(Relation, page.Fork) bool
	// Rules asks for a summary of each page of a fork for which it is true; nil: none.
	Rules func(Relation, page.Fork) (page.Rules, bool)
	// Positions asks the server of that directory. It is nil where none runs, and nothing else changes the files. An error is no obstacle:
	// what depends on the answer is not settled. It has 5 seconds to answer, and after an error it is not asked again for 30.
	Positions func(context.Context) (Positions, error)
	Again     Again
	// Cached reads through the page cache, and leaves there what it reads: of a copy that was just written a read of the disk would first
	// have to write it out.
	Cached bool
}

// Again says how often a wrong page is read before it counts. PostgreSQL may be writing it.
type Again struct {
	Reads      int           // that must show the same; 0: 3
	Every      time.Duration // between two of them; 0: half a second
	Checkpoint time.Duration // how long to wait at the end for a checkpoint that settles what was found; 0: not at all
}

// Defaults of Options.
const (
	defaultDeadline = 30 * time.Second
	defaultParallel = 16
	gentleParallel  = 4
	defaultReads    = 3
	defaultEvery    = 500 * time.Millisecond
)

func (o *Options) fill() {
	fill(&o.Deadline, defaultDeadline)
	if o.Rate > 0 {
		fill(&o.Parallel, gentleParallel)
	}
	fill(&o.Parallel, defaultParallel)
	fill(&o.Again.Reads, defaultReads)
	fill(&o.Again.Every, defaultEvery)
}

func fill[T time.Duration | int](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Sink receives what a scan finds, in the order of the files, from the goroutine that scans. Each function may be nil.
type Sink struct {
	Finding  func(Finding)
	Zero     func(ZeroRun)
	Summary  func(Block, page.Summary)
	Progress func(Progress) // after each read
}

// Progress is how far a scan is. Both counts begin where the scan does, and leave out what is skipped.
type Progress struct {
	Done, Total int64  // bytes
	At          *Block // the last block of what is done, for Options.From; nil: none yet. Findings that still wait come later
}

// Result is what a scan has read.
type Result struct {
	Layout     page.Layout
	Files      int64
	Blocks     int64 // that were read: the sum of the five below
	Verified   int64 // by their checksum
	HeaderOnly int64 // there are no checksums
	Zero       int64
	Bad        int64 // have findings
	Changing   int64 // never two reads alike
	Torn       int64 // were wrong at first and right later: they were being written. Among the five they count as what they became
	Vanished   int64 // blocks of files that went or shrank meanwhile: not among the blocks that were read
	Bytes      int64
	Skipped    map[Reason]Skipped
	Notes      []Note // what was left out, but for Temporary and Unlogged, the first 200
	Settled    int64  // findings that are settled
	Unsettled  int64  // findings that are not: look again after a checkpoint
	Ahead      bool   // LSNs were compared with the end of WAL
}

var (
	// ErrHung is returned when a call on a file has not returned in time. What was found until then stands.
	ErrHung = errors.New("the disk does not answer")
	// ErrBusy is returned when a check of the directory runs, or a call of an earlier one still hangs.
	ErrBusy = errors.New("another check of this directory has not ended")
)

// Waiting is how many calls on files have not returned, also after a scan has given them up.
func (s *Scanner) Waiting() int { return int(s.waiting.Load()) }

// begin reserves the directory.
func (s *Scanner) begin() error {
	if s.waiting.Load() > 0 || !s.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("check the files of %s: %w", s.Dir, ErrBusy)
	}
	return nil
}

// call is a call on files that runs in its own goroutine.
type call struct {
	done  chan struct{} // closed when it has returned
	begun time.Time
	what  string
}

// start begins a call. Scanner counts it until it returns.
func (s *Scanner) start(what string, f func()) *call {
	c := &call{done: make(chan struct{}), begun: time.Now(), what: what}
	s.waiting.Add(1)
	go func() {
		defer close(c.done)
		defer s.waiting.Add(-1)
		f()
	}()
	return c
}

// wait waits for a call until its deadline; what f wrote may be read only if there is no error.
func (c *call) wait(deadline time.Duration) error {
	select {
	case <-c.done:
		return nil
	default:
	}
	t := time.NewTimer(time.Until(c.begun.Add(deadline)))
	defer t.Stop()
	select {
	case <-c.done:
		return nil
	case <-t.C:
		return fmt.Errorf("%s: %w after %s", c.what, ErrHung, deadline)
	}
}

func (s *Scanner) bounded(deadline time.Duration, what string, f func()) error {
	return s.start(what, f).wait(deadline)
}

// open opens the directory's tree.
func (s *Scanner) open(deadline time.Duration) (t *tree, err error) {
	var result struct {
		t   *tree
		err error
	}
	if err := s.bounded(deadline, "open "+s.Dir, func() { result.t, result.err = openTree(s.Dir) }); err != nil {
		return nil, err
	}
	return result.t, result.err
}

// Redo is where the last checkpoint of the directory's server began, by the control file: for Options.Positions where only that can be
// asked. The error is the control file's, or ErrHung.
func (s *Scanner) Redo() (platform.LSN, error) {
	t, err := s.open(positionsDeadline)
	if err != nil {
		return 0, err
	}
	return t.redo, s.bounded(positionsDeadline, "close", func() { _ = t.close() })
}

// list makes the catalogue, in calls for a few files each.
func (s *Scanner) list(ctx context.Context, t *tree, deadline time.Duration) (*Catalogue, error) {
	c := &Catalogue{Skipped: map[Reason]Skipped{}, pages: int64(t.layout.Size)}
	var all []folder
	if err := s.bounded(deadline, "list the databases", func() { all = t.folders(c) }); err != nil {
		return nil, err
	}
	for _, f := range all {
		next, more := &listing{folder: f}, true
		for more {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := s.bounded(deadline, "list "+f.path, func() { more = t.files(c, next) }); err != nil {
				return nil, err
			}
		}
	}
	c.order()
	return c, nil
}

// Catalogue lists the relations' files of the directory. Its errors are those of the control file, ErrHung, ErrBusy and the context's.
func (s *Scanner) Catalogue(ctx context.Context) (*Catalogue, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(Options{})
	if err != nil {
		return nil, err
	}
	defer end()
	return s.list(ctx, x.tree, x.o.Deadline)
}
