package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/test/damage"
	"mainstay/test/kit"
)

const serverName = "Barman, server main"

// barmanBed is a source with Barman.
type barmanBed struct {
	*bed
	all  []Backup
	repo Repository
	file string // of a relation
}

func (b *barmanBed) config(name, home string) string {
	user := b.source.Owner.Name
	return b.write(name, fmt.Sprintf(`[barman]
barman_user = %[1]s
barman_home = %[2]s
barman_lock_directory = %[3]s/lock
log_file = %[3]s/log/barman.log
configuration_files_directory = %[3]s/none
[main]
description = main
conninfo = host=%[4]s user=postgres dbname=postgres
streaming_conninfo = host=%[4]s user=postgres
backup_method = postgres
immediate_checkpoint = true
archiver = on
path_prefix = %[5]s
`, user, home, b.dir, b.source.Dir, b.source.Binaries.Dir))
}

func (b *barmanBed) open(config string) Repository {
	b.Helper()
	return kit.Must[Repository](b)(OpenBarman(Config{Program: b.program, File: config, Name: "main", User: b.user}))
}

func newBarmanBed(t *testing.T) *barmanBed {
	b := &barmanBed{bed: newBed(t, "barman")}
	b.mkdir("home", "lock", "log", "none", "space", "home/main", "home/main/incoming")
	b.repo = b.open(b.config("conf", filepath.Join(b.dir, "home")))
	b.begin("cp %p " + filepath.Join(b.dir, "home/main/incoming/%f"))
	return b
}

// kept has what was archived put where Barman keeps it.
func (b *barmanBed) kept() {
	b.Helper()
	b.archived()
	b.run("-c", filepath.Join(b.dir, "conf"), "archive-wal", "main")
}

func TestBarman(t *testing.T) {
	t.Parallel()
	b := newBarmanBed(t)
	if all, err := b.repo.List(b.ctx); err != nil || len(all) != 0 {
		t.Fatalf("of a new server: %+v, %v", all, err)
	}
	b.sql("CREATE TABLESPACE space LOCATION '"+filepath.Join(b.dir, "space")+"'",
		"CREATE TABLE t TABLESPACE space AS SELECT n FROM generate_series(1, 1000) n",
		"CREATE TABLE u AS SELECT n FROM generate_series(1, 1000) n")
	b.file = b.sql("SELECT pg_relation_filepath('u')")
	if !newer(kit.Must[string](t)(b.repo.Version(b.ctx)), 3, 11) { // later ones do not insist
		_, err := b.repo.Take(b.ctx, Take{Kind: Full})
		refused(t, err, serverName, ErrFailed, "WAL archive (please make sure WAL shipping is setup)")
	}
	b.kept()
	lines := 0
	for range 2 {
		made, err := b.repo.Take(b.ctx, Take{Kind: Full, Progress: func(Progress) { lines++ }})
		kit.Check(t, err)
		b.all = append(b.all, made)
		b.sql("INSERT INTO t VALUES (1)")
	}
	b.kept()
	b.sql("INSERT INTO t VALUES (1)")
	b.kept()
	if lines == 0 {
		t.Error("no progress was told")
	}
	listed, err := b.repo.List(b.ctx)
	kit.Check(t, err)
	for n, l := range listed {
		if a := b.all[n]; l.ID != a.ID || l.State != Done || l.Kind != Full || l.Base != "" || l.Size == 0 || l.Stop <= l.Start ||
			l.Timeline != 1 || l.Began.IsZero() || l.Ended.Before(l.Began) {
			t.Errorf("backup %d: %+v, taken as %+v", n, l, a)
		}
	}
	t.Run("restores", b.restores)
	t.Run("damage", b.damage)
	t.Run("errors", b.errors)
	t.Run("timeline", func(t *testing.T) {
		b.newTimeline()
		b.kept()
		r, s := b.bed.restored(b.repo, Restore{ID: b.all[0].ID}, "")
		if n := b.count(s); n != "1004" || r.Timeline != 2 {
			t.Errorf("to the end of the archive it has %s rows, along timeline %d", n, r.Timeline)
		}
	})
	t.Run("bad page", b.badPage)
}

