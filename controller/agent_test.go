package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// world is what the fake members of a cluster share: where the primary's WAL ends, and who streams.
type world struct {
	mu     sync.Mutex
	lsn    platform.LSN
	agents []*fakeAgent
}

// fakeAgent reports for one member and obeys goals as a well-behaved agent would, in memory.
type fakeAgent struct {
	w      *world
	client *wire.Client
	all    []string // controllers
	host   string
	number uint64
	mute   atomic.Bool // says nothing any more, like a lost host
	m      health.Member
	grants atomic.Uint64
	errs   atomic.Pointer[error]
}

// agents starts one for each member of the only cluster of p.
func (b *bed) agents(p *platform.Platform, controllers []*node) *world {
	b.t.Helper()
	w := &world{lsn: 0x3000000}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, m := range p.Clusters[0].Members {
		a := &fakeAgent{w: w, host: m.Host, client: b.client(identity.RoleAgent, m.Host),
			m: health.Member{Name: m.Name, Data: health.DataEmpty, Process: health.ProcessEnded, Guard: health.Guard{Complete: true}}}
		for _, n := range controllers {
			a.all = append(a.all, n.cfg.Advertise)
		}
		w.agents = append(w.agents, a)
	}
	for _, a := range w.agents {
		wg.Go(func() { a.run(ctx) })
	}
	b.t.Cleanup(func() { cancel(); wg.Wait() })
	return w
}

func (w *world) agent(member string) *fakeAgent {
	for _, a := range w.agents {
		if a.m.Name == member {
			return a
		}
	}
	return nil
}

func (a *fakeAgent) run(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !a.mute.Load() {
			a.report(ctx)
		}
	}
}

// report goes to every controller; the leader's answer is obeyed.
func (a *fakeAgent) report(ctx context.Context) {
	a.number++
	req := wire.ReportRequest{Protocol: wire.ProtocolMax,
		Report: health.Report{Host: a.host, BootID: "boot", RunID: "run", Number: a.number, Members: []health.Member{a.look()}}}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answers := make([]wire.ReportAnswer, len(a.all))
	var wg sync.WaitGroup
	for i, address := range a.all {
		wg.Go(func() {
			if err := a.client.DoAt(ctx, address, "POST", "/v1/report", req, &answers[i]); err != nil {
				a.errs.Store(&err)
				answers[i] = wire.ReportAnswer{}
			}
		})
	}
	wg.Wait()
	for _, answer := range answers {
		if answer.Number == a.number && answer.RunID == "run" {
			a.grants.Add(uint64(len(answer.Grants)))
			a.obey(answer.Goals[a.m.Name], answer.Index, len(answer.Grants) > 0)
			return
		}
	}
}

// look is what this agent sees of its member now.
func (a *fakeAgent) look() health.Member {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.m.Senders = nil
	switch {
	case a.m.Role == health.RolePrimary:
		a.w.lsn += 0x100
		a.m.Position, a.m.PositionKnown = a.w.lsn, true
		for _, o := range a.w.agents {
			if o != a && !o.mute.Load() && o.m.Role == health.RoleStandby && o.m.Sealed.IsZero() {
				a.m.Senders = append(a.m.Senders, health.Sender{Name: o.m.Incarnation, State: "streaming", Flush: a.w.lsn, Sync: true})
			}
		}
	case a.m.Role == health.RoleStandby && a.m.Sealed.IsZero():
		a.m.Position, a.m.PositionKnown, a.m.Replayed = a.w.lsn, false, a.w.lsn
		a.m.Receiver = &health.Receiver{}
		for _, o := range a.w.agents {
			if o.m.Role == health.RolePrimary && !o.mute.Load() {
				a.m.Receiver.Streaming = true
			}
		}
	}
	return a.m
}

func (a *fakeAgent) obey(g platform.Goal, from uint64, granted bool) {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	m := &a.m
	m.Guard.Told = from
	switch g.Kind {
	case platform.GoalPrimary:
		m.Epoch, m.Sealed, m.Receiver, m.Guard.Armed = g.Epoch, platform.Epoch{}, nil, g.Epoch
		if !granted || !m.Closed.Less(g.Epoch) {
			return
		}
		m.Data, m.Process, m.Role, m.SystemID = health.DataPresent, health.ProcessRunning, health.RolePrimary, "7001"
		m.Timeline, m.Incarnation, m.Opened, m.Checkpointed = g.Timeline, g.Incarnation, true, g.Checkpoint
		m.Loaded = g.Sets[len(g.Sets)-1].ID
		m.Settled = m.Loaded
	case platform.GoalReplica:
		m.Epoch, m.Sealed, m.Opened = g.Epoch, platform.Epoch{}, false
		if g.Opened {
			m.Data, m.Process, m.Role, m.SystemID = health.DataPresent, health.ProcessRunning, health.RoleStandby, "7001"
			m.Timeline, m.Incarnation = g.Timeline, g.Incarnation
		}
	case platform.GoalSealed:
		m.Sealed, m.Receiver, m.PositionKnown = g.Epoch, nil, true
	case platform.GoalStopped:
		if m.Process == health.ProcessRunning {
			m.Clean, m.Shutdown = g.Clean, a.w.lsn
			a.w.lsn += 0x98
		}
		m.Process, m.Role, m.Closed, m.Opened = health.ProcessEnded, health.RoleUnknown, g.Epoch, false
	}
}
