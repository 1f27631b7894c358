package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mainstay/test/damage"
	"mainstay/test/kit"
)

const stanzaName = "pgBackRest, stanza main"

// restBed is a source with pgBackRest.
type restBed struct {
	*bed
	all  []Backup
	repo Repository
	file string // of a relation in the source, and in each backup
}

// config writes a configuration with its own repository. What it says of restores is wrong for a scratch folder.
func (b *restBed) config(name, repo string) string {
	return b.write(name, fmt.Sprintf(`[global]
repo1-path=%[1]s
log-path=%[2]s/log
lock-path=%[2]s/lock
spool-path=%[2]s/spool
compress-type=none
start-fast=y
job-retry=0
repo1-retention-full=9
archive-async=y
log-level-console=info
[global:restore]
link-all=y
delta=y
recovery-option=recovery_end_command=/bin/false
tablespace-map=space=%[2]s/elsewhere
db-exclude=postgres
[main]
pg1-path=%[3]s
pg1-socket-path=%[4]s
`, repo, b.dir, b.source.Data, b.source.Dir))
}

func (b *restBed) open(config string) Repository {
	b.Helper()
	return kit.Must[Repository](b)(OpenPgBackRest(Config{Program: b.program, File: config, Name: "main", User: b.user}))
}

func newRestBed(t *testing.T) *restBed {
	b := &restBed{bed: newBed(t, "pgbackrest")}
	b.mkdir("repo", "log", "lock", "spool", "space", "elsewhere")
	config := b.config("conf", filepath.Join(b.dir, "repo"))
	b.repo = b.open(config)
	b.begin(fmt.Sprintf("%s --config=%s --no-archive-async --log-level-console=off --stanza=main archive-push %%p", b.program, config))
	return b
}

func TestPgBackRest(t *testing.T) {
	t.Parallel()
	b := newRestBed(t)
	_, err := b.repo.List(b.ctx)
	refused(t, err, stanzaName, ErrUnknown, "list the backups")
	b.run("--config="+filepath.Join(b.dir, "conf"), "--stanza=main", "stanza-create")
	if all, err := b.repo.List(b.ctx); err != nil || len(all) != 0 {
		t.Fatalf("of a new stanza: %+v, %v", all, err)
	}
	b.sql("CREATE TABLESPACE space LOCATION '"+filepath.Join(b.dir, "space")+"'",
		"CREATE TABLE t TABLESPACE space AS SELECT n FROM generate_series(1, 1000) n",
		"CREATE TABLE u AS SELECT n FROM generate_series(1, 1000) n")
	b.file = b.sql("SELECT pg_relation_filepath('u')")
	most := 0.0
	for n, kind := range []Kind{Full, Differential, Incremental} {
		made, err := b.repo.Take(b.ctx, Take{Kind: kind, Progress: func(p Progress) { most = max(most, p.Fraction) }})
		kit.Check(t, err)
		b.all = append(b.all, made)
		b.sql(fmt.Sprintf("INSERT INTO t SELECT generate_series(1, %d)", n+1))
	}
	b.archived()
	b.sql("INSERT INTO t VALUES (1)")
	b.archived()
	if most < 0.99 {
		t.Errorf("progress came to %g", most)
	}
	listed, err := b.repo.List(b.ctx)
	kit.Check(t, err)
	for n, l := range listed {
		a := b.all[n]
		if l.ID != a.ID || l.Start != a.Start || l.State != Done || l.Problem != "" || l.Kind != a.Kind || l.Size == 0 || l.Stored == 0 ||
			l.SystemID == "" || l.Stop <= l.Start || l.Timeline != 1 || l.Began.IsZero() || l.Ended.Before(l.Began) || l.Repo != 1 ||
			n > 0 && (l.Base != b.all[n-1].ID || !slices.Contains(l.Needs, b.all[0].ID)) {
			t.Errorf("backup %d: %+v, taken as %+v", n, l, a)
		}
	}
	t.Run("restores", b.restores)
	t.Run("damage", b.damage)
	t.Run("errors", b.errors)
	t.Run("timeline", func(t *testing.T) {
		b.newTimeline()
		b.archived()
		r, s := b.bed.restored(b.repo, Restore{ID: b.all[1].ID}, "")
		if n := b.count(s); n != "1008" || r.Timeline != 2 {
			t.Errorf("to the end of the archive it has %s rows, along timeline %d", n, r.Timeline)
		}
		r, s = b.bed.restored(b.repo, Restore{ID: b.all[1].ID, Timeline: 1}, "recovery_target_timeline = 1")
		if n := b.count(s); n != "1007" || r.Timeline != 1 {
			t.Errorf("along timeline 1 it has %s rows: %+v", n, r)
		}
	})
	t.Run("bad page", b.badPage)
}

