package member

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

// primaryOf3 is a primary with these other members, whose leader has been silent for a whole lease.
func primaryOf3(others ...string) (Input, *Promises) {
	in := Input{Now: time.Hour, Name: "m1", Durable: Durable{Epoch: ep(3), Ran: ep(3)}, Memory: Memory{Opened: ep(3)},
		Lease: Lease{Epoch: ep(3), End: 2 * time.Hour}, Goal: platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: ep(3),
			MembersVersion: 5, OtherMembers: others,
			Sets: []platform.DurabilitySet{{ID: 1, Epoch: ep(3)}}}}
	p := &Promises{}
	p.Grant(in.Now-5*time.Second, 5*time.Second)
	return in, p
}

// S6: a host of two clusters sends reports at the pace of the shorter lease, and at once on request; the rounds of
// the longer one must live until they are answered, a fifth of its lease later.
func TestRoundsLiveUntilTheyAreAnswered(t *testing.T) {
	in, p := primaryOf3("m2")
	start, asked := in.Now, 0
	for i := range uint64(100) {
		in.Now = start + time.Duration(i)*20*time.Millisecond
		if requests, _ := p.Ask(&in, i); len(requests) > 0 {
			asked++
		}
	}
	if asked != 4 { // in two seconds, with a heartbeat of 500 ms
		t.Errorf("asked %d times", asked)
	}
	if p.rounds[0] == nil {
		t.Errorf("the first round was forgotten, of %d", len(p.rounds))
	}
}

// A leader grants a longer lease between a request and its answer: the promise renews for as long as was promised (L5).
func TestPromisesRenewForAsLongAsWasPromised(t *testing.T) {
	in, p := primaryOf3("m2")
	requests, alone := p.Ask(&in, 7)
	if len(requests) != 1 || alone {
		t.Fatalf("asked %v, alone %v", requests, alone)
	}
	p.Grant(in.Now, time.Hour)
	given := platform.PromiseAnswer{Given: true, Incarnation: "m2_1"}
	if length, enough := p.Take(&in.Goal, 7, requests[0], given); !enough || length != 5*time.Second || len(p.By) != 1 {
		t.Errorf("renewed %v for %s by %v", enough, length, p.By)
	}
	if _, enough := p.Take(&in.Goal, 8, requests[0], given); enough {
		t.Error("a promise of no round renewed the lease")
	}
	if in.Goal.Epoch = ep(4); func() bool { _, enough := p.Take(&in.Goal, 7, requests[0], given); return enough }() {
		t.Error("a promise to the epoch before renewed the lease")
	}
}

// No other member could be promoted, so no promise is needed.
func TestAlonePrimaryRenews(t *testing.T) {
	in, p := primaryOf3()
	if requests, alone := p.Ask(&in, 7); len(requests) != 0 || !alone {
		t.Errorf("asked %v, alone %v", requests, alone)
	}
	in.Goal.Sets[0].Acks = 1
	in.Now += time.Second
	if _, alone := p.Ask(&in, 8); alone {
		t.Error("a set that wants an acknowledgement has another member")
	}
}
