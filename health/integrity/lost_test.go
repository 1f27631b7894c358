package integrity

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"mainstay/health/integrity/page"
	"mainstay/test/kit"
)

// TestLostWrites: after each logged change of a server, the pages as they were before are lost writes, in a relation of each access method
// that the change concerns. After hints they are none, although their LSN is older.
func TestLostWrites(t *testing.T) {
	all := []page.Method{page.Heap, page.BTree, page.Hash, page.GIN, page.GiST, page.SPGiST}
	changes := []struct {
		statement string
		want      []page.Method
	}{
		{"INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 100, n % 7], point(n % 211, n % 89) FROM generate_series(60001, 64000) n", all},
		{"SELECT brin_summarize_new_values('t_brin')", []page.Method{page.BRIN}},
		{"UPDATE t SET v = v || 'y' WHERE id = 11", []page.Method{page.Heap, page.BTree}},
		{"DELETE FROM t WHERE id % 3 = 0", []page.Method{page.Heap}},
		{"BEGIN; SELECT FROM t WHERE id = 14 FOR UPDATE; COMMIT", []page.Method{page.Heap}},
		{"BEGIN; SELECT FROM t WHERE id = 50 FOR SHARE; COMMIT", []page.Method{page.Heap}},
		{"SELECT nextval('s')", []page.Method{page.Sequence}},
		{"VACUUM t", all},
		{"VACUUM (FREEZE) calm", []page.Method{page.Heap}},
		{"INSERT INTO calm SELECT n FROM generate_series(1, 3000) n", []page.Method{page.Heap}},
		{"SELECT count(*) FROM calm", nil},
	}
	versions(t, func(t *testing.T, l *lab) {
		l.begin()
		l.catalogue()
		ours := strings.Fields(l.sql(l.primary, "SELECT pg_relation_filenode(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace"))
		o := Options{Again: quick, Rules: l.of, Only: func(r Relation, f page.Fork) bool {
			return f == page.Main && slices.Contains(ours, fmt.Sprint(r.Node))
		}}
		pages := func() map[Block]page.Summary {
			l.sql(l.primary, "CHECKPOINT")
			s := l.scan(l.primary.Data, o)
			kit.Check(t, s.err)
			return s.pages
		}
		l.sql(l.primary, "SELECT count(*) FROM t", "SELECT count(*) FROM calm")
		before := pages()
		for _, c := range changes {
			l.sql(l.primary, c.statement)
			after := pages()
			lost, same := map[page.Method]int{}, 0
			for at, old := range before {
				now := after[at]
				if old.State != page.Used || now.LSN == old.LSN {
					continue
				}
				switch o := page.Compare(old, now, page.Horizon{LSN: now.LSN}); {
				case o.Verdict == page.Equal:
					same++
				case o.Kind == page.NoRule && l.rules[at.Relation] == page.BRIN: // a range map
				case o.Kind == page.LostWrite && o.Side == page.First:
					lost[l.rules[at.Relation]]++
				default:
					t.Errorf("%s: %s: %+v", c.statement, at, o)
				}
			}
			for _, m := range c.want {
				if lost[m] == 0 {
					t.Errorf("%s: a lost write of %s is not seen", c.statement, m)
				}
			}
			if c.want == nil && (len(lost) > 0 || same == 0) {
				t.Errorf("%s: %v are called lost writes, %d pages the same", c.statement, lost, same)
			}
			t.Logf("%s: lost writes %v, %d pages with new hints only", c.statement, lost, same)
			before = after
		}
	})
}

// TestHintsAtOnce: sessions that set hints in the same clean pages at once leave pages whose LSN stays older on the primary than on its
// standby. They are no lost writes. Small WAL buffers keep a session longer where the others can overtake it.
func TestHintsAtOnce(t *testing.T) {
	const sessions, attempts = 8, 20
	versions(t, func(t *testing.T, l *lab) {
		l.begin("wal_buffers=32kB")
		older := 0
		for n := 0; older == 0 && n < attempts; n++ {
			table := fmt.Sprintf("new%d", n)
			l.sql(l.primary, "CREATE TABLE "+table+" AS SELECT n, md5(n::text) FROM generate_series(1, 60000) n", "CHECKPOINT")
			var wg sync.WaitGroup
			for range sessions {
				wg.Go(func() {
					if _, err := l.primary.SQL(testContext(t), "d", "SELECT count(*) FROM "+table); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			older = l.settledDifferently()
		}
		if older == 0 {
			t.Fatalf("no page of the primary is older, in %d attempts", attempts)
		}
		t.Logf("%d pages of the primary have an older LSN and the same content", older)
	})
}

// settledDifferently compares both servers, which have written everything out and are equal, and counts the pages whose LSNs are not.
func (l *lab) settledDifferently() (older int) {
	l.t.Helper()
	l.sql(l.primary, "CHECKPOINT")
	l.caughtUp()
	l.sql(l.standby, "CHECKPOINT")
	l.catalogue()
	horizon := l.horizon()
	p, s := l.both()
	l.same(p, s, horizon)
	for at, a := range p.pages {
		if b := s.pages[at]; a.State == page.Used && b.State == page.Used && a.LSN < b.LSN && max(a.LSN, b.LSN) <= horizon {
			older++
		}
	}
	return older
}