func (b *restBed) restores(t *testing.T) {
	last := b.all[2]
	r, s := b.bed.restored(b.repo, Restore{ID: last.ID}, "")
	if n := b.count(s); n != "1007" {
		t.Errorf("to the end of the archive it has %s rows", n)
	}
	if len(r.Tablespaces) != 1 || r.Reaches < last.Stop || r.Timeline != 1 || r.SegmentSize != 16<<20 {
		t.Errorf("%+v", r)
	}
	for oid, at := range r.Tablespaces {
		if oid < 16384 || !strings.HasPrefix(at, filepath.Dir(r.Data)+"/tablespaces/") {
			t.Errorf("tablespace %d is in %s", oid, at)
		}
	}
	if there := kit.Must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(b.dir, "elsewhere"))); len(there) > 0 {
		t.Errorf("the configuration's own place for a tablespace has %v", there)
	}
	_, s = b.bed.restored(b.repo, Restore{ID: b.all[0].ID, Until: Until{Immediate: true}}, "recovery_target = immediate")
	if n := b.count(s); n != "1000" {
		t.Errorf("at the end of the first backup it has %s rows", n)
	}
	r, s = b.bed.restored(b.repo, Restore{ID: b.all[0].ID, Until: Until{LSN: last.Start}}, "recovery_target_lsn = '"+last.Start.String()+"'")
	if n := b.count(s); n != "1003" {
		t.Errorf("at the start of the last backup it has %s rows, with WAL from %s", n, r.Reaches)
	}
}

// damage: what breaks in the repository is found by Verify, by Restore, or by both.
func (b *restBed) damage(t *testing.T) {
	full, last := b.all[0], b.all[2]
	segment := func(repo, name string) string {
		return one(t, filepath.Join(repo, "archive/main/*/*/"+name+"-*"))
	}
	file := func(repo string) string { return filepath.Join(repo, "backup/main", full.ID, "pg_data", b.file) }
	later := segmentAt(1, uint64(last.Stop)/(16<<20)+1, 16<<20)
	for name, c := range map[string]struct {
		do      func(t *testing.T, repo string)
		found   string // by Verify, in Found or, if it begins with "+", in Later
		restore error  // to the end of the archive
	}{
		"a byte of a file": {func(t *testing.T, repo string) { flip(t, file(repo), 100) },
			b.file + " of backup " + full.ID + ": invalid checksum", ErrDamaged},
		"a file is short":     {func(t *testing.T, repo string) { kit.Check(t, os.Truncate(file(repo), 8192)) }, b.file, ErrDamaged},
		"a file is gone":      {func(t *testing.T, repo string) { kit.Check(t, os.Remove(file(repo))) }, "file missing", ErrDamaged},
		"a byte of a segment": {func(t *testing.T, repo string) { flip(t, segment(repo, later), 9000) }, "+segment " + later, ErrDamaged},
		"a segment is gone": {func(t *testing.T, repo string) { kit.Check(t, os.Remove(segment(repo, last.Last))) },
			last.Last, new(GapError)},
		"a later segment is gone": {func(t *testing.T, repo string) { kit.Check(t, os.Remove(segment(repo, later))) },
			"+lacks segment " + later, new(GapError)},
		"the manifest is gone": {func(t *testing.T, repo string) {
			for _, m := range kit.Must[[]string](t)(filepath.Glob(filepath.Join(repo, "backup/main", last.ID, "backup.manifest*"))) {
				kit.Check(t, os.Remove(m))
			}
		}, "has no manifest", ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			short := strings.ReplaceAll(name, " ", "")
			repo := b.copied("repo", "repo-"+short)
			c.do(t, repo)
			damaged := b.open(b.config("conf-"+short, repo))
			e, err := damaged.Verify(b.ctx, last.ID)
			kit.Check(t, err)
			want, isLater := strings.CutPrefix(c.found, "+")
			said := strings.Join(e.Found, "; ")
			if isLater {
				said = strings.Join(e.Later, "; ")
			}
			if wholeRepo := !newer(kit.Must[string](t)(damaged.Version(b.ctx)), 2, 50); !wholeRepo && name == "a byte of a segment" {
				want = "" // only the WAL of the backup itself is asked for there; Restore finds it
			}
			if (e.Verdict == Bad) == isLater || !strings.Contains(said, want) {
				t.Errorf("Verify: %+v", e)
			}
			_, err = damaged.Restore(b.ctx, Restore{ID: last.ID, Into: filepath.Join(b.dir, "r-"+short)})
			if gap := (*GapError)(nil); errors.As(err, &gap) {
				if _, wanted := c.restore.(*GapError); !wanted {
					t.Error(err)
				}
			} else {
				refused(t, err, stanzaName, c.restore, "restore "+last.ID)
			}
		})
	}
	e, err := b.repo.Verify(b.ctx, last.ID)
	if err != nil || e.Verdict != Good || len(e.Found)+len(e.Later) > 0 || len(e.Checked) < 2 {
		t.Errorf("of a repository without damage: %+v, %v", e, err)
	}
}

