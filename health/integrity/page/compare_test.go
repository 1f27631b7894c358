package page

import (
	"bytes"
	"strings"
	"testing"

	"mainstay/controller/platform"
)

// heapPage is a page with rows of 32 bytes whose headers have these infomasks.
func heapPage(lsn platform.LSN, infomasks ...uint16) fields {
	f := fields(make([]byte, 8192))
	f.put32(atLSN, uint32(lsn>>32))
	f.put32(atLSN+4, uint32(lsn))
	f.put16(atLower, uint16(HeaderSize+pointerSize*len(infomasks)))
	f.put16(atUpper, uint16(8192-32*len(infomasks)))
	f.put16(atSpecial, 8192)
	f.put16(atVersion, 8192|layoutVersion)
	for n, infomask := range infomasks {
		offset := 8192 - 32*(n+1)
		f.put32(HeaderSize+pointerSize*n, uint32(offset)|itemNormal|30<<lengthOfItem)
		row := f[offset:]
		row.put32(0, 700)
		row.put16(atInfomask, infomask)
		row.put16(atCtid+4, uint16(n+1))
		row[atHoff] = 24
	}
	return f
}

var heap = Rules{Method: Heap, HintsLogged: true}

func summaryOf(p []byte, r Rules) Summary {
	s := Summariser{Layout: Layout{Size: 8192}}
	return s.Summarise(p, 3, r)
}

