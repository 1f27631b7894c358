package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// shell runs a script, which has its arguments in $0 and on.
func shell(t *testing.T, limit time.Duration, script string, args ...string) (Ended, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return Run(ctx, Call{Path: "/bin/sh", Args: append([]string{"-c", script}, args...), Stdin: "given\n", Env: []string{"MORE=yes"}})
}

func TestRun(t *testing.T) {
	t.Setenv("OWN", "secret")
	e, err := shell(t, patience, `read a; echo "$a $0 $MORE $OWN."; echo bad >&2; exit 3`, "word")
	if err != nil || e != (Ended{3, "given word yes .\n", "bad\n", false}) {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := shell(t, patience, "kill -9 $$"); err != nil || e.Code != -1 {
		t.Errorf("killed: %+v, %v", e, err)
	}
	dir := t.TempDir()
	if e, err := Run(t.Context(), Call{Path: "/bin/pwd", Dir: dir}); err != nil || e.Stdout != dir+"\n" {
		t.Errorf("in %s: %+v, %v", dir, e, err)
	}
	if os.Geteuid() == 0 {
		if e, err := Run(t.Context(), Call{Path: "/usr/bin/id", Args: []string{"-u"},
			As: &syscall.Credential{Uid: 65534, Gid: 65534}}); err != nil || e.Stdout != "65534\n" {
			t.Errorf("as nobody: %+v, %v", e, err)
		}
	}
	if _, err := Run(t.Context(), Call{Path: "/nowhere/program"}); err == nil || errors.Is(err, ErrLate) {
		t.Errorf("a program that is not there: %v", err)
	}
	if e, err := shell(t, patience, "yes | head -c 1000000; echo end >&2"); err != nil || len(e.Stdout) > mostOutput ||
		!strings.HasSuffix(e.Stdout, "y\n") || e.Stderr != "end\n" || !e.Cut {
		t.Errorf("%d bytes kept, then %q, %v", len(e.Stdout), e.Stderr, err)
	}
}

// TestLines: each line of the output is told as it comes, also what is not kept.
func TestLines(t *testing.T) {
	var told []string
	e, err := Run(t.Context(), Call{Path: "/bin/sh", Args: []string{"-c", `printf 'one\ntw'; printf 'o\n\nthree'; echo no >&2`}, Most: 5,
		Line: func(line string) { told = append(told, line) }})
	if err != nil || e.Stdout != "one\n" || !e.Cut || strings.Join(told, "|") != "one|two|" {
		t.Errorf("%+v, %q, %v", e, told, err)
	}
}

// TestStop: at the deadline a program is asked to end, and what it writes then is kept.
func TestStop(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	e, err := Run(ctx, Call{Path: "/bin/sh", Args: []string{"-c", `trap 'echo tidied; exit 1' INT; sleep 600 & wait`}, Stop: syscall.SIGINT})
	if !errors.Is(err, ErrLate) || e.Stdout != "tidied\n" || time.Since(began) > StopGrace {
		t.Errorf("%+v, %v after %s", e, err, time.Since(began))
	}
}

// TestNothingIsLeft: what a program began in its group ends with it, at the deadline and without one.
func TestNothingIsLeft(t *testing.T) {
	for name, last := range map[string]string{"late": "wait", "in time": "exit 0"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			limit := patience
			if name == "late" {
				limit = 300 * time.Millisecond
			}
			_, err := shell(t, limit, `sleep 600 & echo $! > "$0"; `+last, file)
			if late := errors.Is(err, ErrLate); late != (name == "late") || err != nil && !late {
				t.Fatal(err)
			}
			raw, _ := os.ReadFile(file)
			pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(patience); running(pid); {
				if time.Now().After(deadline) {
					t.Fatal("its child lives on")
				}
				<-time.After(10 * time.Millisecond)
			}
		})
	}
}

// running: an unreaped zombie has ended.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && unix.Kill(pid, 0) == nil && !strings.Contains(string(stat), ") Z ")
}

func TestApart(t *testing.T) {
	if v, back := Apart(t.Context(), func() int { return 7 }); v != 7 || !back {
		t.Error(v, back)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hangs := make(chan int)
	defer close(hangs)
	if v, back := Apart(ctx, func() int { return <-hangs }); v != 0 || back {
		t.Error(v, back)
	}
}
