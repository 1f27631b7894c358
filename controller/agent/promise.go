package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// promiseTimeout bounds one request for a promise: the other agent first looks for a leader itself.
const promiseTimeout = 2 * time.Second

// roundsKept is how many rounds of requests may be unanswered; later answers are worth little anyway.
const roundsKept = 8

// round is one renewal without a leader: the requests that were made after one reading of the clock, and who promised.
type round struct {
	epoch    platform.Epoch
	promises map[string]string // incarnation by member
}

// vouching is what a primary's minder knows of promises; it lies under the minder's mu.
type vouching struct {
	granted time.Duration // when a leader's last grant was taken, 0: never
	length  time.Duration // of that grant
	peers   map[string]wire.Peer
	asked   time.Duration // when the last round began
	rounds  map[uint64]*round
	by      []string // who made the last renewal
}

// request is one promise to ask for.
type request struct {
	number uint64
	minder *minder
	platform.PromiseRequest
}

// requests says whom a primary that must ask asks now (L5). A round begins once a heartbeat of its own lease: reports also leave
// for other clusters, and whenever another agent asks here, and rounds beyond those kept would end before they are answered
// (S6). It is of the lease path: memory only.
func (m *minder) requests(number uint64, now time.Duration) map[wire.Peer]request {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, v, in := m.goal, &m.vouching, m.input(now)
	if !in.Asks(v.granted, v.length) || v.asked != 0 && now-v.asked < platform.Heartbeat(v.length) {
		return nil
	}
	v.asked = now
	v.rounds[number] = &round{g.Epoch, map[string]string{}}
	for len(v.rounds) > roundsKept {
		delete(v.rounds, slices.Min(slices.Collect(maps.Keys(v.rounds))))
	}
	all := map[wire.Peer]request{}
	for _, name := range g.Slots {
		if peer, ok := v.peers[name]; ok && peer.Address != "" {
			all[peer] = request{number, m, platform.PromiseRequest{Cluster: g.Cluster, From: m.name, To: name, Epoch: g.Epoch, List: g.List, Length: v.length}}
		}
	}
	return all
}

// promisedBy takes a promise of a round, and renews the lease once enough have come in: for as long as was promised, however long
// the lease is that a leader may have granted since.
func (m *minder) promisedBy(r request, answer wire.PromiseAnswer) {
	m.mu.Lock()
	v, g := &m.vouching, m.goal
	round := v.rounds[r.number]
	if round == nil || !answer.Given || g.Epoch != round.epoch {
		m.mu.Unlock()
		return
	}
	round.promises[r.To] = answer.Incarnation
	enough, length := member.Vouched(g, round.promises), r.Length
	if enough {
		v.by = slices.Sorted(maps.Keys(round.promises))
	}
	m.mu.Unlock()
	if !enough {
		return
	}
	if end, ours := m.agent.endOf(r.number, length); ours {
		m.granted(round.epoch, end, length)
	}
}

func (a *Agent) endOf(number uint64, length time.Duration) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clocks.End(a.clocks.Run(), number, length)
}

// askers sends requests for promises: a goroutine for each other agent, so that one that hangs delays nobody.
type askers struct {
	agent *Agent
	boxes map[wire.Peer]chan request
	group *sync.WaitGroup
}

// ask sends what the members need at this heartbeat. Single members need nobody's promise.
func (s *askers) ask(ctx context.Context, number uint64) {
	now := boottime.Now()
	for _, m := range s.agent.list() {
		for peer, r := range m.requests(number, now) {
			box := s.boxes[peer]
			if box == nil {
				box = make(chan request, 1)
				s.boxes[peer] = box
				s.group.Go(func() { s.agent.sendRequests(ctx, peer, box) })
			}
			put(box, r)
		}
		m.aloneVouches(number)
	}
}

