package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/test/testbed"
)

// TestDemoEndsHoweverItEnds: nothing of the demo runs on when it is killed, or the script that started it, and no file is left.
func TestDemoEndsHoweverItEnds(t *testing.T) {
	programs := t.TempDir()
	// As deploy/demo does.
	build := exec.Command("go", "build", "-o", programs, "mainstay/cmd/mainstay", "mainstay/test/platform/feedserver", "mainstay/test/demo")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	t.Run("its parent is killed when it is up", func(t *testing.T) {
		d := startDemo(t, programs, `"$0/demo" -work "$0" -parent $$; :`)
		d.wait(t, "the platform to be up", func() bool { return d.lives(t) && strings.Contains(d.said(), "The platform is up") })
		d.killed(t)
	})
	t.Run("it is killed while it starts", func(t *testing.T) {
		d := startDemo(t, programs, `exec "$0/demo" -work "$0"`)
		d.wait(t, "the first PostgreSQL", func() bool {
			found, _ := filepath.Glob(filepath.Join(d.work, "platform", "agent-*", "members", "*", "data", "postmaster.pid"))
			return d.lives(t) && len(found) > 0
		})
		d.killed(t)
	})
}

// demoRun is a demo, and the process that is killed: the demo itself, or the shell that waits for it.
type demoRun struct {
	*testbed.Testbed // only waits
	work             string
	cmd              *exec.Cmd
	ended            chan struct{} // closed once it has
	out              *os.File
}

func startDemo(t *testing.T, programs, script string) *demoRun {
	t.Helper()
	d := &demoRun{Testbed: &testbed.Testbed{}, work: folder(t), ended: make(chan struct{})}
	if err := os.Chmod(d.work, 0o755); err != nil { // PostgreSQL's user must get through
		t.Fatal(err)
	}
	for _, name := range []string{"demo", "mainstay", "feedserver"} {
		if err := os.Link(filepath.Join(programs, name), filepath.Join(d.work, name)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if d.out, err = os.Create(filepath.Join(t.TempDir(), "out")); err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command("sh", "-c", script, d.work)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = d.cmd.Wait(); close(d.ended) }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.ended
		if err := errors.Join(testbed.Sweep(d.work), d.out.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// lives fails the test where the demo has ended early.
func (d *demoRun) lives(t *testing.T) bool {
	t.Helper()
	select {
	case <-d.ended:
		t.Fatalf("the demo has ended: %s", d.said())
	default:
	}
	return true
}

func (d *demoRun) said() string {
	out, _ := os.ReadFile(d.out.Name())
	return string(out)
}

func (d *demoRun) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	if err := d.Wait(ctx, what, func() (bool, string) { return done(), d.said() }); err != nil {
		t.Fatal(err)
	}
}

// killed kills it and wants everything else to end, and its folder to go.
func (d *demoRun) killed(t *testing.T) {
	t.Helper()
	if n := len(testbed.Inside(d.work)); n < 10 {
		t.Fatalf("%d processes of the demo run, too few to show anything", n)
	}
	if err := d.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.wait(t, "the folder of the killed demo to go", func() bool {
		_, err := os.Stat(d.work)
		return errors.Is(err, os.ErrNotExist)
	})
	if left := testbed.Inside(d.work); len(left) > 0 {
		t.Errorf("processes %v run on", left)
	}
	t.Logf("all was gone %s after the kill", time.Since(began).Round(10*time.Millisecond))
}
