package testbed

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestSweep ends what runs from, in, or on the folder of a testbed that was killed, and nothing else.
func TestSweep(t *testing.T) {
	dir, err := os.MkdirTemp("", "ms-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tools, data := t.TempDir(), filepath.Join(dir, "platform", "data")
	file, other := filepath.Join(data, "file"), filepath.Join(tools, "file")
	err = errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(file, nil, 0o644), os.WriteFile(other, nil, 0o644))
	tail, lookErr := exec.LookPath("tail")
	program, tool := filepath.Join(dir, "mainstay"), filepath.Join(tools, "pg_rewind")
	if err := errors.Join(err, lookErr, copyProgram(tail, program), copyProgram(tail, tool)); err != nil {
		t.Fatal(err)
	}
	start := func(program, folder, file string) *exec.Cmd {
		cmd := exec.Command(program, "-f", file)
		cmd.Dir = folder
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	swept := []*exec.Cmd{start(program, "/", other), start(tail, data, other), start(tool, "/", file)}
	spared := []*exec.Cmd{start(tail, "/", file), start(tool, "/", other)} // a log is read; another platform's
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	for _, cmd := range slices.Concat(swept, spared) {
		if ended := stopped(cmd.Process.Pid); ended != slices.Contains(swept, cmd) {
			t.Errorf("%s in %s: ended is %v", cmd, cmd.Dir, ended)
		}
	}
}