func (b *barmanBed) restores(t *testing.T) {
	r, s := b.bed.restored(b.repo, Restore{ID: b.all[0].ID}, "")
	if n := b.count(s); n != "1003" {
		t.Errorf("to the end of the archive it has %s rows", n)
	}
	if len(r.Tablespaces) != 1 || r.Reaches < b.all[1].Stop || r.Timeline != 1 || r.SegmentSize != 16<<20 {
		t.Errorf("%+v", r)
	}
	manifest := kit.Must[[]byte](t)(os.ReadFile(r.Manifest))
	if !strings.Contains(string(manifest), `"`+b.file+`"`) {
		t.Error("the manifest is another")
	}
	_, s = b.bed.restored(b.repo, Restore{ID: b.all[0].ID, Until: Until{Immediate: true}}, "recovery_target = immediate")
	if n := b.count(s); n != "1000" {
		t.Errorf("at the end of the first backup it has %s rows", n)
	}
	e, err := b.repo.Verify(b.ctx, b.all[0].ID)
	if err != nil || e.Verdict != Good || len(e.Found)+len(e.Later) > 0 || len(e.Checked) != 3 {
		t.Errorf("of a backup without damage: %+v, %v", e, err)
	}
}

// damage: what breaks in the repository is found by Verify, by Restore, or by both. Nothing of it changes Barman's catalogue.
func (b *barmanBed) damage(t *testing.T) {
	first, last := b.all[0], b.all[1]
	segment := func(home, name string) string { return filepath.Join(home, "main/wals", name[:16], name) }
	file := func(home string) string { return filepath.Join(home, "main/base", first.ID, "data", b.file) }
	for name, c := range map[string]struct {
		do           func(t *testing.T, home string)
		found, later []string // by Verify
		restore      string   // the error to the end of the archive
	}{
		"byte": {func(t *testing.T, home string) {
			flip(t, file(home), 100)
			kit.Check(t, os.Remove(segment(home, last.Last)))
		}, []string{`checksum mismatch for file "` + b.file}, []string{"lacks segment " + last.Last}, "lacks segment " + last.Last},
		"short": {func(t *testing.T, home string) {
			kit.Check(t, os.Truncate(file(home), 100), os.Remove(segment(home, first.Last)))
		}, []string{first.Last, "has size 100 on disk"}, nil, "lacks segment " + first.Last},
	} {
		t.Run(name, func(t *testing.T) {
			home := b.copied("home", "home-"+name)
			c.do(t, home)
			damaged := b.open(b.config("conf-"+name, home))
			e, err := damaged.Verify(b.ctx, first.ID)
			kit.Check(t, err)
			if e.Verdict != Bad || len(e.Found) != len(c.found) || len(e.Later) != len(c.later) {
				t.Errorf("Verify: %+v", e)
			}
			for _, want := range append(c.found, c.later...) {
				if !strings.Contains(strings.Join(append(e.Found, e.Later...), "; "), want) {
					t.Errorf("Verify does not say %q: %+v", want, e)
				}
			}
			_, err = damaged.Restore(b.ctx, Restore{ID: first.ID, Into: filepath.Join(b.dir, "r-"+name)})
			if gap := (*GapError)(nil); !errors.As(err, &gap) || !strings.Contains(err.Error(), c.restore) {
				t.Errorf("Restore: %v", err)
			}
			if now, err := damaged.List(b.ctx); err != nil || now[0].State != Done {
				t.Errorf("afterwards: %+v, %v", now, err)
			}
		})
	}
	// A restore alone compares no file with its manifest: the restored copy has the byte, for the check that follows.
	repo := b.open(b.config("conf-again", filepath.Join(b.dir, "home-byte")))
	r, err := repo.Restore(b.ctx, Restore{ID: first.ID, Into: filepath.Join(b.dir, "again"), Until: Until{Immediate: true}})
	kit.Check(t, err)
	was := kit.Must[[]byte](t)(os.ReadFile(file(filepath.Join(b.dir, "home-byte"))))
	if is, err := os.ReadFile(filepath.Join(r.Data, b.file)); err != nil || string(is) != string(was) {
		t.Errorf("the restored file is another: %v", err)
	}
}

