package compare

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// history is what comparisons of a lab rest on, one after the other.
type history struct {
	*lab
	base *Base
	full bool     // the next one is
	more []string // databases beside those of the lab
}

func (h *history) run(count int) health.Comparison {
	h.t.Helper()
	o := h.options()
	o.Catalog = func(ctx context.Context) map[integrity.Relation]Known {
		return kit.Must[map[integrity.Relation]Known](h.t)(catalogOf(ctx, h.servers[1], append([]string{"postgres", "d"}, h.more...)...))
	}
	if o.Kept = func(b *Base) { h.base = b }; !h.full {
		o.Since = h.base
	}
	o.Changes = func(ctx context.Context, t platform.Timeline, from, until platform.LSN, most int64) (*Changes, int64, error) {
		owner := kit.Must[postgres.Owner](h.t)(damage.TestOwner())
		into := NewChanges()
		f, err := (&postgres.Server{Data: h.servers[0].Data, Owner: owner}).Changes(ctx, t, from, 0, nil, into.Add)
		return into, f.Bytes, errors.Join(err, f.Reaches(until))
	}
	c := kit.Must[health.Comparison](h.t)(Run(testContext(h.t), h.members(count), o))
	h.accounted(c)
	return c
}

// TestIncremental: what was changed since the last comparison is read again and nothing else, so a lost write of a changed page is found,
// and damage to a page that nothing has changed is found by a full comparison only.
func TestIncremental(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		l.written()
		end := l.meanwhile(l.checkpoints)
		defer end()
		h := &history{lab: l}
		h.base = &Base{}
		if c := h.run(3); c.FullBecause != noBase || c.Incremental || c.Unread != 0 || c.Differ != 0 || h.base == nil {
			t.Fatalf("the first one: %+v, then %+v", c, h.base)
		}
		all := h.run(3)
		if !all.Incremental || all.FullBecause != "" || all.Differ != 0 || all.Unread == 0 || all.UnreadMS == 0 || all.Unread < 20*all.Blocks {
			t.Errorf("without a change: %+v", all)
		}
		t.Logf("without a change: %d pages read, %d not, %d bytes of WAL", all.Blocks, all.Unread, all.WALBytes)

		data := kit.Must[damage.Data](t)(damage.Open(l.servers[1].Data))
		heap := l.sql(0, "SELECT pg_relation_filepath('t')")
		before := kit.Must[[]byte](t)(data.Page(heap, 3))
		l.sql(0, "UPDATE t SET v = 'now' WHERE ctid = '(3,1)'")
		l.written()
		after := kit.Must[[]byte](t)(data.Page(heap, 3))
		kit.Check(t, data.Edit(heap, 3, false, func(p []byte) { copy(p, before) }))
		for range 2 { // the second time, what was wrong is read again although nothing has changed it
			c := h.run(3)
			if !c.Incremental || c.Differ != 1 || len(c.Damage) != 1 || c.Unread < 10*c.Blocks {
				t.Fatalf("a lost write: %+v", c)
			}
			if f := c.Damage[0]; f.Kind != "lost write" || f.Block != 3 || f.Path != heap || !f.Named || !slices.Equal(f.Suspects, []string{"b"}) {
				t.Errorf("a lost write: %+v", f)
			}
		}
		kit.Check(t, data.Edit(heap, 3, false, func(p []byte) { copy(p, after) }))

		calm := l.sql(0, "SELECT pg_relation_filepath('calm')")
		kit.Check(t, data.Edit(calm, 5, true, func(p []byte) { p[len(p)-8] ^= 1 }))
		if c := h.run(3); !c.Incremental || c.Differ != 0 || c.Unread == 0 || c.UnreadMS < all.UnreadMS {
			t.Errorf("damage to a page without a change: %+v", c)
		}
		h.full = true
		if c := h.run(3); c.Incremental || c.Differ != 1 || c.Unread != 0 || c.Damage[0].Path != calm || c.Damage[0].Block != 5 {
			t.Errorf("the same, by a full one: %+v", c)
		}
		h.full = false
		kit.Check(t, data.Edit(calm, 5, true, func(p []byte) { p[len(p)-8] ^= 1 }))
		if c := h.run(2); !c.Incremental || c.Differ != 0 { // of fewer members
			t.Errorf("once mended: %+v", c)
		}
		if c := h.run(3); c.Incremental || !strings.Contains(c.FullBecause, "c was not in the last comparison") {
			t.Errorf("of more members: %+v", c)
		}
		path := filepath.Join(l.servers[1].Data, calm)
		kit.Check(t, os.Truncate(path, 3*8192)) // the last pages may be empty on all members
		if c := h.run(3); !c.Incremental || c.Differ < 10 || c.Damage[0].Kind != "missing page" || c.Damage[0].Path != calm {
			t.Errorf("a file that was cut: %+v", c)
		}
	})
}

