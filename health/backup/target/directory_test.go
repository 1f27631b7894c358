package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/test/kit"
)

func open(t *testing.T, conf Config) Target {
	t.Helper()
	return kit.Must[Target](t)(Open("vault", conf))
}

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	conform(t, open(t, Config{Directory: dir}))
	if left, err := os.ReadDir(filepath.Join(dir, unfinished)); err != nil || len(left) != 0 {
		t.Errorf("unfinished: %v, %v", left, err)
	}
}

// TestLeftovers: objects that a crash left unfinished go after a day, and are never listed.
func TestLeftovers(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	to := open(t, Config{Directory: dir})
	kit.Must[Receipt](t)(put(ctx, to, "a", "1"))
	old, young := filepath.Join(dir, unfinished, "OLD"), filepath.Join(dir, unfinished, "YOUNG")
	for _, path := range []string{old, young} {
		kit.Check(t, os.WriteFile(path, []byte("half"), 0o600))
	}
	yesterday := time.Now().Add(-abandoned - time.Hour)
	kit.Check(t, os.Chtimes(old, yesterday, yesterday))
	kit.Must[Receipt](t)(put(ctx, to, "b", "2"))
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Error("the old one is there:", err)
	}
	_, err := os.Stat(young)
	kit.Check(t, err)
	if all, err := to.List(ctx, ""); err != nil || len(all) != 2 {
		t.Error(all, err)
	}
}

