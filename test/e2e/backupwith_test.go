package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/test/testbed"
)

// otherProgram is another program that makes backups, on a platform whose members archive to it.
type otherProgram struct {
	*trial
	path string // of the program
	dir  string // for its configuration and repository
	with platform.BackupWith
	conf []string // arguments that name its configuration
}

// otherBackups starts a platform whose backups another program makes. archive is its archive_command, given the program and the folder.
func otherBackups(t *testing.T, with platform.BackupWith, config func(o *otherProgram, data, sockets []string) string,
	archive func(o *otherProgram) string) *otherProgram {
	path, err := exec.LookPath(with.Program)
	if err != nil {
		if os.Getenv("MAINSTAY_NEED_BACKUP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	o := &otherProgram{path: path, dir: folder(t), with: with}
	t.Cleanup(func() { os.RemoveAll(o.dir) })
	file := filepath.Join(o.dir, "conf")
	opts := testbed.Options{Dir: folder(t), AgentLines: []string{fmt.Sprintf("backup: {%s: {config: %s, user: %s}}", with.Program, file,
		testbed.Owner())}, Parameters: fmt.Sprintf("{archive_mode: \"on\", archive_command: %q}", archive(o)),
		Settings: []string{fmt.Sprintf(`backup: {with: {%s: %s}, checks: [{name: posts, database: feed, sql: "SELECT count(*) > 0 FROM posts"}]}`,
			with.Program, with.Name)}}
	o.trial = build(t, opts)
	var data, sockets []string
	for _, h := range o.Of(false) {
		data, sockets = append(data, o.Data(h.Member)), append(sockets, o.Socket(h.Member))
	}
	o.check(t, os.WriteFile(file, []byte(config(o, data, sockets)), 0o644))
	o.must(o.Start(o.ctx))
	o.clients()
	return o
}

// mkdir makes folders of PostgreSQL's user in the program's.
func (o *otherProgram) mkdir(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range append([]string{"."}, names...) {
		path := filepath.Join(o.dir, name)
		o.check(t, os.MkdirAll(path, 0o755), os.Chmod(path, 0o755))
		if os.Geteuid() == 0 {
			o.check(t, exec.CommandContext(o.ctx, "chown", testbed.Owner(), path).Run())
		}
	}
}

// does runs the program as PostgreSQL's user, beside Mainstay.
func (o *otherProgram) does(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(o.ctx, 2*time.Minute)
	defer cancel()
	args = append(append([]string{o.path}, o.conf...), args...)
	if os.Geteuid() == 0 {
		args = append([]string{"runuser", "-u", testbed.Owner(), "--"}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// proven: a backup that the program has made on its own enters the catalogue and is proven; one is ordered, restored, and found when it
// rots.
func (o *otherProgram) proven(t *testing.T, folderOf func(label string) string) {
	first := ""
	o.check(t, o.Wait(o.ctx, "the program's own backup to be in the catalogue", func() (bool, string) {
		c := o.catalogue(t)
		if len(c.Backups) == 1 && c.Backups[0].Verdict == platform.BackupUnverified {
			first = c.Backups[0].Foreign.Label
		}
		return first != "", fmt.Sprintf("%+v; %s", c.Backups, c.Waits)
	}))
	o.says(t, 3, []string{"restore", "feed", "--backup", "feed-b1"}, "feed-b1 is unverified")
	o.says(t, 0, []string{"backup", "verify", "feed"}, "feed-b1 was restored from "+o.with.Program, "the end of the archive")
	o.says(t, 0, []string{"backup", "run", "feed"}, "feed-b2 is good: it is ")
	c := o.catalogue(t)
	second := c.Backups[len(c.Backups)-1]
	if len(c.Backups) != 2 || c.Backups[0].Verdict != platform.BackupGood || second.Foreign.Label <= first || second.End <= c.Backups[0].End ||
		len(second.Results) == 0 {
		t.Fatalf("the catalogue is %+v", c.Backups)
	}
	o.says(t, 0, []string{"backup", "show", "feed", "feed-b2"}, second.Foreign.Label, "assertion posts")
	o.says(t, 3, []string{"backup", "drop", "feed", "feed-b1", "--yes"}, o.with.Expire(first))
	o.says(t, 1, []string{"restore", "feed", "--to", "2026-01-01T00:00:00Z", "--backup", "feed-b2"}, "name an LSN, or latest")
	posts, err := o.SQL(o.ctx, o.primary(t), "feed", "SELECT count(*) FROM posts")
	o.check(t, err)
	out, err := o.CLI(o.ctx, "restore", "feed")
	if o.check(t, err); err != nil {
		t.Fatal(out)
	}
	if got := o.inCopy(t, out, "SELECT count(*) > 0 FROM posts"); got != "t" {
		t.Errorf("the copy has no posts, and the primary has %s", posts)
	}
	o.rots(t, largest(t, folderOf(second.Foreign.Label)))
	o.says(t, 1, []string{"backup", "verify", "feed"}, "feed-b2 from "+o.with.Program+" is not good")
	o.says(t, 0, []string{"backup", "list", "feed"}, "BackupBad", "failed from "+o.with.Program)
}

// largest is the largest file below a folder.
func largest(t *testing.T, dir string) (path string) {
	t.Helper()
	most := int64(0)
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err == nil && info.Size() > most {
			path, most = p, info.Size()
		}
		return nil
	})
	if err != nil || path == "" {
		t.Fatalf("no file in %s: %v", dir, err)
	}
	return path
}

func TestBackupPgBackRest(t *testing.T) {
	t.Parallel()
	with := platform.BackupWith{Program: platform.PgBackRest, Name: "main"}
	o := otherBackups(t, with, func(o *otherProgram, data, sockets []string) string {
		o.mkdir(t, "repo", "log", "lock", "spool")
		text := fmt.Sprintf("[global]\nrepo1-path=%[1]s/repo\nlog-path=%[1]s/log\nlock-path=%[1]s/lock\nspool-path=%[1]s/spool\n"+
			"compress-type=none\nstart-fast=y\nrepo1-retention-full=9\n", o.dir)
		o.check(t, os.WriteFile(filepath.Join(o.dir, "push"), []byte(text), 0o644))
		text += "[main]\n"
		for n := range data {
			text += fmt.Sprintf("pg%[1]d-path=%[2]s\npg%[1]d-socket-path=%[3]s\n", n+1, data[n], sockets[n])
		}
		return text
	}, func(o *otherProgram) string {
		return fmt.Sprintf(`%s --config=%s/push --stanza=main --pg1-path="$PWD" --log-level-console=off archive-push %%p`, o.path, o.dir)
	})
	o.conf = []string{"--config=" + filepath.Join(o.dir, "conf"), "--stanza=main"}
	o.does(t, "stanza-create")
	o.does(t, "backup", "--type=full")
	o.proven(t, func(label string) string { return filepath.Join(o.dir, "repo/backup/main", label, "pg_data/base") })
}

func TestBackupBarman(t *testing.T) {
	t.Parallel()
	o := otherBackups(t, platform.BackupWith{Program: platform.Barman, Name: "main"}, func(o *otherProgram, _, sockets []string) string {
		o.mkdir(t, "home", "lock", "log", "none", "home/main", "home/main/incoming")
		return fmt.Sprintf(`[barman]
barman_user = %[1]s
barman_home = %[2]s/home
barman_lock_directory = %[2]s/lock
log_file = %[2]s/log/barman.log
configuration_files_directory = %[2]s/none
[main]
description = main
conninfo = host=%[3]s user=postgres dbname=postgres target_session_attrs=read-write
streaming_conninfo = host=%[3]s user=postgres target_session_attrs=read-write
backup_method = postgres
immediate_checkpoint = true
archiver = on
path_prefix = %[4]s
`, testbed.Owner(), o.dir, strings.Join(sockets, ","), o.programs(t))
	}, func(o *otherProgram) string { return fmt.Sprintf("cp %%p %s/home/main/incoming/%%f", o.dir) })
	o.conf = []string{"-c", filepath.Join(o.dir, "conf")}
	for _, h := range o.Of(false) { // a local session for replication is the user's to allow
		hba, err := os.OpenFile(filepath.Join(o.Data(h.Member), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
		o.check(t, err)
		_, err = hba.WriteString("local replication postgres peer map=mainstay\n")
		o.check(t, err, hba.Close())
		_, err = o.SQL(o.ctx, h.Member, "postgres", "SELECT pg_reload_conf()")
		o.check(t, err)
	}
	name, err := o.SQL(o.ctx, o.primary(t), "postgres", "SELECT pg_walfile_name(pg_switch_wal())")
	o.check(t, err)
	o.check(t, o.Wait(o.ctx, name+" to be archived", func() (bool, string) {
		_, err := os.Stat(filepath.Join(o.dir, "home/main/incoming", name))
		return err == nil, fmt.Sprint(err)
	}))
	o.does(t, "archive-wal", "main")
	o.does(t, "backup", "--wait", "main")
	first := o.Of(false)[0].Name // an agent lists every 5 minutes, and when it begins
	o.check(t, o.Kill("agent "+first, syscall.SIGTERM), o.StartAgent(first))
	o.proven(t, func(label string) string { return filepath.Join(o.dir, "home/main/base", label, "data/base") })
}
