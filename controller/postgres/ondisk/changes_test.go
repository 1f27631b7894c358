package ondisk

import (
	"encoding/binary"
	"slices"
	"testing"

	"mainstay/controller/platform"
)

func le(values ...any) (b []byte) {
	for _, v := range values {
		b, _ = binary.Append(b, binary.LittleEndian, v)
	}
	return b
}

// TestEach: the blocks of each kind of record, across pages as well, and nothing of a record that is not whole.
func TestEach(t *testing.T) {
	const data, image, same = 0x20, 0x10, 0x80
	rel := le(uint32(1663), uint32(5), uint32(16384))
	block := func(fork byte, n uint32) Change {
		return Change{Fork: fork, Space: 1663, Database: 5, Node: 16384, Block: n}
	}
	for _, tt := range []struct {
		name      string
		manager   byte
		info      byte
		head      []byte
		body      int // bytes behind the head
		want      []Change
		malformed bool
	}{
		{"no block", 1, 0, le(byte(255), byte(12)), 12, nil, false},
		{"nothing at all", 0, 0x40, nil, 0, nil, false},
		{"a block, its data and the record's", 10, 0, slices.Concat(le(byte(0), byte(data), uint16(30)), rel,
			le(uint32(7), byte(255), byte(3))), 33, []Change{block(0, 7)}, false},
		{"an image without a hole over pages", 0, 0xB0, slices.Concat(le(byte(0), byte(image|2), uint16(0), uint16(20000), uint16(0), byte(2)),
			rel, le(uint32(9))), 20000, []Change{block(2, 9)}, false},
		{"a compressed image, and a second block of the same relation", 9, 0, slices.Concat(le(byte(0), byte(image), uint16(0), uint16(500),
			uint16(100), byte(1|2|8), uint16(3000)), rel, le(uint32(1<<31)), le(byte(3), byte(same|1), uint16(0), uint32(4)),
			le(byte(254), uint32(9000))), 9500, []Change{block(0, 1<<31), block(1, 4)}, false},
		{"with an origin and a transaction", 11, 0, slices.Concat(le(byte(0), byte(0), uint16(0)), rel, le(uint32(7), byte(253), uint16(4),
			byte(252), uint32(800), byte(255), byte(1))), 1, []Change{block(0, 7)}, false},
		{"of an extension", 200, 0, slices.Concat(le(byte(32), byte(0), uint16(0)), rel, le(uint32(7))), 0, []Change{block(0, 7)}, false},
		{"a file is created", 2, 0x10, slices.Concat(le(byte(255), byte(16)), rel, le(uint32(3))), 0,
			[]Change{{Reach: Onwards, Fork: 3, Space: 1663, Database: 5, Node: 16384}}, false},
		{"files are cut off", 2, 0x20, slices.Concat(le(byte(255), byte(20), uint32(11)), rel, le(uint32(7))), 0,
			[]Change{{Reach: Onwards, Space: 1663, Database: 5, Node: 16384, Block: 11},
				{Reach: Onwards, Fork: 2, Space: 1663, Database: 5, Node: 16384}}, false},
		{"a database is copied", 4, 0x00, le(byte(255), byte(16), uint32(16400), uint32(1663), uint32(1), uint32(1663)), 0,
			[]Change{{Reach: Databases, Space: 1663, Database: 16400}}, false},
		{"a database is dropped", 4, 0x20, le(byte(255), byte(8), uint32(16400), uint32(1)), 0, nil, false},
		{"the same relation as none", 10, 0, le(byte(0), byte(same), uint16(0), uint32(7)), 0, nil, true},
		{"an unknown part", 10, 0, le(byte(100), uint32(7)), 0, nil, true},
		{"a part too short", 10, 0, le(byte(0), byte(0)), 0, nil, true},
		{"more data than there is", 10, 0, le(byte(255), byte(9)), 8, nil, true},
	} {
		w := newWAL(base)
		redo := w.checkpoint()
		w.write(rec(24+2+8, 10, 0, w.prev, 255, 8), 24+2+8)
		before := w.pos
		total := recordHeader + len(tt.head) + tt.body
		w.write(rec(total, tt.manager, tt.info, w.prev, tt.head...), total)
		end := w.pos
		if tt.info == 0x40 && tt.manager == 0 {
			end = (end + testSegment - 1) / testSegment * testSegment
		}
		unfinished := slices.Concat(le(byte(0), byte(data), uint16(30000)), rel, le(uint32(99)))
		w.write(rec(recordHeader+len(unfinished)+30000, 10, 0, w.prev, unfinished...), 300)
		if tt.malformed {
			end = before
		}
		checkpoint := w.bytes[redo-w.base:]
		copy(checkpoint[recordHeader:], []byte{255, 88}) // the headers of a real one
		w.resum(redo)
		var got []Change
		walk := NewWalk(testFormat, []platform.Timeline{1}, redo, redo)
		walk.Each(0, func(c Change) { got = append(got, c) })
		for at, more := walk.Next(); more; at, more = walk.Next() {
			if int(at-w.base)+testPage > len(w.bytes) {
				walk.Missing()
				break
			}
			walk.Page(w.bytes[at-w.base:][:testPage])
		}
		if !slices.Equal(got, tt.want) || walk.End().LSN != end {
			t.Errorf("%s: %+v, to %s; want %+v, to %s: %s", tt.name, got, walk.End().LSN, tt.want, end, walk.End().Why)
		}
	}
}

// TestEachUntil: a walk with a bound ends with the last record that ends there or before.
func TestEachUntil(t *testing.T) {
	w := newWAL(base)
	redo := w.add(80)
	second := w.add(9000)
	third := w.add(80)
	for until, want := range map[platform.LSN]platform.LSN{second: second, second + 100: second, third: third, third + 8: third,
		w.pos: w.pos, 0: w.pos} {
		walk := NewWalk(testFormat, []platform.Timeline{1}, redo, redo)
		walk.until = until
		for at, more := walk.Next(); more; at, more = walk.Next() {
			if int(at-w.base)+testPage > len(w.bytes) {
				walk.Missing()
				break
			}
			walk.Page(w.bytes[at-w.base:][:testPage])
		}
		if walk.End().LSN != want {
			t.Errorf("until %s: to %s, want %s: %s", until, walk.End().LSN, want, walk.End().Why)
		}
	}
}
