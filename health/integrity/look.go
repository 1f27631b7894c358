package integrity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"mainstay/controller/wakeup"
	"mainstay/health/integrity/page"
)

// Seen is one page as it is on disk.
type Seen struct {
	Block
	Page      []byte // nil: it is not there, or cannot be read
	Condition page.Condition
	Summary   page.Summary // where Options.Rules asks for one. Absent where the page is not there
	Failed    string       // why it cannot be read; "" if it can
	Steady    bool         // it is right on its own, or two consecutive reads gave the same wrong page
}

// Look reads some pages again: for the second look of a comparison, as evidence, or to mend another member's. Of the options it heeds
// Deadline, Rules and Again. Its errors are those of Scan.
func (s *Scanner) Look(ctx context.Context, o Options, blocks []Block) (all []Seen, err error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.busy.Store(false)
	x, end, err := s.prepare(o)
	if err != nil {
		return nil, err
	}
	defer end()
	spaces := func() { x.tree.folders(&Catalogue{Skipped: map[Reason]Skipped{}, pages: 1}) }
	if err = s.bounded(x.o.Deadline, "list the tablespaces", spaces); err != nil {
		return nil, fmt.Errorf("check the files of %s: %w", s.Dir, err)
	}
	for _, b := range blocks {
		seen, err := x.lookAt(ctx, b, nil)
		if err != nil {
			return all, fmt.Errorf("check the files of %s: %s: %w", s.Dir, b, err)
		}
		all = append(all, seen)
	}
	return all, nil
}

func (x *scan) lookAt(ctx context.Context, b Block, rules *page.Rules) (s Seen, err error) {
	segment := x.tree.segment / x.page()
	f := File{Relation: b.Relation, Fork: b.Fork, Segment: uint32(int64(b.Number) / segment)}
	s.Block = b
	var before [32]byte
	for reads := 0; reads < x.o.Again.Reads && !s.Steady; reads++ {
		if reads > 0 {
			if err := wakeup.Pause(ctx, x.o.Again.Every); err != nil {
				return s, err
			}
		}
		p := &part{file: f, from: int64(b.Number) % segment * x.page(), size: x.page(), first: b.Number, keep: true, rules: rules}
		if err := x.bounded(x.o.Deadline, "read", func() { x.look(p) }); err != nil {
			return s, err
		}
		s.Page, s.Condition, s.Summary, s.Failed = nil, page.Condition{}, page.Summary{}, ""
		switch {
		case errors.Is(p.err, fs.ErrNotExist), p.err == nil && p.read == 0:
			s.Summary.State, s.Condition.State, s.Steady = page.Absent, page.Absent, true
		case p.err != nil:
			s.Failed = p.err.Error()
		default:
			now := p.pages[0]
			s.Page, s.Condition, s.Summary = now.content, now.condition, now.summary
			s.Steady = now.condition.State != page.Bad || reads > 0 && now.hash == before
			before = now.hash
		}
	}
	return s, nil
}
