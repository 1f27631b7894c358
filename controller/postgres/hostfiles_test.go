package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// moveOut moves an entry of a data directory to a folder of the same user elsewhere, and leaves a link in its place.
func moveOut(t *testing.T, i *Server, name string) (to string) {
	t.Helper()
	elsewhere := filepath.Join(filepath.Dir(i.Conf), "elsewhere")
	check(t, i.Owner.makeDir(elsewhere, 0o700))
	to = filepath.Join(elsewhere, filepath.Base(name))
	check(t, os.Rename(filepath.Join(i.Data, name), to))
	plant(t, i, filepath.Join(i.Data, name), to)
	return to
}

// place writes a file of a data directory, with its folder.
func place(t *testing.T, i *Server, name, text string) {
	t.Helper()
	path := filepath.Join(i.Data, name)
	check(t, i.Owner.makeDir(filepath.Dir(path), 0o700))
	check(t, i.Owner.writeFile(path, []byte(text), 0o600))
}

// TestRewindKeepsLinksAndLog: pg_rewind refuses a target in which a link stands for a file or a folder of its source, and replaces the
// files in the log's folder by its source's. Both are this host's, and are as they were after it.
func TestRewindKeepsLinksAndLog(t *testing.T) {
	a, b := diverged(t)
	ctx, took := testContext(t), counted(t, b, a)
	links := map[string]string{}
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "extra", "pg_stat_tmp"} {
		links[name] = moveOut(t, a, name)
	}
	hba := content(t, links["pg_hba.conf"])
	place(t, a, "log/monday.log", "ours")
	place(t, a, "log/tuesday.log", "ours alone")
	place(t, b, "log/monday.log", "theirs")
	place(t, b, "log/friday.log", "theirs alone")

	before := entries(t, filepath.Dir(a.Data))
	whole := func(when string) {
		t.Helper()
		for name, to := range links {
			if at, err := os.Readlink(filepath.Join(a.Data, name)); at != to {
				t.Errorf("%s: %s leads to %q, %v", when, name, at, err)
			}
		}
		if text := content(t, links["pg_hba.conf"]); text != hba {
			t.Errorf("%s: the file behind a link has become %q", when, text)
		}
		if log := entries(t, filepath.Join(a.Data, "log")); !slices.Equal(log, []string{"monday.log", "tuesday.log"}) ||
			content(t, filepath.Join(a.Data, "log", "monday.log")) != "ours" {
			t.Errorf("%s: the log's folder holds %v, monday is %q", when, log, content(t, filepath.Join(a.Data, "log", "monday.log")))
		}
		if now := entries(t, filepath.Dir(a.Data)); !slices.Equal(now, before) || exists(a.movedFile()) {
			t.Errorf("%s: beside the data there are %v, before %v", when, now, before)
		}
	}

	transactions := filepath.Join(a.Data, "pg_xact")
	moved := moveOut(t, a, "pg_xact")
	if err := a.Rewind(ctx, b.source(), StartOptions{}); err == nil ||
		!strings.Contains(err.Error(), "pg_xact of the data directory is a symbolic link") {
		t.Fatalf("a link in the place of PostgreSQL's own folder: %v", err)
	}
	whole("refused")
	check(t, os.Remove(transactions))
	check(t, os.Rename(moved, transactions))

	victim := filepath.Join(filepath.Dir(a.Data), "victim", "log")
	check(t, os.MkdirAll(victim, 0o755))
	put(t, a.movedFile(), `{"data": "`+a.Data+`", "log": "log", "place": "`+victim+`"}`)
	if err := a.undoRewind(); err == nil || !exists(victim) || !exists(filepath.Join(a.Data, "log", "monday.log")) {
		t.Errorf("a record that names a folder of others: %v", err)
	}
	check(t, os.RemoveAll(filepath.Dir(victim)))
	check(t, os.Remove(a.movedFile()))

	check(t, a.moveHostFiles(ctx)) // and the agent dies
	for name := range links {
		if exists(filepath.Join(a.Data, name)) {
			t.Errorf("%s is still in the way", name)
		}
	}
	place(t, a, "log/monday.log", "theirs")
	place(t, a, "extra/list", "theirs")
	check(t, a.undoRewind())
	whole("undone")

	real := a.Binaries.Dir
	a.Binaries.Dir = failing(t, a, "pg_rewind", "echo no source >&2; exit 1")
	if err := a.Rewind(ctx, b.source(), StartOptions{}); err == nil || !strings.Contains(err.Error(), "no source") || exists(a.rewindMark()) {
		t.Fatalf("a trial run that fails: %v", err)
	}
	whole("tried")
	a.Binaries.Dir = real

	check(t, a.Rewind(ctx, b.source(), StartOptions{}))
	whole("rewound")
	start(t, a, false)
	streams(t, a)
	took("the rewinds", kit.Work{Starts: 2}) // its recovery in place, and as a standby
}

