package backup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mainstay/controller/postgres"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// incremental makes a chain of three, and restores its end.
func (l *lab) incremental() {
	ctx := kit.Context(l.t, 3*time.Minute)
	o := l.order("inc0")
	o.Keep = true
	full := l.make(o, Good)
	step := func(id string, base *Record, n string) Order {
		l.sql("INSERT INTO likes SELECT "+n+" FROM generate_series(1, 10)", "CHECKPOINT")
		o := l.order(id, Assertion{Name: "likes", Database: "postgres", SQL: "SELECT count(*) = 10 FROM likes WHERE post = " + n}, farHolds)
		o.Kind, o.Base, o.Keep = Incremental, base, true
		return o
	}
	if l.source.Binaries.Major < 17 {
		if r := l.make(step("inc1", full, "3001"), Good); r.Kind != Full || !strings.Contains(r.FullFor, "makes no incremental") {
			l.t.Errorf("%+v", r)
		}
		return
	}
	first := l.make(step("inc1", full, "3001"), Good)
	if first.Kind != Incremental || first.Base != "inc0" || first.Packed > full.Packed/2 {
		l.t.Fatalf("%+v", first)
	}
	// What staging keeps of the base rots: it is fetched anew, and the backup is good.
	kept := filepath.Join(l.engine.Staging, keptFolder, "inc0", copyFolder)
	d := kit.Must[damage.Data](l.t)(damage.Open(kept))
	kit.Check(l.t, d.Edit(l.spot().Heap, 2, true, func(p []byte) { p[len(p)-1] ^= 1 }))
	second := l.make(step("inc2", first, "3002"), Good)
	if second.Kind != Incremental {
		l.t.Fatalf("%+v", second)
	}
	tested := l.from("inc2")
	tested.Checks = append(tested.Checks, Assertion{Name: "likes", Database: "postgres",
		SQL: "SELECT count(*) = 20 FROM likes WHERE post IN (3001, 3002)"})
	l.test(tested, Good)
	into := filepath.Join(l.dir, "r3", "data")
	kit.Check(l.t, os.Mkdir(filepath.Dir(into), 0o755))
	if r, err := l.engine.Restore(ctx, tested, into, nil); err != nil || r.Proof.Verdict != Good {
		l.t.Fatalf("%v: %+v", err, r)
	}
	l.serves(into, "SELECT count(*) FROM likes WHERE post IN (3001, 3002)", "20")

	// The base's packed copy rots at the target: nothing that builds on it is restorable.
	path := filepath.Join(l.vaultAt, "feed", "backup", "inc0", objectPack)
	content := kit.Must[[]byte](l.t)(os.ReadFile(path))
	content[len(content)/2] ^= 1
	kit.Check(l.t, os.WriteFile(path, content, 0o600))
	evidence(l.t, l.test(tested, Bad).Proof, "SHA-256")
	kit.Check(l.t, os.RemoveAll(filepath.Join(l.engine.Staging, keptFolder)))
	if r := l.make(step("inc3", second, "3003"), Good); r.Kind != Full || !strings.Contains(r.FullFor, "base could not be had") {
		l.t.Errorf("%+v", r)
	}
	l.admin("ALTER SYSTEM SET summarize_wal = off")
	l.admin("SELECT pg_reload_conf()")
}

// standby: a replica is backed up as well as its primary.
func (l *lab) standby() {
	ctx := kit.Context(l.t, 2*time.Minute)
	dir := filepath.Join(l.dir, "s")
	kit.Check(l.t, os.Mkdir(dir, 0o755), os.Chown(dir, int(l.source.Owner.UID), int(l.source.Owner.GID)))
	s := *l.source
	s.Dir, s.Data = dir, filepath.Join(dir, "data")
	space := filepath.Join(dir, "space")
	b := postgres.BaseBackup{To: s.Data, Spaces: map[string]string{filepath.Join(l.source.Dir, "space"): space}}
	kit.Check(l.t, os.Chmod(dir, 0o755), l.engine.Server.BaseBackup(ctx, b, nil), s.Follow(l.source))
	l.t.Cleanup(func() { kit.Check(l.t, s.Kill(context.Background())) })
	kit.Check(l.t, s.Start(ctx, "shared_preload_libraries=", "max_connections=77", "max_prepared_transactions=7", "track_commit_timestamp=on"))
	replica := *l.engine
	replica.Server = l.server(&s)
	replica.Server.Member = "feed-e2"
	o := l.order("replica", postsHold)
	o.Depth = Structure
	r, err := replica.Make(ctx, o, nil)
	if err != nil || r.Proof.Verdict != Good || !r.Standby || r.Member != "feed-e2" {
		l.t.Fatalf("%v: %+v", err, r)
	}
	evidence(l.t, r.Proof, "structure")
	l.test(l.from("replica"), Good)
	kit.Check(l.t, s.Stop(ctx))
}

