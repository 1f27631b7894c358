package compare

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
	"mainstay/test/kit"
)

// modelled is a member without files: one fork of five pages, each as page says at the member's nth look at it.
type modelled struct {
	name    string
	page    func(block uint32, look int) page.Summary
	stuck   bool // no checkpoint completes
	primary bool
	fails   int   // so many questions fail first
	busy    error // of List
	// status is a page of pg_xact at the member's nth question; nil: it is not there. oldest and ended are Where's.
	vm           func(look int) page.Summary // its map; nil: there is none
	vmLooks      int
	status       func(n uint32, look int) []byte
	oldest, xids uint32
	multi        Multixacts
	pages        uint32 // that it lists; 0: modelledPages
	statusLooks  int
	ended        int
	asked        int
	looks        map[uint32]int
}

const modelledPages = 5

func (m *modelled) Name() string { return m.name }

func (m *modelled) Where(context.Context) (Where, error) {
	m.asked++
	if m.asked <= m.fails {
		return Where{}, errors.New("it is being restarted")
	}
	redo := platform.LSN(1000)
	if !m.stuck {
		redo += platform.LSN(100 * m.asked)
	}
	return Where{Data: Data{Timeline: 1, PageSize: 8192, Primary: m.primary}, Redo: redo, End: redo + 150,
		OldestXID: m.oldest, EndedXIDs: m.xids, Multi: m.multi}, nil
}

func (m *modelled) End(context.Context) { m.ended++ }

func (m *modelled) Transactions(ctx context.Context, want Transactions) (all []Status, at Where, sent int64, err error) {
	if err := want.Valid(); err != nil {
		return nil, at, 0, err
	}
	m.statusLooks++
	for n := want.From; n-want.From < want.Count; n++ {
		if p := m.status(n, m.statusLooks); p != nil {
			all = append(all, want.StatusOf(page.Layout{Size: 8192}, n, p))
		}
	}
	at, err = m.Where(ctx)
	return all, at, 1, err
}

func (m *modelled) List(ctx context.Context) (l Listing, err error) {
	if m.busy != nil {
		return l, m.busy
	}
	l.Where, err = m.Where(ctx)
	l.Forks = []Fork{{Relation: integrity.Relation{Space: 1663, Database: 5, Node: 9}, Blocks: cmp.Or(m.pages, modelledPages)}}
	if m.vm != nil {
		l.Forks = append(l.Forks, Fork{Relation: l.Forks[0].Relation, Fork: page.Visibility, Blocks: 1})
	}
	return l, err
}

func (m *modelled) Read(ctx context.Context, extents []integrity.Extent) (all [][]page.Summary, at Where, sent int64, err error) {
	if at, err = m.Where(ctx); err != nil {
		return nil, at, 0, err
	}
	for _, e := range extents {
		list := make([]page.Summary, e.Count)
		if e.Fork == page.Visibility {
			list[0] = m.vm(m.vmLooks)
			m.vmLooks++
			all = append(all, list)
			continue
		}
		for i := range list {
			n := e.Number + uint32(i)
			list[i] = page.Summary{State: page.Used, LSN: 900, Digest: page.Digest{1}}
			if m.page != nil {
				if s := m.page(n, m.looks[n]); s.State != page.Unread {
					list[i] = s
				}
			}
			m.looks[n]++
		}
		all = append(all, list)
	}
	return all, at, 0, nil
}

