package backups

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

// TestEngine: with a real server, the same host makes a backup, archives what follows, tests the backup from its target and restores it to
// the end of the archive. What its reports say is what the catalogue keeps. Then Local reads that from the target alone.
func TestEngine(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		ctx := kit.Context(t, 3*kit.Patience)
		source := kit.Must[*damage.Server](t)(damage.NewServer(ctx, v.Programs, v.Owner, filepath.Join(v.Dir, "p"), "--wal-segsize=1"))
		t.Cleanup(func() { kit.Check(t, source.Kill(context.Background())) })
		kit.Check(t, source.Start(ctx, "max_wal_senders=4", "wal_keep_size=64MB", "autovacuum=off"))
		sql := func(statements ...string) string {
			t.Helper()
			return strings.TrimSpace(kit.Must[string](t)(source.SQL(ctx, "postgres", statements...)))
		}
		position := func() platform.LSN {
			t.Helper()
			return kit.Must[platform.LSN](t)(platform.ParseLSN(sql("SELECT pg_current_wal_flush_lsn()")))
		}
		sql("CREATE TABLE posts AS SELECT generate_series(1, 1000) AS id")

		vault := filepath.Join(v.Dir, "vault")
		kit.Check(t, os.Mkdir(vault, 0o700))
		b := &bench{t: t, dir: v.Dir, conf: config.Agent{Host: "h1", Data: v.Dir,
			Postgres: config.Postgres{Binaries: v.Programs.Dir, User: "postgres"},
			Backup:   config.Backup{Staging: filepath.Join(v.Dir, "st"), Targets: map[string]config.BackupTarget{"vault": {Directory: vault}}}}}
		server := &postgres.Server{Member: "m1", Data: source.Data, Socket: source.Dir, Port: 5432, Binaries: source.Binaries,
			Owner: source.Owner, Listen: "x"}
		seen := make(chan platform.LSN, 1) // the newest position that the agent has seen
		seen <- position()
		b.startWith(Options{Config: b.conf, Log: zap.NewNop(), News: func() {}, Server: func(string) *postgres.Server { return server },
			Seen: func(string) health.Member {
				at := <-seen
				seen <- at
				return health.Member{Process: health.ProcessRunning, PositionKnown: true, Position: at, Timeline: 1}
			}})
		order := func(number uint64, work platform.BackupWork) platform.BackupOrder {
			return platform.BackupOrder{Archive: true, Job: &platform.BackupJob{Number: number, Work: work, Backup: "feed-b1", Target: "vault"},
				Plan: &platform.BackupPlan{Targets: []string{"vault"}, Checks: []platform.BackupCheck{{Name: "posts", Database: "postgres",
					SQL: "SELECT count(*) >= 1000 FROM posts"}}}}
		}
		b.Obey("m1", "feed", order(1, platform.BackupMake))
		e := b.ends("m1", 1)
		if !e.Done || e.Record == nil || e.Record.Verdict != platform.BackupGood || !e.Record.At("vault") || e.Record.End == 0 ||
			e.Record.Member != "m1" || len(e.Record.Engine) == 0 || e.Outcome != "feed-b1 is good, and held by vault" {
			t.Fatalf("the backup: %+v, %+v", e, e.Record)
		}
		record := *e.Record

		sql("INSERT INTO posts SELECT generate_series(1001, 2000)")
		<-seen
		at := position()
		seen <- at
		kit.Eventually(t, "the archive to have it", func() bool {
			a := b.Report("m1").Archive
			return a != nil && max(a.Partial, a.Until) >= at
		})
		if a := b.Report("m1").Archive; a.Trouble != "" || a.Timeline != 1 || len(a.Gaps) > 0 {
			t.Errorf("the archive: %+v", a)
		}

		test := order(2, platform.BackupTest)
		test.Backups = []platform.Backup{record}
		b.Obey("m1", "feed", test)
		e = b.ends("m1", 2)
		if !e.Done || e.Test == nil || !e.Test.Good || e.Test.Target != "vault" || e.Test.Took <= 0 || e.Test.Reached < record.End {
			t.Errorf("the restore test: %+v, %+v", e, e.Test)
		}
		restore := order(3, platform.BackupRestore)
		restore.Backups, restore.Job.Until = test.Backups, platform.RestorePoint{LSN: 0x100}
		b.Obey("m1", "feed", restore)
		if e = b.ends("m1", 3); e.Done || !strings.Contains(e.Outcome, "feed-b1 is consistent from "+record.End.String()+" on only") {
			t.Errorf("a point before the backup: %+v", e)
		}
		restore = order(4, platform.BackupRestore)
		restore.Backups, restore.Job.Until = test.Backups, platform.RestorePoint{Latest: true}
		b.Obey("m1", "feed", restore)
		e = b.ends("m1", 4)
		into := filepath.Join(v.Dir, "st", "restored", "feed-b1-4")
		if _, err := os.Stat(filepath.Join(into, "PG_VERSION")); err != nil || !e.Done || !strings.Contains(e.Outcome, into) {
			t.Errorf("the restore: %+v, %v", e, err)
		}
		b.stop()
		local(t, b.conf, record)
	})
}

// local: what the target holds is enough for a restore, and its records say what the catalogue said.
func local(t *testing.T, conf config.Agent, record platform.Backup) {
	ctx := kit.Context(t, 3*kit.Patience)
	l := kit.Must[*Local](t)(OpenLocal(ctx, conf, "", "feed"))
	if len(l.Catalogue.Records) != 1 || len(l.Unread) > 0 || l.Target != "vault" {
		t.Fatalf("%+v", l)
	}
	if got := l.Catalogue.Records[0]; got.ID != record.ID || got.Verdict != record.Verdict || got.Start != record.Start ||
		got.End != record.End || got.SystemID != record.SystemID || !got.At("vault") || got.Ended == "" || got.FullSince != record.FullSince {
		t.Errorf("the target says %+v, and the catalogue said %+v", got, record)
	}
	into := filepath.Join(conf.Data, "copy")
	p := kit.Must[*LocalRestore](t)(l.Prepare(ctx, "", platform.RestorePoint{Latest: true}, into))
	for _, part := range []string{"feed-b1 (taken from m1", "(the end of the archive)"} {
		if text := strings.Join(p.Plan, "\n"); !strings.Contains(text, part) {
			t.Errorf("the plan lacks %q:\n%s", part, text)
		}
	}
	if _, err := os.Stat(into); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a plan has made the folder: %v", err)
	}
	done, err := p.Run(ctx, nil)
	if err != nil || done.Proof.Reached <= record.End {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := l.Prepare(ctx, "", platform.RestorePoint{}, into); err == nil || !strings.Contains(err.Error(), "holds files") {
		t.Errorf("into the same folder again: %v", err)
	}
	wal := kit.Must[[]string](t)(filepath.Glob(filepath.Join(conf.Data, "vault", "feed", "wal", "*", "*")))
	kit.Check(t, os.Remove(wal[len(wal)-2])) // not the newest
	if _, err := l.Prepare(ctx, "", platform.RestorePoint{Latest: true}, into+"2"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("with a gap in the archive: %v", err)
	}
}
