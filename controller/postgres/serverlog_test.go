package postgres

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mainstay/health/integrity/serverlog"
)

// logForms are the settings under which a server's log is read, by their names.
func logForms(b Binaries) map[string]string {
	all := map[string]string{
		"stderr":                         "log_line_prefix = '%m [%p] '",
		"stderr with SQLSTATEs":          "log_line_prefix = '%e '",
		"stderr, collected":              "logging_collector = on\nlog_line_prefix = '%m [%p] %q%u@%d '",
		"csvlog":                         "logging_collector = on\nlog_destination = csvlog",
		"csvlog and stderr, in a folder": "logging_collector = on\nlog_destination = 'stderr,csvlog'\nlog_directory = '{}'",
	}
	if b.Major >= 15 {
		all["jsonlog"] = "logging_collector = on\nlog_destination = jsonlog"
	}
	return all
}

// TestServerLog: in each form, what the log says of damaged pages, of files that are not there and of files that are too short is found,
// across rotations, and neither what was there before nor what a session has raised itself.
func TestServerLog(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	for _, table := range []string{"pages", "gone", "short"} {
		check(t, a.exec(ctx, "CREATE TABLE public."+table+" AS SELECT n, repeat('x', 300) AS x FROM generate_series(1, 200) AS n"))
	}
	check(t, a.exec(ctx, "CREATE INDEX ON public.short (n)"))
	check(t, a.exec(ctx, "VACUUM ANALYZE public.short"))
	check(t, a.exec(ctx, "CHECKPOINT"))
	file := func(table string) (path string) {
		check(t, a.with(ctx, func(c *sql.Conn) error {
			return c.QueryRowContext(ctx, "SELECT pg_relation_filepath($1::text::regclass)::text", "public."+table).Scan(&path)
		}))
		return path
	}
	pages, gone, short := file("pages"), file("gone"), file("short")
	stop(t, a)
	f := must(os.OpenFile(filepath.Join(a.Data, pages), os.O_RDWR, 0))
	_, err := f.WriteAt([]byte("damage"), 3*8192+5000)
	check(t, errors.Join(err, f.Close(), os.Remove(filepath.Join(a.Data, gone)), os.Truncate(filepath.Join(a.Data, short), 8192)))
	conf := content(t, a.userConfig())
	for name, settings := range logForms(a.Binaries) {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			folder := must(a.Owner.makeTemp(filepath.Dir(a.Conf), "logs"))
			put(t, a.userConfig(), conf+"\n"+strings.ReplaceAll(settings, "{}", folder)+"\n")
			start(t, a, true)
			defer stop(t, a)
			var follower LogFollower
			var found []serverlog.Entry
			follow := func() {
				t.Helper()
				check(t, follower.Follow(a, func(e serverlog.Entry) {
					if k := e.Kind(); k == serverlog.Damage {
						found = append(found, e)
					} else if k != "" {
						t.Errorf("%s is %s", e, k)
					}
				}))
			}
			fails := func(statement string) {
				t.Helper()
				if err := a.exec(ctx, statement); err == nil {
					t.Fatalf("%s succeeds", statement)
				}
			}
			sees := func(what string) {
				t.Helper()
				eventually(t, what, func() bool {
					follow()
					return slices.ContainsFunc(found, func(e serverlog.Entry) bool { return strings.Contains(e.Message, what) })
				})
			}
			fails("SELECT count(*) FROM public.gone")
			const forged = "DO $$BEGIN RAISE EXCEPTION 'forged base/5/16384' USING ERRCODE = 'XX001'; END$$"
			eventually(t, "a log", func() bool { return follower.Follow(a, func(e serverlog.Entry) {}) == nil })
			fails("SELECT x FROM public.pages WHERE ctid = '(3,1)'")
			sees("3 of relation " + map[bool]string{true: `"`}[a.Binaries.Major >= saysTwice] + pages)
			if !slices.ContainsFunc(a.said(origin{}, mostOfLog, true), func(e serverlog.Entry) bool {
				file, block := invalid(e)
				return file == pages && block == "3"
			}) {
				t.Error("the page is not named")
			}
			fails(forged)
			if follower.Path != a.Log {
				check(t, a.exec(ctx, "ALTER SYSTEM SET log_filename = 'second.log'"))
				defer func() { check(t, a.exec(testContext(t), "ALTER SYSTEM RESET log_filename")) }()
				check(t, a.Reload(ctx))
				eventually(t, "the rotation", func() bool { path, _ := a.collected(); return strings.Contains(path, "second") })
			}
			fails("SELECT count(*) FROM public.gone")
			sees(gone)
			fails("BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SELECT x FROM public.short WHERE n = 190; COMMIT")
			sees(short)
			if follower.Passed > 0 || slices.ContainsFunc(found, func(e serverlog.Entry) bool { return strings.Contains(e.Message, "forged") }) {
				t.Errorf("%d bytes passed over, and found %v", follower.Passed, found)
			}
			if hides := must(a.LogSettings(ctx)).Hides(follower.Form); hides != "" {
				t.Error(hides)
			}
			if want, _, _ := strings.Cut(strings.ReplaceAll(name, ",", " "), " "); follower.Form != serverlog.Form(want) {
				t.Errorf("it is read as %s", follower.Form)
			}
		})
	}
}

