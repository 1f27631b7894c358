// Package probe asks the members' PostgreSQL from where a controller is: a new TLS connection each time, because a
// postmaster that hangs still serves the connections it has, and the smallest question on it.
//
// What it learns is evidence with an age, kept in memory: it never decides, never stores, and never keeps anybody waiting.
// Targets enter by Aim; votes leave by Votes. Run owns every goroutine.
package probe

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"mainstay/health"
)

const (
	// atOnce bounds the probes under way. Each member has one at most, so only more frozen members than that delay others.
	atOnce = 64
	// quietFor is how long a member that turned the probe away is greeted only: each refusal is a line in its log.
	quietFor = time.Minute
)

// Target is one member to probe.
type Target struct {
	Cluster, Member, Host string
	Port                  int
	Every                 time.Duration // from the begin of one probe to that of the next
	Limit                 time.Duration // of one probe, for everything
}

// key names a watch: at another address it is another server, of which nothing is known.
type key struct {
	cluster, member, host string
	port                  int
}

func (t Target) key() key { return key{t.Cluster, t.Member, t.Host, t.Port} }

// Prober probes one controller's targets.
type Prober struct {
	tls   *tls.Config
	now   func() time.Duration
	aimed chan []Target // capacity 1, the latest wins
	slots chan struct{}

	mu      sync.Mutex // guards watches and what they hold
	watches map[key]*watch
	order   []key
}

// watch is what is known of one target.
type watch struct {
	target Target
	cancel context.CancelFunc
	// answered: it has answered at least once, last to the probe that began at answeredAt.
	answered   bool
	answeredAt time.Duration
	quietUntil time.Duration
	last       answer
}

// New returns a prober that shows the controller's certificate. config verifies the members' certificates; now is the
// controller's clock.
func New(config *tls.Config, now func() time.Duration) *Prober {
	return &Prober{tls: config, now: now, aimed: make(chan []Target, 1), slots: make(chan struct{}, atOnce), watches: map[key]*watch{}}
}

// Aim says what is to be probed from now on. It never blocks.
func (p *Prober) Aim(targets []Target) {
	for {
		select {
		case p.aimed <- targets:
			return
		default:
		}
		select {
		case <-p.aimed:
		default:
		}
	}
}

// Run probes until ctx ends, and returns when every probe has ended.
func (p *Prober) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case targets := <-p.aimed:
			p.take(ctx, targets, &all)
		}
	}
}

// take begins the new watches, ends those that are no longer wanted, and changes the pace of the others.
func (p *Prober) take(ctx context.Context, targets []Target, all *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.watches
	p.watches, p.order = map[key]*watch{}, nil
	for _, t := range targets {
		k := t.key()
		if p.watches[k] != nil {
			continue
		}
		w := old[k]
		if w == nil {
			w = &watch{}
			var mine context.Context
			mine, w.cancel = context.WithCancel(ctx)
			all.Go(func() { p.follow(mine, w) })
		}
		w.target = t
		p.watches[k], p.order = w, append(p.order, k)
	}
	for k, w := range old {
		if p.watches[k] == nil {
			w.cancel()
		}
	}
}

// follow probes one target until ctx ends.
func (p *Prober) follow(ctx context.Context, w *watch) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begun := p.now()
		p.once(ctx, w)
		p.mu.Lock()
		every := w.target.Every
		p.mu.Unlock()
		timer.Reset(max(every-(p.now()-begun), time.Millisecond))
	}
}

// once probes and keeps what it learned.
func (p *Prober) once(ctx context.Context, w *watch) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return
	}
	p.mu.Lock()
	target, begun := w.target, p.now()
	quiet := begun < w.quietUntil
	p.mu.Unlock()
	a := p.ask(ctx, target, quiet)
	if ctx.Err() != nil {
		return // no longer wanted: it says nothing about the member
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w.last = a
	if a.lives {
		w.answered, w.answeredAt = true, begun
	}
	if a.refused {
		w.quietUntil = p.now() + quietFor
	}
}

// Votes is what the probes say at now, in the order of the targets. HeardMS is left at never.
func (p *Prober) Votes(now time.Duration) []health.Vote {
	p.mu.Lock()
	defer p.mu.Unlock()
	votes := make([]health.Vote, 0, len(p.order))
	for _, k := range p.order {
		w := p.watches[k]
		v := health.Vote{Cluster: k.cluster, Member: k.member, HeardMS: -1, ProbedMS: -1, Role: w.last.role, Saturated: w.last.saturated, Error: w.last.text()}
		if w.answered {
			v.ProbedMS = (now - w.answeredAt).Milliseconds()
		}
		votes = append(votes, v)
	}
	return votes
}
