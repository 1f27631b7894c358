package integrity

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/health/integrity/page"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

const patience = 3 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	return kit.Context(t, patience)
}

// versions runs a test on each installed version that it is asked for.
func versions(t *testing.T, test func(*testing.T, *lab)) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		test(t, &lab{t: t, dir: v.Dir, programs: v.Programs, owner: v.Owner})
	})
}

// lab makes a primary and its standby, with a relation of every access method.
type lab struct {
	t                *testing.T
	dir              string
	programs         postgres.Binaries
	owner            postgres.Owner
	primary, standby *damage.Server
	rules            map[Relation]page.Method
	spot             damage.Spot
	calm             damage.Spot // of a table that was vacuumed, a block that was changed later
	oldest           uint32      // transaction before those of the test
}

func (l *lab) sql(s *damage.Server, statements ...string) string {
	l.t.Helper()
	return kit.Must[string](l.t)(s.SQL(testContext(l.t), "d", statements...))
}

var tables = []string{
	"CREATE TABLE t (id int PRIMARY KEY, v text, a int[], p point) WITH (fillfactor = 80)",
	"INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 100, n % 7], point(n % 211, n % 89) FROM generate_series(1, 20000) n",
	"CREATE INDEX t_hash ON t USING hash (v)", "CREATE INDEX t_gin ON t USING gin (a)", "CREATE INDEX t_gist ON t USING gist (p)",
	"CREATE INDEX t_spgist ON t USING spgist (p)", "CREATE INDEX t_brin ON t USING brin (id) WITH (pages_per_range = 4)",
	"CREATE SEQUENCE s", "SELECT nextval('s')",
	"CREATE TABLE calm (id int, v text) WITH (fillfactor = 80)", "INSERT INTO calm SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
	"CREATE TABLE wide (id int, v text)", "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL",
	"INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 60) n",
	"CREATE UNLOGGED TABLE u AS SELECT * FROM calm",
	"VACUUM calm", "SELECT count(*) FROM t", "CHECKPOINT",
}

// load changes pages in every way that masks are about: hints, dead items, aborted rows, locks, several commands, sequences.
var load = []string{
	"UPDATE t SET v = v || 'x' WHERE id % 37 = 0", "UPDATE calm SET v = 'changed' WHERE id = 200", "DELETE FROM t WHERE id % 41 = 0",
	"BEGIN; INSERT INTO t SELECT n, 'gone', ARRAY[n], point(1, n) FROM generate_series(30000, 31000) n; ROLLBACK",
	"BEGIN; INSERT INTO t VALUES (40001, 'a'); SAVEPOINT x; UPDATE t SET v = 'b' WHERE id = 40001; DELETE FROM t WHERE id = 5; " +
		"ROLLBACK TO x; COMMIT",
	"BEGIN; SELECT id FROM t WHERE id < 50 FOR UPDATE; COMMIT", "BEGIN; SELECT id FROM t WHERE id < 90 FOR SHARE; ROLLBACK",
	"INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 100], point(n % 211, n % 89) FROM generate_series(50000, 54000) n",
	"INSERT INTO t VALUES (7, 'again') ON CONFLICT DO NOTHING",
	"SELECT nextval('s') FROM generate_series(1, 5)",
	"SET enable_seqscan = off; SELECT count(v) FROM t WHERE id < 3000; SELECT count(*) FROM t WHERE v = 'gone'",
	"SELECT count(*) FROM t", "INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(100, 110) n",
}

// begin makes both servers, and leaves them running, the primary with further settings.
func (l *lab) begin(settings ...string) {
	l.t.Helper()
	ctx := testContext(l.t)
	l.primary = kit.Must[*damage.Server](l.t)(damage.NewServer(ctx, l.programs, l.owner, filepath.Join(l.dir, "p")))
	l.start(l.primary)
	kit.Must[string](l.t)(l.primary.SQL(ctx, "postgres", "CREATE DATABASE d"))
	l.sql(l.primary, tables...)
	kit.Check(l.t, l.primary.Stop(ctx))
	l.standby = kit.Must[*damage.Server](l.t)(l.primary.Copy(ctx, filepath.Join(l.dir, "s")))
	kit.Check(l.t, l.standby.Follow(l.primary))
	l.start(l.primary, settings...)
	l.start(l.standby)
}

func (l *lab) start(s *damage.Server, settings ...string) {
	l.t.Helper()
	l.t.Cleanup(func() { kit.Check(l.t, s.Kill(context.Background())) })
	kit.Check(l.t, s.Start(testContext(l.t), append([]string{"autovacuum=off", "checkpoint_timeout=1h", "max_wal_size=1GB",
		"wal_keep_size=1GB", "shared_buffers=32MB"}, settings...)...))
}

