package backup

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/postgres"
	"mainstay/fencing/process"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// killedEnv tells the test's program to make a backup, and of which server.
const killedEnv = "MAINSTAY_TEST_KILLED"

// TestKilledChild is the process that killed kills.
func TestKilledChild(t *testing.T) {
	dir, programs, _ := strings.Cut(os.Getenv(killedEnv), "|")
	if dir == "" {
		t.Skip("for killed only")
	}
	owner := kit.Must[postgres.Owner](t)(damage.TestOwner())
	l := &lab{t: t, dir: dir, source: &damage.Server{Binaries: kit.Must[postgres.Binaries](t)(postgres.Find(programs)), Owner: owner,
		Dir: filepath.Join(dir, "p"), Data: filepath.Join(dir, "p", "data")}}
	e := &Engine{Staging: filepath.Join(dir, "st"), Server: l.server(l.source)}
	sleep := Assertion{Name: "sleep", Database: "postgres", SQL: "SELECT pg_sleep(300) IS NULL"}
	_, err := e.Make(t.Context(), Order{ID: "killed", Cluster: "feed", Kind: Full, Checks: []Assertion{sleep}}, func(p Progress) {
		fmt.Println("step", p.Step)
	})
	t.Error("it was not killed:", err)
}

// killed: when the agent is killed amid a check, the scratch instance ends with it, and the next run or a sweep removes what is left.
func (l *lab) killed() {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledChild$")
	cmd.Env = append(os.Environ(), killedEnv+"="+l.dir+"|"+l.source.Binaries.Dir)
	out := kit.Must[interface{ Read([]byte) (int, error) }](l.t)(cmd.StdoutPipe())
	kit.Check(l.t, cmd.Start())
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	for in := bufio.NewScanner(out); in.Scan() && in.Text() != "step "+string(StepAssert); {
	}
	data := filepath.Join(l.engine.Staging, runFolder, copyFolder)
	tree := kit.Must[*process.Tree](l.t)(process.NewTree(data, nil))
	kit.Eventually(l.t, "a scratch instance with a session", func() bool { return len(kit.Must[[]int](l.t)(tree.Pids())) > 1 })
	kit.Check(l.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	kit.Eventually(l.t, "the end of the scratch instance", func() bool { return len(kit.Must[[]int](l.t)(tree.Pids())) == 0 })
	kit.Check(l.t, Sweep(l.engine.Staging))
	if _, err := os.Stat(filepath.Join(l.engine.Staging, runFolder)); !os.IsNotExist(err) {
		l.t.Errorf("what the killed run has made is left: %v", err)
	}
}
