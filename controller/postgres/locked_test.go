package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diverged is a stopped former primary whose successor has left its history, both with a file of each kind that pg_rewind cannot open.
func diverged(t *testing.T) (a, b *Server) {
	t.Helper()
	ca := newAuthority(t)
	a = newPrimary(t, ca, "feed-e1")
	check(t, a.Owner.makeDir(filepath.Join(a.Data, "extra"), 0o700))
	for name, mode := range map[string]fs.FileMode{"server.key": 0o400, "notes": 0o440, "extra/list": 0o400, "site.crt": 0o644} {
		check(t, a.Owner.writeFile(filepath.Join(a.Data, name), []byte(name), mode))
	}
	b, s := newStandby(t, ca, "feed-e2", a)
	insert(t, a, 2)
	_, _, err := b.Seal(testContext(t), s)
	check(t, err)
	insert(t, a, 3)
	promoteTo(t, b, s, 5)
	kill(t, a)
	check(t, b.EnsureSlots(testContext(t), []string{SlotName(a.Member)}, nil))
	follow(t, a, b)
	return a, b
}

func modes(t *testing.T, i *Server, want map[string]fs.FileMode) {
	t.Helper()
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(i.Data, name))
		check(t, err)
		if info.Mode() != mode {
			t.Errorf("%s has mode %s, want %s", name, info.Mode(), mode)
		}
	}
	if exists(i.unlockedFile()) {
		t.Error("the record of the modes is still there")
	}
}

// TestRewindOfReadOnlyFiles: files that PostgreSQL's user cannot open for writing do not ruin a rewind, and have their modes after it,
// after a failure, and after an agent that died in between.
func TestRewindOfReadOnlyFiles(t *testing.T) {
	a, b := diverged(t)
	ctx, took := testContext(t), counted(t, b, a)
	locked := map[string]fs.FileMode{"server.key": 0o400, "notes": 0o440, "extra/list": 0o400}
	root := filepath.Join(a.Data, "site.crt")
	if os.Geteuid() == 0 {
		other := filepath.Join(a.Data, "foreign")
		check(t, os.WriteFile(other, nil, 0o644))
		if err := a.Rewind(ctx, b.source(), StartOptions{}); err == nil || !strings.Contains(err.Error(), other) || exists(a.rewindMark()) {
			t.Fatalf("with a file that is root's: %v", err)
		}
		check(t, os.Remove(other))
	}

	check(t, a.unlock(nil)) // and the agent dies
	if !opens(filepath.Join(a.Data, "extra", "list")) || !exists(a.unlockedFile()) {
		t.Fatal("a file is still read-only, or its mode is recorded nowhere")
	}
	check(t, a.lock())
	modes(t, a, locked)
	if os.Geteuid() == 0 {
		check(t, os.Chown(root, 0, 0))
	}

	real := a.Binaries.Dir
	a.Binaries.Dir = failing(t, a, "pg_rewind", `case "$*" in *--dry-run*) exec `+real+`/pg_rewind "$@";; esac; echo cut short >&2; exit 1`)
	if err := a.Rewind(ctx, b.source(), StartOptions{}); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Fatalf("a rewind that fails: %v", err)
	}
	modes(t, a, locked)
	a.Binaries.Dir = real
	if _, err := a.Start(ctx, StartOptions{}); !errors.Is(err, ErrRewindUnfinished) {
		t.Fatalf("a start on data whose rewind was cut short: %v", err)
	}
	check(t, os.Remove(a.rewindMark())) // it had changed nothing

	check(t, a.Rewind(ctx, b.source(), StartOptions{}))
	modes(t, a, locked)
	if text := content(t, root); text != "site.crt" {
		t.Errorf("this host's own certificate is %q", text)
	}
	start(t, a, false)
	streams(t, a)
	took("the rewinds", kit.Work{Starts: 2}) // its recovery in place, and as a standby
}

// failing is a folder of PostgreSQL's programs with a script in the place of one.
func failing(t *testing.T, i *Server, program, script string) string {
	t.Helper()
	dir := must(os.MkdirTemp("", "msb"))
	t.Cleanup(func() { os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	all, err := os.ReadDir(i.Binaries.Dir)
	check(t, err)
	for _, e := range all {
		if e.Name() != program {
			check(t, os.Symlink(filepath.Join(i.Binaries.Dir, e.Name()), filepath.Join(dir, e.Name())))
		}
	}
	check(t, os.WriteFile(filepath.Join(dir, program), fmt.Appendf(nil, "#!/bin/sh\n%s\n", script), 0o755))
	return dir
}
