package postgres

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDataOnAMountPoint: a rebuild that would end at the rename is refused before the source is asked for a copy and before
// anything is set aside, also where the mount is a folder of the same file system.
func TestDataOnAMountPoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	owner, err := OwnerOf(dir)
	check(t, err)
	i := &Server{Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Owner: owner,
		Replication: Credentials{User: "repl"}}
	volume := filepath.Join(dir, "volume")
	check(t, errors.Join(os.Mkdir(i.Data, 0o700), os.Mkdir(volume, 0o700),
		os.WriteFile(filepath.Join(volume, "PG_VERSION"), []byte("15\n"), 0o600)))
	check(t, unix.Mount(volume, i.Data, "", unix.MS_BIND, ""))
	mounted := true
	t.Cleanup(func() {
		if mounted {
			check(t, unix.Unmount(i.Data, unix.MNT_DETACH))
		}
	})
	clone := func() error {
		return i.Clone(testContext(t), Source{"127.0.0.1", 1}, "", nil, func(context.Context) error {
			t.Error("it was to be set aside")
			return nil
		})
	}
	refused := func(err error) bool {
		return err != nil && strings.Contains(err.Error(), i.Data+" is a mount point") && strings.Contains(err.Error(), "members.feed-e1.data")
	}
	if err := i.Replaceable(); !refused(err) {
		t.Errorf("before one is needed: %v", err)
	}
	if err := clone(); !refused(err) {
		t.Errorf("a rebuild: %v", err)
	}
	if err := os.Rename(i.Data, i.Data+".x"); !errors.Is(err, unix.EBUSY) {
		t.Fatalf("the rename that is refused beforehand: %v", err)
	}
	if names := entries(t, dir); len(names) != 2 || !exists(filepath.Join(volume, "PG_VERSION")) {
		t.Errorf("after it there are %v", names)
	}
	check(t, os.Remove(filepath.Join(volume, "PG_VERSION")))
	if _, err := i.target(false); !refused(err) {
		t.Errorf("a first copy: %v", err)
	}
	check(t, os.Mkdir(filepath.Join(i.Data, "main"), 0o700))
	below := *i
	below.Data = filepath.Join(i.Data, "main")
	if path, err := below.target(false); err != nil || path != below.Data {
		t.Errorf("a directory below the mount point: %s, %v", path, err)
	}
	check(t, os.Symlink(i.Data, filepath.Join(dir, "link")))
	below.Data = filepath.Join(dir, "link")
	check(t, os.Remove(filepath.Join(volume, "main")))
	if _, err := below.target(false); !refused(err) {
		t.Errorf("a link to a mount point: %v", err)
	}
	check(t, unix.Unmount(i.Data, unix.MNT_DETACH))
	mounted = false
	if path, err := i.target(false); err != nil || path != i.Data {
		t.Errorf("unmounted: %s, %v", path, err)
	}
}

// TestSearchThatHangs: nothing waits longer than it may for a search that hangs, or begins another one beside it.
func TestSearchThatHangs(t *testing.T) {
	slot, hangs, begun := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if s, err := await(ctx, slot, func() string { close(begun); <-hangs; return "late" }); !errors.Is(err, context.Canceled) {
		t.Fatalf("a search that hangs: %q, %v", s, err)
	}
	if s, err := await(ctx, slot, func() string { t.Error("a second search was begun"); return "" }); !errors.Is(err, context.Canceled) {
		t.Errorf("beside it: %q, %v", s, err)
	}
	close(hangs)
	if s, err := await(testContext(t), slot, func() string { return "/data" }); s != "/data" || err != nil {
		t.Errorf("after its end: %q, %v", s, err)
	}
}