// spots finds where damage will strike, and keeps what is there before the load.
func (l *lab) spots() {
	l.t.Helper()
	path := func(what string) string { return l.sql(l.primary, "SELECT pg_relation_filepath("+what+")") }
	l.spot = damage.Spot{Heap: path("'t'"), Index: path("'t_pkey'"), Block: 1, Other: 2,
		TOAST: path("(SELECT reltoastrelid FROM pg_class WHERE relname = 'wide')")}
	l.sql(l.primary, "UPDATE t SET v = 'before' WHERE ctid = '(2,1)'") // no later change: it is older than the other one
	l.calm = damage.Spot{Heap: path("'calm'")}
	l.calm.Block = uint32(kit.Must[int](l.t)(strconv.Atoi(l.sql(l.primary, "SELECT (ctid::text::point)[0]::int FROM calm WHERE id = 200"))))
	l.sql(l.primary, "CHECKPOINT")
	d := kit.Must[damage.Data](l.t)(damage.Open(l.primary.Data))
	l.spot.Old = kit.Must[[]byte](l.t)(d.Page(l.spot.Heap, l.spot.Block))
	xid := func(text string) uint32 { return uint32(kit.Must[int](l.t)(strconv.Atoi(text))) }
	l.oldest = xid(l.sql(l.primary, "SELECT pg_current_xact_id()"))
	for range 8 { // a byte of pg_xact has four transactions: one at least has committed ones only
		l.sql(l.primary, "INSERT INTO calm VALUES (0)")
	}
	l.spot.XID = xid(l.sql(l.primary, "SELECT pg_current_xact_id()")) - 4
}

// loaded changes the spot's block and all else, and stops both servers with everything replayed and written out.
func (l *lab) loaded() {
	l.t.Helper()
	ctx := testContext(l.t)
	l.spots()
	l.sql(l.primary, load...)
	l.sql(l.primary, "UPDATE t SET v = 'now' WHERE id = (SELECT id FROM t WHERE ctid >= '(1,3)' AND ctid < '(2,0)' LIMIT 1)", "CHECKPOINT",
		"SELECT nextval('s') FROM generate_series(1, 3)", "SELECT count(*) FROM t")
	l.catalogue()
	l.caughtUp()
	l.sql(l.standby, "SELECT count(*) FROM t", "SELECT count(*) FROM calm", "CHECKPOINT")
	kit.Check(l.t, l.primary.Stop(ctx)) // which waits for its standby
	kit.Check(l.t, l.standby.Stop(ctx))
}

// catalogue asks for the access method of each relation.
func (l *lab) catalogue() {
	l.t.Helper()
	l.rules = map[Relation]page.Method{}
	for line := range strings.Lines(l.sql(l.primary, "SELECT COALESCE(NULLIF(reltablespace, 0), 1663), CASE WHEN relisshared THEN 0 ELSE "+
		"(SELECT oid FROM pg_database WHERE datname = current_database()) END, pg_relation_filenode(c.oid), relkind, COALESCE(amname, '') "+
		"FROM pg_class c LEFT JOIN pg_am a ON a.oid = relam WHERE pg_relation_filenode(c.oid) IS NOT NULL")) {
		var r Relation
		f := strings.Split(strings.TrimSpace(line), "|")
		if _, err := fmt.Sscan(strings.Join(f[:3], " "), &r.Space, &r.Database, &r.Node); err != nil {
			l.t.Fatal(err)
		}
		l.rules[r] = page.MethodOf(f[3], f[4])
	}
}

// caughtUp waits until the standby has replayed what the primary has written.
func (l *lab) caughtUp() {
	l.t.Helper()
	ctx := testContext(l.t)
	at := l.sql(l.primary, "SELECT pg_current_wal_insert_lsn()")
	for l.sql(l.standby, "SELECT pg_last_wal_replay_lsn() >= '"+at+"'") != "t" {
		kit.Check(l.t, wakeup.Pause(ctx, 20*time.Millisecond))
	}
}

// of says how relations of the test's database, and shared ones, are compared.
func (l *lab) of(r Relation, f page.Fork) (page.Rules, bool) {
	m, ok := l.rules[r]
	return page.Rules{Method: m, Fork: f, HintsLogged: true}, ok
}

// scanned is what a scan of a directory says.
type scanned struct {
	Result
	findings []Finding
	zeros    []ZeroRun
	pages    map[Block]page.Summary
	err      error
}

func (l *lab) scan(dir string, o Options) (s scanned) {
	l.t.Helper()
	s.pages = map[Block]page.Summary{}
	x := &Scanner{Dir: dir}
	s.Result, s.err = x.Scan(testContext(l.t), o, Sink{
		Finding: func(f Finding) { s.findings = append(s.findings, f) },
		Zero:    func(z ZeroRun) { s.zeros = append(s.zeros, z) },
		Summary: func(b Block, sum page.Summary) { s.pages[b] = sum },
	})
	if n := x.Waiting(); n != 0 {
		l.t.Errorf("%d calls have not returned", n)
	}
	if sum := s.Verified + s.HeaderOnly + s.Zero + s.Bad + s.Changing; s.err == nil && sum != s.Blocks {
		l.t.Errorf("%d blocks were read, and %d are accounted for: %+v", s.Blocks, sum, s.Result)
	}
	return s
}

// compare compares two scans as of stopped servers, where a second look would show the same.
func compare(a, b scanned, horizon platform.LSN) (outcomes map[Block]page.Outcome) {
	outcomes = map[Block]page.Outcome{}
	for at, x := range a.pages {
		y, ok := b.pages[at]
		if !ok {
			y = page.Summary{State: page.Absent}
		}
		outcomes[at] = page.Compare(x, y, page.Horizon{LSN: horizon, Seen: horizon})
	}
	for at, y := range b.pages {
		if _, ok := a.pages[at]; !ok {
			outcomes[at] = page.Compare(page.Summary{State: page.Absent}, y, page.Horizon{LSN: horizon, Seen: horizon})
		}
	}
	return outcomes
}
