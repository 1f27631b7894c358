package machine

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	raw := "42 (a) b (c) S 7 42 42 0 -1 4194560 10 20 0 0 150 50 30 20 20 0 5 0 123456 99999999 300 18446744073709551615 1 1 0\n"
	p, err := parseStat(42, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if p.PID != 42 || p.Parent != 7 || p.Started != 123456 || p.CPU != 2500*time.Millisecond || p.Own != 300*int64(os.Getpagesize()) {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", "42 (a) S 7", "42 (a) S x 42 42 0 -1 4194560 10 20 0 0 150 50 30 20 20 0 5 0 123456 99999999 300 0"} {
		if _, err := parseStat(42, []byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  100 20 30 5000 400 5 6 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if want := 1610 * time.Millisecond; err != nil || got != want {
		t.Errorf("%s, %v; want %s: idle, iowait and what a hypervisor took are not work", got, err, want)
	}
	if _, err := parseBusy("intr 7\n"); err == nil {
		t.Error("another file is taken for /proc/stat")
	}
}

func TestInherit(t *testing.T) {
	s := Snapshot{
		1: {PID: 1}, 2: {PID: 2, Parent: 1, Label: "agent"}, 3: {PID: 3, Parent: 2}, 4: {PID: 4, Parent: 3},
		5: {PID: 5, Parent: 4, Label: "server"}, 6: {PID: 6, Parent: 5}, 7: {PID: 7, Parent: 99}, 8: {PID: 8, Parent: 8},
	}
	s.inherit()
	for pid, want := range map[int]string{1: "", 2: "agent", 3: "agent", 4: "agent", 5: "server", 6: "server", 7: "", 8: ""} {
		if got := s[pid].Label; got != want {
			t.Errorf("process %d is %q, want %q", pid, got, want)
		}
	}
}

func TestSpent(t *testing.T) {
	const s = time.Second
	before := Snapshot{
		1: {PID: 1, Started: 1, CPU: 10 * s, Label: "server"},
		2: {PID: 2, Parent: 1, Started: 2, CPU: 3 * s, Label: "server"}, // ends, and 1 waits for it
		3: {PID: 3, Parent: 1, Started: 3, CPU: 5 * s, Label: "server"}, // lives on
		4: {PID: 4, Parent: 9, Started: 4, CPU: 7 * s, Label: "agent"},  // its number is another process's later
		5: {PID: 5, Started: 5, CPU: 2 * s, Label: "killed"}, 6: {PID: 6, Parent: 5, Started: 6, CPU: s, Label: "killed"},
	}
	after := Snapshot{
		1: {PID: 1, Started: 1, CPU: 10*s + 4*s + s, Label: "server"}, // 4 s of process 2, of which 3 s are from before, 1 s its own
		3: {PID: 3, Parent: 1, Started: 3, CPU: 6 * s, Label: "server"},
		4: {PID: 4, Parent: 1, Started: 400, CPU: s, Label: "new"},
	}
	got := Spent(before, after)
	if got["server"] != 3*s || got["new"] != s || got["agent"] != 0 || got["killed"] != 0 {
		t.Errorf("%v; want 3 s of the server: 1 s of itself, 1 s of each child", got)
	}
}

func TestMemory(t *testing.T) {
	s := Snapshot{1: {Own: 5, Label: "guard"}, 2: {Own: 7, Label: "guard"}, 3: {Own: 9, Label: "agent"}}
	if got := s.Memory(); got["guard"] != 7 || got["agent"] != 9 {
		t.Errorf("%v", got)
	}
}

// TestTake: a child is found, with its program and its parent's label.
func TestTake(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	s, err := Take(func(p Process) string {
		if p.PID == os.Getpid() {
			return "test"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	child := s[cmd.Process.Pid]
	if child.Parent != os.Getpid() || child.Label != "test" || child.Started == 0 {
		t.Errorf("the child is %+v", child)
	}
	if own := s[os.Getpid()].Own; own <= 0 { // the kernel counts in steps that are too coarse for a small child
		t.Errorf("this process has %d bytes of its own", own)
	}
	if found := s.PIDs(func(label string) bool { return label == "test" }); len(found) < 2 {
		t.Errorf("labelled are %v", found)
	}
	if busy, err := Busy(); err != nil || busy <= 0 {
		t.Errorf("busy for %s, %v", busy, err)
	}
	if n, err := Loopback(); err != nil || n < 0 {
		t.Errorf("%d bytes over loopback, %v", n, err)
	}
}
