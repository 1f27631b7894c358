package ondisk

import (
	"fmt"
	"slices"

	"mainstay/controller/platform"
)

// Format is what the pages of one server's WAL have in common.
type Format struct {
	Major    int    // PostgreSQL's major version
	SystemID string // decimal, as in Control
	Segment  uint64 // bytes of a WAL file
	Page     uint64 // bytes
}

// magics begin each page of WAL, by major version.
var magics = map[int]uint16{13: 0xD106, 14: 0xD10D, 15: 0xD110, 16: 0xD113, 17: 0xD116, 18: 0xD118}

// Known tells whether a Walk can read the format.
func (f Format) Known() bool {
	return magics[f.Major] != 0 && powerIn(f.Segment, 1<<20, 1<<30) && powerIn(f.Page, 1<<10, 1<<16)
}

func powerIn(n, low, high uint64) bool { return n >= low && n <= high && n&(n-1) == 0 }

// Page headers: the first page of a segment has a long one.
const (
	shortHeader = 24
	longHeader  = 40
)

// HeaderSize is that of the page at a position, in bytes.
func (f Format) HeaderSize(page platform.LSN) uint64 {
	if uint64(page)%f.Segment == 0 {
		return longHeader
	}
	return shortHeader
}

// Flags of a page header, xlp_info in xlog_internal.h.
const (
	firstIsContinued   = 0x0001 // the page begins with the rest of a record
	hasLongHeader      = 0x0002
	firstIsOverwriting = 0x0008 // the record that began before this page was given up; another begins here
	allFlags           = 0x000F
)

// Offsets in a page header.
const (
	atMagic       = 0
	atFlags       = 2
	atPageLine    = 4
	atPageAddress = 8
	atRemaining   = 16
	atPageSystem  = 24
	atPageSegment = 32
	atPageSize    = 36
)

type header struct {
	flags     uint16
	timeline  platform.Timeline
	remaining uint32 // bytes left of a record that began on an earlier page
	size      int    // of the header itself
}

// header checks a page's header as recovery does; why is empty if it is valid. A segment that was recycled and not
// written again shows here, by its old address.
func (w *Walk) header(page fields) (h header, why string) {
	h = header{page.uint16(atFlags), platform.Timeline(page.uint32(atPageLine)), page.uint32(atRemaining), shortHeader}
	if magic := page.uint16(atMagic); magic != magics[w.format.Major] {
		return h, fmt.Sprintf("the page at %s has the magic number %04X", w.next, magic)
	}
	if h.flags&^allFlags != 0 {
		return h, fmt.Sprintf("the page at %s has the flags %04X", w.next, h.flags)
	}
	if h.flags&hasLongHeader != 0 {
		h.size = longHeader
		if why := w.longHeader(page); why != "" {
			return h, why
		}
	} else if uint64(w.next)%w.format.Segment == 0 {
		return h, fmt.Sprintf("the first page at %s has no long header", w.next)
	}
	if at := page.lsn(atPageAddress); at != w.next {
		return h, fmt.Sprintf("the page at %s says that it is at %s", w.next, at)
	}
	if h.timeline < w.latest || !slices.Contains(w.line, h.timeline) {
		return h, fmt.Sprintf("the page at %s is of timeline %d", w.next, h.timeline)
	}
	return h, ""
}

func (w *Walk) longHeader(page fields) (why string) {
	f := w.format
	if fmt.Sprint(page.uint64(atPageSystem)) != f.SystemID || uint64(page.uint32(atPageSegment)) != f.Segment ||
		uint64(page.uint32(atPageSize)) != f.Page {
		return fmt.Sprintf("the segment at %s is of another database system", w.next)
	}
	return ""
}

// ParseFirstPage reads what the first page of a segment says of itself: the format, and whose file it is, by its address. The timeline is
// that of the page, and older than the file's in the first segment of a timeline. ok is false for what is no first page of a known format.
func ParseFirstPage(page []byte) (f Format, s Segment, ok bool) {
	if len(page) < longHeader {
		return f, s, false
	}
	p := fields(page)
	f = Format{SystemID: fmt.Sprint(p.uint64(atPageSystem)), Segment: uint64(p.uint32(atPageSegment)), Page: uint64(p.uint32(atPageSize))}
	for major, magic := range magics {
		if magic == p.uint16(atMagic) {
			f.Major = major
		}
	}
	if !f.Known() || p.uint16(atFlags)&hasLongHeader == 0 || uint64(p.lsn(atPageAddress))%f.Segment != 0 {
		return f, s, false
	}
	return f, Segment{platform.Timeline(p.uint32(atPageLine)), uint64(p.lsn(atPageAddress)) / f.Segment}, true
}
