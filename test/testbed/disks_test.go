package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withDisk is a testbed of which nothing runs, with one disk.
func withDisk(t *testing.T) *Testbed {
	t.Helper()
	dir, err := os.MkdirTemp("", "ms-")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Dir: dir, Binary: self, Disks: map[string]int{"feed-e1": 40}, ByHand: true})
	if errors.Is(err, ErrNotAllowed) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder is still there: %v", err)
		}
	})
	return s
}

// A full disk takes nothing more until it is emptied; a frozen one lets a writer hang until it is thawed.
func TestDisk(t *testing.T) {
	s := withDisk(t)
	try := func(file string) error {
		return os.WriteFile(filepath.Join(filepath.Dir(s.Data("feed-e1")), file), make([]byte, 1<<20), 0o600)
	}
	for _, step := range []struct {
		name string
		do   func(string) error
		want error
	}{{"new", s.Thaw, nil}, {"full", s.Fill, syscall.ENOSPC}, {"emptied", s.Empty, nil}} {
		if err := step.do("feed-e1"); err != nil {
			t.Fatal(err)
		}
		if err := try(step.name); !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
	}
	if err := s.Freeze("feed-e1"); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- try("frozen") }()
	select {
	case err := <-written:
		t.Errorf("a frozen disk took a write: %v", err)
	case <-time.After(300 * time.Millisecond): // proof of a hang takes time
	}
	if err := s.Thaw("feed-e1"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a thawed disk takes no writes")
	}
}

// What a killed run left frozen is thawed and unmounted by the next one.
func TestDisksLeftOver(t *testing.T) {
	killed := withDisk(t)
	at := killed.disks.mounts["feed-e1"]
	if err := killed.Freeze("feed-e1"); err != nil {
		t.Fatal(err)
	}
	withDisk(t) // its own may live
	if !mounted(at) {
		t.Fatal("the disk of a living testbed was removed")
	}
	killed.disks.held.Close() // as the kernel does when a process is killed
	killed.disks.mounts = nil
	withDisk(t)
	if mounted(at) {
		t.Error("the disk of the killed testbed is still mounted")
	}
}

func mounted(at string) bool {
	raw, _ := os.ReadFile("/proc/self/mounts")
	return slices.Contains(strings.Fields(string(raw)), at)
}
