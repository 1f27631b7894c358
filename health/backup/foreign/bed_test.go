package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/osuser"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

const patience = 15 * time.Minute // alone a test takes 20 s, but beside many others on two processors

// bed is a PostgreSQL whose backups one of the programs makes, all as one user.
type bed struct {
	*testing.T
	ctx     context.Context
	dir     string
	source  *damage.Server
	user    string // "" if we are no root
	program string
	restore int // counts the scratch folders
}

// need finds a program. The test is skipped where it is missing, unless MAINSTAY_NEED_BACKUP is set.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("MAINSTAY_NEED_BACKUP") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return path
}

// newBed makes the source, stopped, with checksums.
func newBed(t *testing.T, program string) *bed {
	t.Helper()
	b := &bed{T: t, ctx: kit.Context(t, patience), program: need(t, program)}
	b.dir = kit.Must[string](t)(os.MkdirTemp("", "msf"))
	kit.Check(t, os.Chmod(b.dir, 0o755))
	all, err := damage.Installations()
	if err != nil && os.Getenv("MAINSTAY_NEED_PG") == "" {
		t.Skip(err)
	}
	kit.Check(t, err)
	owner, err := damage.TestOwner()
	kit.Check(t, err, os.Chown(b.dir, int(owner.UID), int(owner.GID)))
	if os.Geteuid() == 0 {
		b.user = owner.Name
	}
	b.source, err = damage.NewServer(b.ctx, all[0], owner, filepath.Join(b.dir, "pg"))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
		defer cancel()
		if b.source != nil {
			kit.Check(t, b.source.Kill(ctx))
		}
		kit.Check(t, os.RemoveAll(b.dir))
	})
	kit.Check(t, err)
	return b
}

