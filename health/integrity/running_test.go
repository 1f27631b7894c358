package integrity

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health/integrity/page"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

var rounds = flag.Int("rounds", 3, "how often TestRunning scans both servers under load")

// busy changes and drops relations, writes pages out, and vacuums.
var busy = []string{
	"UPDATE t SET v = md5(v) WHERE id % 97 = (random() * 96)::int", "INSERT INTO calm SELECT n, md5(n::text) FROM generate_series(1, 2000) n",
	"DROP TABLE IF EXISTS gone", "CREATE TABLE gone AS SELECT * FROM calm LIMIT 3000", "CREATE INDEX ON gone (v)",
	"CREATE TEMP TABLE own AS SELECT * FROM calm LIMIT 500", "DELETE FROM calm WHERE id % 5 = 0", "VACUUM calm", "TRUNCATE gone",
	"SELECT nextval('s')", "BEGIN; UPDATE t SET v = 'x' WHERE id < 300; ROLLBACK", "CHECKPOINT", "SELECT count(*) FROM t",
}

// positions asks a running server, as the agent will.
func (l *lab) positions(s *damage.Server) func(context.Context) (Positions, error) {
	return func(ctx context.Context) (at Positions, err error) {
		text, err := s.SQL(ctx, "postgres", "SELECT redo_lsn, CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "+
			"ELSE pg_current_wal_flush_lsn() END FROM pg_control_checkpoint()")
		if err != nil {
			return at, err
		}
		redo, end, _ := strings.Cut(text, "|")
		if at.Redo, err = platform.ParseLSN(redo); err == nil {
			at.End, err = platform.ParseLSN(end)
		}
		return at, err
	}
}

func (l *lab) horizon() platform.LSN {
	l.t.Helper()
	a := kit.Must[Positions](l.t)(l.positions(l.primary)(testContext(l.t)))
	b := kit.Must[Positions](l.t)(l.positions(l.standby)(testContext(l.t)))
	return min(a.Redo, b.Redo)
}

// both scans the primary and the standby at the same time.
func (l *lab) both() (p, s scanned) {
	l.t.Helper()
	o := func(of *damage.Server) Options {
		return Options{Rules: l.of, Positions: l.positions(of), Again: Again{Every: 20 * time.Millisecond}}
	}
	var wg sync.WaitGroup
	wg.Go(func() { p = l.scan(l.primary.Data, o(l.primary)) })
	wg.Go(func() { s = l.scan(l.standby.Data, o(l.standby)) })
	wg.Wait()
	kit.Check(l.t, p.err, s.err)
	return p, s
}

// TestRunning scans and compares two servers under load: nothing is found, and all but what moves is equal. When the load has ended and
// both have written out, all is. Then a damaged page is found, and settled by a checkpoint.
func TestRunning(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin()
		l.catalogue()
		ctx, cancel := context.WithCancel(testContext(t))
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					for _, s := range busy { // two of them may meet: an error is load too
						_, _ = l.primary.SQL(t.Context(), "d", s) // to its end: a backend works on after its client is gone
					}
				}
			})
		}
		compared, moving := 0, 0
		for range *rounds {
			horizon := l.horizon()
			p, s := l.both()
			for _, f := range append(p.findings, s.findings...) {
				t.Errorf("under load: %+v", f)
			}
			for at, o := range compare(p, s, horizon) {
				if o.Kind == page.Missing || o.Kind == page.Zeroed {
					continue // only a second look tells
				}
				if compared++; o.Verdict == page.Differs {
					t.Errorf("under load: %s (%s): %+v", at, l.rules[at.Relation], o)
				} else if o.Kind == page.Moving {
					moving++
				}
			}
			t.Logf("torn %d, changing %d, vanished %d of %d blocks", p.Torn+s.Torn, p.Changing+s.Changing, p.Vanished+s.Vanished, p.Blocks+s.Blocks)
		}
		cancel()
		wg.Wait()
		t.Logf("under load %d pages, %d of them moving", compared, moving)

		l.sql(l.primary, "CHECKPOINT")
		l.caughtUp()
		l.sql(l.standby, "CHECKPOINT")
		l.catalogue()
		horizon := l.horizon()
		p, s := l.both()
		l.same(p, s, horizon)

		d := kit.Must[damage.Data](t)(damage.Open(l.primary.Data))
		path := l.sql(l.primary, "SELECT pg_relation_filepath('wide')") // nobody changes it
		kit.Check(t, d.Edit(path, 0, false, func(b []byte) { b[8000] ^= 1 }))
		for _, checkpoint := range []bool{false, true} {
			asked := 0
			o := Options{Again: Again{Every: 5 * time.Millisecond}, Positions: func(ctx context.Context) (Positions, error) {
				if asked++; checkpoint && asked == 4 {
					l.sql(l.primary, "UPDATE t SET v = 'y' WHERE id = 9", "CHECKPOINT")
				}
				return l.positions(l.primary)(ctx)
			}}
			if checkpoint {
				o.Again.Checkpoint = patience / 2
			}
			got := l.scan(l.primary.Data, o)
			kit.Check(t, got.err)
			if f := got.findings; len(f) != 1 || f[0].Path != path || f[0].Settled != checkpoint || f[0].Kind != WrongChecksum {
				t.Errorf("with a checkpoint %v: %+v", checkpoint, got.findings)
			}
		}
		kit.Check(t, l.primary.Stop(testContext(t)), l.standby.Stop(testContext(t)))
		if out, err := l.primary.Checksums(testContext(t)); err == nil || !strings.Contains(out, fmt.Sprintf("%s\", block 0", path)) {
			t.Errorf("pg_checksums: %s", out)
		}
	})
}
