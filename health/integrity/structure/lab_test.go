package structure

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

const patience = 5 * time.Minute

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

// lab makes servers.
type lab struct {
	t        *testing.T
	dir      string
	programs postgres.Binaries
	owner    postgres.Owner
	primary  *damage.Server
}

// of is the same lab in a subtest.
func (l *lab) of(t *testing.T) *lab {
	c := *l
	c.t = t
	return &c
}

func (l *lab) sql(s *damage.Server, statements ...string) string {
	l.t.Helper()
	return kit.Must[string](l.t)(s.SQL(testContext(l.t), "d", statements...))
}

func (l *lab) start(s *damage.Server, settings ...string) {
	l.t.Helper()
	l.t.Cleanup(func() { kit.Check(l.t, s.Kill(context.Background())) })
	kit.Check(l.t, s.Start(testContext(l.t), append([]string{"autovacuum=off", "checkpoint_timeout=1h", "max_wal_size=1GB",
		"shared_buffers=32MB", "lc_messages=C"}, settings...)...))
}

// tables: packed has full pages, so that an updated row moves to another page; the last column of both tables is indexed in packed only.
var tables = []string{
	"CREATE TABLE t (id int PRIMARY KEY, v text, a int[], p point) WITH (fillfactor = 80)",
	"INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 100, n % 7], point(n % 211, n % 89) FROM generate_series(1, 5000) n",
	"CREATE INDEX t_hash ON t USING hash (v)", "CREATE INDEX t_gin ON t USING gin (a)", "CREATE INDEX t_gist ON t USING gist (p)",
	"CREATE INDEX t_spgist ON t USING spgist (p)", "CREATE INDEX t_brin ON t USING brin (id) WITH (pages_per_range = 4)",
	"CREATE TABLE packed (id int PRIMARY KEY, v text)", "INSERT INTO packed SELECT n, md5(n::text) FROM generate_series(1, 5000) n",
	"CREATE INDEX packed_v ON packed (v)",
	"CREATE SEQUENCE s", "SELECT nextval('s')",
	"CREATE TABLE calm (id int, v text) WITH (fillfactor = 80)", "INSERT INTO calm SELECT n, md5(n::text) FROM generate_series(1, 1000) n",
	"CREATE TABLE wide (id int, v text)", "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL",
	"INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 60) n",
	"CREATE TABLE long (id int)", "INSERT INTO long VALUES (1)",
	"CREATE UNLOGGED TABLE u AS SELECT * FROM calm",
	"VACUUM t, packed, calm, wide, long", "ANALYZE", "SELECT count(*) FROM t",
}

var extensions = []string{"CREATE SCHEMA tools", "CREATE EXTENSION amcheck SCHEMA tools", "CREATE EXTENSION pg_visibility SCHEMA tools"}

// begin makes a server with tables, and leaves it running.
func (l *lab) begin(statements ...[]string) {
	l.t.Helper()
	ctx := testContext(l.t)
	l.primary = kit.Must[*damage.Server](l.t)(damage.NewServer(ctx, l.programs, l.owner, filepath.Join(l.dir, "p")))
	l.start(l.primary)
	kit.Must[string](l.t)(l.primary.SQL(ctx, "postgres", "CREATE DATABASE d"))
	l.sql(l.primary, slices.Concat(statements...)...)
}

// number reads a number that SQL prints.
func (l *lab) number(s *damage.Server, statement string) int {
	l.t.Helper()
	return kit.Must[int](l.t)(strconv.Atoi(l.sql(s, statement)))
}

func (l *lab) checker(s *damage.Server) *Checker {
	return &Checker{Local: pgdial.Config{SocketDir: s.Dir, Port: 5432, User: "postgres",
		OSUser: &pgdial.OSUser{UID: l.owner.UID, GID: l.owner.GID}, Runtime: pgdial.Sessions(l.programs.Major, true)}}
}

// quick looks again soon. Nothing changes what it checks.
var quick = Options{Pause: 50 * time.Millisecond, Again: time.Millisecond, Only: func(d string) bool { return d == "d" }}

// outcome is what a check has said.
type outcome struct {
	Result
	at       Place
	verdicts []Verdict // that are not clean
	err      error
}

func (l *lab) run(ctx context.Context, s *damage.Server, o Options) (out outcome) {
	l.t.Helper()
	out.Result, out.at, out.err = l.checker(s).Run(ctx, o, Sink{Verdict: func(v Verdict) { out.verdicts = append(out.verdicts, v) }})
	return out
}

// wrong are the verdicts Suspect and Corrupt.
func (o outcome) wrong() (all []Verdict) {
	for _, v := range o.verdicts {
		if v.State >= Suspect {
			all = append(all, v)
		}
	}
	return all
}

// of are the verdicts on a relation that are not clean.
func (o outcome) of(relation string) (all []Verdict) {
	for _, v := range o.verdicts {
		if v.Relation == relation {
			all = append(all, v)
		}
	}
	return all
}

func (l *lab) path(s *damage.Server, what string) string {
	l.t.Helper()
	return l.sql(s, "SELECT pg_relation_filepath("+what+")")
}

func lines(v ...any) string {
	var b strings.Builder
	for _, x := range v {
		fmt.Fprintf(&b, "%+v\n", x)
	}
	return b.String()
}
