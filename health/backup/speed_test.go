package backup

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/postgres"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

var (
	speedDir = flag.String("speed-dir", "/var/tmp", "where BenchmarkMake has its data: on a disk")
	speedMB  = flag.Int("speed-mb", 1024, "how much that is, in MB")
)

// BenchmarkMake compares a backup's own checks with the time of a plain pg_basebackup of the same server, and says how long each step took.
// From 17 on an incremental one follows each full one, after 2% of the rows have changed.
func BenchmarkMake(b *testing.B) {
	all, err := damage.Installations()
	if err != nil {
		b.Skip(err)
	}
	dir := kit.Must[string](b)(os.MkdirTemp(*speedDir, "mst"))
	defer os.RemoveAll(dir)
	kit.Check(b, os.Chmod(dir, 0o755))
	l := newLab(b, pg.Version{Programs: all[0], Owner: kit.Must[postgres.Owner](b)(damage.TestOwner()), Dir: dir})
	l.admin("ALTER SYSTEM SET jit = off")
	l.admin("SELECT pg_reload_conf()")
	rows := *speedMB << 20 / 120
	l.sql("CREATE TABLE big (id int, v text)", fmt.Sprintf("INSERT INTO big SELECT n, md5(n::text) || md5((n + 1)::text) "+
		"FROM generate_series(1, %d) n", rows), "VACUUM big", "CHECKPOINT")
	for n := 0; b.Loop(); n++ {
		plain := filepath.Join(l.source.Dir, "plain")
		began := time.Now()
		cmd := exec.CommandContext(b.Context(), filepath.Join(all[0].Dir, "pg_basebackup"), "-h", l.source.Dir, "-U", "postgres", "-c", "fast",
			"-D", plain, "-T", filepath.Join(l.source.Dir, "space")+"="+plain+"-space")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.source.Owner.Credential()}
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		took := time.Since(began)
		kit.Check(b, os.RemoveAll(plain), os.RemoveAll(plain+"-space"))
		o := l.order(fmt.Sprint("full", n), postsHold)
		o.Keep = true
		full := l.timed(b, o, took)
		if all[0].Major >= 17 {
			l.sql(fmt.Sprintf("UPDATE big SET v = reverse(v) WHERE id %% %d < %d", rows, rows/50), "CHECKPOINT")
			o := l.order(fmt.Sprint("inc", n), postsHold)
			o.Kind, o.Base = Incremental, full
			l.timed(b, o, took)
		}
	}
}

// timed makes a backup, and reports its steps.
func (l *lab) timed(b *testing.B, o Order, plain time.Duration) *Record {
	began := time.Now()
	r, err := l.engine.Make(b.Context(), o, nil)
	if err != nil || r.Proof.Verdict != Good {
		b.Fatalf("%v: %+v", err, r)
	}
	var own time.Duration
	text := fmt.Sprintf("%s of %d MB (%d MB packed): %.2f s; a plain pg_basebackup: %.2f s;", r.Kind, r.Size>>20, r.Packed>>20,
		time.Since(began).Seconds(), plain.Seconds())
	for _, s := range r.Proof.Steps {
		text += fmt.Sprintf(" %s %.2f", s.Name, s.Took.Seconds())
		switch s.Name {
		case StepManifest, StepInputs, StepCombine, StepRecover, StepStop, StepPages:
			own += s.Took
		}
	}
	b.Log(text)
	if r.Kind == Full {
		b.ReportMetric(own.Seconds()/plain.Seconds(), "checks/plain")
	}
	return r
}
