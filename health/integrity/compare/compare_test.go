package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/health"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// busy changes pages of all kinds.
var busy = []string{
	"UPDATE t SET v = md5(v) WHERE id % 97 = (random() * 96)::int", "INSERT INTO calm SELECT generate_series(1, 500)",
	"DROP TABLE IF EXISTS gone", "CREATE TABLE gone AS SELECT * FROM calm LIMIT 3000", "DELETE FROM calm WHERE n % 5 = 0", "VACUUM calm",
	"TRUNCATE gone", "SELECT nextval('s')", "BEGIN; UPDATE t SET v = 'x' WHERE id < 300; ROLLBACK", "SELECT count(*) FROM t",
}

// TestHealthy compares three members under load, and nothing is called damaged. When the load has ended, nearly all has settled.
func TestHealthy(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		load := func() {
			for _, s := range busy {
				_, _ = l.servers[0].SQL(t.Context(), "d", s) // relations come and go
			}
		}
		end := l.meanwhile(load, load, l.checkpoints)
		o := l.options()
		o.Wait = 2 * time.Second
		for range 2 {
			c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), o))
			if c.Differ != 0 || !c.Complete || c.Blocks == 0 || c.Equal == 0 {
				t.Errorf("under load: %+v", c)
			}
			l.accounted(c)
			t.Logf("under load: %d of %d equal, %v", c.Equal, c.Blocks, c.Unverified)
		}
		end()
		end = l.meanwhile(l.checkpoints)
		defer end()
		c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options()))
		l.accounted(c)
		if c.Differ != 0 || c.Equal*100 < c.Blocks*99 {
			t.Errorf("afterwards: %+v", c)
		}
		t.Logf("afterwards: %d of %d equal, %v; %d kB sent by all three per GB", c.Equal, c.Blocks, c.Unverified, c.SentPerGB()>>10)
	})
}

// accounted: each page is equal, differs, or has a reason.
func (l *lab) accounted(c health.Comparison) {
	l.t.Helper()
	left := int64(0)
	for why, blocks := range c.Unverified {
		if why != freeSpaceMap && why != "unlogged" && why != "temporary" && why != notFinished && why != noMembers {
			left += blocks
		}
	}
	if c.Equal+c.Differ+left != c.Blocks {
		l.t.Errorf("%d pages, and %d are accounted for: %+v", c.Blocks, c.Equal+c.Differ+left, c)
	}
}

// spots finds where damage strikes: pages that nobody changes any more.
func (l *lab) spots() damage.Spot {
	l.t.Helper()
	path := func(what string) string { return l.sql(0, "SELECT pg_relation_filepath("+what+")") }
	s := damage.Spot{Heap: path("'t'"), Index: path("'t_pkey'"), Block: 1, Other: 2,
		TOAST: path("(SELECT reltoastrelid FROM pg_class WHERE relname = 'wide')")}
	l.sql(0, "UPDATE t SET v = 'before' WHERE ctid = '(2,1)'")
	l.written()
	s.Old = kit.Must[[]byte](l.t)(kit.Must[damage.Data](l.t)(damage.Open(l.servers[0].Data)).Page(s.Heap, s.Block))
	l.sql(0, "UPDATE t SET v = 'now' WHERE ctid = '(1,3)'")
	l.written()
	return s
}

// found: what a comparison of three says of each damage of the second member. The damages of which it says nothing are not in here: a page
// from the future never settles (a scan of the pages finds it), and the others are no pages.
var found = map[damage.Kind]string{
	damage.HeapByte: "broken page", damage.IndexByte: "broken page", damage.BadPointer: "broken page", damage.BadHeader: "broken page",
	damage.Misdirected: "broken page", damage.HeapByteSealed: "content", damage.IndexByteSealed: "content", damage.BadXmin: "content",
	damage.BadHint: "hint bits", damage.ZeroedHeap: "zeroed page", damage.ZeroedIndex: "zeroed page", damage.ZeroedTOAST: "zeroed page",
	damage.LostWrite: "lost write", damage.MisdirectedValid: "lost write", damage.Truncated: "missing page", damage.OddEnd: "missing page",
}