// seen are damages with right checksums that the structure checks find. What no check of one copy alone finds is the others' business: a
// changed value, a zeroed page of a table, a lost write without a second key, a lost last segment, a lost commit.
var seen = [][]damage.Kind{
	{damage.IndexByteSealed, damage.BadXmin, damage.BadPointer, damage.BadHeader, damage.ZeroedIndex},
	{damage.ZeroedTOAST, damage.Truncated, damage.OddEnd, damage.MisdirectedValid, damage.StaleMap},
}

// rottenSource: what is damaged before the copy is found by the check that sees it, and nothing is released. It is the last part: the
// server is spoiled.
func (l *lab) rottenSource() {
	deep := func(id string) Order {
		o := l.order(id)
		o.Depth = Structure
		return o
	}
	for n, kinds := range seen {
		spots := map[damage.Kind]damage.Spot{}
		for m, kind := range kinds {
			name := fmt.Sprintf("rot%d", m)
			l.sql("CREATE TABLE "+name+" (id int PRIMARY KEY, v text)", "ALTER TABLE "+name+" ALTER v SET STORAGE EXTERNAL",
				"INSERT INTO "+name+" SELECT n, repeat(md5(n::text), CASE WHEN n < 12 THEN 200 ELSE 1 END) FROM generate_series(1, 1200) n",
				"VACUUM "+name, "DELETE FROM "+name+" WHERE ctid = '(1,5)'")
			path := func(of string) string { return l.sql("SELECT pg_relation_filepath(" + of + ")") }
			spots[kind] = damage.Spot{Heap: path("'" + name + "'"), Index: path("'" + name + "_pkey'"), Block: 1, Other: 2,
				TOAST: path("(SELECT reltoastrelid FROM pg_class WHERE relname = '" + name + "')")}
		}
		if n == 0 {
			l.make(deep("sound"), Good)
		}
		l.spoil(spots)
		r := l.make(deep(fmt.Sprint("sealed", n)), Bad)
		for m, kind := range kinds {
			if !strings.Contains(r.Proof.Evidence, fmt.Sprintf("public.rot%d", m)) {
				l.t.Errorf("%s is not found: %s", kind, r.Proof.Evidence)
			}
		}
		for m := range kinds {
			l.sql(fmt.Sprintf("DROP TABLE rot%d", m))
		}
	}
	spot := l.spot()
	l.spoil(map[damage.Kind]damage.Spot{damage.HeapByte: spot})
	evidence(l.t, l.make(l.order("page"), Bad).Proof, "source", "feed-e1", "checksum", spot.Heap)
}

// spoil stops the server, damages it, and starts it again.
func (l *lab) spoil(spots map[damage.Kind]damage.Spot) {
	l.t.Helper()
	ctx := kit.Context(l.t, kit.Patience)
	kit.Check(l.t, l.source.Stop(ctx))
	d := kit.Must[damage.Data](l.t)(damage.Open(l.source.Data))
	done := 0
	for _, one := range damage.All {
		if spot, ok := spots[one.Kind]; ok {
			kit.Check(l.t, one.Do(d, spot))
			done++
		}
	}
	if done != len(spots) {
		l.t.Fatalf("%d of %d damages", done, len(spots))
	}
	kit.Check(l.t, l.source.Start(ctx, l.settings...))
}
