package structure

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/wakeup"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// standby makes a standby of the lab's primary, which runs again, and waits until it has everything.
func (l *lab) standby(settings ...string) *damage.Server {
	l.t.Helper()
	ctx := testContext(l.t)
	kit.Check(l.t, l.primary.Stop(ctx))
	s := kit.Must[*damage.Server](l.t)(l.primary.Copy(ctx, filepath.Join(l.dir, "s")))
	kit.Check(l.t, s.Follow(l.primary))
	l.start(l.primary, "wal_keep_size=1GB")
	l.start(s, settings...)
	l.caughtUp(s)
	return s
}

func (l *lab) caughtUp(s *damage.Server) {
	l.t.Helper()
	at := l.sql(l.primary, "SELECT pg_current_wal_insert_lsn()")
	for l.sql(s, "SELECT pg_last_wal_replay_lsn() >= '"+at+"'") != "t" {
		kit.Check(l.t, wakeup.Pause(testContext(l.t), 20*time.Millisecond))
	}
}

// TestClean: without damage nothing is found, on a primary that is written to meanwhile and on its standby. What has no check is counted.
func TestClean(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables, extensions)
		s := l.standby()
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		go func() { ended <- l.load(ctx) }()
		other := make(chan error, 1)
		go func() { // its files have names of their own
			_, err := l.primary.SQL(ctx, "d", "CREATE TEMP TABLE own AS SELECT 1 AS a", "CREATE INDEX own_a ON own (a)", "SELECT pg_sleep(300)")
			other <- err
		}()
		for l.sql(l.primary, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") != "2" {
			kit.Check(t, wakeup.Pause(ctx, 20*time.Millisecond))
		}
		for _, of := range []*damage.Server{l.primary, s} {
			out := l.run(testContext(t), of, Options{Again: 50 * time.Millisecond, Range: 8, Pause: 50 * time.Millisecond})
			kit.Check(t, out.err)
			if wrong := out.wrong(); len(wrong) > 0 {
				t.Errorf("without damage:\n%s", lines(wrong))
			}
			l.uncovered(out, of != l.primary)
		}
		cancel()
		<-other
		kit.Check(t, <-ended)
	})
}

// TestCatalog: a damaged catalog is found, be it at the login or later, and the other databases are checked.
func TestCatalog(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables[:2], extensions)
		kit.Must[string](t)(l.primary.SQL(testContext(t), "postgres", "CREATE EXTENSION amcheck", "CREATE EXTENSION pg_visibility"))
		for _, table := range []string{"pg_class", "pg_attribute", "pg_namespace", "pg_depend"} {
			path := l.path(l.primary, "'"+table+"'")
			kit.Check(t, l.primary.Stop(testContext(t)))
			d := kit.Must[damage.Data](t)(damage.Open(l.primary.Data))
			flip := func() { kit.Check(t, d.Edit(path, 0, false, func(p []byte) { p[5000] ^= 1 })) }
			flip()
			l.start(l.primary)
			o := quick
			o.Only = func(name string) bool { return name != "template1" }
			out := l.run(testContext(t), l.primary, o)
			kit.Check(t, out.err, l.primary.Stop(testContext(t)))
			wrong := out.wrong()
			if len(wrong) != 1 || wrong[0].State != Corrupt || wrong[0].Database != "d" || out.Counts[BTree].Clean == 0 {
				t.Errorf("with a damaged %s:\n%s%+v", table, lines(wrong), out.Counts)
			}
			t.Logf("%s: %s", table, lines(wrong))
			flip()
			l.start(l.primary)
		}
	})
}