// TestServerLogIO: a checkpoint that cannot write, and a sync that fails, are errors of the disk, in each form; after the latter the
// server has ended itself, and its agent hears why.
func TestServerLogIO(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	stop(t, a)
	dir := must(a.Owner.makeTemp(filepath.Dir(a.Conf), "io"))
	check(t, os.Chmod(dir, 0o755))
	lib, source := filepath.Join(dir, "io.so"), filepath.Join(dir, "io.c")
	put(t, source, failingIO)
	out, err := exec.Command("gcc", "-shared", "-fPIC", fmt.Sprintf("-DAT=%q", dir), "-o", lib, source, "-ldl").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check(t, os.Chmod(lib, 0o755))
	real := a.Binaries.Dir
	a.Binaries.Dir = failing(t, a, "postgres", "LD_PRELOAD="+lib+" exec "+real+`/postgres "$@"`)
	conf := content(t, a.userConfig())
	for name, settings := range logForms(a.Binaries) {
		t.Run(name, func(t *testing.T) {
			put(t, a.userConfig(), conf+"\ncheckpoint_timeout = 1h\nrestart_after_crash = off\n"+strings.ReplaceAll(settings, "{}", dir)+"\n")
			for what, fatal := range map[string]bool{"write": false, "fsync": true} {
				p := start(t, a, true)
				var follower LogFollower
				eventually(t, "a log", func() bool { return follower.Follow(a, func(serverlog.Entry) {}) == nil })
				insert(t, a, 7)
				put(t, filepath.Join(dir, what), "")
				if err := a.exec(ctx, "CHECKPOINT"); err == nil {
					t.Error("the checkpoint succeeds")
				}
				eventually(t, what+" in the log", func() (found bool) {
					check(t, follower.Follow(a, func(e serverlog.Entry) {
						if e.Kind() == serverlog.Storage && strings.Contains(e.Message, "could not "+what) {
							found = found || e.Severity == "PANIC" == fatal
						} else if k := e.Kind(); k != "" && k != serverlog.Storage && k != serverlog.Internal { // "checkpoint request failed"
							t.Errorf("%s is %s", e, k)
						}
					}))
					return found
				})
				check(t, os.Remove(filepath.Join(dir, what)))
				if !fatal {
					stop(t, a)
					continue
				}
				select {
				case <-p.Done():
				case <-ctx.Done():
					t.Fatal("it has not ended")
				}
				if f := a.Crash(p); !strings.Contains(f.Said, "could not fsync") {
					t.Errorf("it ended for %+v", f)
				}
				eventually(t, "the end of its tree", func() bool { left, err := a.children(); return err != nil || len(left) == 0 })
			}
		})
	}
}

// failingIO fails each write to a relation's file, and each sync of one, while a file says so.
const failingIO = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int fails(int fd, const char *what) {
	char link[64], path[4096];
	if (access(what, F_OK) != 0)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	if (strstr(path, "/base/") == NULL)
		return 0;
	errno = EIO;
	return 1;
}

