package member

import (
	"maps"
	"slices"
	"time"

	"mainstay/controller/platform"
)

// roundsKept is how many rounds of requests may be unanswered; answers to older ones are of little use.
const roundsKept = 8

// Promises are those that a primary's agent asks for while no leader answers (L5). The zero value has asked for none.
type Promises struct {
	Granted time.Duration // CLOCK_BOOTTIME of a leader's last grant; 0: none
	Length  time.Duration // of that grant
	By      []string      // the members whose promises renewed the lease last, sorted; nil if a leader did
	asked   time.Duration // when the last round began
	rounds  map[uint64]*round
}

// round is one renewal without a leader: the requests that belong to one reading of the clock, and the promises given.
type round struct {
	epoch platform.Epoch
	given map[string]platform.PromiseAnswer // by member
}

// Grant takes a leader's grant.
func (p *Promises) Grant(now, length time.Duration) { p.Granted, p.Length, p.By = now, length, nil }

// Resume takes the length of its lease over from an earlier process. The next heartbeat asks, because this process does not know
// how long no leader has answered.
func (p *Promises) Resume(now, length time.Duration) {
	if p.Granted == 0 {
		p.Length, p.Granted = length, max(1, now-platform.Suspect(length))
	}
}

// Ask returns the requests to send with the report of that number, none if the primary need not ask now. alone: the cluster has
// no other member that could be promoted, so the lease is renewed without requests. At most one round begins per heartbeat of
// the cluster's own lease: reports also leave for other clusters and other agents' requests, and too many rounds would push
// out the oldest before they are answered (S6).
func (p *Promises) Ask(in *Input, number uint64) (requests []platform.PromiseRequest, alone bool) {
	g := &in.Goal
	if !in.Asks(p.Granted, p.Length) || p.asked != 0 && in.Now-p.asked < platform.Heartbeat(p.Length) {
		return nil, false
	}
	p.asked = in.Now
	if p.rounds == nil {
		p.rounds = map[uint64]*round{}
	}
	p.rounds[number] = &round{g.Epoch, map[string]platform.PromiseAnswer{}}
	for len(p.rounds) > roundsKept {
		delete(p.rounds, slices.Min(slices.Collect(maps.Keys(p.rounds))))
	}
	for _, name := range g.OtherMembers {
		requests = append(requests, platform.PromiseRequest{Cluster: g.Cluster, From: in.Name, To: name,
			Epoch: g.Epoch, List: g.MembersVersion, Length: p.Length})
	}
	return requests, len(g.OtherMembers) == 0 && EnoughPromises(*g, nil)
}

// Take takes the answer to request r of the round of that number. Once enough members have promised, the lease is renewed from
// the round's reading of the clock, for the promised length: a leader may have granted a longer lease since.
func (p *Promises) Take(
	g *platform.Goal, number uint64, r platform.PromiseRequest, answer platform.PromiseAnswer,
) (length time.Duration, enough bool) {
	round := p.rounds[number]
	if round == nil || !answer.Given || g.Epoch != round.epoch {
		return 0, false
	}
	round.given[r.To] = answer
	if !EnoughPromises(*g, round.given) {
		return 0, false
	}
	p.By = slices.Sorted(maps.Keys(round.given))
	return r.Length, true
}
