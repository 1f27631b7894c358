package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

// promiseTimeout bounds one request for a promise: the other agent itself first looks for a leader.
const promiseTimeout = 2 * time.Second

// request is one promise to ask for.
type request struct {
	number     uint64
	supervisor *supervisor
	platform.PromiseRequest
}

// requests lists the promises to ask for with the report of that number, and the agents to ask. It is on the lease path, so it reads
// memory only.
func (m *supervisor) requests(number uint64, now time.Duration) map[platform.Peer]request {
	m.mu.Lock()
	in := m.input(now)
	asked, alone := m.leasing.promises.Ask(&in, number)
	all := map[platform.Peer]request{}
	for _, r := range asked {
		if peer, ok := m.told.peers[r.To]; ok && peer.Address != "" {
			all[peer] = request{number, m, r}
		}
	}
	length := m.leasing.promises.Length
	m.mu.Unlock()
	if alone {
		m.renewed(number, in.Goal.Epoch, length)
	}
	return all
}

// promisedBy takes the answer to a request, and renews the lease once enough members have promised.
func (m *supervisor) promisedBy(r request, answer platform.PromiseAnswer) {
	m.mu.Lock()
	length, enough := m.leasing.promises.Take(&m.told.goal, r.number, r.PromiseRequest, answer)
	m.mu.Unlock()
	if enough {
		m.renewed(r.number, r.Epoch, length)
	}
}

// renewed renews the lease from the clock of the report of that number.
func (m *supervisor) renewed(number uint64, epoch platform.Epoch, length time.Duration) {
	if end, ours := m.agent.endOf(number, length); ours {
		m.granted(epoch, end, length)
	}
}

func (a *Agent) endOf(number uint64, length time.Duration) (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clocks.End(a.clocks.Run(), number, length)
}

// askers sends requests for promises. Each other agent has its own goroutine, so that one that hangs delays no other.
type askers struct {
	agent *Agent
	boxes map[platform.Peer]chan request
	group *sync.WaitGroup
}

// ask sends the requests that the members need at this heartbeat. A single member needs no promise.
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
	}
}

func (a *Agent) sendRequests(ctx context.Context, peer platform.Peer, box <-chan request) {
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
			r.supervisor.promisedBy(r, answer.PromiseAnswer)
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
		answer.Reason = "a leader answers this agent: reach it through this agent's relay"
	} else {
		answer.PromiseAnswer = m.promise(req)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an agent whose connection has ended asks again
}

func (a *Agent) lookUp(name string) *supervisor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members[name]
}

// speaksFor tells whether the agent of that host may ask for the member, as far as a leader has said.
func (m *supervisor) speaksFor(host, asking string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	peer, known := m.told.peers[asking]
	return !known || peer.Host == host
}

// promise gives or refuses a promise under the lock under which the next act is chosen, so that no seal overtakes it.
func (m *supervisor) promise(req platform.PromiseRequest) platform.PromiseAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, answer := member.Promise(m.input(boottime.Now()), req)
	if m.leasing.promised = kept; answer.Given {
		m.log.Debug("promised to be neither sealed nor promoted", zap.String("to", req.From), zap.Duration("until", kept.Until))
	}
	return answer
}

// unanswered is how long no leader has answered this agent.
func (a *Agent) unanswered() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return boottime.Now() - max(a.heard, a.begun)
}

// leaderAnswers sends a report and waits for a leader's answer to it, or to a later one. It returns that leader's address, "" if none
// answers within limit.
func (a *Agent) leaderAnswers(ctx context.Context, limit time.Duration) string {
	a.mu.Lock()
	asked := a.clocks.Last()
	a.mu.Unlock()
	wakeup.Signal(a.kick)
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