// TestDamaged: each damage of one of three running members is found, and that member named. Of two, both are suspect, but for a page that
// is broken by itself.
func TestDamaged(t *testing.T) {
	first := true
	versions(t, func(t *testing.T, l *lab) {
		all := first
		first = false
		t.Parallel() // it waits for checkpoints, mostly
		spot := l.spots()
		end := l.meanwhile(l.checkpoints)
		defer end()
		d := kit.Must[damage.Data](t)(damage.Open(l.servers[1].Data))
		for _, strike := range damage.All {
			kind, ok := found[strike.Kind]
			if !ok || !all && strike.Kind != damage.LostWrite && strike.Kind != damage.HeapByteSealed && strike.Kind != damage.ZeroedHeap {
				continue // further versions have the same pages
			}
			restore := l.keep(spot)
			kit.Check(t, strike.Do(d, spot))
			for _, count := range []int{3, 2} {
				named := count == 3 || kind == "broken page"
				if count == 2 && strike.Kind != damage.LostWrite && strike.Kind != damage.HeapByte {
					continue // two kinds of them are enough
				}
				c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(count), l.options()))
				if c.Differ == 0 || len(c.Damage) == 0 || c.Equal+c.Differ != c.Blocks {
					t.Errorf("%s of %d: not found: %+v", strike.Kind, count, c)
				}
				want := []string{"b"}
				if !named {
					want = []string{"a", "b"}
				}
				if counts := map[bool]map[string]int64{true: c.Wrong, false: c.Suspect}[named]; counts["b"] != c.Differ ||
					len(c.Wrong)+len(c.Suspect) != len(want) {
					t.Errorf("%s of %d: wrong %v, suspect %v", strike.Kind, count, c.Wrong, c.Suspect)
				}
				for _, f := range c.Damage {
					if f.Kind != kind || f.Named != named || !f.Settled || !slices.Equal(f.Suspects, want) || f.Detail == "" ||
						strings.Contains(f.Detail, "would decide") == named {
						t.Errorf("%s of %d: %+v", strike.Kind, count, f)
					}
				}
				if len(c.Damage) > 0 {
					t.Logf("%s of %d: %d pages, the first %+v", strike.Kind, count, c.Differ, c.Damage[0])
				}
			}
			restore()
		}
		if c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options())); c.Differ != 0 {
			t.Errorf("once mended: %+v", c)
		}
	})
}

// keep returns what puts the second member's files back as they are.
func (l *lab) keep(spot damage.Spot) (restore func()) {
	l.t.Helper()
	before := map[string][]byte{}
	for _, path := range []string{spot.Heap, spot.Index, spot.TOAST} {
		path = filepath.Join(l.servers[1].Data, path)
		before[path] = kit.Must[[]byte](l.t)(os.ReadFile(path))
	}
	return func() {
		for path, content := range before {
			f := kit.Must[*os.File](l.t)(os.OpenFile(path, os.O_WRONLY, 0))
			_, err := f.WriteAt(content, 0)
			kit.Check(l.t, err, f.Close())
		}
	}
}

// TestRefuses: what cannot be compared, and what changes meanwhile, ends a comparison with a reason.
func TestRefuses(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		o := l.options()
		o.Patience = time.Millisecond
		if _, err := Run(testContext(t), l.members(1), o); !errors.Is(err, ErrOneMember) {
			t.Errorf("one member: %v", err)
		}
		asked := 0
		for want, twist := range map[string]func(*Where){
			"a and b cannot be compared": func(w *Where) { w.SystemID = "1" },
			"the data of b was replaced": func(w *Where) {
				if asked++; asked > 2 {
					w.Incarnation = "b2"
				}
			},
			"of timelines 1 and 2": func(w *Where) { w.Timeline = 2 },
		} {
			all := l.members(3)
			all[1].(*local).twist = twist
			c, err := Run(testContext(t), all, o)
			if err == nil || !strings.Contains(err.Error(), want) || c.Complete || c.Ended == "" || c.Differ != 0 {
				t.Errorf("%s: %v: %+v", want, err, c)
			}
		}
		ctx, cancel := context.WithCancel(testContext(t))
		o = l.options()
		o.Progress = func(c health.Comparison) {
			if c.Percent > 20 {
				cancel()
			}
		}
		c, err := Run(ctx, l.members(3), o)
		if !errors.Is(err, context.Canceled) || c.Complete || c.Unverified[notFinished] == 0 {
			t.Errorf("cancelled: %v: %+v", err, c)
		}
	})
}

