package main

import (
	"os"
	"syscall"
	"testing"
)

func TestBurn(t *testing.T) {
	dir := t.TempDir()
	b, err := burn(dir, loops{cpuLoop: 1, forksLoop: 1, fsyncLoop: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.stop(); err != nil {
		t.Errorf("none had ended: %v", err)
	}
	if len(b.all) != 2 {
		t.Errorf("%d loops are processes, want 2", len(b.all))
	}
	for _, cmd := range b.all {
		if err := syscall.Kill(cmd.Process.Pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", cmd.Process.Pid, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// TestBurnEndedEarly: figures of a machine that was not busy must not look as if it was.
func TestBurnEndedEarly(t *testing.T) {
	b, err := burn(t.TempDir(), loops{cpuLoop: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(b.all[0].Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.wg.Wait()
	if err := b.stop(); err == nil {
		t.Error("a loop ended early, and nothing says so")
	}
}

// TestBurnCannotSync: the same for a loop that is no process.
func TestBurnCannotSync(t *testing.T) {
	b, err := burn("/nonexistent", loops{fsyncLoop: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.wg.Wait()
	if err := b.stop(); err == nil {
		t.Error("nothing was synced, and nothing says so")
	}
}

func TestLoops(t *testing.T) {
	for text, want := range map[string]string{
		"forks,fsync":    "cpu=4, forks=1, fsync=1",
		"cpu=28,forks=2": "cpu=28, forks=2",
		"cpu=0,fsync=3":  "cpu=0, fsync=3",
		"disk":           "",
		"":               "",
		"forks=":         "",
		"forks=many":     "",
		"forks=-1":       "",
		"forks,fsync,":   "",
	} {
		l := loops{cpuLoop: 4}
		err := l.Set(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken as %s", text, l)
			}
		} else if err != nil || l.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, l, err, want)
		}
	}
}
