package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
)

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		q    quiet
		bad  bool
	}{
		{"nothing happened", quiet{}, false},
		{"what is not known is told elsewhere", quiet{Missing: unknown}, false},
		{"a new leader, and an attempt that was given up", quiet{LeaderChanges: 1, Abandoned: []string{"feed-4"}, Epochs: 1}, false},
		{"a failover", quiet{Failovers: []string{"feed-4 (done): PrimaryCrashed: feed-e1"}}, true},
		{"a lost post", quiet{Missing: 1}, true},
	} {
		if err := c.q.verdict(); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestQuietPrint(t *testing.T) {
	var out bytes.Buffer
	quiet{LastedMS: 1800000, Burners: 4, Failovers: []string{"feed-4 (done): PrimaryStuck"}, Acknowledged: 9, LongestOutageMS: 412}.print(&out)
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"calm for 30m0s", "4 busy loops", "automatic failovers 1", "longest write outage 412ms", "missing 0 of 9", "feed-4 (done): PrimaryStuck"} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in:\n%s", want, out.String())
		}
	}
}

func TestTermOf(t *testing.T) {
	for text, want := range map[string]uint64{
		"# HELP mainstay_raft_term Raft's current term.\n# TYPE mainstay_raft_term gauge\nmainstay_raft_term 12\n": 12,
		"mainstay_raft_term 1e+06\n": 1000000,
		"mainstay_is_leader 1\n":     0,
	} {
		if got := termOf(strings.NewReader(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestBurn(t *testing.T) {
	b, err := burn(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.stop(); err != nil {
		t.Errorf("none had ended: %v", err)
	}
	for _, cmd := range b.all {
		if err := syscall.Kill(cmd.Process.Pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d is still there: %v", cmd.Process.Pid, err)
		}
	}
}

// TestBurnEndedEarly: figures of a machine that was not busy must not look as if it was.
func TestBurnEndedEarly(t *testing.T) {
	b, err := burn(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(b.all[0].Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.wg.Wait()
	if err := b.stop(); err == nil {
		t.Error("a busy loop ended by itself, and nobody says so")
	}
}
