package ondisk

import (
	"fmt"

	"mainstay/controller/platform"
)

// End is where a walk over WAL ended.
type End struct {
	// LSN is the end of the last valid record, aligned, where the next would begin: the end of a page or segment, not behind
	// the next one's header. It is meaningless while Last is zero.
	LSN platform.LSN
	// Last is the start of the last valid record; zero if there was none.
	Last platform.LSN
	// First is the start of the first valid record; zero if there was none.
	First platform.LSN
	// Checkpoint tells that the walk met the checkpoint it was told of.
	Checkpoint bool
	// Foreign tells that the very first page is of another version of WAL, so that nothing was learnt.
	Foreign bool
	// Doubt tells that recovery would refuse this WAL and not just end there.
	Doubt bool
	// Why says why the walk ended.
	Why string
}

// Walk follows WAL record by record, as recovery does, and finds where it ends. The caller brings the pages, one by one, in
// the order that Next tells. Memory is bounded: a record's checksum is computed page by page.
//
// Valid is what recovery takes for valid (XLogReadRecord): the page's magic number, flags, address and timeline, the
// identity in a segment's first page, the record's length, resource manager, back-link and checksum, and the flags and
// lengths of a record's continuation on further pages. After a switch record the rest of a segment is void.
type Walk struct {
	format     Format
	line       []platform.Timeline // that pages may be of
	checkpoint platform.LSN

	next        platform.LSN      // address of the page wanted
	at          platform.LSN      // where the next record begins, or its page
	latest      platform.Timeline // of the page before; zero: none yet
	record      record            // not yet complete; total zero: none
	overwritten platform.LSN      // the incomplete record that the next one must name
	visit       func(Change)      // nil: nothing is visited
	mark        func(Mark)        // nil: no marks are
	until       platform.LSN      // records end there or before; 0: no bound
	head        []byte            // of the current record, where there is visit or mark
	seek        bool              // the first record is still looked for
	unread      uint32            // while it is: what further pages must hold of the record before it
	any         bool              // the next record may replace one that was not seen
	done        bool
	end         End
}

// NewWalk begins at a record, which must not be preceded on its page by anything but whole records or the end of one: a
// checkpoint's redo. Pages may be of the timelines in line.
func NewWalk(f Format, line []platform.Timeline, from, checkpoint platform.LSN) *Walk {
	w := &Walk{format: f, line: line, checkpoint: checkpoint, at: from, end: End{LSN: from}}
	w.next = from - from%platform.LSN(f.Segment) // the first page identifies the segment
	if from%alignment != 0 {
		w.stop("%s is no place for a record", from)
	}
	return w
}

// NewWalkIn begins with the first record that begins in a segment, or behind it, whatever goes before. Its end is meaningless while Last
// is zero.
func NewWalkIn(f Format, line []platform.Timeline, segment platform.LSN) *Walk {
	w := NewWalk(f, line, segment, 0)
	w.seek = true
	return w
}

// Next tells which page is wanted, by its address; more is false when the walk has ended.
func (w *Walk) Next() (page platform.LSN, more bool) { return w.next, !w.done }

// Inside tells which record the walk has begun and not ended, and how many of its bytes further pages have; 0 for none.
func (w *Walk) Inside() (start platform.LSN, rest uint32) {
	return w.record.start, w.record.total - w.record.got
}

// Missing ends the walk: the page wanted is not there.
func (w *Walk) Missing() { w.stop("there is no page at %s", w.next) }

// End is the result, once the walk has ended.
func (w *Walk) End() End { return w.end }

func (w *Walk) stop(format string, args ...any) {
	w.done, w.end.Why = true, fmt.Sprintf(format, args...)
}

// doubt ends the walk where recovery would give up.
func (w *Walk) doubt(format string, args ...any) {
	w.end.Doubt = true
	w.stop(format, args...)
}

// Page takes the page wanted; less than all of it is none.
func (w *Walk) Page(page []byte) {
	if uint64(len(page)) != w.format.Page {
		w.Missing()
		return
	}
	h, why := w.header(page)
	if why != "" {
		w.end.Foreign = w.latest == 0 && fields(page).uint16(atMagic) != magics[w.format.Major]
		w.stop("%s", why)
		return
	}
	if w.latest = h.timeline; w.seek {
		w.find(page, h)
		return
	}
	if first := w.at - w.at%platform.LSN(w.format.Page); w.next < first && w.record.total == 0 {
		w.next = first
		return
	}
	if at, ok := w.enter(page, h); ok {
		w.records(page, at)
	}
}