// TestNoNameLeaves: links in the folder lead to no file outside it, and no folder or link counts as an object.
func TestNoNameLeaves(t *testing.T) {
	ctx, dir, outside := t.Context(), t.TempDir(), t.TempDir()
	to := open(t, Config{Directory: dir})
	kit.Check(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600),
		os.Symlink(outside, filepath.Join(dir, "out")), os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")),
		os.Mkdir(filepath.Join(dir, "folder"), 0o700), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	for _, name := range []string{"out/secret", "link", "folder", "pipe"} {
		if text, err := get(ctx, to, name); err == nil {
			t.Errorf("%s gives %q", name, text)
		}
		if _, err := put(ctx, to, name, "y"); err == nil {
			t.Errorf("put at %s", name)
		}
		if err := to.Remove(ctx, name); err == nil {
			t.Errorf("removed %s", name)
		}
	}
	if _, err := put(ctx, to, "out/new", "y"); err == nil {
		t.Error("put outside")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	if all, err := to.List(ctx, ""); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}

// TestDamagedAtRest: what rots after the receipt is found by it, and not replaced by the same content.
func TestDamagedAtRest(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	to := open(t, Config{Directory: dir})
	r := kit.Must[Receipt](t)(put(ctx, to, "a/b", "some content"))
	path := filepath.Join(dir, "a/b")
	for name, text := range map[string]string{"a bit": "some contenu", "cut": "some", "longer": "some content."} {
		kit.Check(t, os.WriteFile(path, []byte(text), 0o600))
		if err := Verify(ctx, to, r); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := put(ctx, to, "a/b", "some content"); !errors.Is(err, ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// mounted is a tmpfs of its own, of that many bytes.
func mounted(t *testing.T, size string) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts filesystems")
	}
	dir = t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no filesystem can be mounted here:", err)
	}
	t.Cleanup(func() { kit.Check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestFullDirectory(t *testing.T) {
	ctx, dir := t.Context(), mounted(t, "4m")
	to := open(t, Config{Directory: dir})
	small := kit.Must[Receipt](t)(put(ctx, to, "feed/small", "small"))
	_, err := to.Put(ctx, "feed/large", bytes.NewReader(content(1, 8<<20)), -1)
	if reasonOf(err) != Full || !strings.HasPrefix(err.Error(), "target vault, feed/large: put: ") ||
		!strings.Contains(err.Error(), "remove what is not needed") {
		t.Error(err)
	}
	// Nothing is left of it, so that what fits has room, and what was there is.
	kit.Must[Receipt](t)(to.Put(ctx, "feed/fits", bytes.NewReader(content(2, 3<<20)), -1))
	if _, err := to.Replace(ctx, "feed/small", bytes.NewReader(content(1, 8<<20)), -1); reasonOf(err) != Full {
		t.Error(err)
	}
	kit.Check(t, Verify(ctx, to, small))
}

func TestReadOnlyDirectory(t *testing.T) {
	ctx, dir := t.Context(), mounted(t, "4m")
	to := open(t, Config{Directory: dir})
	r := kit.Must[Receipt](t)(put(ctx, to, "feed/a", "a"))
	kit.Check(t, unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err := put(ctx, to, "feed/b", "b")
	for _, err := range []error{err, to.Remove(ctx, "feed/a")} {
		if reasonOf(err) != ReadOnly || !strings.Contains(err.Error(), "mount it for writing") {
			t.Error(err)
		}
	}
	kit.Check(t, Verify(ctx, to, r))
}

func TestNoDirectory(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	file := filepath.Join(dir, "file")
	kit.Check(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{filepath.Join(dir, "none"), file} {
		to := open(t, Config{Directory: path})
		_, err1 := put(ctx, to, "a", "a")
		_, err2 := to.Get(ctx, "a")
		_, err3 := to.List(ctx, "")
		for _, err := range []error{err1, err2, err3, to.Remove(ctx, "a")} {
			if reasonOf(err) != Unreachable || errors.Is(err, ErrNotThere) || !strings.Contains(err.Error(), "look at its mount") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if _, err := Open("vault", Config{}); err == nil {
		t.Error("a target without a place")
	}
}

// TestHungDirectory: a filesystem whose server does not answer holds no caller past its deadline, nor past its patience.
func TestHungDirectory(t *testing.T) {
	dir := hung(t)
	calls := map[string]func(ctx context.Context, to Target) error{
		"put":    func(ctx context.Context, to Target) error { _, err := put(ctx, to, "a", "a"); return err },
		"get":    func(ctx context.Context, to Target) error { _, err := to.Get(ctx, "a"); return err },
		"list":   func(ctx context.Context, to Target) error { _, err := to.List(ctx, ""); return err },
		"remove": func(ctx context.Context, to Target) error { return to.Remove(ctx, "a") },
	}
	for name, call := range calls {
		for kind, patience := range map[string]time.Duration{"deadline": time.Hour, "patience": 100 * time.Millisecond} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				limit := kit.Patience
				if kind == "deadline" {
					limit = 100 * time.Millisecond
				}
				ctx := kit.Context(t, limit)
				begun := time.Now()
				err := call(ctx, open(t, Config{Directory: dir, Patience: patience}))
				if took := time.Since(begun); reasonOf(err) != Slow || took > 30*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
				if kind == "patience" && !strings.Contains(err.Error(), "no byte has moved for 100ms") {
					t.Error(err)
				}
			})
		}
	}
}

// hung is a folder whose every use waits: a FUSE filesystem that reads no request.
func hung(t *testing.T) (dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts filesystems")
	}
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no filesystem of a process can be mounted here:", err)
	}
	dir = t.TempDir()
	options := "rootmode=40000,user_id=0,group_id=0,fd=" + strconv.Itoa(int(fuse.Fd()))
	if err := unix.Mount("none", dir, "fuse", 0, options); err != nil {
		fuse.Close()
		t.Skip("no filesystem of a process can be mounted here:", err)
	}
	t.Cleanup(func() { // closing fails what waits
		kit.Check(t, fuse.Close(), unix.Unmount(dir, unix.MNT_DETACH))
	})
	return dir
}

// TestSourceTakesItsTime: a caller's own slowness does not count as the target's.
func TestSourceTakesItsTime(t *testing.T) {
	to := open(t, Config{Directory: t.TempDir(), Patience: 50 * time.Millisecond})
	r, w := io.Pipe()
	go func() { // ends when its part is read
		for range 3 {
			<-time.After(100 * time.Millisecond)
			_, _ = w.Write([]byte("part"))
		}
		w.Close()
	}()
	if receipt, err := to.Put(t.Context(), "slow", r, 12); err != nil || receipt.Size != 12 {
		t.Errorf("%+v, %v", receipt, err)
	}
}