// aloneVouches renews the lease of a primary that has no other member: nobody else could be promoted.
func (m *minder) aloneVouches(number uint64) {
	m.mu.Lock()
	r, alone := m.vouching.rounds[number], len(m.goal.Slots) == 0 && member.Vouched(m.goal, nil)
	length := m.vouching.length
	m.mu.Unlock()
	if r == nil || !alone {
		return
	}
	if end, ours := m.agent.endOf(number, length); ours {
		m.granted(r.epoch, end, length)
	}
}

func (a *Agent) sendRequests(ctx context.Context, peer wire.Peer, box <-chan request) {
	client := wire.NewClient([]string{peer.Address}, a.tls.ClientConfig(identity.RoleAgent, peer.Host))
	defer client.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 2)
	for {
		var r request
		select {
		case <-ctx.Done():
			return
		case r = <-box:
		}
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, promiseTimeout)
			defer cancel()
			var answer wire.PromiseAnswer
			if err := client.DoAt(ctx, peer.Address, http.MethodPost, "/v1/promise", r.PromiseRequest, &answer); err != nil {
				return
			}
			if answer.Leader != "" {
				a.relayed(relay{peer, answer.Leader})
			}
			r.minder.promisedBy(r, answer)
		})
	}
}

// promise answers another agent's request (L5). It promises only if no leader answers this agent either.
func (a *Agent) promise(w http.ResponseWriter, r *http.Request) {
	var req platform.PromiseRequest
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, fmt.Sprintf("the request cannot be read: %v", err), http.StatusBadRequest)
		return
	}
	m := a.lookUp(req.To)
	if m == nil {
		http.Error(w, "this host has no member "+req.To, http.StatusNotFound)
		return
	}
	if id, err := identity.IDOf(r); err != nil || id.Role != identity.RoleAgent || !m.speaksFor(id.Name, req.From) {
		http.Error(w, "only the agent of "+req.From+" may ask for it", http.StatusForbidden)
		return
	}
	answer := wire.PromiseAnswer{Leader: a.leaderAnswers(r.Context(), member.LookFor(req.Length, a.unanswered()))}
	if answer.Leader != "" {
		answer.Reason = "a leader answers here: go through this agent"
	} else {
		answer.PromiseAnswer = m.promise(req)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // whoever asked and went away asks again
}

func (a *Agent) lookUp(name string) *minder {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members[name]
}

// speaksFor: the agent's host carries that member, as far as a leader has told.
func (m *minder) speaksFor(host, asking string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	peer, known := m.vouching.peers[asking]
	return !known || peer.Host == host
}

// promise is given or refused under the same lock under which the next act is chosen, so that no seal overtakes it.
func (m *minder) promise(req platform.PromiseRequest) platform.PromiseAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, answer := member.Promise(m.input(boottime.Now()), req)
	if m.promised = kept; answer.Given {
		m.log.Debug("promised not to be sealed or promoted", zap.String("to", req.From), zap.Duration("until", kept.Until))
	}
	return answer
}

// unanswered is for how long no leader has answered this agent.
func (a *Agent) unanswered() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return boottime.Now() - max(a.heard, a.begun)
}

// leaderAnswers sends a report of this moment and waits for a leader's answer to it, or a later one: the address of that
// leader, "" if none answers within limit.
func (a *Agent) leaderAnswers(ctx context.Context, limit time.Duration) string {
	a.mu.Lock()
	asked := a.clocks.Last()
	a.mu.Unlock()
	poke(a.kick)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		a.mu.Lock()
		answered, leader, news := a.answered, a.leaderAddress, a.news
		a.mu.Unlock()
		if answered > asked {
			return leader
		}
		select {
		case <-news:
		case <-timer.C:
			return ""
		case <-ctx.Done():
			return ""
		}
	}
}

// heardFrom notes that a leader has answered report number; called with a.mu held.
func (a *Agent) heardFrom(address string, number uint64) {
	a.answered, a.leaderAddress = max(a.answered, number), address
	close(a.news)
	a.news = make(chan struct{})
}
