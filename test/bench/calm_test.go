package main

import (
	"bytes"
	"strings"
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
		{"a guard's kill", quiet{GuardKills: 1}, true},
		{"two new leaders in half an hour", quiet{LeaderChanges: 2, LastedMS: 30 * 60_000}, true},
		{"two new leaders in an hour", quiet{LeaderChanges: 2, LastedMS: 60 * 60_000}, false},
	} {
		if err := c.q.verdict(); (err != nil) != c.bad {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestQuietPrint(t *testing.T) {
	var out bytes.Buffer
	quiet{LastedMS: 1800000, Loops: loops{"cpu": 4, "forks": 1}, Failovers: []string{"feed-4 (done): PrimaryStuck"}, Acknowledged: 9,
		LongestOutageMS: 412}.print(&out)
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"calm for 30m0s", "loops (cpu=4, forks=1)", "automatic failovers 1", "longest write outage 412ms",
		"missing 0 of 9", "feed-4 (done): PrimaryStuck"} {
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