// begin starts the source with an archive.
func (b *bed) begin(command string) {
	b.Helper()
	f := kit.Must[*os.File](b)(os.OpenFile(filepath.Join(b.source.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0))
	_, err := fmt.Fprintf(f, "archive_mode = on\narchive_command = '%s'\n", command)
	kit.Check(b, err, f.Close(), b.source.Start(b.ctx))
}

// mkdir makes folders of the user below the bed's.
func (b *bed) mkdir(names ...string) {
	b.Helper()
	for _, name := range names {
		path := filepath.Join(b.dir, name)
		kit.Check(b, os.MkdirAll(path, 0o755), os.Chown(path, int(b.source.Owner.UID), int(b.source.Owner.GID)))
	}
}

// write writes a file that everybody may read.
func (b *bed) write(name, text string) string {
	b.Helper()
	path := filepath.Join(b.dir, name)
	kit.Check(b, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// run runs the program as the user, outside of the package's code.
func (b *bed) run(args ...string) {
	b.Helper()
	cmd := exec.CommandContext(b.ctx, b.program, args...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin", "HOME=" + b.dir, "LC_ALL=C"}
	o := b.source.Owner
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: osuser.User{UID: o.UID, GID: o.GID}.Credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

func (b *bed) sql(statements ...string) string {
	b.Helper()
	return kit.Must[string](b)(b.source.SQL(b.ctx, "postgres", statements...))
}

// archived ends the segment, and waits until it is in the archive.
func (b *bed) archived() {
	b.Helper()
	name := b.sql("SELECT pg_walfile_name(pg_switch_wal())")
	b.Run("archives "+name, func(t *testing.T) { // a name of its own in the output
		kit.Eventually(t, name+" to be archived", func() bool {
			last, err := b.source.SQL(b.ctx, "postgres", "SELECT coalesce(last_archived_wal, '') >= '"+name+"' FROM pg_stat_archiver")
			return err == nil && last == "t"
		})
	})
}

// restored restores, and starts a server on it that recovers along the WAL with the settings, and is promoted.
func (b *bed) restored(repo Repository, o Restore, settings string) (Restored, *damage.Server) {
	b.Helper()
	b.restore++
	o.Into = filepath.Join(b.dir, fmt.Sprintf("scratch%d", b.restore))
	r, err := repo.Restore(b.ctx, o)
	kit.Check(b, err)
	return r, b.start(r, settings)
}

// start recovers a restored backup to the end of its WAL, or as the settings say.
func (b *bed) start(r Restored, settings string) *damage.Server {
	b.Helper()
	b.restore++
	for _, name := range append(signals, "postmaster.pid") {
		if _, err := os.Lstat(filepath.Join(r.Data, name)); !errors.Is(err, fs.ErrNotExist) {
			b.Errorf("the restored data has %s: %v", name, err)
		}
	}
	o := b.source.Owner
	conf := filepath.Join(r.Data, "postgresql.auto.conf")
	text := kit.Must[[]byte](b)(os.ReadFile(conf))
	for _, word := range []string{"restore_command", "recovery_", "archive_mode"} {
		if strings.Contains(string(text), word) {
			b.Errorf("the restored settings are not the cluster's own:\n%s", text)
		}
	}
	signal := filepath.Join(r.Data, "recovery.signal")
	settings = fmt.Sprintf("%s\nrestore_command = 'cp %s/%%f %%p'\nrecovery_target_action = promote\n%s\n", text, r.WAL, settings)
	kit.Check(b, os.WriteFile(conf, []byte(settings), 0o600),
		os.WriteFile(signal, nil, 0o600), os.Chown(signal, int(o.UID), int(o.GID)), os.Chown(conf, int(o.UID), int(o.GID)))
	s, err := damage.Existing(b.source.Binaries, o, filepath.Join(b.dir, fmt.Sprintf("s%d", b.restore)), r.Data)
	kit.Check(b, err, s.Start(b.ctx, "archive_mode=off"))
	b.Cleanup(func() { kit.Check(b, s.Kill(context.Background())) })
	kit.Eventually(b, "the end of recovery", func() bool {
		in, err := s.SQL(b.ctx, "postgres", "SELECT pg_is_in_recovery()")
		return err == nil && in == "f"
	})
	return s
}

// newTimeline promotes the source once more, as a failover does, and adds a row on its new timeline.
func (b *bed) newTimeline() {
	b.Helper()
	kit.Check(b, b.source.Stop(b.ctx))
	signal, o := filepath.Join(b.source.Data, "recovery.signal"), b.source.Owner
	kit.Check(b, os.WriteFile(signal, nil, 0o600), os.Chown(signal, int(o.UID), int(o.GID)), b.source.Start(b.ctx, "restore_command=false"))
	kit.Eventually(b, "the promotion", func() bool {
		in, err := b.source.SQL(b.ctx, "postgres", "SELECT pg_is_in_recovery()")
		return err == nil && in == "f"
	})
	b.sql("INSERT INTO t VALUES (1)")
}

// count is the rows of the table that both tests fill.
func (b *bed) count(s *damage.Server) string {
	b.Helper()
	return kit.Must[string](b)(s.SQL(b.ctx, "postgres", "SELECT count(*) FROM t"))
}

// copied copies a folder, for a test that damages it.
func (b *bed) copied(from, to string) string {
	b.Helper()
	kit.Check(b, damage.CopyData(b.ctx, filepath.Join(b.dir, from), filepath.Join(b.dir, to)))
	return filepath.Join(b.dir, to)
}

// one is the only file that matches.
func one(t testing.TB, pattern string) string {
	t.Helper()
	all := kit.Must[[]string](t)(filepath.Glob(pattern))
	if len(all) != 1 {
		t.Fatalf("%s: %q", pattern, all)
	}
	return all[0]
}

// flip changes one byte of a file.
func flip(t testing.TB, path string, at int) {
	t.Helper()
	raw := kit.Must[[]byte](t)(os.ReadFile(path))
	raw[at] ^= 0x55
	kit.Check(t, os.WriteFile(path, raw, 0o600))
}

// refused checks an error: its reason, and that it is one line that begins with the repository.
func refused(t testing.TB, err error, of string, want error, says string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.HasPrefix(err.Error(), of+": ") || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), says) {
		t.Errorf("the error is %v; want %v, with %q", err, want, says)
	}
}