// acl is an ACL that lets one more user read, in the form of the kernel (include/uapi/linux/posix_acl_xattr.h).
func acl(user uint32) (b []byte) {
	b = binary.LittleEndian.AppendUint32(b, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 7, ^uint32(0)}, {2, 5, user}, {4, 5, ^uint32(0)}, {16, 5, ^uint32(0)}, {32, 0, ^uint32(0)}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// TestRebuildKeepsHostFiles: links, the log, group and ACLs of a data directory are its host's, and a copy of another member has them.
func TestRebuildKeepsHostFiles(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	place(t, a, "log/monday.log", "theirs")
	place(t, a, "extra/list", "theirs")
	b, _ := newStandby(t, ca, "feed-e2", a)
	took := counted(t, a, b)
	kill(t, b)
	group := int(b.Owner.GID)
	if os.Geteuid() == 0 {
		group = 12345 // none of the owner's
	}
	check(t, os.RemoveAll(filepath.Join(b.Data, "log")))
	place(t, b, "logs/today/postgresql.log", "ours")
	place(t, b, "postgresql.auto.conf", "log_directory = 'logs/today'\n")
	place(t, a, "logs/today/postgresql.log", "theirs")
	links := map[string]string{}
	for _, name := range []string{"postgresql.conf", "extra"} {
		links[name] = moveOut(t, b, name)
	}
	check(t, b.Owner.writeFile(filepath.Join(links["extra"], "list"), []byte("ours"), 0o600))
	check(t, filepath.WalkDir(b.Data, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, -1, group)
	}))
	check(t, openTree(b.Data))
	check(t, os.Chmod(b.Data, groupMode))
	hba := filepath.Join(b.Data, "pg_hba.conf")
	check(t, os.Chmod(hba, 0o640))
	lists := map[[2]string][]byte{{b.Data, accessACL}: acl(4711), {b.Data, defaultACL}: acl(4712), {hba, accessACL}: acl(4713)}
	for n, name := range []string{"logs", "logs/today", "base", "pg_xact"} { // of the user's, and of PostgreSQL's
		folder := filepath.Join(b.Data, name)
		lists[[2]string{folder, accessACL}], lists[[2]string{folder, defaultACL}] = acl(4720+uint32(n)), acl(4730+uint32(n))
	}
	for at, acl := range lists {
		if err := b.Owner.setACL(at[0], at[1], acl); errors.Is(err, unix.EOPNOTSUPP) {
			t.Log("without ACLs, which this file system has not")
			delete(lists, at)
		} else {
			check(t, err)
		}
	}
	check(t, os.Chmod(b.Data, os.ModeSetgid|groupMode))

	aside, _, err := rebuild(t, b, a.source(), asideMark+"1")
	check(t, err)
	for name, to := range links {
		if at, err := os.Readlink(filepath.Join(b.Data, name)); at != to {
			t.Errorf("%s leads to %q, %v", name, at, err)
		}
	}
	if text := content(t, filepath.Join(b.Data, "extra", "list")); text != "ours" {
		t.Errorf("what is behind a link has become %q", text)
	}
	if log := entries(t, filepath.Join(b.Data, "logs", "today")); len(log) > 0 ||
		content(t, filepath.Join(aside, "logs/today/postgresql.log")) != "ours" {
		t.Errorf("the log's folder holds %v", log)
	}
	for _, path := range []string{b.Data, hba, filepath.Join(b.Data, "global", "pg_control"), filepath.Join(b.Data, "base")} {
		if info := must(os.Stat(path)); int(info.Sys().(*syscall.Stat_t).Gid) != group {
			t.Errorf("%s is of group %d", path, info.Sys().(*syscall.Stat_t).Gid)
		}
	}
	if info := must(os.Stat(b.Data)); info.Mode() != os.ModeDir|os.ModeSetgid|groupMode {
		t.Errorf("the data directory has mode %s", info.Mode())
	}
	for at, want := range lists {
		if got := must(b.Owner.acl(at[0], at[1])); !slices.Equal(got, want) {
			t.Errorf("%s has %s %x, want %x", at[0], at[1], got, want)
		}
	}
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	took("the rebuild", kit.Work{Starts: 1, Forced: 1, Backups: 1})
}

