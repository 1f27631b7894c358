package ondisk

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

// stamped is a record whose own data begins with a time, behind what headers it may have.
func stamped(prev platform.LSN, manager, info byte, at int64, more []byte, headers ...byte) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(at))
	data = append(data, more...)
	head := append(headers, 255, byte(len(data)))
	return rec(24+len(head)+len(data), manager, info, prev, append(head, data...)...)
}

// TestMarks finds commits, aborts, restore points and checkpoints, whole and over pages, and nothing else.
func TestMarks(t *testing.T) {
	w := newWAL(base)
	redo := w.add(40)
	var want []Mark
	put := func(m Mark, r []byte) {
		m.Begin = w.write(r, len(r))
		m.End = w.pos
		want = append(want, m)
	}
	second := func(n int64) time.Time { return time.Date(2000, 1, 1, 0, 0, int(n), 0, time.UTC) }
	name := func(s string) []byte { return append([]byte(s), make([]byte, 64-len(s))...) }
	put(Mark{Kind: Commit, Time: second(10)}, stamped(w.prev, 1, 0x00, 10e6, nil))
	put(Mark{Kind: Commit, Time: second(9)}, stamped(w.prev, 1, 0x80, 9e6, make([]byte, 90), 253, 1, 2)) // with an origin
	put(Mark{Kind: Abort, Time: second(11)}, stamped(w.prev, 1, 0x20, 11e6, nil, 252, 1, 2, 3, 4))       // with a top transaction
	put(Mark{Kind: Commit, Time: second(12)}, stamped(w.prev, 1, 0xB0, 12e6, make([]byte, 30)))          // prepared
	put(Mark{Kind: Abort, Time: second(13)}, stamped(w.prev, 1, 0x40, 13e6, nil))
	w.write(stamped(w.prev, 1, 0x10, 14e6, nil), 34) // PREPARE
	w.write(stamped(w.prev, 10, 0x00, 15e6, nil), 34)
	put(Mark{Kind: RestorePoint, Time: second(16), Name: "before-patch"}, stamped(w.prev, 0, 0x70, 16e6, name("before-patch")))
	for w.pos%testPage != testPage-40 {
		w.write(rec(24, 10, 0, w.prev), 24)
	}
	put(Mark{Kind: RestorePoint, Time: second(17), Name: "over pages"}, stamped(w.prev, 0, 0x70, 17e6, name("over pages")))
	checkpoint := make([]byte, 88)
	binary.LittleEndian.PutUint64(checkpoint[64:], 1_700_000_000)
	put(Mark{Kind: Checkpoint, Time: time.Unix(1_700_000_000, 0).UTC()},
		rec(24+2+88, 0, 0x10, w.prev, append([]byte{255, 88}, checkpoint...)...))
	w.bytes = append(w.bytes, make([]byte, -len(w.bytes)&(testPage-1))...)
	var got []Mark
	walk := NewWalk(testFormat, []platform.Timeline{1}, redo, 0)
	walk.Marks(func(m Mark) { got = append(got, m) })
	end := w.play(walk)
	if fmt.Sprint(got) != fmt.Sprint(want) || end.LSN != w.pos {
		t.Errorf("%v, want %v; it ended at %s: %s", got, want, end.LSN, end.Why)
	}
}

// TestWalkIn begins in each segment with the first record that begins there.
func TestWalkIn(t *testing.T) {
	w := newWAL(base)
	w.add(40)
	for w.pos < base+testSegment-30_000 {
		w.add(5000)
	}
	w.add(3*testSegment + 100_000)
	for w.pos < base+6*testSegment-1000 {
		w.add(700)
	}
	lost := w.write(rec(20_000, 10, 0, w.prev), testPage-int(w.pos%testPage)) // given up at the end of a segment
	if w.pos%testSegment != 0 {
		t.Fatalf("it is cut off at %s", w.pos)
	}
	w.page(8, 0)
	data := binary.LittleEndian.AppendUint64([]byte{255, 16}, uint64(lost))
	w.write(rec(42, 0, 0xD0, w.prev, append(data, make([]byte, 8)...)...), 42)
	w.add(200)
	w.switchSegment()
	for n := platform.LSN(0); n < 7; n++ {
		at := base + n*testSegment
		piece := &wal{base: at, bytes: w.bytes[n*testSegment:][:testSegment]}
		end := piece.play(NewWalkIn(testFormat, []platform.Timeline{1}, at))
		first := slices.IndexFunc(w.spans, func(s span) bool { return s.start >= at && s.end <= at+testSegment })
		want := End{Why: "no page"}
		for _, s := range w.spans[max(first, 0):] {
			if want.First == 0 && first >= 0 {
				want.First = s.start
			}
			if first >= 0 && s.end <= at+testSegment {
				want.Last, want.LSN = s.start, s.end
			}
		}
		behind := fmt.Sprintf("there is no page at %s", at+testSegment)
		if end.Last != want.Last || want.Last != 0 && end.LSN != want.LSN || end.First != want.First || end.Doubt || end.Why != behind {
			t.Errorf("segment %d: %+v, want %+v", n, end, want)
		}
		// What a page says of the record before it is compared with the page before.
		if n == 2 {
			binary.LittleEndian.PutUint32(piece.bytes[5*testPage+16:], 77)
			end := piece.play(NewWalkIn(testFormat, []platform.Timeline{1}, at))
			if !strings.Contains(end.Why, "with 77 bytes of a record instead of") {
				t.Error("a page that continues another record:", end.Why)
			}
		}
	}
}
