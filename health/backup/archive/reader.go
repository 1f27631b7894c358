package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/backup/target"
)

// Reader reads the archive of a cluster at one target, as it was when the reader was opened.
type Reader struct {
	name   string // of the target
	target target.Target
	names  names
	format ondisk.Format
	held   contents
}

// Open lists the archive of a cluster. The format is that of the backup whose WAL is wanted.
func Open(ctx context.Context, t Named, cluster string, f ondisk.Format) (*Reader, error) {
	if err := target.ValidName(cluster); err != nil {
		return nil, err
	}
	if !f.Known() {
		return nil, fmt.Errorf("WAL of the format %+v cannot be read", f)
	}
	r := &Reader{name: t.Name, target: t.Target, names: names{cluster}, format: f}
	objects, err := t.List(ctx, r.names.root())
	if err != nil {
		return nil, err
	}
	var all []string
	for _, o := range objects {
		all = append(all, o.Name)
	}
	r.held = r.names.parse(all, f.Segment)
	return r, nil
}

// FormatAt is the format of a cluster's WAL at a target, as its newest segment says: for a restore where there is no member. It is
// target.ErrNotThere if there is no WAL.
func FormatAt(ctx context.Context, t Named, cluster string) (f ondisk.Format, err error) {
	if err := target.ValidName(cluster); err != nil {
		return f, err
	}
	n := names{cluster}
	objects, err := t.List(ctx, n.root())
	if err != nil {
		return f, err
	}
	for _, o := range slices.Backward(objects) {
		if !segmentFile.MatchString(strings.TrimSuffix(strings.TrimSuffix(path.Base(o.Name), packedSuffix), partialSuffix)) {
			continue
		}
		u, err := openPacked(ctx, t, o.Name)
		if err != nil {
			return f, err
		}
		defer u.Close()
		start := make([]byte, startOfPage)
		if _, err := io.ReadFull(u, start); err != nil {
			return f, short(o.Name, err)
		}
		f, _, ok := ondisk.ParseFirstPage(start)
		if !ok {
			return f, fmt.Errorf("%s: %w: it does not begin as a segment does", o.Name, ErrUnreadable)
		}
		return f, nil
	}
	return f, fmt.Errorf("target %s has no WAL of cluster %s: %w", t.Name, cluster, target.ErrNotThere)
}

// startOfPage is more than a page's header.
const startOfPage = 512

