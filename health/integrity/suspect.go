package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health/integrity/page"
)

// suspect is a page that looked wrong, or a part of a file that could not be read.
type suspect struct {
	file   File
	block  uint32
	pages  int64
	seen   seen
	ahead  bool   // it is right on its own, and beyond the end of WAL
	failed string // the error of reading it; then there is nothing in seen

	first, last time.Time
	reads       int // in a row that showed the same
	changes     int
	end         platform.LSN // of WAL when it was seen so first; 0: not known
	outlasted   bool         // a checkpoint that began after that
}

const (
	maxSuspects = 10000 // that are read again; further ones are findings that are not settled
	maxChanges  = 20    // then a page counts as changing, or as not readable
)

// suspect sets a page of a part aside, to be read again. It counts when it is known what it is.
func (x *scan) suspect(ctx context.Context, p *part, s *suspect) {
	s.first, s.last, s.reads = p.returned, p.returned, 1
	x.mark(ctx, s)
	if len(x.suspects) >= maxSuspects {
		x.found(s, false)
		return
	}
	x.suspects = append(x.suspects, s)
}

// mark notes the end of WAL: a checkpoint whose redo position is not before it began after the page was read.
func (x *scan) mark(ctx context.Context, s *suspect) {
	s.end, s.outlasted = 0, false
	if at, ok := x.positions(ctx, s.last); ok {
		s.end = at.End
	}
}

