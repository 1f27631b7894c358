package backup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/postgres"
	"mainstay/health/backup/target"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

// lab is one server for many tests, and an engine beside it.
type lab struct {
	t        testing.TB
	dir      string
	source   *damage.Server
	engine   *Engine
	vault    target.Target
	vaultAt  string
	settings []string
}

var labTables = []string{
	"CREATE TABLE posts (id int PRIMARY KEY, v text) WITH (fillfactor = 80)",
	"INSERT INTO posts SELECT n, md5(n::text) FROM generate_series(1, 4000) n",
	"CREATE TABLE likes (post int REFERENCES posts, at timestamptz DEFAULT now())",
	"INSERT INTO likes SELECT n FROM generate_series(1, 500) n",
	"CREATE TABLE wide (id int, v text)", "ALTER TABLE wide ALTER v SET STORAGE EXTERNAL",
	"INSERT INTO wide SELECT n, repeat(md5(n::text), 200) FROM generate_series(1, 60) n",
	"CREATE TABLE secret (id int)", "INSERT INTO secret VALUES (1)", "ALTER TABLE secret ENABLE ROW LEVEL SECURITY",
	"VACUUM ANALYZE", "UPDATE posts SET v = v WHERE ctid = '(1,1)'", "CHECKPOINT",
}

// newLab makes a server with a tablespace and configuration that would end a scratch instance at once.
func newLab(t testing.TB, v pg.Version) *lab {
	t.Helper()
	ctx := kit.Context(t, kit.Patience)
	l := &lab{t: t, dir: v.Dir, vaultAt: filepath.Join(v.Dir, "vault")}
	l.source = kit.Must[*damage.Server](t)(damage.NewServer(ctx, v.Programs, v.Owner, filepath.Join(v.Dir, "p"), "--wal-segsize=1"))
	space := filepath.Join(v.Dir, "p", "space")
	kit.Check(t, os.Mkdir(space, 0o700), os.Chown(space, int(v.Owner.UID), int(v.Owner.GID)), os.Mkdir(l.vaultAt, 0o700))
	l.settings = []string{"shared_preload_libraries=", "autovacuum=off", "shared_buffers=32MB", "max_wal_senders=8",
		"max_connections=77",
		"track_commit_timestamp=on", "wal_keep_size=1GB", "max_prepared_transactions=7"}
	if v.Programs.Major >= 17 {
		l.settings = append(l.settings, "summarize_wal=on")
	}
	t.Cleanup(func() { kit.Check(t, l.source.Kill(context.Background())) })
	kit.Check(t, l.source.Start(ctx, l.settings...))
	l.admin("UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'") // less to copy
	l.admin("DROP DATABASE template0")
	l.admin("CREATE TABLESPACE fast LOCATION '" + space + "'")
	l.sql(labTables...)
	l.sql("CREATE TABLE far (id int) TABLESPACE fast", "INSERT INTO far SELECT generate_series(1, 1000)")
	l.admin("ALTER SYSTEM SET shared_preload_libraries = 'nothing_of_this_name'")
	l.vault = kit.Must[target.Target](t)(target.Open("vault", target.Config{Directory: l.vaultAt}))
	l.engine = &Engine{Staging: filepath.Join(v.Dir, "st"), Server: l.server(l.source), Limits: Limits{Nice: 1}}
	return l
}

func (l *lab) server(s *damage.Server) *postgres.Server {
	return &postgres.Server{Member: "feed-e1", Data: s.Data, Socket: s.Dir, Port: 5432, Binaries: s.Binaries, Owner: s.Owner, Listen: "x"}
}

// in is the same lab for a subtest.
func (l *lab) in(t *testing.T) *lab {
	c := *l
	c.t = t
	return &c
}

func (l *lab) sql(statements ...string) string {
	l.t.Helper()
	return kit.Must[string](l.t)(l.source.SQL(kit.Context(l.t, kit.Patience), "postgres", statements...))
}

func (l *lab) admin(statement string) {
	l.t.Helper()
	kit.Must[string](l.t)(l.source.SQL(kit.Context(l.t, kit.Patience), "postgres", statement))
}

func (l *lab) order(id string, checks ...Assertion) Order {
	return Order{ID: id, Cluster: "feed", Kind: Full, Targets: []target.Target{l.vault}, Checks: checks}
}

// make makes a backup that must have that verdict, and checks that nothing is left of the run.
func (l *lab) make(o Order, verdict Verdict) *Record {
	l.t.Helper()
	r, err := l.engine.Make(kit.Context(l.t, 2*time.Minute), o, nil)
	if r.Proof.Verdict != verdict || (err == nil) != (verdict != Unverified) {
		l.t.Fatalf("%s: %s: %s: %v\n%+v", o.ID, r.Proof.Verdict, r.Proof.Evidence, err, r)
	}
	if _, err := os.Stat(filepath.Join(l.engine.Staging, runFolder)); !os.IsNotExist(err) {
		l.t.Errorf("the run is left: %v", err)
	}
	if there := l.released(o.ID); there != (verdict == Good && len(o.Targets) > 0) {
		l.t.Errorf("%s is %s, and released: %v", o.ID, verdict, there)
	}
	return r
}

// released tells whether a target has anything of a backup.
func (l *lab) released(id string) bool {
	_, err := os.Stat(filepath.Join(l.vaultAt, "feed", "backup", id))
	return err == nil
}

// evidence is missing if it does not name all words.
func evidence(t testing.TB, p Proof, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(p.Evidence, w) {
			t.Errorf("the evidence does not name %q: %s", w, p.Evidence)
		}
	}
}
