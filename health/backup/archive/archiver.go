package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/backup/target"
)

// Named is a target and its name in the agent's file.
type Named struct {
	Name string
	target.Target
}

// mostSegments is how many segments one Step archives at each target.
const mostSegments = 4

// Archiver copies one member's WAL to targets. It remembers what they hold, so that each is listed once: a new one is made where another
// process may have written there. It is for one goroutine.
type Archiver struct {
	source  Source
	names   names
	targets []*destination

	line line
}

// destination is a target, and what it holds.
type destination struct {
	Named
	held   contents
	listed bool
	first  uint64 // number of the segment with which the archive of the line begins
	from   uint64 // all segments before this one are held, or missing
	gaps   []Gap
	upto   platform.LSN // of the newest partial segment
}

// Progress is what a Step found and did.
type Progress struct {
	// Held is the position up to which all targets hold the line's WAL, or up to which it is missing for good; 0 while that is not known.
	Held platform.LSN
	At   map[string]platform.LSN // the same of each target
	More bool                    // the next Step has segments to archive at once
	// Archived names the segments and histories that a target took, one at least.
	Archived []string
	// Gaps are missing at a target, and not in pg_wal either. They stay in each Progress.
	Gaps       []Gap
	Unreadable []Unreadable
	Conflicts  []Conflict
	Failed     map[string]error // by target: what one could not do; the others are served
}

// Unreadable is a segment in pg_wal that was not archived: another member may have it right.
type Unreadable struct {
	Segment string
	Err     error
}

// Conflict is an object whose name has another content at a target, of another branch. What this member has is at Kept; the other is
// served.
type Conflict struct{ Target, Name, Kept string }

// New archives a cluster's WAL at targets, one at least.
func New(cluster string, source Source, targets []Named) (*Archiver, error) {
	if err := target.ValidName(cluster); err != nil {
		return nil, err
	}
	if !source.Format.Known() || len(targets) == 0 {
		return nil, fmt.Errorf("the WAL of %s cannot be archived: its format is %+v, its targets are %d", cluster, source.Format, len(targets))
	}
	a := &Archiver{source: source, names: names{cluster}}
	for _, t := range targets {
		a.targets = append(a.targets, &destination{Named: t})
	}
	return a, nil
}

// Step archives some of what is complete: up to upto, which PostgreSQL has flushed on that timeline. A segment whose last record ends in
// the next one waits until that is flushed, and is checked with it. The error is one of pg_wal.
func (a *Archiver) Step(ctx context.Context, upto platform.LSN, t platform.Timeline) (Progress, error) {
	p := Progress{At: map[string]platform.LSN{}, Failed: map[string]error{}}
	end := uint64(upto) / a.source.Format.Segment
	here, err := a.look(ctx, t, end)
	if err != nil {
		return p, fmt.Errorf("archive WAL of timeline %d: %w", t, err)
	}
	for _, d := range a.targets {
		if err := a.prepare(ctx, d, here, upto, &p); err != nil {
			p.Failed[d.Name] = err
		}
	}
	err = a.segments(ctx, here, upto, &p)
	if err != nil {
		return p, fmt.Errorf("archive WAL of timeline %d: %w", t, err)
	}
	for n, d := range a.targets {
		if !d.listed {
			p.Held = 0
			break
		}
		at := platform.LSN(d.from * a.source.Format.Segment)
		if p.At[d.Name] = at; n == 0 || at < p.Held {
			p.Held = at
		}
	}
	for _, d := range a.targets {
		p.Gaps = append(p.Gaps, d.gaps...)
	}
	return p, nil
}

// look reads the names in pg_wal, and the line of the timeline.
func (a *Archiver) look(ctx context.Context, t platform.Timeline, end uint64) (contents, error) {
	here, err := a.source.list(ctx)
	if err != nil {
		return here, err
	}
	h := platform.History{}
	if t > 1 {
		text, err := a.source.history(ctx, t)
		if err != nil {
			return here, err
		}
		if h, err = ondisk.ParseHistory(string(text)); err != nil {
			return here, err
		}
	}
	if l := lineOf(h, t); !slices.Equal(l, a.line) {
		a.line = l
		for _, d := range a.targets {
			d.from, d.gaps, d.upto = d.first, nil, 0
			d.begin(l, a.source, here, end)
		}
	}
	return here, nil
}

