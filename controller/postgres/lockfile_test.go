package postgres

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mainstay/test/kit"
)

// A postmaster rewrites its status in place, with the same length; another one makes a new file. Each is seen at the next question,
// however soon.
func TestLockFileIsReadAgain(t *testing.T) {
	dir, l := t.TempDir(), &LockFile{}
	path, owner := filepath.Join(dir, "postmaster.pid"), must(OwnerOf("/proc/self"))
	read := func() string {
		t.Helper()
		raw, err := l.of(dir, owner)
		check(t, err)
		return string(raw)
	}
	if _, err := l.of(dir, owner); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for n := range 300 { // within one step of the kernel's clock, too
		want := strings.Repeat(string(rune('a'+n%26)), 8)
		check(t, os.WriteFile(path, []byte(want), 0o600))
		for range 2 {
			if got := read(); got != want {
				t.Fatalf("change %d: read %q, the file has %q", n, got, want)
			}
		}
	}
	kit.Eventually(t, "the content to be kept", func() bool { read(); return l.path != "" })
	var before, after unix.Stat_t
	check(t, unix.Stat(path, &before))
	check(t, os.WriteFile(path, []byte("01234567"), 0o600))
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{before.Atim, before.Mtim}, 0)) // as a user may set it
	if check(t, unix.Stat(path, &after)); after.Mtim != before.Mtim {
		t.Fatal("the time of the content is not as before")
	}
	if got := read(); got != "01234567" {
		t.Errorf("a change that hides its time: %q", got)
	}
	check(t, os.Remove(path))
	if _, err := l.of(dir, owner); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

// While nothing changes the file is not read.
func TestLockFileIsKept(t *testing.T) {
	dir, l := t.TempDir(), &LockFile{}
	owner := must(OwnerOf("/proc/self"))
	check(t, os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte("1234\n"), 0o600))
	kit.Eventually(t, "the content to be kept", func() bool {
		_, err := l.of(dir, owner)
		check(t, err)
		return l.path != ""
	})
	at := l.read
	for range 10 {
		raw, err := l.of(dir, owner)
		if check(t, err); string(raw) != "1234\n" || l.read != at {
			t.Fatalf("read %q again", raw)
		}
	}
	l.read -= lockFileKept
	if _, err := l.of(dir, owner); err != nil || l.read <= at {
		t.Errorf("an old content is kept: %v", err)
	}
	other := t.TempDir()
	check(t, os.WriteFile(filepath.Join(other, "postmaster.pid"), []byte("77\n"), 0o600))
	if raw := must(l.of(other, owner)); string(raw) != "77\n" {
		t.Errorf("another data directory: %q", raw)
	}
}