// TestIncrementalFiles: files that come, go, and change their lengths between two comparisons are read as far as they are new.
func TestIncrementalFiles(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		l.sql(0, "CREATE TABLE cut AS SELECT n, repeat('x', 500) FROM generate_series(1, 2000) n", "CREATE TABLE emptied AS SELECT * FROM cut")
		l.written()
		end := l.meanwhile(l.checkpoints)
		defer end()
		h := &history{lab: l, full: true}
		h.run(3)
		h.full = false
		for _, s := range []string{"DELETE FROM cut WHERE n > 100", "VACUUM cut", "INSERT INTO cut SELECT n, repeat('y', 500) FROM " +
			"generate_series(1, 3000) n", "TRUNCATE emptied", "INSERT INTO emptied SELECT n, '' FROM generate_series(1, 10) n",
			"CREATE TABLE made AS SELECT * FROM cut", "CREATE INDEX ON made (n)", "CREATE DATABASE copied TEMPLATE d" + map[bool]string{
				true: " STRATEGY file_copy"}[l.sql(0, "SHOW server_version_num") >= "150000"], "DROP TABLE wide"} {
			l.sql(0, s)
		}
		l.written()
		h.more = []string{"copied"}
		if c := h.run(3); !c.Incremental || c.Differ != 0 || c.Unread == 0 || c.Equal != c.Blocks {
			t.Fatalf("%+v", c)
		}
		data := kit.Must[damage.Data](t)(damage.Open(l.servers[1].Data))
		for _, name := range []string{"cut", "made", "copied"} {
			// What was new at the last comparison has an entry of its own now, and no record names it.
			path := ""
			if name == "copied" {
				path = kit.Must[string](t)(l.servers[0].SQL(testContext(t), "copied", "SELECT pg_relation_filepath('calm')"))
			} else {
				path = l.sql(0, "SELECT pg_relation_filepath('"+name+"')")
			}
			kit.Check(t, data.Edit(path, 2, true, func(p []byte) { p[len(p)-8] ^= 1 }))
		}
		if c := h.run(3); !c.Incremental || c.Differ != 0 {
			t.Errorf("damage to what is old by now: %+v", c)
		}
		h.full = true
		if c := h.run(3); c.Differ != 3 {
			t.Errorf("the same, by a full one: %+v", c)
		}
	})
}

