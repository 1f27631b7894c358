package page

import (
	"encoding/binary"
	"fmt"

	"mainstay/controller/platform"
)

// Layout is what all pages of one data directory have in common.
type Layout struct {
	Size      int  // bytes of a page: a power of two from MinSize to MaxSize
	Checksums bool // pages carry a checksum
}

// The sizes of a page that PostgreSQL can be built with, in bytes.
const (
	MinSize = 1 << 10
	MaxSize = 32 << 10
)

// Known tells whether pages of that layout can be read.
func (l Layout) Known() bool {
	return l.Size >= MinSize && l.Size <= MaxSize && l.Size&(l.Size-1) == 0
}

// HeaderSize is the size in bytes of the header of a page, behind which the line pointers begin.
const HeaderSize = 24

// Offsets of PageHeaderData's fields (bufpage.h).
const (
	atLSN      = 0 // two halves of 32 bits, the high one first
	atChecksum = 8
	atFlags    = 10
	atLower    = 12
	atUpper    = 14
	atSpecial  = 16
	atVersion  = 18 // the size of the page, and in its low byte the version of the layout
	atPruneXID = 20
)

// layoutVersion is that of PostgreSQL 8.3 and later.
const layoutVersion = 4

// Bits of pd_flags.
const (
	hasFreeLines = 1 << iota
	pageFull
	allVisible
	validFlags = hasFreeLines | pageFull | allVisible
)

// Header is the header of a page.
type Header struct {
	LSN                   platform.LSN // end of the WAL record of the page's last change
	Checksum              uint16
	Flags                 uint16
	Lower, Upper, Special int // offsets in the page: the end of the line pointers, the begin of the items, of the access method's own
	Size, Version         int
	PruneXID              uint32
}

// HeaderOf reads the header of a page of at least HeaderSize bytes.
func HeaderOf(p []byte) Header {
	f := fields(p)
	return Header{
		LSN:      platform.LSN(uint64(f.uint32(atLSN))<<32 | uint64(f.uint32(atLSN+4))),
		Checksum: f.uint16(atChecksum),
		Flags:    f.uint16(atFlags),
		Lower:    int(f.uint16(atLower)), Upper: int(f.uint16(atUpper)), Special: int(f.uint16(atSpecial)),
		Size: int(f.uint16(atVersion) &^ 0xFF), Version: int(f.uint16(atVersion) & 0xFF),
		PruneXID: f.uint32(atPruneXID),
	}
}

// AllVisible tells whether the header says that each row of the page is visible to every transaction.
func (h Header) AllVisible() bool { return h.Flags&allVisible != 0 }

// fault says what in a header makes no sense, "" for nothing.
func (h Header) fault(l Layout) string {
	switch {
	case h.Flags&^validFlags != 0:
		return fmt.Sprintf("unknown flags %#04x", h.Flags)
	case h.Lower < HeaderSize || h.Lower > h.Upper || h.Upper > h.Special || h.Special > l.Size:
		return fmt.Sprintf("its bounds make no sense: lower %d, upper %d, special %d of %d bytes", h.Lower, h.Upper, h.Special, l.Size)
	case h.Special%8 != 0:
		return fmt.Sprintf("its special space begins at %d, which is not aligned", h.Special)
	case h.Size != l.Size || h.Version != layoutVersion:
		return fmt.Sprintf("it says that it has %d bytes in layout version %d", h.Size, h.Version)
	}
	return ""
}

// fields are bytes whose integers are read and written by offset.
type fields []byte

func (f fields) uint16(at int) uint16        { return binary.LittleEndian.Uint16(f[at:]) }
func (f fields) uint32(at int) uint32        { return binary.LittleEndian.Uint32(f[at:]) }
func (f fields) uint64(at int) uint64        { return binary.LittleEndian.Uint64(f[at:]) }
func (f fields) put16(at int, n uint16)      { binary.LittleEndian.PutUint16(f[at:], n) }
func (f fields) put32(at int, n uint32)      { binary.LittleEndian.PutUint32(f[at:], n) }
func (f fields) put64(at int, n uint64)      { binary.LittleEndian.PutUint64(f[at:], n) }
func (f fields) clear16(at int, bits uint16) { f.put16(at, f.uint16(at)&^bits) }
func (f fields) inside(at, length int) bool {
	return at >= 0 && length >= 0 && at <= len(f) && length <= len(f)-at
}
func (f fields) wipe(from, to int) { clear(f[from:to]) }
func aligned(n int) int            { return (n + 7) &^ 7 }
