package postgres

import (
	"database/sql"
	"fmt"
	"mainstay/test/kit"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"mainstay/controller/pgdial"
)

// TestArchiver: what a server says about its archive while that refuses files, and once it takes them again. A standby, and a server
// without an archive, say nothing.
func TestArchiver(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	if got := mustStatus(t, a).Archiver; got != nil {
		t.Errorf("without an archive: %+v", got)
	}
	stop(t, a)
	conf := filepath.Join(a.Data, "postgresql.conf")
	before := content(t, conf)
	archive := func(mode, command string) {
		put(t, conf, before+"\narchive_mode = "+mode+"\narchive_command = '"+command+"'\n")
	}
	archive("on", "false")
	start(t, a, true)
	check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	eventually(t, "a failure", func() bool { at := mustStatus(t, a).Archiver; return at != nil && at.Failed != "" && at.Waiting > 0 })
	failed := *mustStatus(t, a).Archiver
	if failed.Segment != 16<<20 || failed.Kept < failed.Segment || len(failed.Failed) != 24 {
		t.Errorf("it says %+v", failed)
	}
	insert(t, a, 2)
	check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	if more := mustStatus(t, a).Archiver; more.Waiting <= failed.Waiting {
		t.Errorf("first %+v waited, then %+v", failed, more)
	}
	b, _ := newStandby(t, ca, "feed-w1", a)
	if got := mustStatus(t, b).Archiver; got != nil {
		t.Errorf("a standby's, with archive_mode = on: %+v", got)
	}
	archive("on", "true")
	check(t, a.Reload(ctx))
	check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	eventually(t, "the archive", func() bool {
		at := mustStatus(t, a).Archiver
		return at.Failed == "" && at.Waiting == 0 && at.Archived >= failed.Failed
	})
}

// TestCollations: a host whose library orders text otherwise than the primary has recorded says so, also on a standby, which has the
// primary's record. Before 15 the record is that of one collation, and this host need not have any of libc's but C.
func TestCollations(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	if a.Binaries.Major >= 15 {
		check(t, a.exec(ctx, "CREATE DATABASE app TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'"))
	}
	for _, i := range []*Server{a, b} {
		if got := mustStatus(t, i).Collations; len(got) > 0 {
			t.Errorf("%s made with its own libraries: %v", i.Member, got)
		}
	}
	want := Collation{Database: "app", Provider: "ICU", Recorded: "0.1"}
	if a.Binaries.Major >= 15 {
		check(t, a.exec(ctx, "UPDATE pg_database SET datcollversion = '0.1' WHERE datname = 'app'")) // as made on an older host
	} else {
		want = Collation{Database: "template1", Provider: "libc", Recorded: "0.1"}
		check(t, a.exec(ctx, "UPDATE pg_collation SET collversion = '0.1' WHERE collname = 'C'"))
		check(t, a.exec(ctx, "UPDATE pg_database SET datcollate = 'de_DE.UTF-8' WHERE datname = 'template1'"))
	}
	for _, i := range []*Server{a, b} {
		eventually(t, "the record on "+i.Member, func() bool { return len(mustStatus(t, i).Collations) > 0 })
		got := mustStatus(t, i).Collations
		if a.Binaries.Major >= 15 && got[0].Offered == "" {
			t.Errorf("%s does not say what its host has: %v", i.Member, got)
		}
		if got[0].Offered = ""; !slices.Equal(got, []Collation{want}) {
			t.Errorf("%s: %v, want %v", i.Member, got, want)
		}
	}
	if a.Binaries.Major >= 15 {
		check(t, a.exec(ctx, "ALTER DATABASE app REFRESH COLLATION VERSION"))
		for _, i := range []*Server{a, b} {
			eventually(t, "the new record on "+i.Member, func() bool { return len(mustStatus(t, i).Collations) == 0 })
		}
	}
}

