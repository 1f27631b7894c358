package ondisk

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/platform"
)

const base = platform.LSN(3 << 20)

// put changes bytes at a position.
func (w *wal) put(at platform.LSN, b ...byte) { copy(w.bytes[at-w.base:], b) }

// resum makes the checksum of the record at a position, all on one page, right again.
func (w *wal) resum(at platform.LSN) {
	r := w.bytes[at-w.base:]
	seal(r[:binary.LittleEndian.Uint32(r)])
}

// TestWalk ends each walk at the end of the record before the first that recovery would not take.
func TestWalk(t *testing.T) {
	tests := []struct {
		name string
		make func(w *wal) (end platform.LSN)
		why  string
	}{
		{"zeroes follow", func(w *wal) platform.LSN { w.add(100); return w.pos }, "its length would be 0"},
		{"to the end of its page", func(w *wal) platform.LSN { w.add(testPage - int(w.pos%testPage)); return w.pos }, "no page at"},
		{"and a valid page follows", func(w *wal) platform.LSN {
			w.add(testPage - int(w.pos%testPage))
			end := w.pos
			w.page(0, 0)
			return end
		}, "its length would be 0"},
		{"over a page", func(w *wal) platform.LSN { w.add(9000); return w.pos }, "its length would be 0"},
		{"over a segment and more", func(w *wal) platform.LSN { w.add(3 * testSegment); w.add(50); return w.pos }, "its length would be 0"},
		{"a header over a page", func(w *wal) platform.LSN {
			w.add(testPage - int(w.pos%testPage) - 8)
			w.add(100)
			return w.pos
		}, "its length would be 0"},
		{"a switch", func(w *wal) platform.LSN { w.switchSegment(); w.add(40); return w.pos }, "its length would be 0"},
		{"a switch at the very end", func(w *wal) platform.LSN { w.switchSegment(); return w.pos }, "no page at"},
		{"a switch, and a recycled segment", func(w *wal) platform.LSN {
			w.switchSegment()
			end := w.pos
			w.add(40)
			w.put(end+8, 0, 0, 0x10) // an older address
			return end
		}, "says that it is at"},
		{"a recycled page", func(w *wal) platform.LSN {
			w.add(testPage - int(w.pos%testPage))
			end := w.pos
			w.add(40)
			w.put(end+8, 0, 0x60)
			return end
		}, "says that it is at"},
		{"a stale record", func(w *wal) platform.LSN {
			end := w.pos
			at := w.write(rec(64, 10, 0, w.prev-8), 64)
			w.add(64)
			return min(end, at)
		}, "follows one at"},
		{"a torn record", func(w *wal) platform.LSN { at := w.add(700); w.put(at+600, 1, 2, 3); w.add(50); return at }, "checksum"},
		{"a torn header", func(w *wal) platform.LSN { at := w.add(700); w.put(at+4, 0xFF); return at }, "checksum"},
		{"an unknown manager", func(w *wal) platform.LSN { return w.write(rec(64, 22, 0, w.prev), 64) }, "resource manager 22"},
		{"an extension's manager", func(w *wal) platform.LSN { w.write(rec(64, 128, 0, w.prev), 64); return w.pos }, "its length would be 0"},
		{"too short", func(w *wal) platform.LSN { at := w.add(64); w.put(at, 23); return at }, "its length would be 23"},
		{"too long", func(w *wal) platform.LSN { at := w.add(64); w.put(at, 0, 0, 0, 0x40); return at }, "its length would be"},
		{"not continued", func(w *wal) platform.LSN {
			at := w.add(9000)
			w.put(at/testPage*testPage+testPage+2, 0)
			return at
		}, "is not continued"},
		{"continued by another length", func(w *wal) platform.LSN {
			at := w.add(9000)
			w.put(at/testPage*testPage+testPage+16, 1)
			return at
		}, "is continued by"},
		{"the rest is lost", func(w *wal) platform.LSN {
			return w.write(rec(20000, 10, 0, w.prev), 9000)
		}, "no page at"},
		{"the rest of another record", func(w *wal) platform.LSN {
			w.add(testPage - int(w.pos%testPage))
			end := w.pos
			w.page(1, 500)
			return end
		}, "begins with the rest"},
		{"a flag of a later version", func(w *wal) platform.LSN {
			at := w.add(9000)
			w.put(at/testPage*testPage+testPage+2, 0x11)
			return at
		}, "has the flags 0011"},
		{"another version's page", func(w *wal) platform.LSN {
			w.add(testPage - int(w.pos%testPage))
			end := w.pos
			w.add(40)
			w.put(end, 0x0D, 0xD1)
			return end
		}, "magic number D10D"},
		{"another system's segment", func(w *wal) platform.LSN {
			w.switchSegment()
			end := w.pos
			w.add(40)
			w.put(end+24, 0)
			return end
		}, "another database system"},
		{"no long header", func(w *wal) platform.LSN {
			w.switchSegment()
			end := w.pos
			w.add(40)
			w.put(end+2, 0)
			return end
		}, "no long header"},
		{"a later timeline", func(w *wal) platform.LSN {
			w.timeline = 3
			w.add(9000)
			return w.pos
		}, "its length would be 0"},
		{"back to an older timeline", func(w *wal) platform.LSN {
			w.timeline = 3
			w.add(9000)
			w.timeline = 1
			return w.add(9000)
		}, "is of timeline 1"},
		{"a timeline of another line", func(w *wal) platform.LSN {
			w.timeline = 2
			return w.add(9000)
		}, "is of timeline 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWAL(base)
			redo := w.add(40)
			checkpoint := w.checkpoint()
			want := tt.make(w)
			w.bytes = append(w.bytes, make([]byte, -len(w.bytes)&(testPage-1))...)
			end := w.follow([]platform.Timeline{1, 3}, redo, checkpoint)
			if end.LSN != want || end.Last == 0 || end.Last >= end.LSN || !end.Checkpoint || end.Doubt || end.Foreign {
				t.Errorf("end %+v, want %s", end, want)
			}
			if !strings.Contains(end.Why, tt.why) {
				t.Errorf("it ended because %q, want %q", end.Why, tt.why)
			}
		})
	}
}

