package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
	"mainstay/test/platform/load"
	"mainstay/test/testbed"
)

// vaulted is a platform of three members whose agents keep backups in one folder, and an operator's check of them. plan is more of the
// cluster's plan.
func vaulted(t *testing.T, o testbed.Options, plan string) *trial {
	o.Members, o.Settings = 3, []string{"durability: {acks: 1}"}
	o.Backup = plan + `keep: 2, checks: [{name: posts, database: feed, sql: "SELECT count(*) > 0 FROM posts"}]`
	return begin(t, o)
}

// catalogue is what `mainstay backup list` knows of feed.
func (tr *trial) catalogue(t *testing.T) wire.Backups {
	t.Helper()
	out, err := tr.CLI(tr.ctx, "backup", "list", "feed", "--output", "json")
	tr.check(t, err)
	var all []wire.Backups
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return all[0]
}

// TestBackup: a backup is made and proven, WAL is archived over a failover, a table is dropped, and all that was acknowledged before comes
// back from the target; a copy that rots there is found.
func TestBackup(t *testing.T) {
	t.Parallel()
	tr := vaulted(t, testbed.Options{}, "")
	p := tr.primary(t)
	tr.says(t, 0, []string{"backup", "run", "feed", "--dry-run"}, "copies a full copy", "released to vault", "nothing was changed")
	tr.says(t, 0, []string{"backup", "run", "feed"}, "feed-b1 is good, and held by vault")
	b := tr.catalogue(t).Backups[0]
	if b.Verdict != platform.BackupGood || b.Member == p || b.End == 0 || len(b.Receipts) != 1 || len(b.Results) == 0 {
		t.Fatalf("the record is %+v", b)
	}
	tr.says(t, 0, []string{"backup", "show", "feed", "feed-b1"}, "good", "assertion posts", "feed/backup/feed-b1/base.tar.zst")

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	promoted, err := tr.WaitPrimary(tr.ctx, p)
	tr.check(t, err)
	tr.healthy(t)
	tr.judge()
	sql := func(text string) string {
		t.Helper()
		out, err := tr.SQL(tr.ctx, promoted, "feed", text)
		tr.check(t, err)
		return out
	}
	posts := sql("SELECT count(*) FROM posts")
	sql("SELECT pg_create_restore_point('before-drop')")
	sql("DROP TABLE posts CASCADE")
	tr.archived(t, promoted)

	tr.says(t, 0, []string{"restore", "feed", "--to", "before-drop", "--dry-run"}, "fetches feed-b1", "restore point before-drop",
		"no member is touched")
	tr.says(t, 1, []string{"restore", "feed", "--to", "latest"}, "posts") // the check: the table is not there
	tr.says(t, 3, []string{"restore", "feed", "--to", "0/100"}, "no good backup of feed was complete before that point")
	tr.says(t, 1, []string{"restore", "feed", "--to", "no-such-point"}, `there is no restore point "no-such-point"`)
	out, err := tr.CLI(tr.ctx, "restore", "feed", "--to", "before-drop")
	if tr.check(t, err); err != nil {
		t.Fatal(out)
	}
	if got := tr.inCopy(t, out, "SELECT count(*) FROM posts"); got != posts {
		t.Errorf("the copy has %s posts, and %s were acknowledged before the table was dropped", got, posts)
	}

	segments, err := filepath.Glob(filepath.Join(tr.Vault(), "feed", "wal", "00000001", "*.zst"))
	if tr.check(t, err); len(segments) == 0 {
		t.Fatal("no segment of the first timeline is archived")
	}
	lost := segments[len(segments)-1]
	tr.check(t, os.Remove(lost))
	tr.says(t, 1, []string{"backup", "verify", "feed"}, "to its own end", "the archive behind it is broken", filepath.Base(lost)[:24])
	tr.says(t, 0, []string{"backup", "list", "feed"}, "ArchiveGap", "good")

	tr.rots(t, filepath.Join(tr.Vault(), "feed", "backup", "feed-b1", "base.tar.zst"))
	tr.says(t, 1, []string{"backup", "verify", "feed", "--from", "vault"}, "feed-b1 from vault is not good")
	tr.says(t, 0, []string{"backup", "list", "feed"}, "BackupBad", "failed from vault")
	tr.says(t, 3, []string{"restore", "feed"}, "feed has no good backup")
	tr.says(t, 3, []string{"restore", "feed", "--backup", "feed-b1"}, "feed-b1 is bad", "operator's word")
}

