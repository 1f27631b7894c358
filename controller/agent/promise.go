package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

// promiseTimeout bounds one request for a promise: the other agent itself first looks for a leader.
const promiseTimeout = 2 * time.Second

// request is one promise to ask for.
type request struct {
	number     uint64
	supervisor *supervisor.Supervisor
	platform.PromiseRequest
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
		for peer, r := range m.Requests(number, now) {
			box := s.boxes[peer]
			if box == nil {
				box = make(chan request, 1)
				s.boxes[peer] = box
				s.group.Go(func() { s.agent.sendRequests(ctx, peer, box) })
			}
			put(box, request{number, m, r})
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
			r.supervisor.PromisedBy(r.number, r.PromiseRequest, answer.PromiseAnswer)
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
	if id, err := identity.IDOf(r); err != nil || id.Role != identity.RoleAgent || !m.SpeaksFor(id.Name, req.From) {
		http.Error(w, "only the agent of "+req.From+" may ask for it", http.StatusForbidden)
		return
	}
	answer := wire.PromiseAnswer{Leader: a.leaderAnswers(r.Context(), member.LookFor(req.Length, a.unanswered()))}
	if answer.Leader != "" {
		answer.Reason = "a leader answers this agent: reach it through this agent's relay"
	} else {
		answer.PromiseAnswer = m.Promise(req)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an agent whose connection has ended asks again
}

func (a *Agent) lookUp(name string) *supervisor.Supervisor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.members[name]
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
