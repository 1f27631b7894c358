package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/fencing/program"
	"mainstay/health"
	"mainstay/test/kit"
)

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }

func TestCheckExec(t *testing.T) {
	p := New(nil, program.Allowed{"/bin/sh", "/nowhere/check"}, boottime.Now)
	for _, c := range []struct {
		name, script, want string
		unable             bool
	}{
		{"0 is well", `test "$0" = 10.0.1.21:8080`, "", false},
		{"another code", `echo; echo "queue is full"; echo more; exit 2`, "exited 2: queue is full", false},
		{"with words on stderr", `echo fine; echo "no route" >&2; exit 1`, "exited 1: no route", false},
		{"a long word", `head -c 5000 /dev/zero | tr '\0' x; exit 1`, "exited 1: " + strings.Repeat("x", mostEvidence), false},
		{"a signal", "kill -9 $$", "was killed by a signal", false},
		{"too late", "echo begun; sleep 600", "did not answer in time and was killed: begun", false},
	} {
		x := target("10.0.1.21:8080", platform.AppCheck{Exec: []string{"/bin/sh", "-c", c.script, "{address}"}})
		if c.name == "too late" {
			x.Check.Timeout = 300 * time.Millisecond
		}
		known := p.askInstance(t.Context(), x, instance{})
		switch {
		case c.want == "" && (known.err != nil || known.health.Verdict != health.Well):
			t.Errorf("%s: %v, %q", c.name, known.err, known.health.Verdict)
		case c.want != "" && (known.err == nil || known.err.Error() != c.want):
			t.Errorf("%s: got %v, want %q", c.name, known.err, c.want)
		}
	}
	none := target("h:1", platform.AppCheck{Exec: []string{"/nowhere/check", "{address}"}})
	down := instance{health: health.Count{Verdict: health.Down}}
	if known := p.askInstance(t.Context(), none, down); !errors.As(known.err, new(*unable)) || known.health.Verdict != health.WorkingUnknown {
		t.Errorf("a program that is not installed here: %v, %q", known.err, known.health.Verdict)
	}
}

// TestProgramThatIsNotAllowed: the platform file alone has no program run.
func TestProgramThatIsNotAllowed(t *testing.T) {
	began := filepath.Join(t.TempDir(), "began")
	x := target("h:1", platform.AppCheck{Exec: []string{"/usr/bin/touch", began}})
	for _, allowed := range []program.Allowed{nil, {"/usr/bin/touch2", "/usr/bin"}} {
		known := New(nil, allowed, boottime.Now).askInstance(t.Context(), x, instance{})
		if !errors.As(known.err, new(*unable)) || !strings.Contains(known.err.Error(), "`"+allowed.With("/usr/bin/touch")+"`") {
			t.Errorf("%v", known.err)
		}
	}
	if _, err := os.Stat(began); !os.IsNotExist(err) {
		t.Error("it was run")
	}
}

// TestProgramThatCannotBeKilled: no other is begun beside it.
func TestProgramThatCannotBeKilled(t *testing.T) {
	began := filepath.Join(t.TempDir(), "began")
	x := target("h:1", platform.AppCheck{Exec: []string{"/usr/bin/touch", began, "{address}"}, Timeout: 50 * time.Millisecond})
	held := make(chan struct{})
	p := New(nil, program.Allowed{"/usr/bin/touch"}, boottime.Now)
	known := p.askInstance(t.Context(), x, instance{running: held})
	if !errors.As(known.err, new(*unable)) || known.running != held {
		t.Errorf("%v", known.err)
	}
	if _, err := os.Stat(began); !os.IsNotExist(err) {
		t.Error("a second one was begun")
	}
	close(held)
	x.Check.Timeout = kit.Patience
	if known = p.askInstance(t.Context(), x, known); known.err != nil {
		t.Error(known.err)
	}
}
