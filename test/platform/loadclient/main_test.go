package main_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/internal/pgtest"
)

// build compiles the commands of the sample platform and returns their directory.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "build", "-o", dir, "mainstay/test/platform/feedserver",
		"mainstay/test/platform/loadclient").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

// launch starts a command that must end well when the returned function is called; the signal comes from there.
func launch(t *testing.T, dir, dsn, name string, args ...string) (end func(os.Signal) string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(dir, name), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.Env = append(os.Environ(), "PLATFORM_DSN="+dsn)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	wait := func() error {
		ended = true
		late := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		return cmd.Wait()
	}
	t.Cleanup(func() {
		if !ended {
			cmd.Process.Kill()
			wait()
		}
	})
	return func(s os.Signal) string {
		t.Helper()
		if s != nil {
			cmd.Process.Signal(s)
		}
		if err := wait(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, &out)
		}
		return out.String()
	}
}

func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestCommands(t *testing.T) {
	dir, s, addr := build(t), pgtest.Start(t), address(t)
	stopServer := launch(t, dir, s.DSN(), "feedserver", "-listen", addr, "-name", "web-1")
	stopLoad := launch(t, dir, "", "loadclient", "run", "-urls", "http://"+addr, "-ledger", "l.jsonl", "-socket", "s", "-writers", "2")
	ctl := func(args ...string) (string, int) {
		cmd := exec.Command(filepath.Join(dir, "loadclient"), append([]string{"ctl", "-socket", "s", "-timeout", "20s"}, args...)...)
		cmd.Dir = dir
		out, _ := cmd.Output()
		return strings.TrimSpace(string(out)), cmd.ProcessState.ExitCode()
	}
	expect := func(pattern string, code int, args ...string) {
		t.Helper()
		if out, got := ctl(args...); !regexp.MustCompile(`^(?s)`+pattern+`$`).MatchString(out) || got != code {
			t.Errorf("ctl %q: exit %d, printed %q; want exit %d and %s", args, got, out, code, pattern)
		}
	}

	kit.Within(t, time.Minute, "posts are acknowledged", func() bool {
		out, code := ctl("report")
		return code == 0 && regexp.MustCompile(`acked=\d\d`).MatchString(out)
	})
	expect("m1", 0, "mark")
	s.Stop()
	kit.Within(t, time.Minute, "the outage shows", func() bool {
		out, _ := ctl("-since", "m1", "report")
		return strings.Contains(out, "open=true")
	})
	s.Up()
	kit.Within(t, time.Minute, "the outage is over", func() bool {
		out, _ := ctl("-since", "m1", "report")
		return regexp.MustCompile(`outage_ms=[1-9][0-9.]* .*outages=\d+ acked=[1-9]`).MatchString(out) && !strings.Contains(out, "open=")
	})
	expect(`missing=0 checked=\d+`, 0, "verify")
	s.SQL("DELETE FROM posts WHERE id = (SELECT id FROM posts ORDER BY created LIMIT 1)")
	expect(`missing=1 checked=\d+\nmissing [0-9a-f-]{36}`, 1, "verify")
	expect(`\{.*"tally":.*\}`, 0, "-json", "report")
	expect("", 1, "-since", "m9", "report")
	expect("", 2)
	expect(`outage_ms=.*`, 0, "stop")
	if out := stopLoad(nil); !strings.Contains(out, "acked=") {
		t.Errorf("the load client's last words: %s", out)
	}
	if out := stopServer(syscall.SIGTERM); !strings.Contains(out, "web-1 stopped") {
		t.Errorf("the app server's last words: %s", out)
	}
}

// Straight to PostgreSQL; ended by a signal.
func TestDirect(t *testing.T) {
	dir, s := build(t), pgtest.Start(t)
	stop := launch(t, dir, s.DSN(), "loadclient", "run", "-ledger", "l.jsonl", "-socket", "s")
	kit.Within(t, time.Minute, "the ledger fills", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "l.jsonl"))
		return bytes.Count(b, []byte("\n")) > 5
	})
	if out := stop(syscall.SIGTERM); !regexp.MustCompile(`acked=[1-9]`).MatchString(out) {
		t.Errorf("last words: %s", out)
	}
}