// Timelines are those of which there is WAL, in their order.
func (r *Reader) Timelines() (all []platform.Timeline) {
	for s := range r.held.segments {
		all = append(all, s.Timeline)
	}
	for s := range r.held.partials {
		all = append(all, s.Timeline)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// History is the ancestry of a timeline. Timeline 1 has none; of any other it is an error if it is not there.
func (r *Reader) History(ctx context.Context, t platform.Timeline) (platform.History, error) {
	return historyAt(ctx, r.target, r.names, t)
}

func historyAt(ctx context.Context, t target.Target, n names, of platform.Timeline) (platform.History, error) {
	if of <= 1 {
		return platform.History{}, nil
	}
	u, err := openPacked(ctx, t, n.history(of))
	if err != nil {
		return nil, err
	}
	defer u.Close()
	text, err := readHistory(u)
	if err != nil {
		return nil, err
	}
	return ondisk.ParseHistory(string(text))
}

func sumOfText(text []byte) string {
	h := sha256.New()
	h.Write(text)
	return sumOf(h)
}

// span are the segments of a line from a position on: those up to end are there without a gap, and gap is the one behind them.
func (r *Reader) span(l line, from platform.LSN) (end uint64, gap *Gap) {
	last, some := uint64(0), false
	for _, all := range []map[ondisk.Segment]bool{r.held.segments, r.held.partials} {
		for s := range all {
			if l.has(s, r.format.Segment) && (!some || s.Number > last) {
				last, some = s.Number, true
			}
		}
	}
	end = uint64(from) / r.format.Segment
	for ; some && end <= last; end++ {
		s := l.of(end, r.format.Segment)
		if r.held.segments[s] || end == last && r.held.partials[s] {
			continue
		}
		g := Gap{r.name, s.Timeline, s.Name(r.format.Segment), s.Name(r.format.Segment)}
		for n := end; n <= last; n++ {
			s := l.of(n, r.format.Segment)
			if r.held.segments[s] || n == last && r.held.partials[s] {
				break
			}
			g.Last = s.Name(r.format.Segment)
		}
		return end, &g
	}
	return end, nil
}

// Gaps are the segments that are missing on the way of a timeline from a position on, before the newest segment that there is.
func (r *Reader) Gaps(ctx context.Context, t platform.Timeline, from platform.LSN) (gaps []Gap, err error) {
	h, err := r.History(ctx, t)
	if err != nil {
		return nil, err
	}
	l := lineOf(h, t)
	for {
		_, gap := r.span(l, from)
		if gap == nil {
			return gaps, nil
		}
		gaps = append(gaps, *gap)
		last, _ := ondisk.ParseSegment(gap.Last, r.format.Segment)
		from = platform.LSN((last.Number + 1) * r.format.Segment)
	}
}

// Fetch writes a complete segment, after the check of its pages and records; an error may come after a part was written. The record that
// begins in the segment before is not checked.
func (r *Reader) Fetch(ctx context.Context, s ondisk.Segment, w io.Writer) error {
	object := r.names.segment(s.Timeline, s.Name(r.format.Segment))
	u, err := openPacked(ctx, r.target, object)
	if err != nil {
		return err
	}
	defer u.Close()
	start := platform.LSN(s.Number * r.format.Segment)
	walk := ondisk.NewWalkIn(r.format, upTo(s.Timeline), start)
	chunk := make([]byte, readAhead)
	for at := start; at < start+platform.LSN(r.format.Segment); at += readAhead {
		if _, err := io.ReadFull(u, chunk); err != nil {
			return short(object, err)
		}
		if err := feed(walk, r.format.Page, at, chunk); err != nil {
			if _, damaged := io.Copy(io.Discard, u); damaged != nil { // it is so as the object is
				return damaged
			}
			return fmt.Errorf("%s: %w", object, err)
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	if n, err := u.Read(chunk[:1]); n > 0 || err != io.EOF {
		return short(object, err)
	}
	return nil
}

// short is for an object that has not the bytes of a segment.
func short(object string, err error) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%s: %w: it has not the size of a segment", object, target.ErrDamaged)
	}
	return err
}

// upTo are the timelines that the pages of a segment may be of, where its history is not known.
func upTo(t platform.Timeline) (all []platform.Timeline) {
	for n := max(t, 1000) - 999; n <= t; n++ {
		all = append(all, n)
	}
	return all
}

// follow walks over the archive of a line from a position on, at which a record begins that is no continuation, until done or its end.
func (r *Reader) follow(ctx context.Context, l line, walk *ondisk.Walk, done func() bool) (ondisk.End, error) {
	var in *pages
	defer func() { in.close() }()
	for {
		at, more := walk.Next()
		if !more || done() {
			return walk.End(), nil
		}
		if number := uint64(at) / r.format.Segment; in == nil || in.number != number {
			in.close()
			var err error
			in, err = r.pagesOf(ctx, l.of(number, r.format.Segment))
			if errors.Is(err, target.ErrNotThere) {
				walk.Missing()
				continue
			}
			if err != nil {
				return ondisk.End{}, err
			}
		}
		page, err := in.page(at)
		if err != nil {
			return ondisk.End{}, err
		}
		walk.Page(page)
	}
}

// pages reads one segment of the archive forwards.
type pages struct {
	*unpacked
	number uint64
	at     platform.LSN
	buf    []byte
}

func (r *Reader) pagesOf(ctx context.Context, s ondisk.Segment) (*pages, error) {
	name := s.Name(r.format.Segment)
	object := r.names.segment(s.Timeline, name)
	if !r.held.segments[s] && r.held.partials[s] {
		object = r.names.partial(s.Timeline, name)
	}
	u, err := openPacked(ctx, r.target, object)
	if err != nil {
		return nil, err
	}
	return &pages{u, s.Number, platform.LSN(s.Number * r.format.Segment), make([]byte, r.format.Page)}, nil
}

func (p *pages) close() {
	if p != nil {
		p.Close() // it was only read
	}
}

func (p *pages) page(at platform.LSN) ([]byte, error) {
	for ; p.at <= at; p.at += platform.LSN(len(p.buf)) {
		if _, err := io.ReadFull(p, p.buf); err != nil {
			return nil, short(p.name, err)
		}
	}
	return p.buf, nil
}

// Newest is the end of the last whole record on the way of a timeline from a position on, at which a record begins: a backup's redo. It
// is GapError if there is WAL behind that end which cannot be reached.
func (r *Reader) Newest(ctx context.Context, t platform.Timeline, from platform.LSN) (platform.LSN, error) {
	end, err := r.marks(ctx, t, from, func(ondisk.Mark) {}, func() bool { return false })
	return end.LSN, err
}

// marks walks to the end of the archive. An end before it is an error.
func (r *Reader) marks(ctx context.Context, t platform.Timeline, from platform.LSN, visit func(ondisk.Mark), done func() bool) (
	end ondisk.End, err error) {
	h, err := r.History(ctx, t)
	if err != nil {
		return end, err
	}
	l := lineOf(h, t)
	walk := ondisk.NewWalk(r.format, l.timelines(), from, 0)
	walk.Marks(visit)
	if end, err = r.follow(ctx, l, walk, done); err != nil || done() {
		return end, err
	}
	return end, r.whole(l, from, walk)
}

// whole is nil if a walk has ended where the archive does: at the end of the last segment, or in it where it is a partial one.
func (r *Reader) whole(l line, from platform.LSN, walk *ondisk.Walk) error {
	first, gap := r.span(l, from)
	if s := l.of(uint64(from)/r.format.Segment, r.format.Segment); gap == nil && first == s.Number {
		return &GapError{Gap{r.name, s.Timeline, s.Name(r.format.Segment), s.Name(r.format.Segment)}} // nothing is there from that position on
	}
	at, _ := walk.Next() // the page that it wanted, or did not like
	in := uint64(at) / r.format.Segment
	partial := first > 0 && !r.held.segments[l.of(first-1, r.format.Segment)]
	switch {
	case gap != nil && in >= first:
		return &GapError{*gap}
	case gap == nil && (in >= first || in+1 == first && partial):
		return nil
	}
	return fmt.Errorf("the archive at target %s cannot be read behind %s: %w: %s", r.name, walk.End().LSN, ErrUnreadable, walk.End().Why)
}

// Expire removes the WAL before a position, which is that of the oldest backup that is kept, and returns how many segments that were.
func (r *Reader) Expire(ctx context.Context, before platform.LSN) (removed int, err error) {
	for _, kind := range []struct {
		all  map[ondisk.Segment]bool
		name func(platform.Timeline, string) string
	}{{r.held.segments, r.names.segment}, {r.held.partials, r.names.partial}} {
		for s := range kind.all {
			if s.Number >= uint64(before)/r.format.Segment || s.Number == math.MaxUint64 {
				continue
			}
			if err := r.target.Remove(ctx, kind.name(s.Timeline, s.Name(r.format.Segment))); err != nil {
				return removed, err
			}
			delete(kind.all, s)
			removed++
		}
	}
	return removed, nil
}