// TestSocketInData: pg_rewind fails where its source has a socket in its data directory; its trial run shows it, and nothing is lost
// but the rewind. A server to be adopted with a socket, a pipe or a link that would do harm there is refused.
func TestSocketInData(t *testing.T) {
	a, b := diverged(t)
	ctx := testContext(t)
	kill(t, b)
	removePidFile(t, b)
	b.Kept.Sockets = b.Socket + ", " + filepath.Join(b.Data, "run")
	check(t, b.Owner.makeDir(filepath.Join(b.Data, "run"), 0o700))
	check(t, b.WriteSettings(ctx, Settings{}))
	start(t, b, true)
	var inData *SocketInDataError
	if a.Binaries.Major < 15 { // the rewind passes it over
		check(t, a.Rewind(ctx, b.source(), StartOptions{}))
	} else if err := a.Rewind(ctx, b.source(), StartOptions{}); !errors.As(err, &inData) ||
		inData.Path != "run/.s.PGSQL."+strconv.Itoa(b.Port) ||
		exists(a.rewindMark()) {
		t.Fatalf("a rewind from there: %v", err)
	}
	u, etc := outside(t)
	u.Replication.User, u.Owner = "postgres", a.Owner
	has := func(what string, words ...string) {
		t.Helper()
		refusals, _, err := u.AdoptChecks(ctx)
		if all := fmt.Sprint(refusals); err != nil || len(refusals) != len(words) {
			t.Errorf("%s: %v, %v", what, all, err)
		}
		for n, r := range refusals {
			if n < len(words) && !strings.Contains(r.String(), words[n]) {
				t.Errorf("%s: %s; want %q", what, r, words[n])
			}
		}
	}
	has("nothing")
	kill(t, u)
	removePidFile(t, u)
	moveOut(t, u, "pg_subtrans")
	put(t, filepath.Join(etc, "conf.d", "mine.conf"), "unix_socket_directories = '"+u.Socket+", "+u.Data+"'\n")
	check(t, u.Owner.asOwner(func() error { return unix.Mkfifo(filepath.Join(u.Data, "queue"), 0o600) }))
	user := *u
	user.Conf = etc
	_, err := user.spawn(ctx, StartOptions{})
	check(t, err)
	eventually(t, "the user's server", func() bool { _, err := u.Status(ctx); return err == nil })
	has("all", "pg_subtrans of the data directory is a symbolic link", "unix_socket_directories = '"+u.Socket+", "+u.Data+"'",
		"queue in its data directory")
}

// What an agent that died in the middle of a rewind has moved away: a start puts it back first, and data that was removed meanwhile gets no
// part of it, so that a copy can take its place. A log folder that cannot be moved is left to the rewind.
func TestRewindCutShort(t *testing.T) {
	a, b := diverged(t)
	ctx := testContext(t)
	moveOut(t, a, "postgresql.conf")
	check(t, a.moveHostFiles(ctx))
	start(t, a, true)
	check(t, a.StopImmediate(ctx))

	place(t, a, "log/monday.log", "ours")
	check(t, a.moveHostFiles(ctx))
	check(t, os.Chown(filepath.Dir(a.Data), int(a.Owner.UID), int(a.Owner.GID)))
	check(t, os.RemoveAll(a.Data))
	check(t, a.Clone(ctx, b.source(), "", nil, nil))
}

// Where the log's folder, or the data directory with it, is a mount point and cannot be moved, its files come back all the same, with their
// modes and times; also after a rewind that was cut short.
func TestRewindWithItsLogMounted(t *testing.T) {
	for name, mount := range map[string]func(a *Server) (string, error){
		"log": func(a *Server) (string, error) {
			log := filepath.Join(a.Data, "log")
			return log, errors.Join(unix.Mount("none", log, "tmpfs", 0, ""), os.Chown(log, int(a.Owner.UID), int(a.Owner.GID)))
		},
		"data": func(a *Server) (string, error) { return a.Data, unix.Mount(a.Data, a.Data, "", unix.MS_BIND, "") },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := diverged(t)
			ctx, log := testContext(t), filepath.Join(a.Data, "log")
			place(t, a, "log/hidden", "below a mount")
			at, err := mount(a)
			if errors.Is(err, unix.EPERM) {
				t.Skip(err)
			}
			check(t, err)
			mounted := true
			unmount := func() {
				if mounted {
					check(t, unix.Unmount(at, unix.MNT_DETACH))
				}
				mounted = false
			}
			t.Cleanup(unmount)
			place(t, a, "log/monday.log", "ours")
			place(t, a, "log/old/sunday.log", "ours alone")
			old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
			check(t, errors.Join(os.Chtimes(filepath.Join(log, "monday.log"), old, old), os.Chmod(filepath.Join(log, "monday.log"), 0o640)))
			place(t, b, "log/monday.log", "theirs")
			place(t, b, "log/friday.log", "theirs alone")
			whole := func(when string) {
				t.Helper()
				names := entries(t, log)
				names = slices.DeleteFunc(names, func(n string) bool { return n == "hidden" })
				info := must(os.Stat(filepath.Join(log, "monday.log")))
				if !slices.Equal(names, []string{"monday.log", "old"}) || content(t, filepath.Join(log, "monday.log")) != "ours" ||
					content(t, filepath.Join(log, "old", "sunday.log")) != "ours alone" || !info.ModTime().Equal(old) || info.Mode() != 0o640 {
					t.Errorf("%s: the log's folder holds %v, monday is of %s, %s", when, names, info.ModTime(), info.Mode())
				}
				if exists(a.logCopy()) || exists(a.movedFile()) {
					t.Errorf("%s: the copy is still there", when)
				}
			}
			check(t, a.moveHostFiles(ctx)) // and the agent dies
			place(t, a, "log/monday.log", "theirs")
			place(t, a, "log/friday.log", "theirs alone")
			check(t, os.RemoveAll(filepath.Join(log, "old")))
			check(t, a.undoRewind())
			whole("undone")
			check(t, a.Rewind(ctx, b.source(), StartOptions{}))
			whole("rewound")
			start(t, a, false)
			streams(t, a)
			kill(t, a)
			unmount()
		})
	}
}