// TestBegin is about the first record of a walk.
func TestBegin(t *testing.T) {
	w := newWAL(base)
	w.add(9000)
	redo := w.add(80)
	later := w.pos + 8000
	w.add(9000)
	w.checkpoint()
	tests := []struct {
		name  string
		from  platform.LSN
		spoil func()
		want  End
	}{
		{"in the middle of a segment", redo, func() {}, End{Last: w.prev, LSN: w.pos}},
		{"behind the checkpoint asked for", w.prev, func() {}, End{Last: w.prev, LSN: w.pos}},
		{"inside a record", later &^ 7, func() {}, End{}},
		{"where no record can be", redo + 4, func() {}, End{}},
		{"in a page header", base + testPage + 8, func() {}, End{}},
		{"where nothing is", base + 5*testSegment + 40, func() {}, End{}},
		{"linked to itself", redo, func() {
			binary.LittleEndian.PutUint64(w.bytes[redo-w.base+8:], uint64(redo))
			w.resum(redo)
		}, End{}},
		{"in a segment of another system", redo, func() { w.put(base+24, 0) }, End{}},
		{"in WAL of another version", redo, func() { w.put(base, 0x13) }, End{Foreign: true}},
	}
	whole := w.bytes
	for _, tt := range tests {
		w.bytes = append([]byte(nil), whole...)
		tt.spoil()
		got := w.follow([]platform.Timeline{1}, tt.from, redo)
		if got.Last != tt.want.Last || got.Foreign != tt.want.Foreign || got.Doubt || got.Checkpoint || got.Last != 0 && got.LSN != tt.want.LSN {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestOverwritten: a record that a crash cut short is replaced by one that names it, at the start of the page where it broke
// off; anything else there is no WAL that recovery goes on with.
func TestOverwritten(t *testing.T) {
	lost := platform.LSN(0)
	replace := func(info byte, names func() platform.LSN) func(w *wal) []byte {
		return func(w *wal) []byte {
			data := append([]byte{255, 16}, make([]byte, 16)...)
			binary.LittleEndian.PutUint64(data[2:], uint64(names()))
			return rec(42, 0, info, w.prev, data...)
		}
	}
	for _, tt := range []struct {
		name  string
		with  func(w *wal) []byte
		taken bool
	}{
		{"the one lost", replace(0xD0, func() platform.LSN { return lost }), true},
		{"another", replace(0xD0, func() platform.LSN { return lost - 8 }), false},
		{"none", replace(0x20, func() platform.LSN { return lost }), false},
	} {
		w := newWAL(base)
		redo := w.checkpoint()
		lost = w.write(rec(20000, 10, 0, w.prev), testPage-int(w.pos%testPage))
		w.page(8, 0)
		r := tt.with(w)
		w.write(r, len(r))
		w.add(200)
		end := w.follow([]platform.Timeline{1}, redo, redo)
		if tt.taken && (end.LSN != w.pos || end.Doubt) || !tt.taken && (end.LSN != lost || !end.Doubt) {
			t.Errorf("replacing %s: %+v, lost %s, all %s", tt.name, end, lost, w.pos)
		}
	}
}

func TestFormatKnown(t *testing.T) {
	for _, f := range []Format{{12, "", 16 << 20, 8192}, {19, "", 16 << 20, 8192}, {15, "", 16<<20 + 1, 8192}, {15, "", 0, 8192},
		{15, "", 16 << 20, 100}} {
		if f.Known() {
			t.Errorf("%+v counts as known", f)
		}
	}
	for major := 13; major <= 18; major++ {
		if f := (Format{major, "", 1 << 30, 16384}); !f.Known() {
			t.Errorf("%+v is not known", f)
		}
	}
}

// FuzzWalk damages one byte of WAL, or cuts it: the end is that of a whole record, before the damage if that hit one. Not all
// of a page's header is checked, by PostgreSQL either; what is, TestWalk shows.
func FuzzWalk(f *testing.F) {
	f.Add([]byte{10, 200, 3, 255, 0, 40}, uint32(0), byte(0), false)
	f.Add([]byte{10, 200, 3, 255, 7, 40, 1, 9}, uint32(9000), byte(1), false)
	f.Add([]byte{255, 255, 255, 255, 250, 0, 3}, uint32(70000), byte(0x80), false)
	f.Add([]byte{1, 2, 3, 4, 5, 6, 0, 6, 0, 200}, uint32(testSegment+8), byte(4), false)
	f.Add([]byte{1, 200, 0, 254, 5, 6, 0, 6, 0, 200}, uint32(testSegment-100), byte(0), true)
	f.Add([]byte{9, 9, 9, 9, 9, 9}, uint32(300), byte(255), true)
	f.Fuzz(func(t *testing.T, sizes []byte, at uint32, flip byte, cut bool) {
		w := newWAL(base)
		redo := w.checkpoint()
		for _, n := range sizes[:min(len(sizes), 64)] {
			if n == 0 && len(w.bytes) < 4*testSegment {
				w.switchSegment()
				continue
			}
			w.add(24 + int(n)*int(n)/3)
		}
		at %= uint32(len(w.bytes))
		hit := base + platform.LSN(at)
		damaged := *w
		if damaged.bytes = slices.Clone(w.bytes); cut {
			damaged.bytes, flip = damaged.bytes[:at], 0
		}
		if !cut {
			damaged.bytes[at] ^= flip
		}
		end := damaged.follow([]platform.Timeline{1}, redo, redo)
		whole := end.Last == 0
		for _, s := range w.spans {
			whole = whole || s.start == end.Last && s.end == end.LSN
			if cut && hit < s.end && s.end%testSegment != 0 && end.Last >= s.start || flip != 0 && w.covers(s, hit) && end.Last >= s.start {
				t.Fatalf("damage at %s in the record at %s, and the end is %+v", hit, s.start, end)
			}
		}
		if !whole {
			t.Fatalf("no end of a record: %+v", end)
		}
		if !cut && flip == 0 && end.LSN != w.pos {
			t.Fatalf("end %+v, want %s", end, w.pos)
		}
	})
}

// covers tells whether a byte is of a record's own: in no page header, nor in the void behind a switch or the padding.
func (w *wal) covers(s span, at platform.LSN) bool {
	header := platform.LSN(shortHeader)
	if at%testSegment < testPage {
		header = longHeader
	}
	end := s.end - 7
	if r := w.bytes[s.start-w.base:]; r[atManager] == managerXLOG && r[atInfo] == infoSwitch {
		end = s.start + recordHeader
	}
	return at >= s.start && at < end && at%testPage >= header
}

// FuzzPages feeds anything: no panic, and no end before the beginning.
func FuzzPages(f *testing.F) {
	w := newWAL(base)
	redo := w.checkpoint()
	w.add(9000)
	f.Add(w.bytes, uint32(redo-base))
	f.Add([]byte{}, uint32(40))
	f.Add(w.bytes[:testPage+30], uint32(testPage+24))
	f.Fuzz(func(t *testing.T, b []byte, from uint32) {
		w := &wal{base: base, bytes: b}
		start := base + platform.LSN(from)
		if end := w.follow([]platform.Timeline{1}, start, start); end.LSN < start || end.Last != 0 && end.Last < start {
			t.Fatalf("%+v from %s", end, start)
		}
	})
}