// TestRests: when a comparison may rest on another one, and what is read then.
func TestRests(t *testing.T) {
	relation := integrity.Relation{Space: 1663, Database: 5, Node: 9}
	block := func(fork page.Fork, n uint32) integrity.Block {
		return integrity.Block{Relation: relation, Fork: fork, Number: n}
	}
	good := func() *Base {
		return &Base{Data: Data{Timeline: 1, PageSize: 8192}, Incarnations: map[string]string{"a": "", "b": ""}, From: 900,
			Full: time.Now().Add(-time.Hour), Forks: []Fork{{Relation: relation, Blocks: modelledPages}}}
	}
	change := func(reach ondisk.Reach, n uint32) ondisk.Change {
		return ondisk.Change{Reach: reach, Space: 1663, Database: 5, Node: 9, Block: n}
	}
	for _, tt := range []struct {
		name   string
		base   func(b *Base)
		wal    error
		change []ondisk.Change
		blocks int64
		why    string
	}{
		{"nothing has changed", func(b *Base) {}, nil, nil, 0, ""},
		{"two pages have", func(b *Base) {}, nil, []ondisk.Change{change(ondisk.OneBlock, 1), change(ondisk.OneBlock, 4),
			change(ondisk.OneBlock, 1), change(ondisk.OneBlock, 99), {Space: 1663, Database: 5, Node: 8}}, 2, ""},
		{"one was open", func(b *Base) { b.Open = []integrity.Block{block(page.Main, 2)} }, nil, nil, 1, ""},
		{"the file was cut off", func(b *Base) {}, nil, []ondisk.Change{change(ondisk.Onwards, 3), change(ondisk.OneBlock, 4)}, 2, ""},
		{"the file has grown", func(b *Base) { b.Forks[0].Blocks = 4 }, nil, nil, 1, ""},
		{"the file is shorter on one member", func(b *Base) { b.Full = b.Full.Add(-time.Second) }, nil, nil, 2, ""},
		{"the file is new", func(b *Base) { b.Forks = nil }, nil, nil, 5, ""},
		{"the database is new", func(b *Base) {}, nil, []ondisk.Change{{Reach: ondisk.Databases, Space: 1663, Database: 5}}, 5, ""},
		{"another database is", func(b *Base) {}, nil, []ondisk.Change{{Reach: ondisk.Databases, Space: 1663, Database: 6}}, 0, ""},
		{"there is none", func(b *Base) { *b = Base{} }, nil, nil, 5, noBase},
		{"WAL is gone", func(b *Base) {}, errors.New("there is no page at 0/3"), nil, 5, "there is no page at 0/3"},
		{"another timeline", func(b *Base) { b.Data.Timeline = 2 }, nil, nil, 5, "it was of timeline 2, and the last checkpoint is of 1"},
		{"other checksums", func(b *Base) { b.Data.Checksums = true }, nil, nil, 5, "checksums or wal_log_hints"},
		{"another copy", func(b *Base) { b.Incarnations["b"] = "b1" }, nil, nil, 5, "the data of b is another copy"},
		{"a new member", func(b *Base) { delete(b.Incarnations, "b") }, nil, nil, 5, "b was not in the last comparison"},
	} {
		base := good()
		tt.base(base)
		var kept *Base
		o := Options{Wait: time.Minute, Every: time.Millisecond, Since: base, Kept: func(b *Base) { kept = b },
			Catalog: func(context.Context) map[integrity.Relation]Known { return nil },
			Changes: func(_ context.Context, _ platform.Timeline, from, until platform.LSN, most int64) (*Changes, int64, error) {
				into := NewChanges()
				if from != 900 || until != 1100 || most < modelledPages*8192 {
					t.Errorf("%s: WAL from %s to %s, at most %d bytes", tt.name, from, until, most)
				}
				for _, c := range tt.change {
					into.Add(c)
				}
				return into, 77, tt.wal
			}}
		all := []Member{&modelled{name: "a", looks: map[uint32]int{}}, &modelled{name: "b", looks: map[uint32]int{}}}
		if strings.Contains(tt.name, "shorter") {
			all[1].(*modelled).pages = 3
		}
		c, err := Run(t.Context(), all, o)
		kit.Check(t, err)
		if c.Blocks != tt.blocks || c.Equal != tt.blocks || c.Incremental != (tt.why == "") || !strings.Contains(c.FullBecause, tt.why) ||
			c.Incremental && (c.Unread != modelledPages-tt.blocks || c.WALBytes != 77) || !c.Incremental && c.Unread != 0 ||
			c.Unread > 0 != (c.UnreadMS >= time.Hour.Milliseconds()) {
			t.Errorf("%s: %+v", tt.name, c)
		}
		if kept == nil || c.Incremental != kept.Full.Equal(base.Full) || kept.From != 1100 || len(kept.Open) > 0 ||
			len(kept.Forks) != 1 || kept.Forks[0].Blocks != modelledPages {
			t.Errorf("%s: what the next one rests on: %+v", tt.name, kept)
		}
	}
}