// TestBackupEverythingLost: all controllers, agents and members are killed and their folders removed. What is left at the target brings
// every acknowledged post back, without a process and without a certificate of the platform.
func TestBackupEverythingLost(t *testing.T) {
	t.Parallel()
	tr := vaulted(t, testbed.Options{}, "")
	p := tr.primary(t)
	tr.says(t, 0, []string{"backup", "run", "feed"}, "feed-b1 is good, and held by vault")
	tr.says(t, 0, []string{"switchover", "feed", "--yes"}, "takes writes")
	promoted, err := tr.WaitPrimary(tr.ctx, p)
	tr.check(t, err)
	tr.healthy(t)
	tr.judge()
	tr.archived(t, promoted)
	tr.lost(t)

	file, into := filepath.Join(tr.Dir, "left.yaml"), filepath.Join(tr.Dir, "copy")
	text := "postgres: {user: " + testbed.Owner() + "}\nbackup: {staging: " + filepath.Join(tr.Dir, "staging") +
		", targets: {vault: {directory: " + tr.Vault() + "}}}\n"
	tr.check(t, os.WriteFile(file, []byte(text), 0o600))
	restore := func(more ...string) []string {
		return append([]string{"local", "restore", "feed", "-f", file, "--into", into}, more...)
	}
	tr.says(t, 0, restore("--to", "latest", "--dry-run"), "feed-b1 (taken from", "(the end of the archive)", "on timeline 2",
		"nothing was changed")
	tr.says(t, 3, restore("--to", "latest"), "no terminal to confirm on")
	tr.says(t, 1, restore("--to", "latest", "--from", "tape", "--yes"), "defines no target tape; it has vault")
	tr.says(t, 1, restore("--backup", "feed-b7", "--yes"), "has no backup feed-b7 of cluster feed; it has feed-b1")
	tr.says(t, 1, restore("--to", "0/100", "--yes"), "no good backup of feed at target vault was complete before that point")
	tr.says(t, 1, []string{"local", "restore", "mail", "-f", file, "--into", into}, "target vault has no backup of cluster mail")
	tr.says(t, 1, []string{"local", "restore", "feed", "-f", file, "--into", tr.Dir}, "holds files")
	if _, err := os.Stat(into); err == nil {
		t.Errorf("what was refused has made %s", into)
	}
	out, err := tr.CLI(tr.ctx, restore("--to", "latest", "--yes")...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ledger, err := load.OpenLedger(filepath.Join(tr.Dir, "ledger"))
	tr.check(t, err)
	defer ledger.Close()
	ids := ledger.IDs()
	there := tr.inCopy(t, out, "SELECT count(*) FROM posts WHERE id::text = ANY ('{"+strings.Join(ids, ",")+"}')")
	if want := strconv.Itoa(len(ids)); there != want || len(ids) == 0 {
		t.Errorf("the copy has %s of %s acknowledged posts", there, want)
	}
}

// lost kills everything, and removes the folders and certificates of all hosts.
func (tr *trial) lost(t *testing.T) {
	t.Helper()
	for _, h := range tr.Hosts {
		tr.check(t, tr.LoseSite(h.Site))
	}
	tr.check(t, tr.Wait(tr.ctx, "the end of what was killed", func() (bool, string) {
		for _, h := range tr.Hosts {
			if left := tr.OnHost(h.Name); len(left) > 0 {
				return false, fmt.Sprintf("%s has %v", h.Name, left)
			}
		}
		return true, ""
	}))
	for _, h := range tr.Hosts {
		dir := tr.AgentDir(h.Name)
		if h.Controller != "" {
			dir = filepath.Join(tr.Dir, "controller-"+h.Controller)
		}
		tr.check(t, os.RemoveAll(dir))
	}
	tr.check(t, os.RemoveAll(filepath.Join(tr.Dir, "etc")))
}

// archived waits until the target has all WAL that the primary has.
func (tr *trial) archived(t *testing.T, primary string) {
	t.Helper()
	out, err := tr.SQL(tr.ctx, primary, "postgres", "SELECT pg_current_wal_flush_lsn()")
	tr.check(t, err)
	wanted, err := platform.ParseLSN(out)
	tr.check(t, err)
	tr.check(t, tr.Wait(tr.ctx, "the archive to have "+out, func() (bool, string) {
		c := tr.catalogue(t)
		if c.Archive == nil {
			return false, "nobody archives: " + c.Waits
		}
		return max(c.Archive.Partial, c.Archive.Until) >= wanted && c.Archive.Timeline > 1, fmt.Sprintf("%+v", *c.Archive)
	}))
}

// rots turns a byte of a file around.
func (tr *trial) rots(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	tr.check(t, err)
	raw[len(raw)/2] ^= 0x40
	tr.check(t, os.WriteFile(file, raw, 0o600))
}

// programs is the folder of PostgreSQL's programs.
func (tr *trial) programs(t *testing.T) string {
	t.Helper()
	found, err := postgres.Find(tr.Binaries)
	tr.check(t, err)
	return found.Dir
}

var restoredTo = regexp.MustCompile(`stopped: (/\S+)`)

// inCopy starts the copy that a restore has left, asks it, and stops it.
func (tr *trial) inCopy(t *testing.T, said, question string) string {
	t.Helper()
	found := restoredTo.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("no path in %q", said)
	}
	programs := tr.programs(t)
	sockets := folder(t)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	tr.check(t, os.Chmod(sockets, 0o777))
	asOwner := func(name string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(tr.ctx, time.Minute)
		defer cancel()
		args = append([]string{filepath.Join(programs, name)}, args...)
		if os.Geteuid() == 0 {
			args = append([]string{"runuser", "-u", testbed.Owner(), "--"}, args...)
		}
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.WaitDelay = "/", time.Second
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	t.Cleanup(func() { asOwner("pg_ctl", "stop", "-m", "immediate", "-D", found[1]) }) //nolint:errcheck // it may have ended
	if out, err := asOwner("pg_ctl", "start", "-w", "-D", found[1], "-l", filepath.Join(sockets, "log"), "-o",
		"-c listen_addresses='' -c unix_socket_directories="+sockets+" -c archive_mode=off"); err != nil {
		log, _ := os.ReadFile(filepath.Join(sockets, "log"))
		t.Fatalf("the copy does not start: %v\n%s\n%s", err, out, log)
	}
	out, err := asOwner("psql", "-At", "-h", sockets, "-d", "feed", "-c", question)
	if err != nil {
		t.Fatalf("the copy does not answer: %v: %s", err, out)
	}
	return out
}

// checkpointed waits until the replicas have a checkpoint that is newer than all before: a copy of a replica begins at the last one that it
// has replayed, and PostgreSQL refuses an incremental one that begins before the end of its base.
func (tr *trial) checkpointed(t *testing.T) {
	t.Helper()
	p := tr.primary(t)
	_, err := tr.SQL(tr.ctx, p, "postgres", "CHECKPOINT")
	tr.check(t, err)
	at, err := tr.SQL(tr.ctx, p, "postgres", "SELECT pg_current_wal_flush_lsn()")
	tr.check(t, err)
	for _, h := range tr.Of(false) {
		if h.Member == p {
			continue
		}
		tr.check(t, tr.Wait(tr.ctx, h.Member+" to replay the checkpoint", func() (bool, string) {
			done, err := tr.SQL(tr.ctx, h.Member, "postgres", "SELECT pg_last_wal_replay_lsn() >= '"+at+"'")
			return done == "t", fmt.Sprint(done, err)
		}))
	}
}

// incrementals: between full backups only what has changed is copied, and what is restored has all. Where the server does not summarise its
// WAL it is a full one, and the record says why.
func incrementals(t *testing.T, binaries string) {
	tr := vaulted(t, testbed.Options{Binaries: binaries, Parameters: `{summarize_wal: "on"}`}, "every: 24h, full: 168h, ")
	tr.check(t, tr.Wait(tr.ctx, "the first backup", func() (bool, string) {
		c := tr.catalogue(t)
		return len(c.Backups) == 1 && c.Job == nil, fmt.Sprintf("%+v; %s", c.Backups, c.Waits)
	}))
	before, err := tr.SQL(tr.ctx, tr.primary(t), "feed", "SELECT count(*) FROM posts")
	tr.check(t, err)
	tr.checkpointed(t)
	tr.says(t, 0, []string{"backup", "run", "feed"}, "feed-b2 is good")
	all := tr.catalogue(t).Backups
	if full, part := all[0], all[1]; full.Verdict != platform.BackupGood || part.Base != "feed-b1" || part.WhyFull != "" ||
		part.FullSince != full.Began || part.Bytes >= full.Bytes {
		t.Fatalf("the catalogue is %+v", all)
	}
	tr.says(t, 0, []string{"backup", "verify", "feed"}, "feed-b2 was restored from vault")
	out, err := tr.CLI(tr.ctx, "restore", "feed", "--backup", "feed-b2")
	if tr.check(t, err); err != nil {
		t.Fatal(out)
	}
	if got := tr.inCopy(t, out, "SELECT count(*) >= "+before+" FROM posts"); got != "t" {
		t.Errorf("the copy has fewer posts than the %s that there were before its backup began", before)
	}
	for _, h := range tr.Of(false) {
		for _, text := range []string{"ALTER SYSTEM SET summarize_wal = off", "SELECT pg_reload_conf()"} {
			_, err := tr.SQL(tr.ctx, h.Member, "postgres", text)
			tr.check(t, err)
		}
	}
	tr.says(t, 0, []string{"backup", "run", "feed"}, "feed-b3 is good")
	if full := tr.catalogue(t).Backups[2]; full.Base != "" || !strings.Contains(full.WhyFull, "summarize_wal is off on "+full.Member) {
		t.Errorf("the third is %+v", full)
	}
}
