package compare

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"mainstay/controller/platform"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// TestJudge: who is named, and who is only suspect.
func TestJudge(t *testing.T) {
	used := func(lsn platform.LSN, content byte) page.Summary {
		return page.Summary{State: page.Used, LSN: lsn, Digest: page.Digest{content}}
	}
	zero, bad := page.Summary{State: page.Zero}, page.Summary{State: page.Bad, LSN: 7, Detail: "its checksum is wrong"}
	old, now, other, moved := used(5, 1), used(9, 2), used(9, 3), used(30, 4)
	for _, tt := range []struct {
		name     string
		pages    []page.Summary
		verdict  page.Verdict
		kind     page.Kind
		suspects []int
		named    bool
	}{
		{"equal", []page.Summary{now, now, now}, page.Equal, page.None, nil, false},
		{"equal, older", []page.Summary{used(5, 2), now, now}, page.Equal, page.None, nil, false},
		{"nothing anywhere", []page.Summary{zero, zero}, page.Equal, page.None, nil, false},
		{"a lost write", []page.Summary{now, old, now}, page.Differs, page.LostWrite, []int{1}, true},
		{"a lost write of the first", []page.Summary{old, now, now}, page.Differs, page.LostWrite, []int{0}, true},
		{"a lost write of two", []page.Summary{now, old}, page.Differs, page.LostWrite, []int{0, 1}, false},
		{"most have lost a write: they may be copies of each other", []page.Summary{old, now, old}, page.Differs, page.LostWrite,
			[]int{0, 1, 2}, false},
		{"another content", []page.Summary{now, now, other}, page.Differs, page.Content, []int{2}, true},
		{"another content of two", []page.Summary{now, other}, page.Differs, page.Content, []int{0, 1}, false},
		{"three contents", []page.Summary{now, other, used(9, 7)}, page.Differs, page.Content, []int{0, 1, 2}, false},
		{"two wrong of five", []page.Summary{now, other, now, used(9, 7), now}, page.Differs, page.Content, []int{1, 3}, true},
		{"two against two", []page.Summary{now, other, now, other}, page.Differs, page.Content, []int{0, 1, 2, 3}, false},
		{"zeroed", []page.Summary{zero, now, now}, page.Differs, page.Zeroed, []int{0}, true},
		{"most are zeroed", []page.Summary{zero, now, zero}, page.Differs, page.Zeroed, []int{0, 1, 2}, false},
		{"broken", []page.Summary{now, bad}, page.Differs, page.Broken, []int{1}, true},
		{"most are broken", []page.Summary{bad, bad, now}, page.Differs, page.Broken, []int{0, 1}, true},
		{"one moves", []page.Summary{now, moved, now}, page.Undecidable, page.Moving, nil, false},
		{"one moves, the others differ", []page.Summary{now, moved, other}, page.Differs, page.Content, []int{0, 2}, false},
		{"not read", []page.Summary{now, {}, now}, page.Undecidable, page.NoRule, nil, false},
	} {
		redo := make([]platform.LSN, len(tt.pages))
		for n := range redo {
			redo[n] = 20
		}
		j := judge(tt.pages, redo, 15)
		if j.Verdict != tt.verdict || j.Kind != tt.kind || !slices.Equal(j.suspects, tt.suspects) || j.named != tt.named ||
			j.decides == "" != (tt.named || tt.verdict != page.Differs) {
			t.Errorf("%s: %+v", tt.name, j)
		}
	}
	// The horizon of each two is the smaller one of both: the second member has not written the page out yet.
	if j := judge([]page.Summary{now, old, now}, []platform.LSN{20, 8, 20}, 0); j.Verdict != page.Undecidable || j.Kind != page.Moving {
		t.Errorf("beyond one horizon: %+v", j)
	}
}

var samples = [][]page.Summary{
	{{State: page.Used, LSN: 1 << 40, Digest: page.Digest{1, 2}, Hints: []byte{1, 0, 3}}, {State: page.Absent}, {State: page.Zero}, {}},
	{{State: page.Used, LSN: 9, Digest: page.Digest{3}, Values: &page.Values{Last: -5, Left: 32, Called: true}}},
	{},
	{{State: page.Bad, LSN: 3, Detail: "its checksum"}, {State: page.Used, Split: 1<<63 | 5, Unruly: "no rule"}},
	{{State: page.Used, LSN: 7, Visible: true}, {State: page.Used, LSN: 8, Unruly: "a map", Map: []byte{0, 255, 1}}},
}

func extentsOf(all [][]page.Summary) (extents []integrity.Extent) {
	for _, list := range all {
		extents = append(extents, integrity.Extent{Count: uint32(len(list))})
	}
	return extents
}

func TestPack(t *testing.T) {
	back, err := Unpack(Pack(samples), extentsOf(samples))
	if err != nil || !reflect.DeepEqual(back, samples) {
		t.Errorf("%v: %+v", err, back)
	}
	for name, extents := range map[string][]integrity.Extent{"fewer": extentsOf(samples[:3]),
		"more": append(extentsOf(samples), integrity.Extent{}), "longer": append(extentsOf(samples[:3]), integrity.Extent{Count: 3})} {
		if _, err := Unpack(Pack(samples), extents); err == nil {
			t.Errorf("%s extents than asked for are taken", name)
		}
	}
	if _, err := Unpack([]byte("nonsense"), nil); err == nil {
		t.Error("nonsense is taken")
	}
}

// FuzzUnpack: whatever another agent sends, there is no panic, and what is taken has as many pages as were asked for.
func FuzzUnpack(f *testing.F) {
	f.Add(Pack(samples))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packed []byte) {
		extents := extentsOf(samples)
		all, err := Unpack(packed, extents)
		if err != nil {
			return
		}
		for n, list := range all {
			if len(list) != int(extents[n].Count) {
				t.Fatal("another number of pages")
			}
		}
		if again, err := Unpack(Pack(all), extents); err != nil || !bytes.Equal(Pack(again), Pack(all)) {
			t.Fatal("what was taken is not what is sent on")
		}
	})
}

func TestRequest(t *testing.T) {
	e := integrity.Extent{Block: integrity.Block{Relation: integrity.Relation{Space: 1663, Database: 5, Node: 9}, Fork: page.Visibility,
		Number: 3}, Count: 8, Rules: page.Rules{Method: page.Heap, Fork: page.Visibility, HintsLogged: true}}
	r := NewRequest("feed-e1", []integrity.Extent{e})
	if back, err := r.Wanted(); err != nil || !reflect.DeepEqual(back, []integrity.Extent{e}) {
		t.Errorf("%v: %+v", err, back)
	}
	for name, change := range map[string]func(*packedExtent){"too many": func(p *packedExtent) { p[5] = LookBlocks + 1 },
		"an unknown fork": func(p *packedExtent) { p[3] = 4 }, "an unknown method": func(p *packedExtent) { p[6] = 99 },
		"beyond the last block": func(p *packedExtent) { p[4] = 1<<32 - 1 }} {
		r := NewRequest("feed-e1", []integrity.Extent{e})
		change(&r.Extents[0])
		if _, err := r.Wanted(); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}