// TestSettle: what becomes of a page that is not equal at the first look.
func TestSettle(t *testing.T) {
	used := func(lsn platform.LSN, content byte) page.Summary {
		return page.Summary{State: page.Used, LSN: lsn, Digest: page.Digest{content}}
	}
	third := func(say func(look int) page.Summary) func(uint32, int) page.Summary {
		return func(block uint32, look int) page.Summary {
			if block != 3 {
				return page.Summary{}
			}
			return say(look)
		}
	}
	const newer = "newer than the last checkpoint at each look"
	for _, tt := range []struct {
		name       string
		page       func(uint32, int) page.Summary
		stuck      bool
		equal      int64
		differ     string // the kind; "" for none
		settled    bool
		unverified string
	}{
		{"equal", nil, false, 5, "", false, ""},
		{"older for good", third(func(int) page.Summary { return used(800, 2) }), false, 4, "lost write", true, ""},
		{"older, and written later", third(func(look int) page.Summary {
			if look == 0 {
				return used(800, 2)
			}
			return page.Summary{}
		}), false, 5, "", false, ""},
		{"older, and no checkpoint completes", third(func(int) page.Summary { return used(800, 2) }), true, 4, "lost write", false, ""},
		{"zero for good", third(func(int) page.Summary { return page.Summary{State: page.Zero} }), false, 4, "zeroed page", true, ""},
		{"zero, and no checkpoint completes", third(func(int) page.Summary { return page.Summary{State: page.Zero} }), true, 4, "", false, newer},
		{"always newer", third(func(look int) page.Summary { return used(platform.LSN(1e9+look), 2) }), false, 4, "", false, newer},
		{"newer, then equal", third(func(look int) page.Summary { return used(900+platform.LSN(max(0, 2-look))<<20, byte(3-min(2, look))) }),
			false, 5, "", false, ""},
	} {
		a := &modelled{name: "a", looks: map[uint32]int{}, stuck: tt.stuck}
		b := &modelled{name: "b", looks: map[uint32]int{}, stuck: tt.stuck, page: tt.page}
		wait := time.Minute
		if tt.stuck {
			wait = 20 * time.Millisecond
		}
		o := Options{Wait: wait, Every: time.Millisecond, Catalog: func(context.Context) map[integrity.Relation]Known {
			return map[integrity.Relation]Known{{Space: 1663, Database: 5, Node: 9}: {page.Heap, "d.public.t"}}
		}}
		begun := time.Now()
		c, err := Run(t.Context(), []Member{a, b}, o)
		kit.Check(t, err)
		if time.Since(begun) > wait/2 && !tt.stuck {
			t.Errorf("%s: it waited", tt.name)
		}
		if c.Equal != tt.equal || c.Differ != int64(len(c.Damage)) || (c.Differ == 1) != (tt.differ != "") ||
			tt.differ != "" && (c.Damage[0].Kind != tt.differ || c.Damage[0].Settled != tt.settled || c.Damage[0].Block != 3) ||
			c.Unverified[tt.unverified] != 1 == (tt.unverified != "") {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if b.looks[3] > mostLooks+1 {
			t.Errorf("%s: looked %d times", tt.name, b.looks[3])
		}
	}
}

// TestFoundMeanwhile: a page that differs is confirmed and told of while others are still to be read, and keeps its place in the list. What
// moves costs one more look only.
func TestFoundMeanwhile(t *testing.T) {
	const wrong, moves, late = 3, 7, 4 * LookBlocks
	other := func(lsn platform.LSN) page.Summary {
		return page.Summary{State: page.Used, LSN: lsn, Digest: page.Digest{2}}
	}
	a := &modelled{name: "a", looks: map[uint32]int{}, pages: 5 * LookBlocks, primary: true}
	b := &modelled{name: "b", looks: map[uint32]int{}, pages: 5 * LookBlocks, page: func(block uint32, look int) page.Summary {
		switch block {
		case wrong + LookBlocks, late, 1: // the first is found in the second batch, and that of block 1 only later, as it was equal at first
			if block != 1 || look > 0 {
				return other(800)
			}
		case moves:
			return other(platform.LSN(1e9 + look))
		}
		return page.Summary{}
	}}
	a.page = func(block uint32, look int) page.Summary {
		if block == 1 && look == 0 {
			return page.Summary{State: page.Used, LSN: 1e6, Digest: page.Digest{9}} // it moves
		}
		return page.Summary{}
	}
	o := Options{Wait: time.Minute, Every: time.Nanosecond, Catalog: func(context.Context) map[integrity.Relation]Known {
		return map[integrity.Relation]Known{{Space: 1663, Database: 5, Node: 9}: {page.Heap, "d.public.t"}}
	}}
	early := health.Comparison{}
	o.Progress = func(c health.Comparison) {
		if c.Differ > 0 && early.Differ == 0 {
			early = c
		}
	}
	c, err := Run(t.Context(), []Member{a, b}, o)
	kit.Check(t, err)
	if !early.Running || early.Blocks >= c.Blocks || len(early.Damage) == 0 || !early.Damage[0].Settled || len(early.Suspect) != 2 {
		t.Fatalf("told meanwhile: %+v", early)
	}
	if c.Differ != 3 || len(c.Damage) != 3 || c.Damage[0].Block != early.Damage[0].Block || c.Suspect["a"] != 3 || c.Suspect["b"] != 3 ||
		c.Equal+c.Differ+c.Unverified["newer than the last checkpoint at each look"] != c.Blocks {
		t.Errorf("at the end: %+v", c)
	}
	if b.looks[moves] > mostLooks+2 {
		t.Errorf("%d looks at a page that moves", b.looks[moves])
	}
}

// TestPrimaryAgainstReplicas: the primary is not named where all replicas have another content than it: replay may be wrong. Where its page
// is older, it is.
func TestPrimaryAgainstReplicas(t *testing.T) {
	for _, tt := range []struct {
		name  string
		page  page.Summary // the primary's
		named bool
	}{
		{"another content", page.Summary{State: page.Used, LSN: 900, Digest: page.Digest{2}}, false},
		{"an older one", page.Summary{State: page.Used, LSN: 800, Digest: page.Digest{2}}, true},
		{"zero", page.Summary{State: page.Zero}, true},
		{"broken", page.Summary{State: page.Bad, Detail: "its checksum"}, true},
	} {
		primary := &modelled{name: "a", primary: true, looks: map[uint32]int{}, page: func(block uint32, _ int) (s page.Summary) {
			if block == 3 {
				return tt.page
			}
			return s
		}}
		all := []Member{&modelled{name: "b", looks: map[uint32]int{}}, primary, &modelled{name: "c", looks: map[uint32]int{}}}
		o := Options{Wait: time.Minute, Every: time.Millisecond, Catalog: func(context.Context) map[integrity.Relation]Known { return nil }}
		c, err := Run(t.Context(), all, o)
		kit.Check(t, err)
		if len(c.Damage) != 1 || c.Damage[0].Named != tt.named || tt.named != (c.Wrong["a"] == 1) || tt.named == (c.Suspect["b"] == 1) {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if !tt.named && !strings.Contains(c.Damage[0].Detail, "replay may have the same fault") {
			t.Errorf("%s: %s", tt.name, c.Damage[0].Detail)
		}
	}
}

// TestLeavesOut: a member that does not answer at the beginning is left out and named, if two are left.
func TestLeavesOut(t *testing.T) {
	for _, count := range []int{3, 2} {
		all := []Member{&modelled{name: "a", looks: map[uint32]int{}}, &modelled{name: "b", looks: map[uint32]int{}, fails: 1000},
			&modelled{name: "c", looks: map[uint32]int{}}}[:count]
		c, err := Run(t.Context(), all, Options{Patience: time.Millisecond, Every: time.Millisecond,
			Catalog: func(context.Context) map[integrity.Relation]Known { return nil }})
		if count == 3 && (err != nil || !c.Complete || c.Equal != modelledPages || !slices.Equal(c.Members, []string{"a", "c"}) ||
			c.LeftOut["b"] != "it is being restarted") {
			t.Errorf("of three: %v, %+v", err, c)
		}
		if count == 2 && (err == nil || !strings.Contains(err.Error(), "it is being restarted") || c.Complete) {
			t.Errorf("of two: %v, %+v", err, c)
		}
	}
}

// TestInsists: a member that does not answer for a moment is asked again, and one that does not for long ends the comparison.
func TestInsists(t *testing.T) {
	for _, fails := range []int{1, 1000} {
		a, b := &modelled{name: "a", looks: map[uint32]int{}}, &modelled{name: "b", looks: map[uint32]int{}, fails: fails}
		var last health.Comparison
		o := Options{Patience: retryAfter + retryAfter/2, Every: time.Millisecond, Progress: func(c health.Comparison) { last = c },
			Catalog: func(context.Context) map[integrity.Relation]Known { return nil }}
		c, err := Run(t.Context(), []Member{a, b}, o)
		if fails == 1 && (err != nil || !c.Complete || c.Equal != modelledPages || last.Percent != 100) {
			t.Errorf("after a moment: %v, %+v", err, c)
		}
		if fails > 1 && (err == nil || !strings.Contains(err.Error(), "it is being restarted") || c.Complete) {
			t.Errorf("for long: %v, %+v", err, c)
		}
	}
}

// TestBusy: a member that is in another comparison is not left out: the whole comparison ends, and says which command ends the other one.
func TestBusy(t *testing.T) {
	all := []*modelled{{name: "a", looks: map[uint32]int{}}, {name: "b", looks: map[uint32]int{}, busy: &BusyError{By: "c"}},
		{name: "c", looks: map[uint32]int{}}}
	members := []Member{all[0], all[1], all[2]}
	c, err := Run(t.Context(), members, Options{Catalog: func(context.Context) map[integrity.Relation]Known { return nil }})
	if busy := (*BusyError)(nil); !errors.As(err, &busy) || c.Complete || !strings.Contains(c.Ended, "integrity check c --stop") {
		t.Errorf("%v, %+v", err, c)
	}
	for _, m := range all {
		if m.ended != 1 {
			t.Errorf("%s was told of the end %d times", m.name, m.ended)
		}
	}
}

// TestTurn: no look begins before its turn.
func TestTurn(t *testing.T) {
	a, b := &modelled{name: "a", looks: map[uint32]int{}}, &modelled{name: "b", looks: map[uint32]int{}}
	turns := 0
	o := Options{Catalog: func(context.Context) map[integrity.Relation]Known { return nil },
		Turn: func(context.Context) error {
			if turns++; len(a.looks)+len(b.looks) > 0 {
				t.Error("a look came before its turn")
			}
			return nil
		}}
	c, err := Run(t.Context(), []Member{a, b}, o)
	if kit.Check(t, err); turns != 1 || c.Equal != modelledPages {
		t.Errorf("%d turns, %+v", turns, c)
	}
	o.Turn = func(context.Context) error { return context.Canceled }
	if c, err = Run(t.Context(), []Member{a, b}, o); !errors.Is(err, context.Canceled) || c.Complete || c.Blocks != 0 {
		t.Errorf("%v, %+v", err, c)
	}
}

// TestStatus: what becomes of pages of pg_xact that are not the same on all members.
func TestStatus(t *testing.T) {
	const per = 8192 * 4
	page := func(change func(p []byte)) []byte {
		p := make([]byte, 8192)
		change(p)
		return p
	}
	commits := func(xids ...uint32) func(uint32, int) []byte {
		return func(n uint32, _ int) []byte {
			return page(func(p []byte) {
				for _, x := range xids {
					if x/per == n {
						p[x%per/4] |= 1 << (x % 4 * 2)
					}
				}
			})
		}
	}
	later := func(look int, before, after func(uint32, int) []byte) func(uint32, int) []byte {
		return func(n uint32, at int) []byte {
			if at < look {
				return before(n, at)
			}
			return after(n, at)
		}
	}
	const all = 100 // 50, 60, 70 are compared
	for _, tt := range []struct {
		name       string
		b          func(uint32, int) []byte
		stuck      bool
		differ     bool
		unverified string
	}{
		{"the same", commits(50, 60, 70), false, false, ""},
		{"before the oldest", commits(10, 50, 60, 70), false, false, ""},
		{"still open on one", commits(50, 60, 70, all), false, false, ""},
		{"lost", commits(50, 70), false, true, ""},
		{"lost, and no checkpoint completes", commits(50, 70), true, false, openStatus},
		{"written later", later(3, commits(50, 70), commits(50, 60, 70)), false, false, ""},
		{"another one each time", func(n uint32, at int) []byte {
			return commits([]uint32{50, 60, 70}[at%3], []uint32{50, 60, 70}[(at+1)%3])(n, at)
		}, true, false, openStatus},
		{"truncated", func(uint32, int) []byte { return nil }, false, false, noSegment},
		{"truncated later", later(3, commits(50, 70), func(uint32, int) []byte { return nil }), false, false, noSegment},
	} {
		members := []Member{}
		for _, name := range []string{"a", "b", "c"} {
			m := &modelled{name: name, looks: map[uint32]int{}, oldest: 20, xids: all, status: commits(50, 60, 70), stuck: tt.stuck}
			if name == "b" {
				m.status, m.oldest = tt.b, 30
			}
			members = append(members, m)
		}
		o := Options{Wait: time.Minute, Every: time.Millisecond, Catalog: func(context.Context) map[integrity.Relation]Known { return nil }}
		if tt.stuck {
			o.Wait = 20 * time.Millisecond
		}
		c, err := Run(t.Context(), members, o)
		kit.Check(t, err)
		if c.Blocks != modelledPages+1 || tt.differ != (c.Differ == 1) || tt.differ != (c.Wrong["b"] == 1) ||
			(c.Unverified[tt.unverified] == 1) != (tt.unverified != "") || c.Equal+c.Differ+c.Unverified[tt.unverified] != c.Blocks {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

// TestSpan: the pages of pg_xact that are compared, also where their numbers begin anew.
func TestSpan(t *testing.T) {
	l := page.Layout{Size: 8192}
	at := func(oldest, ended uint32) Where { return Where{OldestXID: oldest, EndedXIDs: ended} }
	const last = 1<<32/(8192*4) - 1
	for _, c := range []struct {
		all  []Where
		want span
		ok   bool
	}{
		{[]Where{at(700, 800), at(700, 790)}, span{"", 700, 790, 0, 1}, true},
		{[]Where{at(700, 40_000), at(720, 50_000)}, span{"", 720, 40_000, 0, 2}, true},
		{[]Where{at(700, 32_768)}, span{"", 700, 32_768, 0, 1}, true},
		{[]Where{at(1<<32-10, 40_000)}, span{"", 1<<32 - 10, 40_000, last, 3}, true},
		{[]Where{at(1<<32-10, 1<<32-5), at(1<<32-20, 40_000)}, span{"", 1<<32 - 10, 1<<32 - 5, last, 1}, true},
		{[]Where{at(700, 800), at(900, 1000)}, span{"", 900, 800, 0, 0}, true},
		{[]Where{at(700, 800), at(700, 0)}, span{}, false},
		{[]Where{at(0, 0)}, span{}, false},
	} {
		if got, ok := spanOf(c.all, l); got != c.want || ok != c.ok {
			t.Errorf("%+v: %+v, %v", c.all, got, ok)
		}
	}
}

// TestJudgeStatus: a majority names the others, but for a primary that all replicas contradict.
func TestJudgeStatus(t *testing.T) {
	for _, c := range []struct {
		bits     []byte // by member; the first is the primary
		suspects []int
		named    bool
	}{
		{[]byte{1, 1, 0}, []int{2}, true},
		{[]byte{0, 0, 1}, []int{2}, true},
		{[]byte{1, 0, 0}, []int{0, 1, 2}, false},
		{[]byte{1, 0}, []int{0, 1}, false},
		{[]byte{3, 1, 2}, []int{1, 2}, true},
		{[]byte{0, 1, 1, 0}, []int{0, 1, 2, 3}, false},
	} {
		r := &run{}
		bits := [][]byte{}
		for n, b := range c.bits {
			bits, r.names = append(bits, []byte{b}), append(r.names, string(rune('a'+n)))
			r.data = append(r.data, Data{Primary: n == 0})
		}
		if v := r.judgeStatus("", bits, 96); !slices.Equal(v.suspects, c.suspects) || v.named != c.named ||
			strings.Contains(v.text, "would decide") == v.named {
			t.Errorf("%v: %+v", c.bits, v)
		}
	}
}

// TestMaps: what becomes of a map that calls pages all-visible which are not.
func TestMaps(t *testing.T) {
	vm := func(lsn platform.LSN, bits byte) page.Summary {
		return page.Summary{State: page.Used, LSN: lsn, Map: []byte{bits, 0}, Unruly: "a map"}
	}
	plain := func(uint32, int) page.Summary { return page.Summary{} }
	then := func(first, later page.Summary) func(int) page.Summary {
		return func(look int) page.Summary {
			if look == 0 {
				return first
			}
			return later
		}
	}
	const third = 1 << 3
	for _, tt := range []struct {
		name       string
		vm         func(look int) page.Summary
		page       func(block uint32, look int) page.Summary
		stuck      bool
		stale      bool
		unverified string
	}{
		{"no bit", then(vm(5, 0), vm(5, 0)), plain, false, false, ""},
		{"a bit", then(vm(5, third), vm(5, third)), plain, false, true, ""},
		{"a bit behind the end", then(vm(5, 1<<7), vm(5, 1<<7)), plain, false, false, ""},
		{"a bit, and no checkpoint completes", then(vm(5, third), vm(5, third)), plain, true, false, openMaps},
		{"cleared later", then(vm(5, third), vm(5, 0)), plain, false, false, ""},
		{"the page is all-visible later", then(vm(5, third), vm(5, third)), func(block uint32, look int) page.Summary {
			return page.Summary{State: page.Used, LSN: 900, Digest: page.Digest{1}, Visible: look > 0}
		}, false, false, ""},
		{"set anew each time", func(look int) page.Summary { return vm(platform.LSN(5+look), third) }, plain, false, false, openMaps},
		{"the page changes each time", then(vm(5, third), vm(5, third)), func(_ uint32, look int) page.Summary {
			return page.Summary{State: page.Used, LSN: platform.LSN(1e9 + look), Digest: page.Digest{1}}
		}, false, false, openMaps},
		{"the page is zero", then(vm(5, third), vm(5, third)), func(uint32, int) page.Summary { return page.Summary{State: page.Zero} },
			false, true, ""},
	} {
		members := []Member{}
		for _, name := range []string{"a", "b"} {
			m := &modelled{name: name, looks: map[uint32]int{}, stuck: tt.stuck, page: tt.page, vm: then(vm(5, 0), vm(5, 0))}
			if name == "b" {
				m.vm = tt.vm
			}
			members = append(members, m)
		}
		o := Options{Wait: time.Minute, Every: time.Millisecond, Catalog: func(context.Context) map[integrity.Relation]Known {
			return map[integrity.Relation]Known{{Space: 1663, Database: 5, Node: 9}: {page.Heap, "d.public.t"}}
		}}
		if tt.stuck {
			o.Wait = 20 * time.Millisecond
		}
		c, err := Run(t.Context(), members, o)
		kit.Check(t, err)
		if tt.stale != (c.Differ == 1) || tt.stale != (c.Wrong["b"] == 1) || c.Wrong["a"] != 0 ||
			(c.Unverified[tt.unverified] == 1) != (tt.unverified != "") || c.Blocks != modelledPages+1 {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if tt.stale && (c.Damage[0].Path != "base/5/9_vm" || !strings.Contains(c.Damage[0].Detail, "calls page 3 of")) {
			t.Errorf("%s: %+v", tt.name, c.Damage)
		}
	}
}
