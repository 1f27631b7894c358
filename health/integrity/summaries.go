package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"mainstay/health/integrity/page"
)

// Extent is some pages of a fork, and how they are compared.
type Extent struct {
	Block            // the first one
	Count uint32     // pages
	Rules page.Rules // the fork in it is the block's
}

// Summaries reads extents for a comparison with another member, and summarises their pages: one list for each extent, as long as its count.
// A page that is not there is Absent. A page that cannot be read, or is never twice the same while it looks damaged, is Unread. Of the
// options it heeds Rate, Deadline, Parallel and Again. Its errors are those of Scan.
func (s *Scanner) Summaries(ctx context.Context, o Options, extents []Extent) ([][]page.Summary, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := x.extents(ctx, extents)
	if err != nil {
		err = fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	return all, err
}

// piece is a part of an extent that one read gives.
type piece struct {
	*part
	into []page.Summary
}

func (x *scan) extents(ctx context.Context, extents []Extent) ([][]page.Summary, error) {
	spaces := func() { x.tree.folders(&Catalogue{Skipped: map[Reason]Skipped{}, pages: 1}) }
	if err := x.bounded(x.o.Deadline, "list the tablespaces", spaces); err != nil {
		return nil, err
	}
	var running []piece
	defer func() {
		for _, p := range running {
			_ = p.wait(x.o.Deadline) // one that hangs is Scanner's now
		}
	}()
	take := func() error {
		p := running[0]
		if err := p.wait(x.o.Deadline); err != nil {
			return err
		}
		running = running[1:]
		return x.summarised(ctx, p)
	}
	all := make([][]page.Summary, len(extents))
	for n, e := range extents {
		all[n] = make([]page.Summary, e.Count)
		for from := uint32(0); from < e.Count; {
			for len(running) >= x.o.Parallel {
				if err := take(); err != nil {
					return nil, err
				}
			}
			p := x.pieceOf(e, from)
			if err := x.pace(ctx, p.size); err != nil {
				return nil, err
			}
			p.into = all[n][from:][:p.size/x.page()]
			p.call = x.start("read", func() { x.look(p.part) })
			running = append(running, p)
			from += uint32(len(p.into))
		}
	}
	for len(running) > 0 {
		if err := take(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// pieceOf is the next read of an extent: it ends with its segment.
func (x *scan) pieceOf(e Extent, from uint32) piece {
	number := int64(e.Number) + int64(from)
	at := number * x.page() % x.tree.segment
	size := min(chunk-at%chunk, x.tree.segment-at, int64(e.Count-from)*x.page())
	rules := e.Rules
	rules.Fork = e.Fork
	return piece{part: &part{file: File{Relation: e.Relation, Fork: e.Fork, Segment: uint32(number * x.page() / x.tree.segment)},
		from: at, size: size, first: uint32(number), rules: &rules}}
}

// summarised takes what a read showed. Pages that look damaged are read again: PostgreSQL may have been writing them.
func (x *scan) summarised(ctx context.Context, p piece) error {
	for n := range p.into {
		switch {
		case errors.Is(p.err, fs.ErrNotExist), p.err == nil && n >= p.read:
			p.into[n] = page.Summary{State: page.Absent}
		case p.err != nil:
			p.into[n] = page.Summary{Detail: p.err.Error()}
		case p.pages[n].summary.State == page.Bad:
			s, err := x.lookAt(ctx, Block{p.file.Relation, p.file.Fork, p.first + uint32(n)}, p.rules)
			if err != nil {
				return err
			}
			if p.into[n] = s.Summary; !s.Steady {
				p.into[n] = page.Summary{Detail: s.Failed}
			}
		default:
			p.into[n] = p.pages[n].summary
		}
	}
	return nil
}
