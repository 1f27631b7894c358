package ondisk

import (
	"encoding/binary"
	"hash/crc32"

	"mainstay/controller/platform"
)

const (
	testPage    = 8192
	testSegment = 1 << 20
	testSystem  = 7300000000000000001
)

var testFormat = Format{Major: 15, SystemID: "7300000000000000001", Segment: testSegment, Page: testPage}

// wal writes WAL as PostgreSQL does.
type wal struct {
	base     platform.LSN // of bytes[0], the start of a segment
	bytes    []byte
	pos      platform.LSN // where the next byte of a record goes
	prev     platform.LSN
	timeline platform.Timeline
	magic    uint16
	spans    []span
}

// span is a record, page headers inside it included.
type span struct{ start, end platform.LSN }

func newWAL(base platform.LSN) *wal {
	return &wal{base: base, pos: base, timeline: 1, magic: 0xD110}
}

// page begins one: continued is how much of a record is left for it.
func (w *wal) page(flags uint16, continued uint32) {
	h := make([]byte, testPage)
	size := 24
	if w.pos%testSegment == 0 {
		size, flags = 40, flags|2
		binary.LittleEndian.PutUint64(h[24:], testSystem)
		binary.LittleEndian.PutUint32(h[32:], testSegment)
		binary.LittleEndian.PutUint32(h[36:], testPage)
	}
	binary.LittleEndian.PutUint16(h, w.magic)
	binary.LittleEndian.PutUint16(h[2:], flags)
	binary.LittleEndian.PutUint32(h[4:], uint32(w.timeline))
	binary.LittleEndian.PutUint64(h[8:], uint64(w.pos))
	binary.LittleEndian.PutUint32(h[16:], continued)
	w.bytes = append(w.bytes, h...)
	w.pos += platform.LSN(size)
}

// rec makes a record of total bytes with its checksum.
func rec(total int, manager, info byte, prev platform.LSN, data ...byte) []byte {
	r := make([]byte, total)
	for n := range r {
		r[n] = byte(n * 7)
	}
	binary.LittleEndian.PutUint32(r, uint32(total))
	binary.LittleEndian.PutUint64(r[8:], uint64(prev))
	r[16], r[17] = info, manager
	copy(r[24:], data)
	return seal(r)
}

func seal(r []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	binary.LittleEndian.PutUint32(r[20:], crc32.Update(crc32.Checksum(r[24:], table), table, r[:20]))
	return r
}

// write puts a record, or the first part of one, at the end.
func (w *wal) write(r []byte, upTo int) platform.LSN {
	if w.pos%testPage == 0 {
		w.page(0, 0)
	}
	start := w.pos
	for done := 0; done < upTo; {
		if w.pos%testPage == 0 {
			w.page(1, uint32(len(r)-done))
		}
		n := copy(w.bytes[w.pos-w.base:], r[done:])
		done, w.pos = done+n, w.pos+platform.LSN(n)
	}
	w.pos = (w.pos + 7) / 8 * 8
	if upTo == len(r) {
		w.prev = start
		w.spans = append(w.spans, span{start, w.pos})
	}
	return start
}

// add puts a record of a heap.
func (w *wal) add(total int) platform.LSN { return w.write(rec(total, 10, 0, w.prev), total) }

// checkpoint puts an online checkpoint.
func (w *wal) checkpoint() platform.LSN { return w.write(rec(114, 0, 0x10, w.prev), 114) }

// switchSegment puts a switch record and leaves the rest of the segment void.
func (w *wal) switchSegment() {
	w.write(rec(24, 0, 0x40, w.prev), 24)
	for next := (w.pos + testSegment - 1) / testSegment * testSegment; w.pos < next; {
		if w.pos%testPage == 0 {
			w.page(0, 0)
		}
		w.pos = (w.pos/testPage + 1) * testPage
	}
	w.spans[len(w.spans)-1].end = w.pos
}

// follow walks over it.
func (w *wal) follow(line []platform.Timeline, from, checkpoint platform.LSN) End {
	return w.play(NewWalk(testFormat, line, from, checkpoint))
}

func (w *wal) play(walk *Walk) End {
	for {
		at, more := walk.Next()
		if !more {
			return walk.End()
		}
		if at < w.base || int(at-w.base)+testPage > len(w.bytes) {
			walk.Missing()
			continue
		}
		walk.Page(w.bytes[at-w.base:][:testPage])
	}
}
