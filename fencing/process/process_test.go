package process_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mainstay/fencing/process"
	"mainstay/fencing/process/fakepg"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	fakepg.Main()
	os.Exit(m.Run())
}

func newTree(t *testing.T, dir string, c *process.Cgroup) *process.Tree {
	t.Helper()
	tree, err := process.NewTree(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func kill(t *testing.T, tree *process.Tree, s *fakepg.Server) {
	t.Helper()
	if err := tree.Kill(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if alive := s.Alive(); len(alive) > 0 {
		t.Errorf("Kill returned nil and left %v", alive)
	}
	if pids, err := tree.Pids(); err != nil || len(pids) > 0 {
		t.Errorf("after Kill: Pids() = %v, %v", pids, err)
	}
}

// bystander starts a process that must survive every kill.
func bystander(t *testing.T, dir string, name string, args ...string) *process.Handle {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	h, err := process.Watch(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func TestKillEndsTheTreeAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	s := fakepg.Start(t, fakepg.Options{DataDir: dir})
	shell := bystander(t, dir, "sleep", "120")
	other := bystander(t, t.TempDir(), fakepg.Binary(t), "backend")
	tree := newTree(t, dir, nil)

	want := s.Pids()
	slices.Sort(want)
	if pids, err := tree.Pids(); err != nil || !slices.Equal(pids, want) {
		t.Errorf("Pids() = %v, %v, want %v", pids, err, want)
	}
	if out, err := tree.Outside(); err != nil || !slices.Equal(out, want) {
		t.Errorf("without a cgroup, Outside() = %v, %v, want %v", out, err, want)
	}
	kill(t, tree, s)
	if !shell.Alive() {
		t.Error("a shell in the data directory was killed")
	}
	if !other.Alive() {
		t.Error("another member's postgres was killed")
	}
}

func TestKillEndsAStoppedTree(t *testing.T) {
	dir := t.TempDir()
	s := fakepg.Start(t, fakepg.Options{DataDir: dir})
	s.Signal(t, unix.SIGSTOP)
	kill(t, newTree(t, dir, nil), s)
}

func TestADirectoryUnderAnotherPathIsTheSame(t *testing.T) {
	parent := t.TempDir()
	old, renamed, link := filepath.Join(parent, "old"), filepath.Join(parent, "new"), filepath.Join(parent, "link")
	if err := errors.Join(os.Mkdir(old, 0o700), os.Symlink(old, link)); err != nil {
		t.Fatal(err)
	}
	s := fakepg.Start(t, fakepg.Options{DataDir: old})
	tree := newTree(t, link, nil)
	if err := os.Rename(old, renamed); err != nil {
		t.Fatal(err)
	}
	kill(t, tree, s)
}

func TestKillInACgroup(t *testing.T) {
	dir, c := t.TempDir(), fakepg.Cgroup(t)
	s := fakepg.Start(t, fakepg.Options{DataDir: dir, Cgroup: c, Detached: true})
	tree := newTree(t, dir, c)
	if out, err := tree.Outside(); err != nil || len(out) > 0 {
		t.Errorf("Outside() = %v, %v, want none", out, err)
	}
	if pids, err := c.Pids(); err != nil || len(pids) != 4 {
		t.Errorf("the cgroup holds %v, %v, want four", pids, err)
	}
	kill(t, tree, s)
	if populated, err := c.Populated(); err != nil || populated {
		t.Errorf("Populated() = %v, %v", populated, err)
	}
}

func TestKillEndsAFrozenCgroup(t *testing.T) {
	dir, c := t.TempDir(), fakepg.Cgroup(t)
	s := fakepg.Start(t, fakepg.Options{DataDir: dir, Cgroup: c})
	if err := os.WriteFile(c.Path()+"/cgroup.freeze", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	kill(t, newTree(t, dir, c), s)
}

func TestOutsideNamesWhoIsNotInTheCgroup(t *testing.T) {
	dir, c := t.TempDir(), fakepg.Cgroup(t)
	s := fakepg.Start(t, fakepg.Options{DataDir: dir})
	tree := newTree(t, dir, c)
	if err := c.Add(s.Postmaster); err != nil {
		t.Fatal(err)
	}
	want := s.Pids()[1:]
	slices.Sort(want)
	if out, err := tree.Outside(); err != nil || !slices.Equal(out, want) {
		t.Errorf("Outside() = %v, %v, want %v", out, err, want)
	}
	kill(t, tree, s)
}

func TestACgroupThatHoldsTheCallerIsRefused(t *testing.T) {
	own, err := process.Own()
	if err != nil {
		t.Skip(err)
	}
	c, err := process.OpenCgroup(own)
	if err != nil {
		t.Skip("the test's own cgroup cannot be killed anyway:", err)
	}
	if err := c.Kill(); err == nil {
		t.Error("Kill() of the caller's own cgroup returned nil")
	}
}

func TestARemovedCgroupIsEmpty(t *testing.T) {
	c := fakepg.Cgroup(t)
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	pids, err := c.Pids()
	populated, err2 := c.Populated()
	if err := errors.Join(err, err2, c.Kill(), c.Remove()); err != nil || len(pids) > 0 || populated {
		t.Errorf("pids %v, populated %v, %v", pids, populated, err)
	}
}

func TestCgroupErrors(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "cgroup.kill", "a\nb"} {
		if c, err := process.Create(name); err == nil {
			t.Errorf("Create(%q) made %s", name, c.Path())
		}
	}
	var unavailable *process.UnavailableError
	for _, path := range []string{t.TempDir(), "/nowhere/at/all"} {
		if _, err := process.OpenCgroup(path); !errors.As(err, &unavailable) || unavailable.Reason == "" {
			t.Errorf("OpenCgroup(%q): %v, want an UnavailableError with its reason", path, err)
		}
	}
}

func TestNewTreeErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file, file + "/x", "/nowhere/at/all"} {
		if _, err := process.NewTree(dir, nil); err == nil {
			t.Errorf("NewTree(%q) returned no error", dir)
		}
	}
}

func TestWatchANonChild(t *testing.T) {
	s := fakepg.Start(t, fakepg.Options{DataDir: t.TempDir()})
	backend, err := process.Watch(s.Pids()[1])
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	closed, err := process.Watch(s.Pids()[1])
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	closed.Close()
	if !backend.Alive() || backend.Start() == 0 || closed.Alive() {
		t.Errorf("alive %v, started at %d, alive after Close %v", backend.Alive(), backend.Start(), closed.Alive())
	}
	if err := backend.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-backend.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("Done was not closed")
	}
	if backend.Alive() {
		t.Error("alive after its end")
	}
	select {
	case <-closed.Done():
		t.Error("Close, or the end after it, closed Done")
	default:
	}
}

func TestWatchWhatIsGone(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := process.Watch(cmd.Process.Pid); !errors.Is(err, process.ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
}