// TestRestsOnMap: a change of a table's page brings the page of its map; a map that contradicts its table is read again with it.
func TestRestsOnMap(t *testing.T) {
	l := page.Layout{Size: 8192}
	s := &since{Changes: NewChanges()}
	vm := Fork{Relation: integrity.Relation{Space: 1663, Database: 5, Node: 9}, Fork: page.Visibility, Blocks: 9}
	s.mapOf(vm, l)
	if len(s.forks) != 0 {
		t.Errorf("without a change: %+v", s.forks)
	}
	per := l.Mapped(1)
	for _, n := range []uint32{0, per - 1, per, 3*per + 5} {
		s.Add(ondisk.Change{Space: 1663, Database: 5, Node: 9, Block: n})
	}
	s.mapOf(vm, l)
	var got []uint32
	for first, count := range s.of(vm.first()).runs(100) {
		got = append(got, first, count)
	}
	if !slices.Equal(got, []uint32{0, 2, 3, 1}) {
		t.Errorf("%v", got)
	}
	s.Add(ondisk.Change{Reach: ondisk.Onwards, Space: 1663, Database: 5, Node: 9, Block: 7 * per})
	if s.mapOf(vm, l); s.of(vm.first()).from != 7 {
		t.Errorf("cut off: %+v", s.of(vm.first()))
	}

	r := newRun(nil, Options{})
	r.data, r.c.Incarnations = []Data{{PageSize: 8192}}, map[string]string{}
	at := vm.first()
	r.maps[at] = &staleMap{seen: []map[uint32]bool{{4: true}, {5: false}}}
	r.waiting[integrity.Block{Relation: vm.Relation, Number: 4}] = &waiting{}
	want := []integrity.Block{{Relation: vm.Relation, Number: 4}, {Relation: vm.Relation, Number: 5}, at}
	if b := r.baseOf(time.Now()); b == nil || !slices.Equal(b.Open, want) {
		t.Errorf("%+v", b)
	}
	r.c.Unverified[tooMany] = 1
	if b := r.baseOf(time.Now()); b != nil {
		t.Errorf("with pages that were left out: %+v", b)
	}
}

// TestChangesKept: changes that were merged, written and read are the same.
func TestChangesKept(t *testing.T) {
	one, two := NewChanges(), NewChanges()
	for _, c := range []ondisk.Change{{Space: 1663, Database: 5, Node: 9, Block: 3}, {Space: 1663, Database: 5, Node: 9, Fork: 2, Block: 1},
		{Reach: ondisk.Databases, Space: 1663, Database: 6}, {Reach: ondisk.Onwards, Space: 1663, Database: 5, Node: 8, Block: 70}} {
		one.Add(c)
	}
	for _, c := range []ondisk.Change{{Space: 1663, Database: 5, Node: 9, Block: 300}, {Reach: ondisk.Onwards, Space: 1663, Database: 5,
		Node: 8, Block: 50}, {Space: 1663, Database: 5, Node: 8, Block: 1 << 20}, {Reach: ondisk.Databases, Space: 1663, Database: 7}} {
		two.Add(c)
	}
	one.Merge(two)
	text := kit.Must[[]byte](t)(json.Marshal(one))
	kept := &Changes{}
	kit.Check(t, json.Unmarshal(text, kept))
	if !reflect.DeepEqual(one, kept) {
		t.Errorf("%+v was read as %+v", one, kept)
	}
	at := func(node uint32, fork page.Fork) *changed {
		return kept.of(integrity.Block{Relation: integrity.Relation{Space: 1663, Database: 5, Node: node}, Fork: fork})
	}
	var runs []uint32
	for first, count := range at(9, page.Main).runs(1 << 31) {
		runs = append(runs, first, count)
	}
	if !slices.Equal(runs, []uint32{3, 1, 300, 1}) || at(8, page.Main).from != 50 || at(9, page.Visibility).bits[0] != 2 ||
		len(kept.databases) != 2 || len(two.forks) != 2 {
		t.Errorf("%v, %+v", runs, kept)
	}
	if err := json.Unmarshal([]byte(`{"forks": 7}`), kept); err == nil {
		t.Error("what is none was read")
	}
}