// prepare lists a target once, and archives the histories of the line.
func (a *Archiver) prepare(ctx context.Context, d *destination, here contents, upto platform.LSN, p *Progress) error {
	if !d.listed {
		objects, err := d.List(ctx, a.names.root())
		if err != nil {
			return err
		}
		var all []string
		for _, o := range objects {
			all = append(all, o.Name)
		}
		d.held = a.names.parse(all, a.source.Format.Segment)
		if err := a.compareNewest(ctx, d, here, upto, p); err != nil {
			return err
		}
		d.listed = true
		d.begin(a.line, a.source, here, uint64(upto)/a.source.Format.Segment)
	}
	for _, s := range a.line {
		if s.timeline > 1 && !d.held.histories[s.timeline] {
			if err := a.storeHistory(ctx, d, s.timeline, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// begin finds where the archive of a line begins: with the oldest segment of the line that the target holds, or that pg_wal has.
func (d *destination) begin(l line, s Source, here contents, end uint64) {
	if !d.listed {
		return
	}
	oldest := func(all map[ondisk.Segment]bool) (first uint64, some bool) {
		for seg := range all {
			if l.has(seg, s.Format.Segment) && (!some || seg.Number < first) {
				first, some = seg.Number, true
			}
		}
		return first, some
	}
	first, some := oldest(d.held.segments)
	if !some {
		if first, some = oldest(here.segments); s.From != 0 {
			first = uint64(s.From) / s.Format.Segment
		} else if !some {
			first = end
		}
	}
	d.first, d.from = first, first
}

// compareNewest compares the newest segment of the line that the target holds with the one in pg_wal: a branch that has the same number for
// its timeline shows there.
func (a *Archiver) compareNewest(ctx context.Context, d *destination, here contents, upto platform.LSN, p *Progress) error {
	var newest ondisk.Segment
	for seg := range d.held.segments {
		complete := platform.LSN((seg.Number+1)*a.source.Format.Segment) <= upto
		if complete && a.line.has(seg, a.source.Format.Segment) && here.segments[seg] && seg.Number >= newest.Number {
			newest = seg
		}
	}
	if newest.Timeline == 0 {
		return nil
	}
	sum, v, err := a.check(ctx, newest, here, upto, p)
	if err != nil || v != readable {
		return err
	}
	return a.put(ctx, d, newest, sum, p)
}

// segments archives those that end before upto, in their order.
func (a *Archiver) segments(ctx context.Context, here contents, upto platform.LSN, p *Progress) error {
	done, end := 0, uint64(upto)/a.source.Format.Segment
	for {
		number, wanted := a.next(here, end, p)
		if !wanted {
			return nil
		}
		if p.More = done == mostSegments; p.More {
			return nil
		}
		done++
		wait, err := a.archive(ctx, a.line.of(number, a.source.Format.Segment), here, upto, p)
		if err != nil {
			return err
		}
		if wait {
			end = number
		}
	}
}

// next is the first segment that a target lacks which has not failed, and that was not found unreadable; it moves each target's from.
func (a *Archiver) next(here contents, end uint64, p *Progress) (number uint64, wanted bool) {
	size := a.source.Format.Segment
	number = end
	for _, d := range a.targets {
		if !d.listed || p.Failed[d.Name] != nil {
			continue
		}
		for ; d.from < end; d.from++ {
			if seg := a.line.of(d.from, size); !d.held.segments[seg] {
				if here.segments[seg] {
					break
				}
				d.missing(seg, size)
			}
		}
		for n := d.from; n < number; n++ {
			if seg := a.line.of(n, size); !d.held.segments[seg] && here.segments[seg] && !a.unreadable(n, p) {
				number = n
			}
		}
	}
	return number, number < end
}

// unreadable tells whether this step has tried the segment.
func (a *Archiver) unreadable(number uint64, p *Progress) bool {
	name := a.line.of(number, a.source.Format.Segment).Name(a.source.Format.Segment)
	return slices.ContainsFunc(p.Unreadable, func(u Unreadable) bool { return u.Segment == name })
}

// missing adds a segment to the gaps.
func (d *destination) missing(s ondisk.Segment, size uint64) {
	name := s.Name(size)
	before := ondisk.Segment{Timeline: s.Timeline, Number: s.Number - 1}.Name(size)
	if n := len(d.gaps); n > 0 && d.gaps[n-1].Last == before {
		d.gaps[n-1].Last = name
		return
	}
	d.gaps = append(d.gaps, Gap{d.Name, s.Timeline, name, name})
}

// archive checks a segment, and puts it at all targets that lack it; wait tells that it is too early for it. Its error is of the source's
// disk.
func (a *Archiver) archive(ctx context.Context, s ondisk.Segment, here contents, upto platform.LSN, p *Progress) (wait bool, err error) {
	sum, v, err := a.check(ctx, s, here, upto, p)
	if err != nil || v != readable {
		return v == waiting, err
	}
	took := false
	for _, d := range a.targets {
		if !d.listed || p.Failed[d.Name] != nil || d.held.segments[s] || s.Number < d.first {
			continue
		}
		if err := a.put(ctx, d, s, sum, p); err != nil {
			p.Failed[d.Name] = err
			continue
		}
		took = true
	}
	if took {
		p.Archived = append(p.Archived, s.Name(a.source.Format.Segment))
	}
	return false, nil
}

// put puts a segment at a target, or apart where another content has its name.
func (a *Archiver) put(ctx context.Context, d *destination, s ondisk.Segment, sum string, p *Progress) error {
	name := s.Name(a.source.Format.Segment)
	content := func() (io.Reader, error) {
		r, err := a.source.open(ctx, s)
		if err != nil {
			return nil, err
		}
		in, err := newPacker(r.next, sum)
		return closing{in, r}, err
	}
	err := a.store(ctx, d, a.names.segment(s.Timeline, name), a.names.folder(s.Timeline), name, sum, content, p)
	if err != nil {
		return err
	}
	d.held.segments[s] = true
	return a.dropPartials(ctx, d, s.Number)
}

// closing closes what a packer reads.
type closing struct {
	io.Reader
	io.Closer
}

// store puts an object, or apart.
func (a *Archiver) store(ctx context.Context, d *destination, object, folder, name, sum string, content func() (io.Reader, error),
	p *Progress) error {
	put := func(store func(context.Context, string, io.Reader, int64) (target.Receipt, error), object string) error {
		in, err := content()
		if err != nil {
			return err
		}
		if c, ok := in.(io.Closer); ok {
			defer c.Close()
		}
		_, err = store(ctx, object, in, -1)
		return err
	}
	err := put(d.Put, object)
	if !errors.Is(err, target.ErrExists) {
		return err
	}
	// Another version of the packer, another branch, or rot.
	switch there, err := contentSum(ctx, d, object); {
	case errors.Is(err, target.ErrDamaged):
		return put(d.Replace, object)
	case err != nil || there == sum:
		return err
	}
	apart := a.names.conflict(folder, name, sum)
	if err := put(d.Put, apart); err != nil {
		return err
	}
	p.Conflicts = append(p.Conflicts, Conflict{d.Name, object, apart})
	return nil
}

// verdict is what the check of a segment came to.
type verdict byte

const (
	readable verdict = iota
	waiting          // its last record is not flushed
	unreadable
)

// check reads a segment, and as much behind it as its last record needs. Its error is of the disk.
func (a *Archiver) check(ctx context.Context, s ondisk.Segment, here contents, upto platform.LSN, p *Progress) (
	sum string, v verdict, err error) {
	size := a.source.Format.Segment
	walk := ondisk.NewWalkIn(a.source.Format, a.line.timelines(), platform.LSN(s.Number*size))
	sum, err = a.source.check(ctx, s, walk)
	last := s.Number
	if err == nil {
		last, v, err = a.checkLast(ctx, walk, here, upto)
	}
	if !errors.Is(err, ErrUnreadable) {
		return sum, v, err
	}
	for n := s.Number; n <= last; n++ { // any of them may be the wrong one
		p.Unreadable = append(p.Unreadable, Unreadable{a.line.of(n, size).Name(size), err})
	}
	return "", unreadable, nil
}

// checkLast follows a record over the end of its segment, and tells the number of the segment where it ends.
func (a *Archiver) checkLast(ctx context.Context, walk *ondisk.Walk, here contents, upto platform.LSN) (
	number uint64, v verdict, err error) {
	f := a.source.Format
	start, rest := walk.Inside()
	for ; rest > 0 && walk.End().Last < start; _, rest = walk.Inside() {
		at, more := walk.Next()
		s := a.line.of(uint64(at)/f.Segment, f.Segment)
		if !more {
			return number, v, fmt.Errorf("%w: %s", ErrUnreadable, walk.End().Why)
		}
		// What is behind upto in the page is not what it will be.
		if needs := min(f.Page, f.HeaderSize(at)+uint64(rest)); at+platform.LSN(needs) > upto {
			return number, waiting, nil
		}
		if !here.segments[s] {
			return number, readable, nil // it is a gap, before which the record can be of no use
		}
		number = s.Number
		page, err := a.source.page(ctx, s, at)
		if err != nil {
			return number, v, err
		}
		walk.Page(page)
	}
	if start != 0 && walk.End().Last < start {
		return number, v, fmt.Errorf("%w: %s", ErrUnreadable, walk.End().Why)
	}
	return number, readable, nil
}

// storeHistory archives the history of a timeline. One that says the same in other words is the same.
func (a *Archiver) storeHistory(ctx context.Context, d *destination, t platform.Timeline, p *Progress) error {
	text, err := a.source.history(ctx, t)
	if err != nil {
		return err
	}
	object, name := a.names.history(t), ondisk.HistoryName(t)
	if there, err := historyAt(ctx, d, a.names, t); err == nil {
		if h, err := ondisk.ParseHistory(string(text)); err == nil && slices.Equal(h, there) {
			d.held.histories[t] = true
			return nil
		}
	}
	err = a.store(ctx, d, object, a.names.root(), name, sumOfText(text), func() (io.Reader, error) { return packed(text) }, p)
	if err == nil {
		d.held.histories[t] = true
		p.Archived = append(p.Archived, name)
	}
	return err
}

// Partial archives what is flushed of the segment that is not complete, up to upto. Step must have returned without More. Errors are by
// target; one of pg_wal is under the empty name.
func (a *Archiver) Partial(ctx context.Context, upto platform.LSN) map[string]error {
	size := a.source.Format.Segment
	failed := map[string]error{}
	if len(a.line) == 0 || uint64(upto)%size == 0 {
		return failed
	}
	s := a.line.of(uint64(upto)/size, size)
	for _, d := range a.targets {
		if !d.listed || d.upto >= upto {
			continue
		}
		r, err := a.source.open(ctx, s)
		if err != nil {
			return map[string]error{"": err}
		}
		r.upto = upto
		if err = r.checkPartial(a.line); err == nil {
			err = a.putPartial(ctx, d, s, r)
		}
		if err = errors.Join(err, r.Close()); err != nil {
			failed[d.Name] = err
			continue
		}
		d.upto = upto
	}
	return failed
}

func (a *Archiver) putPartial(ctx context.Context, d *destination, s ondisk.Segment, r *segmentReader) error {
	in, err := newPacker(r.next, "")
	if err != nil {
		return err
	}
	if _, err := d.Replace(ctx, a.names.partial(s.Timeline, s.Name(a.source.Format.Segment)), in, -1); err != nil {
		return err
	}
	d.held.partials[s] = true
	return a.dropOlder(ctx, d, s)
}

// checkPartial looks at the first page of the segment: whether it is the one that it is named for.
func (r *segmentReader) checkPartial(l line) error {
	chunk, err := r.next()
	if err != nil {
		return err
	}
	r.at = r.start
	f, s, ok := ondisk.ParseFirstPage(chunk)
	if !ok || f != r.s.Format || s.Number*f.Segment != uint64(r.start) || !slices.Contains(l.timelines(), s.Timeline) {
		return fmt.Errorf("%w: the segment at %s is another one", ErrUnreadable, r.start)
	}
	return nil
}

// dropOlder removes the partial segments of that number of older timelines: what they have behind the fork must never be read.
func (a *Archiver) dropOlder(ctx context.Context, d *destination, s ondisk.Segment) error {
	for old := range d.held.partials {
		if old.Number == s.Number && old.Timeline < s.Timeline {
			if err := a.dropPartial(ctx, d, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropPartials removes the partial segments up to a number: the complete ones are there.
func (a *Archiver) dropPartials(ctx context.Context, d *destination, number uint64) error {
	for old := range d.held.partials {
		whole := a.line.of(old.Number, a.source.Format.Segment)
		if old.Number <= number && slices.Contains(a.line.timelines(), old.Timeline) && d.held.segments[whole] {
			if err := a.dropPartial(ctx, d, old); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Archiver) dropPartial(ctx context.Context, d *destination, s ondisk.Segment) error {
	err := d.Remove(ctx, a.names.partial(s.Timeline, s.Name(a.source.Format.Segment)))
	if err == nil {
		delete(d.held.partials, s)
	}
	return err
}