// load writes until ctx ends.
func (l *lab) load(ctx context.Context) error {
	for n := 0; ctx.Err() == nil; n++ {
		_, err := l.primary.SQL(ctx, "d", fmt.Sprintf("UPDATE t SET v = v || 'x' WHERE id %% 97 = %d", n%97),
			fmt.Sprintf("DELETE FROM packed WHERE id = %d", n), fmt.Sprintf("INSERT INTO packed VALUES (%d, 'new')", 10000+n),
			"UPDATE wide SET v = v || 'x' WHERE id = 5", "CREATE TABLE gone AS SELECT 1 AS a", "DROP TABLE gone", "VACUUM t, packed, wide")
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// uncovered: what a check says it has not covered is just that.
func (l *lab) uncovered(out outcome, standby bool) {
	l.t.Helper()
	want := map[string]string{"public.t_hash": "hash", "public.t_gist": "gist", "public.t_spgist": "spgist", "public.t_brin": "brin",
		"public.u": "unlogged"}
	if l.programs.Major < 18 {
		want["public.t_gin"] = "gin_index_check"
	}
	if l.programs.Major < 17 {
		want["public.t_pkey"], want["public.packed_pkey"] = "duplicate keys", "duplicate keys"
	}
	for name, why := range want {
		if got := out.of(name); len(got) != 1 || got[0].State != Unverified || !strings.Contains(got[0].Why, why) {
			l.t.Errorf("%s: %+v, want unverified because of %s", name, got, why)
		}
	}
	other := 0
	for _, v := range out.verdicts {
		switch {
		case v.Check == All:
			if v.Database != "template0" {
				l.t.Errorf("%+v", v)
			}
			other++
		case v.Database == "d" && want[v.Relation] == "" && v.Check != Unique && !strings.HasPrefix(v.Relation, "public.gone") &&
			!strings.HasPrefix(v.Relation, "pg_toast.") && v.Relation != "public.s" &&
			!strings.HasPrefix(v.Relation, "pg_temp"):
			l.t.Errorf("%+v", v)
		}
	}
	for c, n := range map[Check]int64{Heap: 100, BTree: 150, Map: 90, Files: 300} {
		if out.Counts[c].Clean < n {
			l.t.Errorf("of %s only %d are clean", c, out.Counts[c].Clean)
		}
	}
	if unique := out.Counts[Unique].Clean; (unique > 0) != (l.programs.Major >= 17) {
		l.t.Errorf("%d unique indexes are clean", unique)
	}
	if other != 1 || out.Standby != standby || out.Version != l.programs.Major || out.Databases != 4 {
		l.t.Errorf("%+v", out.Result)
	}
	l.t.Logf("%v %+v; retried %d, vanished %d", out.Standby, out.Counts, out.Retried, out.Vanished)
}

// TestExtensions: without the extensions nothing is clean but the files, they are created where that is asked for, and a standby refuses.
func TestExtensions(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables)
		out := l.run(testContext(t), l.primary, quick)
		kit.Check(t, out.err)
		for c, n := range out.Counts {
			if (n.Clean > 0) != (c == Files) || n.Corrupt+n.Suspect > 0 {
				t.Errorf("without extensions: %s: %+v", c, n)
			}
		}
		if why := out.of("public.t"); len(why) != 2 || !strings.Contains(why[0].Why, "pg_visibility is not in database d") ||
			!strings.Contains(why[1].Why, "amcheck is not in database d") {
			t.Errorf("%+v", why)
		}
		if n := l.number(l.primary, "SELECT count(*) FROM pg_extension"); n != 1 {
			t.Errorf("%d extensions", n)
		}
		s := l.standby()
		install := quick
		install.Install = true
		if out := l.run(testContext(t), s, install); out.err == nil || !strings.Contains(out.err.Error(), "standby") {
			t.Errorf("on a standby: %v", out.err)
		}
		// Another may create functions in the schema, and so the extensions are not.
		l.sql(l.primary, "CREATE ROLE other", "CREATE SCHEMA mainstay", "GRANT CREATE ON SCHEMA mainstay TO other")
		out = l.run(testContext(t), l.primary, install)
		if why := out.of("public.t"); len(why) != 2 || !strings.Contains(why[1].Why, "others may create") {
			t.Errorf("%+v, %v", why, out.err)
		}
		l.sql(l.primary, "DROP SCHEMA mainstay")
		out = l.run(testContext(t), l.primary, install)
		kit.Check(t, out.err)
		if why := out.of("public.t"); len(why) > 0 || out.Counts[Heap].Clean == 0 {
			t.Errorf("after the extensions were created: %+v", why)
		}
		l.caughtUp(s)
		if out := l.run(testContext(t), s, quick); out.err != nil || out.Counts[BTree].Clean == 0 {
			t.Errorf("on the standby: %v %+v", out.err, out.Counts)
		}
	})
}

