package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"mainstay/controller/wakeup"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// list asks every member what it has.
func (r *run) list(ctx context.Context) ([]Listing, error) {
	lists, err := r.answering(ctx)
	if err != nil {
		return nil, err
	}
	r.hints = true
	longest, had := map[Fork]uint32{}, map[Fork]int{} // by forks without a length
	r.shortest = map[Fork]uint32{}
	r.c.Incarnations = map[string]string{}
	for n, l := range lists {
		r.data = append(r.data, l.Data)
		r.c.Incarnations[r.names[n]] = l.Data.Incarnation
		r.hints = r.hints && l.HintsLogged
		if a, b := lists[0].Data, l.Data; a.SystemID != b.SystemID || a.PageSize != b.PageSize || a.Checksums != b.Checksums {
			return nil, fmt.Errorf("%s and %s cannot be compared: system identifier %s and %s, pages of %d and %d bytes, checksums %v and %v",
				r.names[0], r.names[n], a.SystemID, b.SystemID, a.PageSize, b.PageSize, a.Checksums, b.Checksums)
		}
		for _, f := range l.Forks {
			key := Fork{Relation: f.Relation, Fork: f.Fork}
			longest[key] = max(longest[key], f.Blocks)
			if had[key]++; had[key] == 1 || f.Blocks < r.shortest[key] {
				r.shortest[key] = f.Blocks
			}
		}
	}
	for why, blocks := range lists[0].Left {
		r.c.Unverified[why] += blocks
	}
	where := make([]Where, len(lists))
	for n, l := range lists {
		where[n] = l.Where
		r.nextMembers = append(r.nextMembers, l.Multi.NextMember)
	}
	layout := page.Layout{Size: r.data[0].PageSize}
	for _, table := range []struct {
		of   func([]Where, page.Layout) (span, bool)
		none string
	}{{spanOf, noStatus}, {offsetsSpan, noMultixacts}} {
		s, told := table.of(where, layout)
		if !told {
			r.c.Unverified[table.none]++
			continue
		}
		r.spans = append(r.spans, s)
		r.total += int64(s.count)
	}
	for f, blocks := range longest {
		if had[f] < len(lists) {
			r.shortest[f] = 0
		}
		if f.Blocks = blocks; f.Fork == page.FreeSpace {
			r.c.Unverified[freeSpaceMap] += int64(blocks)
			continue
		}
		r.forks = append(r.forks, f)
		r.total += int64(blocks)
	}
	slices.SortFunc(r.forks, func(a, b Fork) int { return a.first().Compare(b.first()) })
	return lists, nil
}

// answering asks every member for its list, and leaves out those that do not answer, if two are left.
func (r *run) answering(ctx context.Context) ([]Listing, error) {
	lists, errs := make([]Listing, len(r.members)), make([]error, len(r.members))
	_ = r.each(ctx, min(r.o.Patience, listPatience), func(ctx context.Context, n int) error { // each member's last error is in errs
		lists[n], errs[n] = r.members[n].List(ctx)
		return errs[n]
	})
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, err := range errs {
		if busy := (*BusyError)(nil); errors.As(err, &busy) {
			return nil, busy
		}
	}
	left := map[string]string{}
	var members []Member
	var answers []Listing
	for n, err := range errs {
		if err != nil {
			left[r.names[n]] = err.Error()
			continue
		}
		members, answers = append(members, r.members[n]), append(answers, lists[n])
	}
	if len(members) < 2 {
		return nil, errors.Join(errs...)
	}
	r.members, r.names = members, nil
	for _, m := range members {
		r.names = append(r.names, m.Name())
	}
	r.c.Members, r.c.LeftOut = slices.Clone(r.names), left
	return answers, nil
}

// known reads the catalog.
func (r *run) known(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestDeadline)
	defer cancel()
	if catalog := r.o.Catalog(ctx); r.catalog == nil {
		r.catalog = catalog
	} else {
		maps.Copy(r.catalog, catalog)
	}
}

// each asks all members at once, and again those that do not answer.
func (r *run) each(ctx context.Context, patience time.Duration, ask func(ctx context.Context, n int) error) error {
	errs := make([]error, len(r.members))
	var wg sync.WaitGroup
	for n := range r.members {
		wg.Go(func() { errs[n] = r.insist(ctx, n, patience, ask) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (r *run) insist(ctx context.Context, n int, patience time.Duration, ask func(ctx context.Context, n int) error) error {
	until := time.Now().Add(patience)
	for {
		bound, cancel := context.WithTimeout(ctx, requestDeadline)
		err := ask(bound, n)
		cancel()
		if changed, busy := (*changedError)(nil), (*BusyError)(nil); err == nil || ctx.Err() != nil || errors.As(err, &changed) ||
			errors.As(err, &busy) {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%s does not answer: %w", r.names[n], err)
		}
		if err := wakeup.Pause(ctx, retryAfter); err != nil {
			return err
		}
	}
}

// changedError: the data of a member is not what it was when the comparison began.
type changedError struct{ text string }

func (e *changedError) Error() string { return e.text }

// unchanged tells whether a member's data is what it was, and all members are on one history: only then are redo positions comparable.
func (r *run) unchanged(n int, d Data) error {
	switch was := r.data[n]; {
	case d.Incarnation != was.Incarnation || d.SystemID != was.SystemID:
		return &changedError{"the data of " + r.names[n] + " was replaced during the comparison"}
	case d.Checksums != was.Checksums || d.HintsLogged != was.HintsLogged:
		return &changedError{"checksums or wal_log_hints of " + r.names[n] + " were changed during the comparison"}
	case d.Timeline != r.data[0].Timeline:
		return fmt.Errorf("the last checkpoints of %s and %s are of timelines %d and %d: wait for the next restartpoint", r.names[0],
			r.names[n], r.data[0].Timeline, d.Timeline)
	}
	return nil
}

// batch is what one question to each member is about.
type batch struct {
	extents []integrity.Extent
	blocks  uint32
}