func TestCompareHeap(t *testing.T) {
	const lsn = 0x5000
	with := func(change func(f fields), infomasks ...uint16) fields {
		f := heapPage(lsn, infomasks...)
		change(f)
		return f
	}
	unlogged := Rules{Method: Heap}
	last := 8192 - 32 // where the first row is
	for _, tt := range []struct {
		name    string
		a, b    fields
		rules   Rules
		verdict Verdict
		kind    Kind
	}{
		{"the same", heapPage(lsn, 0, 0), heapPage(lsn, 0, 0), heap, Equal, None},
		{"xmin committed on one", heapPage(lsn, 0x100), heapPage(lsn, 0), heap, Equal, None},
		{"xmin invalid on one", heapPage(lsn, 0), heapPage(lsn, 0x200), heap, Equal, None},
		{"xmax invalid on one", heapPage(lsn, 0x900), heapPage(lsn, 0x100), heap, Equal, None},
		{"other hints on each", heapPage(lsn, 0x100), heapPage(lsn, 0x800), heap, Equal, None},
		{"xmin committed and invalid", heapPage(lsn, 0x100), heapPage(lsn, 0x200), heap, Differs, Hints},
		{"xmin invalid and committed, second row", heapPage(lsn, 0, 0x200), heapPage(lsn, 0, 0x100), heap, Differs, Hints},
		{"xmax committed and invalid, third row", heapPage(lsn, 0, 0, 0x400), heapPage(lsn, 0, 0, 0x800), heap, Differs, Hints},
		{"xmax invalid and committed", heapPage(lsn, 0x800), heapPage(lsn, 0x400), heap, Differs, Hints},
		{"a hint of another row", heapPage(lsn, 0x100, 0), heapPage(lsn, 0, 0x200), heap, Equal, None},
		{"frozen and committed", heapPage(lsn, 0x300), heapPage(lsn, 0x100), heap, Differs, Content},
		{"frozen and invalid", heapPage(lsn, 0x300), heapPage(lsn, 0x200), heap, Differs, Content},
		{"frozen, xmax known on one", heapPage(lsn, 0x300), heapPage(lsn, 0xB00), heap, Equal, None},
		{"a lock", heapPage(lsn, 0x80), heapPage(lsn, 0), heap, Differs, Content},
		{"a combined command", heapPage(lsn, comboCommand), heapPage(lsn, 0), heap, Equal, None},
		{"the command", with(func(f fields) { f.put32(last+atCommand, 5) }, 0), heapPage(lsn, 0), heap, Equal, None},
		{"xmin", with(func(f fields) { f[last]++ }, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"xmax", with(func(f fields) { f[last+atXmax]++ }, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"a value", with(func(f fields) { f[last+25]++ }, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"behind a row", with(func(f fields) { f[last+30]++ }, 0), heapPage(lsn, 0), heap, Equal, None},
		{"free space", with(func(f fields) { f[4000]++ }, 0), heapPage(lsn, 0), heap, Equal, None},
		{"checksum, prune hint and flags", with(func(f fields) {
			f.put16(atChecksum, 7)
			f.put32(atPruneXID, 7)
			f.put16(atFlags, hasFreeLines|pageFull)
		}, 0), heapPage(lsn, 0), heap, Equal, None},
		{"all-visible, hints logged", with(func(f fields) { f.put16(atFlags, allVisible) }, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"all-visible, hints not logged", with(func(f fields) { f.put16(atFlags, allVisible) }, 0), heapPage(lsn, 0), unlogged, Equal, None},
		{"not decided yet", with(func(f fields) { f.put16(last+atCtid, 9); f.put16(last+atCtid+4, speculative) }, 0),
			with(func(f fields) { f.put16(last+atCtid+2, 3) }, 0), heap, Equal, None},
		{"ctid", with(func(f fields) { f.put16(last+atCtid+4, 2) }, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"a row less", heapPage(lsn, 0, 0), heapPage(lsn, 0), heap, Differs, Content},
		{"a row outside", with(func(f fields) { f.put32(HeaderSize, 8190|itemNormal|30<<lengthOfItem) }, 0), heapPage(lsn, 0), heap,
			Differs, Broken},
		{"a row in the free space", with(func(f fields) { f.put32(HeaderSize, 4000|itemNormal|30<<lengthOfItem) }, 0), heapPage(lsn, 0), heap,
			Differs, Broken},
		{"a row without a header", with(func(f fields) { f.put32(HeaderSize, uint32(last)|itemNormal|8<<lengthOfItem) }, 0), heapPage(lsn, 0),
			heap, Differs, Broken},
		{"a redirection to nowhere", with(func(f fields) { f.put32(HeaderSize, 9|itemRedirect) }, 0), heapPage(lsn, 0), heap, Differs, Broken},
		{"an unknown method, the same", heapPage(lsn, 0), heapPage(lsn, 0), Rules{}, Equal, None},
		{"an unknown method", heapPage(lsn, 0), heapPage(lsn, 1), Rules{}, Undecidable, NoRule},
		{"a free space map", heapPage(lsn, 0), heapPage(lsn, 1), Rules{Method: Heap, Fork: FreeSpace}, Undecidable, NoRule},
		{"a visibility map", heapPage(lsn, 0), heapPage(lsn, 1), Rules{Method: Heap, Fork: Visibility}, Undecidable, NoRule},
	} {
		a, b := summaryOf(tt.a, tt.rules), summaryOf(tt.b, tt.rules)
		for _, o := range []Outcome{Compare(a, b, Horizon{LSN: lsn}), Compare(b, a, Horizon{LSN: lsn})} {
			if o.Verdict != tt.verdict || o.Kind != tt.kind || o.Detail == "" != (tt.verdict == Equal) {
				t.Errorf("%s: %s, %s, %q; want %s, %s", tt.name, o.Verdict, o.Kind, o.Detail, tt.verdict, tt.kind)
			}
		}
		o := Compare(a, b, Horizon{LSN: lsn - 1})
		if tt.verdict == Differs && tt.kind != Broken && (o.Verdict != Undecidable || o.Kind != Moving) {
			t.Errorf("%s, beyond the horizon: %+v", tt.name, o)
		}
	}
}

// TestCompareLSN: which page is the wrong one, and when that may be said.
func TestCompareLSN(t *testing.T) {
	page := func(lsn platform.LSN) Summary { return summaryOf(heapPage(lsn, 0), heap) }
	changed := func(lsn platform.LSN) Summary { // a row more, and a hint
		return summaryOf(heapPage(lsn, 0x100, 0), heap)
	}
	zero, absent := summaryOf(make([]byte, 8192), heap), summaryOf(nil, heap)
	blank := summaryOf(heapPage(0), heap)
	torn := heapPage(5)
	torn.put16(atUpper, 9000)
	bad := summaryOf(torn, heap)
	if zero.State != Zero || absent.State != Absent || blank.State != Blank || bad.State != Bad {
		t.Fatal(zero.State, absent.State, blank.State, bad.State)
	}
	for _, tt := range []struct {
		name       string
		a, b       Summary
		lsn, seen  platform.LSN
		verdict    Verdict
		kind       Kind
		side, back Side
	}{
		{"older, both written out", page(10), changed(20), 20, 0, Differs, LostWrite, First, Second},
		{"older, the newer one beyond the horizon", page(10), changed(20), 19, 0, Undecidable, Moving, Either, Either},
		{"older with the same content", page(10), page(20), 20, 0, Equal, None, Either, Either},
		{"older with the same content, the newer one beyond the horizon", page(10), page(20), 19, 0, Undecidable, Moving, Either, Either},
		{"older, hints", page(10), summaryOf(heapPage(20, 0x100), heap), 20, 0, Equal, None, Either, Either},
		{"older, hints that contradict each other", summaryOf(heapPage(10, 0x200), heap), summaryOf(heapPage(20, 0x100), heap), 20, 0,
			Differs, Hints, Either, Either},
		{"equal beyond the horizon", page(30), page(30), 19, 0, Equal, None, Either, Either},
		{"zero, first look", zero, page(10), 20, 0, Undecidable, Shortened, Either, Either},
		{"zero, seen, the horizon has not passed", zero, page(10), 20, 21, Undecidable, Shortened, Either, Either},
		{"zero, seen", zero, page(10), 20, 20, Differs, Zeroed, First, Second},
		{"zero, the other one moves", zero, page(30), 20, 10, Undecidable, Moving, Either, Either},
		{"absent, first look", absent, page(10), 20, 0, Undecidable, Shortened, Either, Either},
		{"absent, seen", absent, page(10), 20, 15, Differs, Missing, First, Second},
		{"blank, seen", blank, page(10), 20, 15, Differs, Zeroed, First, Second},
		{"zero and absent", zero, absent, 20, 0, Equal, None, Either, Either},
		{"zero and blank", zero, blank, 20, 0, Equal, None, Either, Either},
		{"bad", bad, page(5), 20, 0, Differs, Broken, First, Second},
		{"bad, beyond the horizon", bad, page(50), 20, 0, Differs, Broken, First, Second},
		{"both bad", bad, bad, 20, 0, Differs, Broken, Both, Both},
		{"unread", Summary{}, page(5), 20, 0, Undecidable, NoRule, Either, Either},
		{"two rules", page(5), summaryOf(heapPage(5, 0, 0, 0), Rules{Method: Sequence}), 20, 0, Differs, Broken, Second, First},
	} {
		at := Horizon{LSN: tt.lsn, Seen: tt.seen}
		if o := Compare(tt.a, tt.b, at); o.Verdict != tt.verdict || o.Kind != tt.kind || o.Side != tt.side {
			t.Errorf("%s: %+v", tt.name, o)
		}
		if o := Compare(tt.b, tt.a, at); o.Verdict != tt.verdict || o.Kind != tt.kind || o.Side != tt.back {
			t.Errorf("%s, the other way round: %+v", tt.name, o)
		}
	}
}

// TestCompareLost: at an older LSN, what is logged is a lost write where it is missing, and what is not logged is none.
func TestCompareLost(t *testing.T) {
	row := 8192 - 32
	index := func(special int, change func(f, s fields)) func(platform.LSN) fields {
		return func(lsn platform.LSN) fields {
			f := heapPage(lsn, 0, 0)
			f.put16(atSpecial, uint16(8192-special))
			f.put16(atUpper, 8000)
			f.put32(HeaderSize, 8000|itemNormal|16<<lengthOfItem)
			f.put32(HeaderSize+pointerSize, 8016|itemNormal|16<<lengthOfItem)
			change(f, f[8192-special:])
			return f
		}
	}
	rows := func(change func(f fields), infomasks ...uint16) func(platform.LSN) fields {
		return func(lsn platform.LSN) fields {
			f := heapPage(lsn, infomasks...)
			change(f)
			return f
		}
	}
	same := func(fields) {}
	values := func(last, left uint64) func(platform.LSN) fields {
		return func(lsn platform.LSN) fields {
			f := append(fields(nil), realSequence(t)...)
			f.put64(atLSN, uint64(lsn)<<32)
			data := f[f.uint32(HeaderSize)&offsetsOfItem:]
			data = data[data[atHoff]:]
			data.put64(0, last)
			data.put64(8, left)
			return f
		}
	}
	nothing := func(f, s fields) {}
	leaf := func(f, s fields) { s.put16(12, 1) }
	deadLeaf := func(f, s fields) { s.put16(12, 1); f.put32(HeaderSize, 8000|itemDead|16<<lengthOfItem) }
	for _, tt := range []struct {
		name     string
		rules    Rules
		old, new func(platform.LSN) fields
		lost     bool
	}{
		{"an insert", heap, rows(same, 0), rows(same, 0, 0), true},
		{"an update or a delete", heap, rows(same, 0), rows(func(f fields) { f.put32(row+atXmax, 701) }, 0), true},
		{"a lock", heap, rows(same, 0), rows(func(f fields) { f.put32(row+atXmax, 701) }, 0x80), true},
		{"a lock of another strength", heap, rows(same, 0x90), rows(same, 0xC0), true},
		{"a change in place", heap, rows(same, 0), rows(func(f fields) { f[row+26]++ }, 0), true},
		{"pruning", heap, rows(same, 0, 0), rows(func(f fields) { f.put32(HeaderSize, itemDead) }, 0, 0), true},
		{"freezing", heap, rows(same, 0x100), rows(same, 0x300), true},
		{"all-visible", heap, rows(same, 0x100), rows(func(f fields) { f.put16(atFlags, allVisible) }, 0x100), true},
		{"hints", heap, rows(same, 0), rows(same, 0x900), false},
		{"a hint for pruning", heap, rows(same, 0), rows(func(f fields) { f.put32(atPruneXID, 701); f.put16(atFlags, pageFull) }, 0), false},
		{"an item of a btree", Rules{Method: BTree}, index(16, leaf), index(16, func(f, s fields) { leaf(f, s); f[8003]++ }), true},
		{"the end of a split of a btree", Rules{Method: BTree}, index(16, func(f, s fields) { s.put16(12, 1<<7) }), index(16, nothing), true},
		{"a dead item of a btree", Rules{Method: BTree}, index(16, leaf), index(16, deadLeaf), false},
		{"the end of a split of a GiST index", Rules{Method: GiST}, index(16, func(f, s fields) { s.put16(12, gistFollowing) }),
			index(16, nothing), true},
		{"a split of a GiST index", Rules{Method: GiST}, index(16, nothing), index(16, func(f, s fields) { s[3]++ }), true},
		{"a dead item of a GiST index", Rules{Method: GiST}, index(16, leaf), index(16, deadLeaf), false},
		{"values of a sequence", Rules{Method: Sequence}, values(5, 28), values(33, 0), true},
		{"no value of a sequence", Rules{Method: Sequence}, values(5, 28), values(5, 28), false},
		{"of an unknown method", Rules{}, rows(same, 0), rows(same, 0), false},
		{"of a visibility map", Rules{Method: Heap, Fork: Visibility}, rows(same, 0), rows(same, 0), false},
	} {
		a, b := summaryOf(tt.old(10), tt.rules), summaryOf(tt.new(20), tt.rules)
		want := Outcome{Verdict: Equal}
		if tt.lost {
			want = Outcome{Verdict: Differs, Kind: LostWrite, Side: First}
		}
		if o := Compare(a, b, Horizon{LSN: 20}); o.Verdict != want.Verdict || o.Kind != want.Kind || o.Side != want.Side {
			t.Errorf("%s: %+v", tt.name, o)
		}
		if o := Compare(b, a, Horizon{LSN: 20}); o.Verdict != want.Verdict || o.Kind != want.Kind || o.Side != 2*want.Side {
			t.Errorf("%s, the other way round: %+v", tt.name, o)
		}
		if o := Compare(a, b, Horizon{LSN: 19}); o.Kind != Moving {
			t.Errorf("%s, beyond the horizon: %+v", tt.name, o)
		}
	}
}

func TestCompareSequence(t *testing.T) {
	at := func(last, left int64, called bool) Summary {
		f := fields(realSequence(t))
		row := fields(f[f.uint32(HeaderSize)&offsetsOfItem:])
		data := row[row[atHoff]:]
		data.put64(0, uint64(last))
		data.put64(8, uint64(left))
		data[16] = 0
		if called {
			data[16] = 1
		}
		return summaryOf(f, Rules{Method: Sequence})
	}
	for _, tt := range []struct {
		name    string
		a, b    Summary
		verdict Verdict
		kind    Kind
	}{
		{"the same", at(5, 28, true), at(5, 28, true), Equal, None},
		{"the standby is ahead", at(5, 28, true), at(33, 0, true), Equal, None},
		{"by an increment of -7", at(5, 3, true), at(-16, 0, true), Equal, None},
		{"both are on the way", at(5, 28, true), at(7, 26, true), Equal, None},
		{"another value", at(5, 28, true), at(6, 28, true), Differs, Sequences},
		{"another value, no step left", at(5, 0, true), at(6, 0, true), Differs, Sequences},
		{"not called", at(33, 0, false), at(33, 0, true), Differs, Sequences},
		{"no step leads there", at(5, 28, true), at(34, 0, true), Undecidable, Wrapped},
		{"steps that change nothing", at(5, 28, true), at(5, 0, true), Undecidable, Wrapped},
	} {
		for _, o := range []Outcome{Compare(tt.a, tt.b, Horizon{LSN: 1 << 40}), Compare(tt.b, tt.a, Horizon{LSN: 1 << 40})} {
			if o.Verdict != tt.verdict || o.Kind != tt.kind {
				t.Errorf("%s: %+v", tt.name, o)
			}
		}
	}
}

// TestIndexMasks: each bit that an access method sets without WAL, and one beside it that counts.
func TestIndexMasks(t *testing.T) {
	index := func(size int, change func(f, s fields)) []byte {
		f := fields(make([]byte, 8192))
		f.put32(atLSN+4, 9)
		f.put16(atLower, HeaderSize+2*pointerSize)
		f.put16(atUpper, 8000)
		f.put16(atSpecial, uint16(8192-size))
		f.put16(atVersion, 8192|layoutVersion)
		f.put32(HeaderSize, 8000|itemNormal|16<<lengthOfItem)
		f.put32(HeaderSize+pointerSize, 8016|itemNormal|16<<lengthOfItem)
		change(f, f[8192-size:])
		return f
	}
	dead := func(f fields) { f.put32(HeaderSize, 8000|itemDead|16<<lengthOfItem) }
	for _, tt := range []struct {
		name         string
		method       Method
		size         int
		base, change func(f, s fields)
		equal        bool
	}{
		{"btree, a dead item on a leaf", BTree, 16, func(f, s fields) { s.put16(12, 1) }, func(f, s fields) { dead(f) }, true},
		{"btree, an unused item on a leaf", BTree, 16, func(f, s fields) { s.put16(12, 1) }, func(f, s fields) { f.put32(HeaderSize, 0) }, false},
		{"btree, a dead item above", BTree, 16, func(f, s fields) {}, func(f, s fields) { dead(f) }, false},
		{"btree, garbage and split end", BTree, 16, func(f, s fields) {}, func(f, s fields) { s.put16(12, 0x60) }, true},
		{"btree, half dead", BTree, 16, func(f, s fields) {}, func(f, s fields) { s.put16(12, 0x10) }, false},
		{"btree, vacuum cycle", BTree, 16, func(f, s fields) {}, func(f, s fields) { s.put16(14, 7) }, true},
		{"btree, the right neighbour", BTree, 16, func(f, s fields) {}, func(f, s fields) { s[4]++ }, false},
		{"hash, dead items", Hash, 16, func(f, s fields) { s.put16(12, 2) }, func(f, s fields) { dead(f); s.put16(12, 0x82) }, true},
		{"hash, unused", Hash, 16, func(f, s fields) {}, func(f, s fields) { f[8010]++; f.put16(atUpper, 8002) }, true},
		{"hash, a bitmap", Hash, 16, func(f, s fields) { s.put16(12, 4) }, func(f, s fields) { f[HeaderSize]++ }, false},
		{"gin, deleted", GIN, 8, func(f, s fields) { s.put16(6, 4) }, func(f, s fields) { f[8010]++; f.put16(atLower, HeaderSize) }, true},
		{"gin, the hole", GIN, 8, func(f, s fields) {}, func(f, s fields) { f[5000]++ }, true},
		{"gin, no hole", GIN, 8, func(f, s fields) { f.put16(atLower, HeaderSize) }, func(f, s fields) { f[5000]++ }, false},
		{"gin, an item", GIN, 8, func(f, s fields) {}, func(f, s fields) { f[8010]++ }, false},
		{"gist, NSN", GiST, 16, func(f, s fields) {}, func(f, s fields) { s[3]++ }, true},
		{"gist, garbage and follow right", GiST, 16, func(f, s fields) {}, func(f, s fields) { s.put16(12, 0x18) }, true},
		{"gist, a dead item on a leaf", GiST, 16, func(f, s fields) { s.put16(12, 1) }, func(f, s fields) { dead(f) }, true},
		{"gist, deleted", GiST, 16, func(f, s fields) {}, func(f, s fields) { s.put16(12, 2) }, false},
		{"spgist, the hole", SPGiST, 8, func(f, s fields) {}, func(f, s fields) { f[5000]++ }, true},
		{"spgist, the cache of the first page", SPGiST, 8, func(f, s fields) { s.put16(0, 1) }, func(f, s fields) { f[HeaderSize+5]++ }, true},
		{"spgist, the magic number", SPGiST, 8, func(f, s fields) { s.put16(0, 1) }, func(f, s fields) { f[HeaderSize]++ }, false},
		{"spgist, an item of another page", SPGiST, 8, func(f, s fields) {}, func(f, s fields) { f[HeaderSize+5]++ }, false},
		{"spgist, flags", SPGiST, 8, func(f, s fields) {}, func(f, s fields) { s[0]++ }, false},
		{"brin, being evacuated", BRIN, 8, func(f, s fields) { s.put16(6, brinRegular) }, func(f, s fields) { s.put16(4, 1); f[5000]++ }, true},
	} {
		a, b := index(tt.size, tt.base), index(tt.size, func(f, s fields) { tt.base(f, s); tt.change(f, s) })
		r := Rules{Method: tt.method}
		o := Compare(summaryOf(a, r), summaryOf(b, r), Horizon{LSN: 9})
		if (o.Verdict == Equal) != tt.equal || o.Verdict == Undecidable {
			t.Errorf("%s: %+v", tt.name, o)
		}
		if text := (Layout{Size: 8192}).Explain(a, b, 3, r); strings.Contains(text, "are the same") != tt.equal {
			t.Errorf("%s: %s", tt.name, text)
		}
	}
	ranges := func(f, s fields) { s.put16(6, brinRangeMap) }
	one, two := index(8, ranges), index(8, func(f, s fields) { ranges(f, s); f[5000]++ })
	r := Rules{Method: BRIN}
	if o := Compare(summaryOf(one, r), summaryOf(two, r), Horizon{LSN: 9}); o.Kind != NoRule {
		t.Errorf("range maps that differ: %+v", o)
	}
	if o := Compare(summaryOf(one, r), summaryOf(one, r), Horizon{LSN: 9}); o.Verdict != Equal {
		t.Errorf("range maps that are the same: %+v", o)
	}
	short := index(0, func(f, s fields) {})
	if s := summaryOf(short, Rules{Method: BTree}); s.State != Bad || s.Detail == "" {
		t.Errorf("an index page without its last part: %+v", s)
	}
}

func TestMapBits(t *testing.T) {
	l := Layout{Size: 8192}
	vm := make([]byte, 8192)
	vm[HeaderSize+250] = 0b01_11_00_00 // pages 1002 and 1003
	for block, want := range map[uint32][2]bool{1001: {}, 1002: {true, true}, 1003: {true, false}, 32672 + 1003: {true, false}} {
		if visible, frozen := l.MapBits(vm, block); visible != want[0] || frozen != want[1] {
			t.Errorf("%d: %v %v", block, visible, frozen)
		}
	}
	bits := l.VisibleBits(vm)
	for block := range uint32(32672) {
		if visible, _ := l.MapBits(vm, block); visible != (bits[block/8]>>(block%8)&1 != 0) {
			t.Errorf("%d: %v", block, !visible)
		}
	}
	if l.Mapped(2) != 2*32672 || len(bits) != 32672/8 {
		t.Errorf("%d, %d bytes", l.Mapped(2), len(bits))
	}
	if l.MapBlock(32671) != 0 || l.MapBlock(32672) != 1 {
		t.Error("a page of a map is about other pages")
	}
}

func TestCompareTransactions(t *testing.T) {
	a, b := make([]byte, 8192), make([]byte, 8192)
	a[10], b[10] = 0b00_01_10_01, 0b10_01_00_00 // 40: committed here only; 41, 42: not committed, or on both; 43: not committed
	a[11], b[11] = 1, 1
	a[0], b[0] = 1, 2
	const first = 1<<32 - 20 // they go past the last number
	for _, tt := range []struct {
		oldest, active uint32
		want           int
	}{{20, 100, 1}, {first & 0xFFFFFFFF, 100, 2}, {21, 100, 0}, {10, 20, 0}} {
		if got := CompareTransactions(a, b, first, tt.oldest, tt.active); len(got) != tt.want || tt.want == 1 && got[0] != 20 {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestDigest(t *testing.T) {
	d, back := summaryOf(heapPage(3, 0), heap).Digest, Digest{}
	text, err := d.MarshalText()
	if err != nil || back.UnmarshalText(text) != nil || back != d {
		t.Errorf("%s became %s", d, back)
	}
	for _, bad := range []string{"", "ab", string(text[:15]) + "g", string(text) + "00"} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken for a digest", bad)
		}
	}
}

func TestMethodOf(t *testing.T) {
	for m := Heap; m <= Sequence; m++ {
		kind := "r"
		if m == Sequence {
			kind = "S"
		}
		if MethodOf(kind, m.String()) != m {
			t.Error(m)
		}
	}
	if MethodOf("i", "bloom") != Unknown || MethodOf("r", "") != Unknown || MethodOf("i", "unknown") != Unknown {
		t.Error("an access method that nobody knows is known")
	}
	for n, want := range forkNames {
		if f, ok := ForkOf(strings.TrimPrefix(want, "main")); !ok || int(f) != n {
			t.Error(want)
		}
	}
	if _, ok := ForkOf("main"); ok {
		t.Error("the main fork has a suffix")
	}
}

// FuzzPage: whatever the bytes, there is no panic, a page equals itself, and it never differs from itself with other hints.
func FuzzPage(f *testing.F) {
	f.Add([]byte(heapPage(9, 0x100, 0, 0x800)), uint8(Heap), uint16(4000), byte(1))
	f.Add(realSequence(f), uint8(Sequence), uint16(8130), byte(1))
	f.Add([]byte{}, uint8(BTree), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, content []byte, method uint8, at uint16, flip byte) {
		l := Layout{Size: 8192}
		p := make([]byte, l.Size)
		copy(p, content)
		r := Rules{Method: Method(method % uint8(Sequence+1)), HintsLogged: flip&1 != 0}
		s := Summariser{Layout: l}
		a := s.Summarise(p, 1, r)
		q := append([]byte(nil), p...)
		b := s.Summarise(q, 1, r)
		if o := Compare(a, b, Horizon{LSN: 1<<64 - 1}); a.State != Bad && o.Verdict != Equal {
			t.Fatalf("%+v is not equal to itself: %+v", a, o)
		}
		q[int(at)%len(q)] ^= flip
		Compare(a, s.Summarise(q, 1, r), Horizon{LSN: 1<<64 - 1})
		l.Explain(p, q, 1, r)
		l.Checksums = true
		if c := l.Check(p, 1); c.State == Used && Checksum(p, 1) != c.Header.Checksum {
			t.Fatal("a wrong checksum was believed")
		}
	})
}

func BenchmarkSummarise(b *testing.B) {
	infomasks := make([]uint16, 200)
	p := heapPage(9, infomasks...)
	s := Summariser{Layout: Layout{Size: 8192}}
	b.SetBytes(8192)
	for b.Loop() {
		s.Summarise(p, 3, heap)
	}
}

// TestMultixactPages: of the two tables of multixacts, the entries of a range count, also where numbers begin anew.
func TestMultixactPages(t *testing.T) {
	l := Layout{Size: 8192}
	if l.OffsetsPerPage() != 2048 || l.MembersPerPage() != 1636 {
		t.Error(l.OffsetsPerPage(), l.MembersPerPage())
	}
	p := fields(bytes.Repeat([]byte{0xFF}, 8192))
	p.put32(4*7, 1234)
	got := Offsets(p, 2048, 2050, 2056)
	for n := range uint32(2048) {
		want := map[bool]uint32{true: 0xFFFFFFFF}[n >= 2 && n < 8]
		if n == 7 {
			want = 1234
		}
		if Offset(got, n) != want {
			t.Errorf("entry %d: %x", n, Offset(got, n))
		}
	}
	p = fields(bytes.Repeat([]byte{0xFF}, 8192))
	p.put32(20+4+8, 700) // the third member of the second group
	p[20+2] = 5
	got = Members(p, 1636, 1638, 1643)
	for n := range uint32(1636) {
		xid, flags := Member(got, n)
		wantXID, wantFlags := map[bool]uint32{true: 0xFFFFFFFF}[n >= 2 && n < 7], map[bool]byte{true: 0xFF}[n >= 2 && n < 7]
		if n == 6 {
			wantXID, wantFlags = 700, 5
		}
		if xid != wantXID || flags != wantFlags {
			t.Errorf("member %d: %d, %d", n, xid, flags)
		}
	}
	if !bytes.Equal(got[8180:], make([]byte, 12)) {
		t.Error("what is behind the last group counts")
	}
	const first = 1 << 32 / 1636 * 1636 // of the last page
	got = Members(p, first, first+3, 9)
	last := uint32(1<<32 - 1 - first)
	for _, n := range []uint32{2, 3, last, last + 1, 1635} {
		if xid, _ := Member(got, n); xid != 0 != (n >= 3 && n <= last) {
			t.Errorf("member %d of the last page: %d", n, xid)
		}
	}
}
