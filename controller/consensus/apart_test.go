package consensus

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestPauseFor(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name   string
		before time.Time
		want   time.Duration // 0: none, or less
	}{
		{"the first", time.Time{}, 0},
		{"long ago", now.Add(-time.Minute), 0},
		{"just due", now.Add(-heartbeatsApart), 0},
		{"a moment ago", now.Add(-time.Millisecond), heartbeatsApart - time.Millisecond},
		{"the clock went back", now.Add(time.Hour), heartbeatsApart},
	} {
		if got := max(0, pauseFor(c.before, now)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Only heartbeats wait: what is replicated, the word that entries are committed, and a probe of where a follower's log ends do not.
func TestIsHeartbeat(t *testing.T) {
	for name, c := range map[string]struct {
		a    raft.AppendEntriesRequest
		want bool
	}{
		"a heartbeat": {raft.AppendEntriesRequest{Term: 2}, true},
		"entries":     {raft.AppendEntriesRequest{Term: 2, Entries: []*raft.Log{{}}}, false},
		"commit":      {raft.AppendEntriesRequest{Term: 2, LeaderCommitIndex: 5}, false},
		"a probe":     {raft.AppendEntriesRequest{Term: 2, PrevLogEntry: 4, PrevLogTerm: 1}, false},
		"no term":     {raft.AppendEntriesRequest{}, false},
	} {
		if got := isHeartbeat(&c.a); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