// TestColumnCollations: a column, and an index, whose collation has another version than was recorded, in any database. A standby on a
// host with another ICU says so, while its primary has none; what only C orders, and what nobody uses, is not named.
func TestColumnCollations(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	in := func(database, statement string) {
		t.Helper()
		of := a.Local()
		of.Database = database
		check(t, pgdial.WithConn(ctx, of, func(c *sql.Conn) error { _, err := c.ExecContext(ctx, statement); return err }))
	}
	check(t, a.exec(ctx, "CREATE DATABASE app"))
	in("app", `CREATE TABLE public.names (plain text, c text COLLATE "C", german text COLLATE "de-x-icu", more text COLLATE "de-x-icu")`)
	in("app", `CREATE TABLE public.other (id int, name text)`)
	in("app", `CREATE INDEX by_name ON public.other (name COLLATE "fr-x-icu")`)
	in("app", `CREATE COLLATION public.mine (provider = icu, locale = 'de-DE'); COMMENT ON COLLATION public.mine IS 'of no column'`)
	end := mustStatus(t, a).Flush
	eventually(t, "the replay", func() bool { return mustStatus(t, b).Replay >= end })
	for _, i := range []*Server{a, b} {
		if got := must(i.ColumnCollations(ctx)); len(got) > 0 {
			t.Errorf("%s made with its own libraries: %+v", i.Member, got)
		}
	}

	stop(t, b)
	b.Binaries.Dir = withICU(t, b, 9)
	start(t, b, false)
	got := must(b.ColumnCollations(ctx))
	var of []string
	for _, c := range got {
		of = append(of, c.Of)
		if c.Database != "app" || c.Provider != "ICU" || c.Offered != "9.9.9.9" || c.Recorded == "" || c.Recorded == c.Offered {
			t.Errorf("%+v", c)
		}
	}
	want := []string{`collation pg_catalog."de-x-icu", as of public.names and 1 more`,
		`collation pg_catalog."fr-x-icu", as of public.by_name`}
	if !slices.Equal(of, want) {
		t.Errorf("%q, want %q", of, want)
	}
	if got := must(a.ColumnCollations(ctx)); len(got) > 0 {
		t.Errorf("the primary: %+v", got)
	}
	in("app", `UPDATE pg_collation SET collversion = '0.1' WHERE collname IN ('fr-x-icu', 'mine')`) // as made on an older host
	if got := must(a.ColumnCollations(ctx)); len(got) != 1 || got[0].Recorded != "0.1" || got[0].Of != want[1] {
		t.Errorf("the primary with an older record: %+v", got)
	}
	in("app", `ALTER COLLATION "fr-x-icu" REFRESH VERSION`)
	if got := must(a.ColumnCollations(ctx)); len(got) > 0 {
		t.Errorf("with a new record: %+v", got)
	}
}