// find looks for the first record that begins on the page, behind the rest of one.
func (w *Walk) find(page []byte, h header) {
	rest := h.remaining
	switch {
	case h.flags&firstIsOverwriting != 0:
		w.any, rest = true, 0
	case h.flags&firstIsContinued == 0:
		rest = 0
	}
	if w.unread != 0 && rest != w.unread && !w.any {
		w.stop("the page at %s begins with %d bytes of a record instead of %d", w.next, rest, w.unread)
		return
	}
	at := h.size + (int(rest)+alignment-1)/alignment*alignment
	w.at = w.next + platform.LSN(min(at, len(page)))
	if at < len(page) {
		w.seek = false
		w.records(page, at)
		return
	}
	if w.unread = 0; int(rest) > len(page)-h.size {
		w.unread = rest - uint32(len(page)-h.size)
	}
	w.next += platform.LSN(w.format.Page)
}

// enter finds where on the page the first new record begins, past what continues a record.
func (w *Walk) enter(page []byte, h header) (at int, ok bool) {
	if w.record.total != 0 && h.flags&firstIsOverwriting == 0 {
		return w.resume(page, h)
	}
	if w.record.total != 0 {
		w.overwritten, w.record, w.at = w.record.start, record{}, w.next
	}
	switch at = int(w.at - w.next); {
	case at == 0:
		at = h.size
	case at < h.size:
		w.stop("%s is inside a page header", w.at)
		return 0, false
	}
	if at == h.size && h.flags&firstIsContinued != 0 {
		w.stop("the page at %s begins with the rest of a record that is not there", w.next)
		return 0, false
	}
	return at, true
}

// resume takes the rest of a record from a further page.
func (w *Walk) resume(page []byte, h header) (at int, ok bool) {
	switch left := w.record.total - w.record.got; {
	case h.flags&firstIsContinued == 0:
		w.stop("the record at %s is not continued", w.record.start)
		return 0, false
	case h.remaining != left:
		w.stop("the record at %s is continued by %d bytes instead of %d", w.record.start, h.remaining, left)
		return 0, false
	}
	return w.take(page, h.size)
}

// records takes records until the page is used up.
func (w *Walk) records(page []byte, at int) {
	for ok := true; ok && at < len(page); {
		total := fields(page).uint32(at) // it lies on the page, as records are aligned
		if total < recordHeader || total > maxRecord {
			w.stop("there is no record at %s: its length would be %d", w.next+platform.LSN(at), total)
			return
		}
		w.record = record{start: w.next + platform.LSN(at), total: total}
		at, ok = w.take(page, at)
	}
}

// take adds what the page holds of the current record, and closes it if that is all. ok is false when the walk has
// nothing more to do with this page.
func (w *Walk) take(page []byte, at int) (next int, ok bool) {
	if w.visit != nil || w.mark != nil {
		w.keep(page[at:])
	}
	at += w.record.add(page[at:])
	if why := w.invalid(); why != "" {
		w.stop("the record at %s %s", w.record.start, why)
		return 0, false
	}
	if w.record.got < w.record.total {
		w.next += platform.LSN(w.format.Page)
		return 0, false
	}
	at = (at + alignment - 1) / alignment * alignment
	if !w.accept(w.next + platform.LSN(at)) {
		return 0, false
	}
	if at < len(page) && w.at == w.next+platform.LSN(at) {
		return at, true
	}
	w.next = w.at // the next page, or segment
	return 0, false
}

// invalid checks the header of the current record as soon as it is there, and the checksum at its end.
func (w *Walk) invalid() (why string) {
	r := &w.record
	switch {
	case r.got < recordHeader:
		return ""
	case !r.knownManager(w.format.Major):
		return fmt.Sprintf("is of resource manager %d", r.manager())
	case w.end.Last == 0 && r.previous() >= r.start, w.end.Last != 0 && r.previous() != w.end.Last:
		return fmt.Sprintf("follows one at %s", r.previous())
	case r.got == r.total && !r.intact():
		return "does not match its checksum"
	}
	return ""
}

// accept moves the end past the current record.
func (w *Walk) accept(end platform.LSN) bool {
	r := &w.record
	if named := r.overwrites(); named != w.overwritten && !(w.any && named != 0) {
		w.doubt("the record at %s replaces one at %s instead of %s", r.start, named, w.overwritten)
		return false
	}
	if w.until != 0 && end > w.until {
		w.stop("the record at %s ends behind %s", r.start, w.until)
		return false
	}
	if w.visit != nil {
		if err := w.changes(); err != nil {
			w.stop("%v", err)
			return false
		}
	}
	if w.mark != nil {
		if err := w.marked(end); err != nil {
			w.stop("the record at %s: %v", r.start, err)
			return false
		}
	}
	if r.isSwitch() {
		size := platform.LSN(w.format.Segment)
		end = (end + size - 1) / size * size
	}
	w.end.Checkpoint = w.end.Checkpoint || r.start == w.checkpoint && r.isCheckpoint()
	if w.end.First == 0 {
		w.end.First = r.start
	}
	w.end.Last, w.end.LSN, w.at = r.start, end, end
	w.overwritten, w.record, w.any = 0, record{}, false
	return true
}
