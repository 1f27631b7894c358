package agent

import (
	"testing"
	"time"

	"mainstay/controller/boottime"
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

// TestPromisesRenewForAsLongAsWasPromised: a leader grants a longer lease between a request and its answer (L5).
func TestPromisesRenewForAsLongAsWasPromised(t *testing.T) {
	e, s := platform.Epoch{Generation: 1, Number: 1}, boottime.Now()
	a := &Agent{clocks: member.NewClocks("run", 0)}
	number := a.clocks.Send(s)
	m := &minder{agent: a, name: "a", lease: member.Lease{Epoch: e, End: s + time.Second}, kick: make(chan struct{}, 1)}
	m.goal = platform.Goal{Kind: platform.GoalPrimary, Epoch: e, Slots: []string{"b"}, Sets: []platform.Set{{ID: 1, Epoch: e}}, Paused: true} // no guard holds it
	m.vouching = vouching{length: time.Hour, rounds: map[uint64]*round{number: {e, map[string]string{}}}}
	m.promisedBy(request{number, m, platform.PromiseRequest{To: "b", Epoch: e, Length: time.Minute}}, wire.PromiseAnswer{PromiseAnswer: platform.PromiseAnswer{Given: true}})
	if m.lease.End != s+time.Minute {
		t.Errorf("it ends %s after s, promised was a minute", m.lease.End-s)
	}
}
