package osuser

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mainstay/test/kit"

	"golang.org/x/sys/unix"
)

// other is a user that is neither root nor anybody's.
var other = User{UID: 54321, GID: 54321}

func asRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir := t.TempDir()
	for up := dir; up != os.TempDir() && len(up) > 1; up = filepath.Dir(up) {
		kit.Check(t, os.Chmod(up, 0o755))
	}
	return dir
}

// TestDo: f has the user's rights and none of ours, other goroutines keep theirs meanwhile, and so do we afterwards.
func TestDo(t *testing.T) {
	dir := asRoot(t)
	secret := filepath.Join(dir, "secret")
	kit.Check(t, os.WriteFile(secret, []byte("x"), 0o640)) // group 0, which is root's own and must not stay with the thread
	before, err := unix.Getgroups()
	kit.Check(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := other.Do(func() error {
				if os.Geteuid() != int(other.UID) || os.Getegid() != int(other.GID) {
					t.Errorf("ids %d, %d", os.Geteuid(), os.Getegid())
				}
				if groups, err := unix.Getgroups(); len(groups) > 0 || err != nil {
					t.Errorf("groups %v, %v", groups, err)
				}
				_, err := os.ReadFile(secret)
				return err
			})
			if !errors.Is(err, fs.ErrPermission) {
				t.Errorf("another user read root's file: %v", err)
			}
			if _, err := os.ReadFile(secret); err != nil {
				t.Errorf("root afterwards: %v", err)
			}
		})
	}
	wg.Wait()
	if after, err := unix.Getgroups(); err != nil || len(after) != len(before) || os.Geteuid() != 0 || os.Getegid() != 0 {
		t.Errorf("afterwards: groups %v, %v", after, err)
	}
}

// TestOtherChanger: the first one on the way who could put something else there.
func TestOtherChanger(t *testing.T) {
	dir := asRoot(t)
	mkdir := func(name string, mode os.FileMode, uid, gid int) {
		path := filepath.Join(dir, name)
		kit.Check(t, os.Mkdir(path, 0o755))
		kit.Check(t, os.Chown(path, uid, gid))
		kit.Check(t, os.Chmod(path, mode))
	}
	link := func(name, to string, uid int) {
		kit.Check(t, os.Symlink(to, filepath.Join(dir, name)))
		kit.Check(t, os.Lchown(filepath.Join(dir, name), uid, uid))
	}
	mkdir("ours", 0o755, 0, 0)
	mkdir("theirs", 0o755, 54321, 54321)
	mkdir("theirs/ours", 0o755, 0, 0)
	mkdir("group", 0o775, 0, 54321)
	mkdir("root's group", 0o775, 0, 0)
	mkdir("open", 0o777, 0, 0)
	mkdir("sticky", 0o777|os.ModeSticky, 0, 0)
	mkdir("sticky/ours", 0o755, 0, 0)
	link("to theirs", "theirs/ours", 0)
	link("sticky/planted", dir+"/ours", 54321)
	link("back", "../"+filepath.Base(dir)+"/ours/../ours", 0)
	link("loop", "loop", 0)
	kit.Check(t, os.WriteFile(filepath.Join(dir, "ours", "file"), nil, 0o600))
	kit.Check(t, os.Chown(filepath.Join(dir, "ours", "file"), 54321, 54321))
	for path, want := range map[string]*User{
		"ours": nil, "ours/none/below": nil, "ours/file": nil, "back": nil, "root's group": nil, "sticky/ours": nil,
		"theirs": &other, "theirs/ours": &other, "theirs/none": &other, "to theirs": &other, "sticky/planted": &other,
		"group": &nobody, "open/x": &nobody, "sticky/none": &nobody,
	} {
		got, err := OtherChanger(filepath.Join(dir, path))
		if err != nil || (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%s: %v, %v; want %v", path, got, err, want)
		}
	}
	for path, want := range map[string]bool{
		"theirs": false, "to theirs": true, "theirs/ours": true, "back": false, "sticky/planted": true, "group": false,
	} {
		if got, err := OtherChangerAbove(filepath.Join(dir, path)); err != nil || (got != nil) != want {
			t.Errorf("above %s: %v, %v", path, got, err)
		}
	}
	if _, err := OtherChanger(filepath.Join(dir, "loop")); err == nil {
		t.Error("a link to itself has an end")
	}
}

// TestLookup: a program of that user has its groups, and root's own needs no change.
func TestLookup(t *testing.T) {
	root, known, err := Lookup("root")
	if err != nil || root != (User{}) || known != "root" {
		t.Fatal(root, known, err)
	}
	if os.Geteuid() == 0 && root.Credential() != nil {
		t.Error("this process is root already")
	}
	if c := other.Credential(); c == nil || c.Uid != other.UID || c.Gid != other.GID {
		t.Errorf("%+v", c)
	}
	if _, _, err := Lookup("no-such-user"); err == nil || !strings.Contains(err.Error(), "create the user or name another") {
		t.Error(err)
	}
}