// TestNamesakes: functions of a user's that have an extension's names are not run.
func TestNamesakes(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables[:2], extensions, []string{"CREATE TABLE trap (a int)",
			"CREATE FUNCTION public.verify_heapam(regclass, boolean, boolean, text, bigint, bigint, OUT blkno bigint, OUT offnum int, " +
				"OUT attnum int, OUT msg text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, 1, 1, ''trap'''",
			"CREATE FUNCTION tools.verify_heapam(oid, boolean, boolean, text, int, int, OUT blkno bigint, OUT offnum int, OUT attnum int, " +
				"OUT msg text) RETURNS SETOF record LANGUAGE sql AS 'SELECT 1, 1, 1, ''trap'''",
			"CREATE FUNCTION public.bt_index_check(regclass, boolean, boolean) RETURNS void LANGUAGE sql AS 'INSERT INTO trap VALUES (1)'"})
		out := l.run(testContext(t), l.primary, quick)
		kit.Check(t, out.err)
		if wrong := out.wrong(); len(wrong) > 0 || out.Counts[Heap].Clean == 0 || l.number(l.primary, "SELECT count(*) FROM trap") != 0 {
			t.Errorf("%+v", wrong)
		}
	})
}

// TestResume: a check that is interrupted after each statement goes on where it was, and comes to the same verdicts.
func TestResume(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables, extensions)
		path := l.path(l.primary, "'packed'")
		kit.Check(t, l.primary.Stop(testContext(t)))
		d := kit.Must[damage.Data](t)(damage.Open(l.primary.Data))
		kit.Check(t, d.Edit(path, 1, false, func(p []byte) { p[5000] ^= 1 }), d.Edit(path, 7, false, func(p []byte) { p[5000] ^= 1 }))
		l.start(l.primary)
		o := quick
		o.Range = 3
		whole := l.run(testContext(t), l.primary, o)
		kit.Check(t, whole.err)
		counts, verdicts, steps := map[Check]Counts{}, []Verdict(nil), 0
		var blocks int64
		for from := (*Place)(nil); ; steps++ {
			ctx, cancel := context.WithCancel(testContext(t))
			o.From = from
			progress := 0
			r, at, err := l.checker(l.primary).Run(ctx, o, Sink{Verdict: func(v Verdict) { verdicts = append(verdicts, v) },
				Progress: func(p Progress) {
					if progress++; progress == 20 {
						cancel()
					}
				}})
			cancel()
			blocks += r.Blocks
			for c, n := range r.Counts {
				sum := counts[c]
				counts[c] = Counts{sum.Clean + n.Clean, sum.Suspect + n.Suspect, sum.Corrupt + n.Corrupt, sum.Unverified + n.Unverified}
			}
			if from = &at; err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(counts) != fmt.Sprint(whole.Counts) || blocks < whole.Blocks || steps < 10 {
			t.Errorf("in %d steps: %d %+v, want %d %+v", steps, blocks, counts, whole.Blocks, whole.Counts)
		}
		found := 0
		for _, v := range verdicts {
			if v.Relation == "public.packed" && v.Check == Heap {
				found = v.Found
			}
		}
		if found != 2 {
			t.Errorf("%d of 2 damaged pages found: %s", found, lines(whole.wrong()))
		}
	})
}