func (b *restBed) errors(t *testing.T) {
	_, err := b.open(filepath.Join(b.dir, "none.conf")).List(b.ctx)
	refused(t, err, stanzaName, ErrConfig, "none.conf")
	_, err = b.open(b.write("bad.conf", "[global]\nrepo1-path=relative\n")).List(b.ctx)
	refused(t, err, stanzaName, ErrConfig, "")
	_, err = b.repo.Restore(b.ctx, Restore{ID: "20200101-000000F", Into: filepath.Join(b.dir, "x")})
	refused(t, err, stanzaName, ErrNoBackup, "20200101-000000F")
	_, err = b.repo.Restore(b.ctx, Restore{ID: b.all[0].ID, Into: b.source.Data})
	refused(t, err, stanzaName, ErrScratch, "not empty")
	_, err = b.repo.Restore(b.ctx, Restore{ID: b.all[0].ID, Into: filepath.Join(b.dir, "x"), Until: Until{LSN: 1 << 40}})
	refused(t, err, stanzaName, ErrNotArchived, "")
	_, err = b.repo.Restore(b.ctx, Restore{ID: b.all[1].ID, Into: filepath.Join(b.dir, "x"), Until: Until{LSN: b.all[0].Start}})
	refused(t, err, stanzaName, ErrNoBackup, "older backup")
	_, err = b.repo.Restore(b.ctx, Restore{ID: b.all[0].ID, Into: filepath.Join(b.dir, "x"), Timeline: 7})
	refused(t, err, stanzaName, ErrNotArchived, "timeline 7")
	_, err = b.repo.Take(b.ctx, Take{Kind: "whole"})
	refused(t, err, stanzaName, ErrUnsupported, "whole")
	gone := kit.Must[Repository](t)(OpenPgBackRest(Config{Program: "/nowhere/pgbackrest", Name: "main"}))
	_, err = gone.List(b.ctx)
	refused(t, err, stanzaName, ErrNoProgram, "/nowhere/pgbackrest")

	for _, name := range []string{"main-backup.lock", "main-backup-1.lock"} { // of 2.45 and of newer ones
		lock := kit.Must[*os.File](t)(os.OpenFile(filepath.Join(b.dir, "lock", name), os.O_CREATE|os.O_RDWR, 0o640))
		defer lock.Close()
		kit.Check(t, lock.Chown(int(b.source.Owner.UID), int(b.source.Owner.GID)))
		kit.Check(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	}
	_, err = b.repo.Take(b.ctx, Take{Kind: Full})
	refused(t, err, stanzaName, ErrBusy, "another")
	if os.Geteuid() != 0 {
		return
	}
	kit.Check(t, os.Chmod(filepath.Join(b.dir, "repo"), 0o700))
	other := Config{Program: b.program, File: filepath.Join(b.dir, "conf"), Name: "main", User: "nobody"}
	_, err = kit.Must[Repository](t)(OpenPgBackRest(other)).List(b.ctx)
	refused(t, err, stanzaName, ErrUnreadable, "Permission denied")
}

// badPage: a page that was bad before the backup is in it. The restored folder has it, for a check of its pages.
func (b *restBed) badPage(t *testing.T) {
	b.sql("CHECKPOINT")
	kit.Check(t, b.source.Stop(b.ctx))
	d := kit.Must[damage.Data](t)(damage.Open(b.source.Data))
	kit.Check(t, d.Edit(b.file, 1, false, func(p []byte) { p[8000] ^= 0x55 }), b.source.Start(b.ctx))
	made, err := b.repo.Take(b.ctx, Take{Kind: Full})
	kit.Check(t, err)
	if !strings.Contains(made.Problem, b.file) {
		t.Errorf("%+v", made)
	}
	e, err := b.repo.Verify(b.ctx, made.ID)
	if err != nil || e.Verdict != Bad || !strings.Contains(e.Found[0], b.file) {
		t.Errorf("%+v, %v", e, err)
	}
	r, err := b.repo.Restore(b.ctx, Restore{ID: made.ID, Into: filepath.Join(b.dir, "bad"), Until: Until{Immediate: true}})
	kit.Check(t, err)
	was := kit.Must[[]byte](t)(os.ReadFile(filepath.Join(b.source.Data, b.file)))
	is := kit.Must[[]byte](t)(os.ReadFile(filepath.Join(r.Data, b.file)))
	if string(was[8192:2*8192]) != string(is[8192:2*8192]) {
		t.Error("the restored page is another")
	}
}
