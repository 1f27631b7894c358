package backup

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/fencing/process"
	"mainstay/health/backup/target"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// childEnv tells the test's program to do a part of a test in a process of its own: which, where, and with which programs.
const childEnv = "MAINSTAY_TEST_BACKUP_CHILD"

// child starts the program for a part, as PostgreSQL's user if asked.
func (l *lab) child(part string, asOwner bool, arguments ...string) (*exec.Cmd, io.Reader) {
	l.t.Helper()
	program := filepath.Join(l.dir, "child") // the test's own folder is closed to other users
	if _, err := os.Stat(program); err != nil {
		kit.Check(l.t, os.WriteFile(program, kit.Must[[]byte](l.t)(os.ReadFile("/proc/self/exe")), 0o755))
	}
	cmd := exec.Command(program, "-test.run", "^TestChild$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(append([]string{part, l.dir, l.source.Binaries.Dir}, arguments...), "|"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if asOwner {
		cmd.SysProcAttr.Credential = l.source.Owner.Credential()
		own := filepath.Join(l.dir, "own")
		kit.Check(l.t, os.MkdirAll(own, 0o755), os.Chown(own, int(l.source.Owner.UID), int(l.source.Owner.GID)))
	}
	out := kit.Must[io.ReadCloser](l.t)(cmd.StdoutPipe())
	kit.Check(l.t, cmd.Start())
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	l.t.Cleanup(func() { late.Stop() })
	return cmd, out
}

// TestChild is the other process.
func TestChild(t *testing.T) {
	args := strings.Split(os.Getenv(childEnv), "|")
	if len(args) < 3 {
		t.Skip("for other tests only")
	}
	l := &lab{t: t, dir: args[1], source: &damage.Server{Binaries: kit.Must[postgres.Binaries](t)(postgres.Find(args[2])),
		Owner: kit.Must[postgres.Owner](t)(damage.TestOwner()), Dir: filepath.Join(args[1], "p"), Data: filepath.Join(args[1], "p", "data")}}
	staging := filepath.Join(l.dir, "st")
	if os.Geteuid() != 0 {
		staging = filepath.Join(l.dir, "own", "st")
		l.vaultAt = filepath.Join(l.dir, "own", "vault")
		kit.Check(t, os.MkdirAll(l.vaultAt, 0o700))
		l.vault = kit.Must[target.Target](t)(target.Open("vault", target.Config{Directory: l.vaultAt}))
	}
	l.engine = &Engine{Staging: staging, Server: l.server(l.source), Limits: Limits{Nice: 1}}
	parts := map[string]func(*lab, []string){"killed": (*lab).beKilled, "copying": (*lab).beKilledCopying,
		"restoring": (*lab).beKilledRestoring, "backup": (*lab).ownBackup, "restore": (*lab).ownRestore}
	parts[args[0]](l, args[3:])
}

// sleep is asked for until the process is killed.
var sleep = []Assertion{{Name: "sleep", Database: "postgres", SQL: "SELECT pg_sleep(300) IS NULL"}}

func printed(p Progress) { fmt.Println("step", p.Step) }

func (l *lab) beKilled([]string) {
	_, err := l.engine.Make(l.t.Context(), Order{ID: "killed", Cluster: "feed", Kind: Full, Checks: sleep}, printed)
	l.t.Error("it was not killed:", err)
}

// beKilledCopying copies 32 kB a second.
func (l *lab) beKilledCopying([]string) {
	_, err := l.engine.Make(l.t.Context(), Order{ID: "copying", Cluster: "feed", Kind: Full, Rate: 1}, printed)
	l.t.Error("it was not killed:", err)
}

func (l *lab) beKilledRestoring(args []string) {
	vault := kit.Must[target.Target](l.t)(target.Open("vault", target.Config{Directory: filepath.Join(l.dir, "vault")}))
	_, err := l.engine.Restore(l.t.Context(), Restoration{Cluster: "feed", ID: "good", From: vault, Checks: sleep}, args[0], printed)
	l.t.Error("it was not killed:", err)
}

// killed: when the agent is killed amid a check, the scratch instance ends with it, and the next run or a sweep removes what is left. So it
// is where the agent is not root, and the instance has no processes of its own.
func (l *lab) killed() {
	copied := func(staging string) string { return filepath.Join(staging, runFolder, copyFolder) }
	into := filepath.Join(l.dir, "r4")
	l.kill(l.engine.Staging, copied(l.engine.Staging), false, "killed")
	l.kill(l.engine.Staging, into, false, "restoring", into)
	l.killCopying()
	for _, dir := range []string{into, into + besideSuffix} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			l.t.Errorf("%s is left of the restore: %v", dir, err)
		}
	}
	if os.Geteuid() == 0 {
		own := filepath.Join(l.dir, "own", "st")
		l.kill(own, copied(own), true, "killed")
	}
}