// withICU is a folder of the server's programs, whose postgres has collations of another version of ICU.
func withICU(t *testing.T, i *Server, version int) string {
	t.Helper()
	dir := must(os.MkdirTemp("", "icu"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	program := filepath.Join(i.Binaries.Dir, "postgres")
	uses := string(must(exec.Command("ldd", program).Output()))
	m := regexp.MustCompile(`libicui18n\.so\.(\d+)`).FindStringSubmatch(uses)
	if m == nil {
		t.Skip("this PostgreSQL has no ICU")
	}
	source, lib := filepath.Join(dir, "icu.c"), filepath.Join(dir, "icu.so")
	check(t, os.WriteFile(source, fmt.Appendf(nil, "#include <string.h>\nvoid ucol_getVersion_%s(const void *c, unsigned char v[4]) "+
		"{ memset(v, %d, 4); }\n", m[1], version), 0o644))
	if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", lib, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return failing(t, i, "postgres", "LD_PRELOAD="+lib+" exec "+program+` "$@"`)
}

// TestStuckIOWorkers: a worker that is stopped is named once it has been for long, and no longer once it continues. A worker that waits
// for work sleeps.
func TestStuckIOWorkers(t *testing.T) {
	a := newPrimary(t, newAuthority(t), "feed-e1")
	workers := mustStatus(t, a).IOWorkers
	if a.Binaries.Major < 18 {
		if len(workers) > 0 {
			t.Errorf("this version has none, not %v", workers)
		}
		return
	}
	postmaster, _, _ := a.Running()
	var w IOWorkers
	if len(workers) < 2 || len(w.Stuck(postmaster, workers, 0)) > 0 || len(w.Stuck(postmaster, workers, stuckFor)) > 0 {
		t.Fatalf("%v: idle workers are stuck", workers)
	}
	pid := workers[0]
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	eventually(t, "its stop", func() bool { st, err := readStat(pid); return err == nil && st.state == "T" })
	if got := slices.Concat(w.Stuck(postmaster, workers, stuckFor), w.Stuck(postmaster, workers, 2*stuckFor-1)); len(got) > 0 {
		t.Errorf("too early: %v", got)
	}
	if got := w.Stuck(postmaster, workers, 2*stuckFor); len(got) != 1 || !strings.HasSuffix(got[0], "(stopped)") {
		t.Errorf("%v", got)
	}
	if got := w.Stuck(os.Getpid(), workers, 3*stuckFor); len(got) > 0 {
		t.Errorf("not this postmaster's: %v", got)
	}
	check(t, syscall.Kill(pid, syscall.SIGCONT))
	eventually(t, "its sleep", func() bool { st, err := readStat(pid); return err == nil && st.state == "S" })
	if got := slices.Concat(w.Stuck(postmaster, workers, 4*stuckFor), w.Stuck(postmaster, workers, 5*stuckFor)); len(got) > 0 {
		t.Errorf("it continues: %v", got)
	}
}

// TestReplicaDiskFull: a replica whose disk has no room for WAL receives nothing, and tries again and again. The disk is named, and with
// room it streams again: nothing is restarted or copied for it.
func TestReplicaDiskFull(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	stop(t, b)
	wal, was := filepath.Join(b.Data, "pg_wal"), filepath.Join(filepath.Dir(b.Data), "wal")
	check(t, os.Rename(wal, was))
	check(t, os.Mkdir(wal, 0o700))
	if err := unix.Mount("none", wal, "tmpfs", 0, "size=120m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(wal, unix.MNT_DETACH)) })
	check(t, os.CopyFS(wal, os.DirFS(was)))
	check(t, filepath.WalkDir(wal, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, int(b.Owner.UID), int(b.Owner.GID))
	}))
	start(t, b, false)
	streams(t, b)
	if full, err := b.Full(); err != nil || len(full) > 0 {
		t.Errorf("with room: %v, %v", full, err)
	}
	took := counted(t, a, b)
	check(t, b.exec(ctx, "SELECT pg_wal_replay_pause()")) // what is not replayed is not removed
	check(t, a.exec(ctx, "CREATE TABLE public.wide AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 150000) AS n"))
	eventually(t, "a file that has no room", func() bool { return strings.Contains(content(t, b.Log), "No space left on device") })
	if full, err := b.Full(); err != nil || len(full) != 1 || !strings.HasPrefix(full[0], wal+" (") {
		t.Errorf("without room: %v, %v", full, err)
	}
	postmaster, _, _ := b.Running()
	check(t, unix.Mount("none", wal, "tmpfs", unix.MS_REMOUNT, "size=800m"))
	check(t, b.exec(ctx, "SELECT pg_wal_replay_resume()")) // a receiver is asked for by what replays
	end := mustStatus(t, a).Flush
	eventually(t, "the rest of the WAL", func() bool { return mustStatus(t, b).Receive >= end })
	if now, _, _ := b.Running(); now != postmaster {
		t.Error("it has ended")
	}
	took("the full disk", kit.Work{})
	if full, err := b.Full(); err != nil || len(full) > 0 {
		t.Errorf("with room again: %v, %v", full, err)
	}
	kill(t, b)
}