// again reads those suspects once more whose time has come.
func (x *scan) again(ctx context.Context) error {
	for _, s := range slices.Clone(x.suspects) {
		if time.Since(s.last) < x.o.Again.Every || x.o.Positions != nil && s.reads >= x.o.Again.Reads {
			continue
		}
		if err := x.reread(ctx, s); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// reread looks at a suspect once more, and drops it once it is known what it is.
func (x *scan) reread(ctx context.Context, s *suspect) error {
	p := x.part(s.file, int64(s.block)*x.page()-int64(s.file.Segment)*x.tree.segment)
	p.size = s.pages * x.page()
	if err := x.pace(ctx, p.size); err != nil {
		return err
	}
	passed := x.passed(ctx, s) // asked before the read
	if err := x.bounded(x.o.Deadline, "read "+s.file.Path, func() { x.look(p) }); err != nil {
		return err
	}
	s.last = time.Now()
	switch {
	case errors.Is(p.err, fs.ErrNotExist), p.err == nil && p.read == 0:
		x.result.Vanished += s.pages
		x.drop(s)
		return nil
	case p.err != nil && !ofDisk(p.err):
		if s.changes++; s.changes > maxChanges {
			x.drop(s)
			x.leftOut(p, Unopened)
		}
		return nil
	case p.err != nil:
		x.same(ctx, s, s.failed != "", passed)
		s.failed = p.err.Error()
		return nil
	case s.failed != "": // it can be read now
		x.drop(s)
		x.examine(ctx, p)
		return nil
	}
	now := p.pages[0]
	switch {
	case now.condition.State != page.Bad && !s.ahead, s.ahead && now.condition.State == page.Zero:
		x.drop(s)
		x.result.Torn++
		x.known(s.file, s.block, &now)
	case s.ahead && now.condition.Header.LSN != s.seen.condition.Header.LSN:
		x.drop(s)
		x.examine(ctx, p)
	default:
		same := now.hash == s.seen.hash && now.condition.State == s.seen.condition.State
		if s.ahead {
			now.condition.Detail = s.seen.condition.Detail
		}
		s.seen = now
		x.same(ctx, s, same, passed)
	}
	return nil
}

// same counts a further read of a suspect.
func (x *scan) same(ctx context.Context, s *suspect, same, passed bool) {
	if !same {
		s.first, s.reads = s.last, 1
		if s.changes++; s.changes > maxChanges {
			x.drop(s)
			x.result.Blocks += s.pages
			x.result.Changing += s.pages
			x.result.Skipped[Changing] = Skipped{Blocks: x.result.Changing}
			return
		}
		x.mark(ctx, s)
		return
	}
	if s.end == 0 {
		x.mark(ctx, s)
	}
	s.reads++
	s.outlasted = s.outlasted || passed
	if s.reads >= x.o.Again.Reads && (x.o.Positions == nil || s.outlasted) {
		x.drop(s)
		x.found(s, true)
	}
}

// passed tells whether a checkpoint that began after a suspect was first seen so has completed.
func (x *scan) passed(ctx context.Context, s *suspect) bool {
	if x.o.Positions == nil || s.end == 0 || s.reads+1 < x.o.Again.Reads {
		return false
	}
	at, ok := x.positions(ctx, time.Now().Add(-x.o.Again.Every)) // an older answer is on the safe side
	return ok && at.Redo >= s.end
}

func (x *scan) drop(s *suspect) {
	x.suspects = slices.DeleteFunc(x.suspects, func(o *suspect) bool { return o == s })
}

// settle reads the last suspects until they are known, and waits for a checkpoint as long as the options say.
func (x *scan) settle(ctx context.Context) error {
	end := time.Now().Add(x.o.Again.Checkpoint)
	for len(x.suspects) > 0 {
		waits := !slices.ContainsFunc(x.suspects, func(s *suspect) bool { return s.reads < x.o.Again.Reads })
		if waits && time.Now().After(end) {
			return nil
		}
		if err := wakeup.Pause(ctx, x.o.Again.Every); err != nil {
			return err
		}
		for _, s := range slices.Clone(x.suspects) {
			if s.reads >= x.o.Again.Reads && !x.passed(ctx, s) {
				continue // it waits for a checkpoint only
			}
			if err := x.reread(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveUp tells of the suspects that nothing has settled.
func (x *scan) giveUp() {
	for _, s := range x.suspects {
		x.found(s, false)
	}
	x.suspects = nil
}

func (x *scan) found(s *suspect, settled bool) {
	f := Finding{Block: Block{s.file.Relation, s.file.Fork, s.block}, Path: s.file.Path, Reads: s.reads, Over: s.last.Sub(s.first)}
	c := s.seen.condition
	switch {
	case s.failed != "":
		f.Kind, f.Detail = ReadError, fmt.Sprintf("%d pages from this one on cannot be read: %s", s.pages, s.failed)
	case s.ahead:
		f.Kind, f.LSN, f.Detail = AheadOfWAL, c.Header.LSN, c.Detail
	default:
		f.Kind = map[page.Fault]Kind{page.WrongChecksum: WrongChecksum, page.WrongHeader: WrongHeader, page.WrongItem: WrongItem}[c.Fault]
		f.LSN, f.Detail = c.Header.LSN, c.Detail
		if c.Elsewhere > 0 && int64(c.Elsewhere) <= x.length(s.file) {
			f.Elsewhere = c.Elsewhere
			f.Detail += fmt.Sprintf("; it would be right as block %d", f.Elsewhere-1)
		}
	}
	x.result.Blocks += s.pages
	x.result.Bad += s.pages
	x.tell(f, settled)
	x.summary(s.file, s.block, &s.seen)
}

// length is how many pages a fork has.
func (x *scan) length(of File) (pages int64) {
	for _, f := range x.catalogue.Files {
		if f.Relation == of.Relation && f.Fork == of.Fork {
			pages = (int64(f.Segment)*x.tree.segment + f.Size) / x.page()
		}
	}
	return pages
}

func (x *scan) tell(f Finding, settled bool) {
	f.Settled = settled
	if settled {
		x.result.Settled++
	} else {
		x.result.Unsettled++
	}
	if x.sink.Finding != nil {
		x.sink.Finding(f)
	}
}

// shapes lists the files again until what looked wrong of them has looked the same as often as a page must.
func (x *scan) shapes(ctx context.Context, wrong []Finding) error {
	if len(wrong) == 0 {
		return nil
	}
	first, end, passed := time.Now(), platform.LSN(0), false
	if at, ok := x.positions(ctx, first); ok {
		end = at.End
	}
	until := time.Now().Add(x.o.Again.Checkpoint)
	for reads := 1; len(wrong) > 0; reads++ {
		if reads >= x.o.Again.Reads && (x.o.Positions == nil || passed || time.Now().After(until)) {
			for _, f := range wrong {
				f.Reads, f.Over = reads, time.Since(first)
				x.tell(f, x.o.Positions == nil || passed)
			}
			return nil
		}
		if err := wakeup.Pause(ctx, x.o.Again.Every); err != nil {
			return err
		}
		if end > 0 {
			at, ok := x.positions(ctx, time.Now().Add(-x.o.Again.Every))
			passed = passed || ok && at.Redo >= end
		}
		c, err := x.list(ctx, x.tree, x.o.Deadline)
		if err != nil {
			return err
		}
		now := c.shapes(x.tree.segment)
		wrong = slices.DeleteFunc(wrong, func(f Finding) bool { return !slices.Contains(now, f) })
	}
	return nil
}