// TestLostCommits: transactions that one member alone has forgotten are found in pg_xact, and that member is named; of two members both are
// suspect. A file that one member lacks is no finding.
func TestLostCommits(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		l.sql(0, "CREATE TABLE x (n int)")
		for n := range 40 { // each is a transaction
			l.sql(0, fmt.Sprintf("INSERT INTO x VALUES (%d)", n))
		}
		xid := kit.Must[uint64](t)(strconv.ParseUint(l.sql(0, "SELECT xmin FROM x WHERE n = 20"), 10, 32))
		l.written()
		end := l.meanwhile(l.checkpoints)
		defer end()
		whole := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options()))
		if l.accounted(whole); whole.Differ != 0 || whole.Unverified[noStatus]+whole.Unverified[noSegment]+whole.Unverified[openStatus]+
			whole.Unverified[noMultixacts]+whole.Unverified[noMembers] != 0 {
			t.Errorf("before: %+v", whole)
		}
		d := kit.Must[damage.Data](t)(damage.Open(l.servers[1].Data))
		path := filepath.Join(d.Dir, "pg_xact", "0000")
		before := kit.Must[[]byte](t)(os.ReadFile(path))
		write := func(content []byte) {
			f := kit.Must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0))
			_, err := f.WriteAt(content, 0)
			kit.Check(t, err, f.Close())
		}
		flipped := slices.Clone(before)
		flipped[xid/4] ^= 3 << (xid % 4 * 2) // committed becomes aborted
		write(flipped)
		for _, count := range []int{3, 2} {
			c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(count), l.options()))
			l.accounted(c)
			if c.Differ != 1 || len(c.Damage) != 1 {
				t.Errorf("of %d: %+v", count, c)
				continue
			}
			f := c.Damage[0]
			want := map[int][]string{3: {"b"}, 2: {"a", "b"}}[count]
			if f.Path != "pg_xact/0000" || f.Kind != statusKind || f.Named != (count == 3) || !f.Settled || !slices.Equal(f.Suspects, want) ||
				!strings.Contains(f.Detail, fmt.Sprintf("transaction %d has committed by ", xid)) ||
				strings.Contains(f.Detail, "would decide") == f.Named || strings.Contains(f.Detail, "more") {
				t.Errorf("of %d: %+v", count, f)
			}
			t.Logf("of %d: %+v", count, f)
		}
		write(before)
		kit.Check(t, os.Rename(path, path+".kept"))
		c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options()))
		if l.accounted(c); c.Differ != 0 || c.Unverified[noSegment] != 1 {
			t.Errorf("without the file: %+v", c)
		}
		kit.Check(t, os.Rename(path+".kept", path))
	})
}

// TestStaleMaps: a map that calls a page all-visible which is not, or is zero, is found on its member alone, and on each that has it.
func TestStaleMaps(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		spot := l.spots()
		end := l.meanwhile(l.checkpoints)
		defer end()
		if c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options())); c.Differ != 0 || c.Unverified[openMaps] != 0 {
			t.Errorf("before: %+v", c)
		}
		for _, count := range []int{1, 2} { // members with the damage
			want := []string{"b", "c"}[:count]
			for _, s := range l.servers[1 : 1+count] {
				for _, d := range damage.All {
					if d.Kind == damage.StaleMap {
						kit.Check(t, d.Do(kit.Must[damage.Data](t)(damage.Open(s.Data)), spot))
					}
				}
			}
			c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options()))
			l.accounted(c)
			if c.Differ != 1 || len(c.Damage) != 1 {
				t.Fatalf("on %d: %+v", count, c)
			}
			if f := c.Damage[0]; f.Path != spot.Heap+"_vm" || f.Kind != mapKind || !f.Named || !f.Settled || !slices.Equal(f.Suspects, want) ||
				!strings.Contains(f.Detail, "b: the map calls page 1 of the table all-visible, and the page itself does not") {
				t.Errorf("on %d: %+v", count, f)
			}
			t.Logf("%+v", c.Damage[0])
		}
	})
}