func (b *barmanBed) errors(t *testing.T) {
	conf, into := filepath.Join(b.dir, "conf"), filepath.Join(b.dir, "x")
	_, err := b.open(filepath.Join(b.dir, "none.conf")).List(b.ctx)
	refused(t, err, serverName, ErrConfig, "none.conf")
	other := kit.Must[Repository](t)(OpenBarman(Config{Program: b.program, File: conf, Name: "other", User: b.user}))
	_, err = other.List(b.ctx)
	refused(t, err, "Barman, server other", ErrUnknown, "other")
	_, err = b.repo.Restore(b.ctx, Restore{ID: "20200101T000000", Into: into})
	refused(t, err, serverName, ErrNoBackup, "20200101T000000")
	_, err = b.repo.Restore(b.ctx, Restore{ID: b.all[0].ID, Into: b.source.Data})
	refused(t, err, serverName, ErrScratch, "not empty")
	for _, take := range []Take{{Kind: Differential}, {Kind: Incremental}, {Kind: Full, Base: b.all[0].ID}} {
		_, err = b.repo.Take(b.ctx, take)
		refused(t, err, serverName, ErrUnsupported, "")
	}
	if version := kit.Must[string](t)(b.repo.Version(b.ctx)); !newer(version, 3, 11) {
		_, err = b.repo.Take(b.ctx, Take{Kind: Incremental, Base: b.all[0].ID})
		refused(t, err, serverName, ErrUnsupported, "3.11")
	}
	lock := kit.Must[*os.File](t)(os.OpenFile(filepath.Join(b.dir, "lock/.main-backup.lock"), os.O_CREATE|os.O_RDWR, 0o600))
	defer lock.Close()
	kit.Check(t, lock.Chown(int(b.source.Owner.UID), int(b.source.Owner.GID)))
	kit.Check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	_, err = b.repo.Take(b.ctx, Take{Kind: Full})
	refused(t, err, serverName, ErrBusy, "Another")
	if os.Geteuid() != 0 {
		return
	}
	wrong := kit.Must[Repository](t)(OpenBarman(Config{Program: b.program, File: conf, Name: "main", User: "nobody"}))
	_, err = wrong.List(b.ctx)
	refused(t, err, serverName, ErrUser, b.user)
	if _, err = OpenBarman(Config{Program: b.program, Name: "main", User: "no-such-user"}); err == nil {
		t.Error("a user that does not exist")
	}
}

// badPage: Barman makes no backup of a bad page, because pg_basebackup does not.
func (b *barmanBed) badPage(t *testing.T) {
	b.sql("CHECKPOINT")
	kit.Check(t, b.source.Stop(b.ctx))
	d := kit.Must[damage.Data](t)(damage.Open(b.source.Data))
	kit.Check(t, d.Edit(b.file, 1, false, func(p []byte) { p[8000] ^= 0x55 }), b.source.Start(b.ctx))
	_, err := b.repo.Take(b.ctx, Take{Kind: Full})
	refused(t, err, serverName, ErrFailed, "checksum error")
	all, err := b.repo.List(b.ctx)
	kit.Check(t, err)
	failed := all[len(all)-1]
	if failed.State != Failed || failed.Problem == "" {
		t.Errorf("%+v", failed)
	}
	if e, err := b.repo.Verify(b.ctx, failed.ID); err != nil || e.Verdict != Bad {
		t.Errorf("%+v, %v", e, err)
	}
	_, err = b.repo.Restore(b.ctx, Restore{ID: failed.ID, Into: filepath.Join(b.dir, "bad")})
	refused(t, err, serverName, ErrNoBackup, "failed")
}
