package compare

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health/integrity"
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

// lab is a primary with two standbys.
type lab struct {
	t       *testing.T
	dir     string
	servers []*damage.Server
}

// versions runs a test on each installed version that it is asked for.
func versions(t *testing.T, test func(*testing.T, *lab)) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		l := &lab{t: t, dir: v.Dir}
		l.begin(v)
		test(t, l)
	})
}

var tables = []string{
	"CREATE TABLE t (id int PRIMARY KEY, v text, a int[]) WITH (fillfactor = 80)",
	"INSERT INTO t SELECT n, md5(n::text), ARRAY[n % 100, n % 7] FROM generate_series(1, 20000) n",
	"CREATE INDEX ON t USING gin (a)", "CREATE INDEX ON t USING hash (v)", "CREATE SEQUENCE s", "SELECT nextval('s')",
	"CREATE TABLE wide (id int, v text)", "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL",
	"INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 60) n",
	"CREATE TABLE calm AS SELECT n FROM generate_series(1, 5000) n", "CREATE UNLOGGED TABLE u AS SELECT * FROM calm",
	"VACUUM t", "SELECT count(*) FROM t", "SELECT count(v) FROM wide", "CHECKPOINT",
}

func (l *lab) begin(v pg.Version) {
	t := l.t
	t.Helper()
	ctx := testContext(t)
	primary := kit.Must[*damage.Server](t)(damage.NewServer(ctx, v.Programs, v.Owner, filepath.Join(l.dir, "a")))
	l.start(primary)
	kit.Must[string](t)(primary.SQL(ctx, "postgres", "CREATE DATABASE d"))
	kit.Must[string](t)(primary.SQL(ctx, "d", tables...))
	kit.Check(t, primary.Stop(ctx))
	l.servers = []*damage.Server{primary}
	for _, name := range []string{"b", "c"} {
		s := kit.Must[*damage.Server](t)(primary.Copy(ctx, filepath.Join(l.dir, name)))
		kit.Check(t, s.Follow(primary))
		l.servers = append(l.servers, s)
	}
	for _, s := range l.servers {
		l.start(s)
	}
}

func (l *lab) start(s *damage.Server) {
	l.t.Helper()
	l.t.Cleanup(func() { kit.Check(l.t, s.Kill(context.Background())) })
	kit.Check(l.t, s.Start(testContext(l.t), "autovacuum=off", "checkpoint_timeout=1h", "max_wal_size=1GB", "wal_keep_size=1GB",
		"shared_buffers=32MB"))
}

func (l *lab) sql(n int, statements ...string) string {
	l.t.Helper()
	return kit.Must[string](l.t)(l.servers[n].SQL(testContext(l.t), "d", statements...))
}

// written waits until the standbys have replayed everything, and all have written it out.
func (l *lab) written() {
	l.t.Helper()
	l.sql(0, "CHECKPOINT")
	at := l.sql(0, "SELECT pg_current_wal_insert_lsn()")
	for n := range l.servers {
		for n > 0 && l.sql(n, "SELECT pg_last_wal_replay_lsn() >= '"+at+"'") != "t" {
			kit.Check(l.t, wakeup.Pause(testContext(l.t), 20*time.Millisecond))
		}
		l.sql(n, "CHECKPOINT")
	}
}

