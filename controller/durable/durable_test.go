package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

type writer func(path string, data []byte, mode fs.FileMode) error

// holds checks the content and mode of a file, and that it is alone in its folder.
func holds(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%q, %v; want %q", got, err, content)
	}
	if fi, err := os.Lstat(path); err != nil || fi.Mode() != mode {
		t.Errorf("mode %v, %v; want %v", fi.Mode(), err, mode)
	}
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 {
		t.Errorf("in the folder: %v, %v", names, err)
	}
}

func TestWrite(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // the mode is the one that was asked for
	for name, write := range map[string]writer{"Write": Write, "WriteShared": WriteShared} {
		path := filepath.Join(t.TempDir(), "kept")
		for n, mode := range []fs.FileMode{0o600, 0o644} {
			content := fmt.Sprint(name, n)
			if err := write(path, []byte(content), mode); err != nil {
				t.Fatal(err)
			}
			holds(t, path, content, mode)
		}
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "once")
	if err := Create(path, []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want fs.ErrExist", err)
	}
	holds(t, path, "first", 0o644)
}

// What a crash left half written is replaced, and a link in its place is not followed.
func TestWriteAfterACrash(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "kept"), filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(elsewhere, []byte("another's"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, leave := range map[string]func() error{
		"a longer half": func() error { return os.WriteFile(path+".new", bytes.Repeat([]byte("x"), 4096), 0o666) },
		"a link":        func() error { return os.Symlink(elsewhere, path+".new") },
	} {
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		if err := Write(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		holds(t, path, name, 0o600)
	}
	if got, err := os.ReadFile(elsewhere); string(got) != "another's" {
		t.Errorf("a link was followed: %q, %v", got, err)
	}
}

// After an error the old content is there, and nothing is left beside it.
func TestFailedWrite(t *testing.T) {
	for name, write := range map[string]writer{"Write": Write, "WriteShared": WriteShared} {
		dir := filepath.Join(t.TempDir(), "dir")
		path := filepath.Join(dir, "kept")
		if err := os.MkdirAll(path, 0o700); err != nil { // a folder: no file can be put there
			t.Fatal(err)
		}
		if err := write(path, []byte("x"), 0o600); err == nil {
			t.Errorf("%s wrote over a folder", name)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
			t.Errorf("%s left %v, %v", name, names, err)
		}
		if err := write(filepath.Join(dir, "none", "kept"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s without a folder: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "kept")
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, nil, 0o600); err == nil {
		t.Error("a folder in the place of the new file was removed")
	}
}

// Of several processes that write at once, one wins: no content is mixed, and Create lets one through.
func TestAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared")
	created := filepath.Join(t.TempDir(), "created")
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for n := range 8 {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + n)}, 1<<16)
			if err := WriteShared(path, content, 0o600); err != nil {
				t.Error(err)
			}
			if Create(created, content, 0o600) == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 1<<16 || bytes.Count(got, got[:1]) != 1<<16 || won != 1 {
		t.Errorf("%d bytes, %v, %d created it", len(got), err, won)
	}
}
