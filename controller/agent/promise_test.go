package agent

import (
	"testing"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// S6: a host of two clusters sends reports at the pace of the shorter lease, and at once for whoever asks it; the rounds of
// the longer one must live until they are answered, a fifth of its lease later.
func TestRoundsLiveUntilTheyAreAnswered(t *testing.T) {
	e, start := platform.Epoch{Generation: 1, Number: 1}, time.Hour
	m := &minder{name: "a", goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: e, Slots: []string{"b"}}, lease: member.Lease{Epoch: e, End: start + time.Minute}}
	m.memory.Opened = e
	m.vouching = vouching{granted: start - 5*time.Second, length: 5 * time.Second, rounds: map[uint64]*round{}, peers: map[string]wire.Peer{"b": {Host: "h2", Address: "h2:1"}}}
	asked := 0
	for i := range uint64(100) {
		now := start + time.Duration(i)*20*time.Millisecond
		if len(m.requests(i, now)) > 0 {
			asked++
		}
	}
	if asked != 4 { // in two seconds, with a heartbeat of 500 ms
		t.Errorf("asked %d times", asked)
	}
	if first := m.vouching.rounds[0]; first == nil {
		t.Errorf("the first round was forgotten, of %d", len(m.vouching.rounds))
	}
}