// meanwhile runs work beside a test, in turns, until the returned function is called.
func (l *lab) meanwhile(work ...func()) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, w := range work {
		wg.Go(func() {
			for ctx.Err() == nil {
				w()
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// checkpoints makes one of each server, as the time does that passes in earnest.
func (l *lab) checkpoints() {
	for _, s := range l.servers {
		_, _ = s.SQL(l.t.Context(), "postgres", "CHECKPOINT")
	}
}

func (l *lab) members(count int) (all []Member) {
	for n, s := range l.servers[:count] {
		all = append(all, &local{name: string(rune('a' + n)), server: s, scanner: integrity.Scanner{Dir: s.Data}})
	}
	return all
}

func (l *lab) options() Options {
	return Options{Wait: time.Minute, Every: 50 * time.Millisecond, Catalog: func(ctx context.Context) map[integrity.Relation]Known {
		all, err := catalogOf(ctx, l.servers[1], "postgres", "d")
		if err != nil && ctx.Err() == nil {
			l.t.Error(err)
		}
		return all
	}}
}

// catalogOf asks for the access method of each relation.
func catalogOf(ctx context.Context, s *damage.Server, databases ...string) (map[integrity.Relation]Known, error) {
	all := map[integrity.Relation]Known{}
	for _, database := range databases {
		text, err := s.SQL(ctx, database, "SELECT COALESCE(NULLIF(c.reltablespace, 0), dattablespace), CASE WHEN relisshared THEN 0 ELSE d.oid "+
			"END, pg_relation_filenode(c.oid), relkind, COALESCE(amname, ''), relname FROM pg_class c LEFT JOIN pg_am a ON a.oid = relam, "+
			"pg_database d WHERE pg_relation_filenode(c.oid) IS NOT NULL AND datname = current_database()")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			var r integrity.Relation
			f := strings.Split(strings.TrimSpace(line), "|")
			if _, err := fmt.Sscan(strings.Join(f[:3], " "), &r.Space, &r.Database, &r.Node); err != nil {
				return nil, err
			}
			all[r] = Known{page.MethodOf(f[3], f[4]), database + "." + f[5]}
		}
	}
	return all, nil
}

// local is a member whose files this process reads.
type local struct {
	name    string
	server  *damage.Server
	scanner integrity.Scanner
	twist   func(*Where) // changes what it says
	ended   atomic.Int32
}

func (m *local) Name() string { return m.name }

func (m *local) Where(ctx context.Context) (w Where, err error) {
	d, err := damage.Open(m.server.Data)
	if err != nil {
		return w, err
	}
	c := d.Control
	w = Where{Data: Data{Incarnation: m.name, SystemID: c.SystemID, Timeline: c.Timeline, PageSize: int(c.PageSize), Checksums: c.Checksums,
		HintsLogged: c.Checksums || c.WALLogHints, Primary: m.name == "a"}, Redo: c.Redo, OldestXID: c.XIDs.Oldest, EndedXIDs: c.EndedXIDs(),
		Multi: Multixacts(c.Multi)}
	text, err := m.server.SQL(ctx, "postgres", "SELECT CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_replay_lsn(), "+
		"pg_last_wal_receive_lsn()) ELSE pg_current_wal_flush_lsn() END")
	if err == nil {
		w.End, err = platform.ParseLSN(text)
	}
	if m.twist != nil {
		m.twist(&w)
	}
	return w, err
}

func (m *local) List(ctx context.Context) (l Listing, err error) {
	if l.Where, err = m.Where(ctx); err != nil {
		return l, err
	}
	d, err := damage.Open(m.server.Data)
	if err != nil {
		return l, err
	}
	c, err := m.scanner.Catalogue(ctx)
	if err == nil {
		l.Forks, l.Left = ForksOf(c, int64(d.Layout.Size), int64(d.Segment))
	}
	return l, err
}

// Read passes summaries through what crosses the network.
func (m *local) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, Where, int64, error) {
	request := NewRequest("x", extents)
	extents, err := request.Wanted()
	if err != nil {
		return nil, Where{}, 0, err
	}
	at, err := m.Where(ctx)
	if err != nil {
		return nil, at, 0, err
	}
	all, err := m.scanner.Summaries(ctx, integrity.Options{Again: integrity.Again{Every: 5 * time.Millisecond}}, extents)
	if err != nil {
		return nil, at, 0, err
	}
	packed := Pack(all)
	all, err = Unpack(packed, extents)
	return all, at, int64(len(packed)), err
}

func (m *local) End(context.Context) { m.ended.Add(1) }

func (m *local) Transactions(ctx context.Context, want Transactions) (all []Status, at Where, sent int64, err error) {
	if err := want.Valid(); err != nil {
		return nil, at, 0, err
	}
	if at, err = m.Where(ctx); err != nil {
		return nil, at, 0, err
	}
	err = m.scanner.Table(ctx, integrity.Options{}, want.Folder(), want.From, want.Count, func(n uint32, p []byte) error {
		all = append(all, want.StatusOf(page.Layout{Size: at.PageSize}, n, p))
		return nil
	})
	return all, at, int64(len(all)), err
}