// kill kills a process that asks a scratch instance on that data, and sweeps after it.
func (l *lab) kill(staging, data string, asOwner bool, part string, arguments ...string) {
	l.t.Helper()
	cmd, out := l.child(part, asOwner, arguments...)
	for in := bufio.NewScanner(out); in.Scan() && in.Text() != "step "+string(StepAssert); {
	}
	tree := kit.Must[*process.Tree](l.t)(process.NewTree(data, nil))
	kit.Eventually(l.t, "a scratch instance with a session", func() bool { return len(kit.Must[[]int](l.t)(tree.Pids())) > 1 })
	kit.Check(l.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	if !asOwner {
		kit.Eventually(l.t, "the end of the scratch instance", func() bool { return len(kit.Must[[]int](l.t)(tree.Pids())) == 0 })
	}
	kit.Check(l.t, Sweep(staging))
	if pids := kit.Must[[]int](l.t)(tree.Pids()); len(pids) > 0 {
		l.t.Errorf("processes are left: %v", pids)
	}
	if _, err := os.Stat(filepath.Join(staging, runFolder)); !os.IsNotExist(err) {
		l.t.Errorf("what the killed run has made is left: %v", err)
	}
}

// killCopying: the process of pg_basebackup that receives WAL outlives the other one, with its slot. A sweep ends it.
func (l *lab) killCopying() {
	l.t.Helper()
	cmd, _ := l.child("copying", false)
	tree := process.NewProgram(copier, filepath.Join(l.engine.Staging, runFolder, copyFolder))
	kit.Eventually(l.t, "both processes of a copy", func() bool { return len(kit.Must[[]int](l.t)(tree.Pids())) > 1 })
	kit.Check(l.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	kit.Check(l.t, Sweep(l.engine.Staging))
	if pids := kit.Must[[]int](l.t)(tree.Pids()); len(pids) > 0 {
		l.t.Errorf("processes of the copy are left: %v", pids)
	}
	kit.Eventually(l.t, "the end of the copy's slot", func() bool {
		got := kit.Must[string](l.t)(l.source.SQL(l.t.Context(), "postgres", "SELECT count(*) FROM pg_replication_slots WHERE temporary"))
		return strings.TrimSpace(got) == "0"
	})
}

func (l *lab) ownBackup([]string) {
	r := l.make(l.order("own", postsHold, farHolds), Good)
	if !strings.Contains(r.Proof.Isolation, isolatedFiles) || !strings.Contains(r.Proof.Isolation, isolatedSocket) {
		l.t.Errorf("isolation: %s", r.Proof.Isolation)
	}
	l.test(l.from("own"), Good)
}

func (l *lab) ownRestore(args []string) {
	o := l.from("own")
	o.Checks = nil
	at := kit.Must[platform.LSN](l.t)(platform.ParseLSN(args[0]))
	o.WAL, o.Until = &pgWAL{dir: filepath.Join(l.source.Data, "pg_wal")}, Until{LSN: at, End: true}
	evidence(l.t, l.test(o, Unverified).Proof, "a tablespace")
}

// unprivileged: an agent that is not root makes backups, and its scratch instances write nowhere else either.
func (l *lab) unprivileged() {
	if os.Geteuid() != 0 {
		l.t.Skip("all parts are run so")
	}
	l.asOwner("backup")
	space := filepath.Join(l.dir, "p", "later")
	kit.Check(l.t, os.MkdirAll(space, 0o700), os.Chown(space, int(l.source.Owner.UID), int(l.source.Owner.GID)))
	at, untouched := l.usedLater(space)
	l.asOwner("restore", at.String())
	untouched()
}

func (l *lab) asOwner(part string, arguments ...string) {
	l.t.Helper()
	cmd, out := l.child(part, true, arguments...)
	said := kit.Must[[]byte](l.t)(io.ReadAll(out))
	if err := cmd.Wait(); err != nil || !bytes.Contains(said, []byte("--- PASS")) {
		l.t.Errorf("%s as PostgreSQL's user: %v\n%s", part, err, said)
	}
}