int fsync(int fd) {
	static int (*real)(int);
	if (!real)
		real = dlsym(RTLD_NEXT, "fsync");
	return fails(fd, AT "/fsync") ? -1 : real(fd);
}

ssize_t pwrite(int fd, const void *b, size_t n, off_t at) {
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (!real)
		real = dlsym(RTLD_NEXT, "pwrite");
	return fails(fd, AT "/write") ? -1 : real(fd, b, n, at);
}

ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) { return pwrite(fd, b, n, at); }

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) {
	static ssize_t (*real)(int, const struct iovec *, int, off_t);
	if (!real)
		real = dlsym(RTLD_NEXT, "pwritev");
	return fails(fd, AT "/write") ? -1 : real(fd, v, n, at);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t at) { return pwritev(fd, v, n, at); }
`

// TestLogFollower: what a log gains is read once, across truncations and renames; of too much of it the end is, and the rest is counted.
func TestLogFollower(t *testing.T) {
	i := &Server{Data: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	line := func(block int) string {
		return fmt.Sprintf("ERROR:  invalid page in block %d of relation base/5/7\n", block)
	}
	var f LogFollower
	var got []string
	follow := func(want ...string) {
		t.Helper()
		got = nil
		if err := f.Follow(i, func(e serverlog.Entry) { got = append(got, e.String()+"\n") }); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	put(t, i.Log, line(1))
	follow()
	put(t, i.Log, line(1)+line(2)+line(3)[:30])
	follow(line(2))
	put(t, i.Log, line(1)+line(2)+line(3))
	follow(line(3))
	put(t, i.Log, line(4)) // written anew
	follow(line(4))
	check(t, os.Rename(i.Log, i.Log+".1"))
	put(t, i.Log, line(5)+line(6)+line(7)) // another file
	follow(line(5), line(6), line(7))
	again := LogFollower{LogPlace: f.LogPlace} // of the next agent
	put(t, i.Log, content(t, i.Log)+line(8))
	follow(line(8))
	f = again
	follow(line(8))

	check(t, os.WriteFile(filepath.Join(i.Data, "current_logfiles"), []byte("stderr log/a\n"), 0o600))
	check(t, os.Mkdir(filepath.Join(i.Data, "log"), 0o700))
	put(t, filepath.Join(i.Data, "log/a"), line(10))
	put(t, i.Log, content(t, i.Log)+line(9))
	follow(line(9), line(10)) // a rotation: the rest of the former one too
	put(t, filepath.Join(i.Data, "log/a"), line(10)+strings.Repeat("x\n", mostGained)+line(11))
	follow(line(11))
	if f.Passed < mostGained-100 || f.Passed > mostGained+100 {
		t.Errorf("%d bytes were passed over", f.Passed)
	}
	check(t, os.Remove(filepath.Join(i.Data, "log/a")))
	if err := f.Follow(i, func(serverlog.Entry) {}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of a file that is gone: %v", err)
	}
}

// TestLogHides: what a log cannot show is said, with the setting.
func TestLogHides(t *testing.T) {
	for _, c := range []struct {
		s    LogSettings
		form serverlog.Form
		want string
	}{
		{LogSettings{"stderr", "%m [%p] ", "C", "warning"}, serverlog.Stderr, ""},
		{LogSettings{"stderr", "%m [%p] ", "en_GB.UTF-8", "warning"}, serverlog.Stderr, ""},
		{LogSettings{"stderr", "%m [%p] ", "de_DE.UTF-8", "warning"}, serverlog.Stderr, "add %e"},
		{LogSettings{"stderr", "%m %e ", "de_DE.UTF-8", "warning"}, serverlog.Stderr, ""},
		{LogSettings{"stderr, csvlog", "%m ", "de_DE.UTF-8", "warning"}, serverlog.CSV, ""},
		{LogSettings{"syslog", "%m ", "C", "warning"}, serverlog.Stderr, "log_destination"},
		{LogSettings{"stderr", "%m ", "C", "panic"}, serverlog.Stderr, "log_min_messages"},
	} {
		if got := c.s.Hides(c.form); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q", c.s, got)
		}
	}
}
