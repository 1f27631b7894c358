// Package publish publishes which member is primary, and which app servers take requests: committed state -> topology -> a sink
// (etcd's keys).
//
// It reacts only to committed state, and only on the leader. It must never block the loop or the log: it has its own goroutine, takes the
// latest state whenever it is ready, and skips the states in between. If a sink is down it tries again for ever, which does not affect the
// platform. A sink must refuse a topology older than its own, so that an old leader that does not know of its successor never overwrites a
// newer epoch.
//
// Flow enters by Source; it leaves by Sink.
package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

const (
	publishTime = 3 * time.Second // bounds one call of the sink
	firstRetry  = 250 * time.Millisecond
	lastRetry   = 5 * time.Second
	// fastest bounds how often the state is read: it changes with every barrier.
	fastest = 20 * time.Millisecond
)

// ErrNewer is returned by a sink that has a newer topology than the given one: then the given one is from an old leader.
var ErrNewer = errors.New("a newer topology has been published")

// Topology is the published part of a cluster.
type Topology struct {
	Cluster  string            `json:"cluster"`
	Epoch    platform.Epoch    `json:"epoch"`
	Version  uint64            `json:"version"`           // of the cluster's state: orders topologies of one epoch
	Primary  *Endpoint         `json:"primary,omitempty"` // nil before bootstrap
	Replicas []Endpoint        `json:"replicas"`
	Timeline platform.Timeline `json:"timeline"`
	// Opened: the primary accepts writes. Before that no member is announced to clients as primary.
	Opened bool `json:"opened"`
}

// Endpoint is the address of a member.
type Endpoint struct {
	Member  string `json:"member"`
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// Older tells whether t precedes o: by epoch, then by version.
func (t Topology) Older(o Topology) bool {
	return t.Epoch.Less(o.Epoch) || t.Epoch == o.Epoch && t.Version < o.Version
}

func (t Topology) subject() subject { return subject{"cluster", t.Cluster} }

func (t Topology) same(e entry) bool {
	o, ok := e.(Topology)
	o.Version = t.Version
	return ok && reflect.DeepEqual(t, o)
}

func (t Topology) put(ctx context.Context, k Sink, platform string) error {
	return k.Publish(ctx, platform, t)
}

func (t Topology) fields() []zap.Field {
	return []zap.Field{zap.String("cluster", t.Cluster), zap.Stringer("epoch", t.Epoch), zap.Bool("opened", t.Opened)}
}

// Sink takes topologies. Publish is idempotent, and called regularly to keep the published keys alive; it fails with ErrNewer for a
// topology that is older than the sink's. It is called from one goroutine, with a deadline.
type Sink interface {
	Publish(ctx context.Context, platform string, t Topology) error
	// Withdraw deletes the keys of a cluster that was removed at that version. It leaves keys that it did not publish, fails with
	// ErrNewer for a topology of a later version, and may find nothing.
	Withdraw(ctx context.Context, platform, cluster string, version uint64) error
	// PublishApp and WithdrawApp do the same for an app; of gone, only the name, the generation and the index count.
	PublishApp(ctx context.Context, platform string, t AppTopology) error
	WithdrawApp(ctx context.Context, platform string, gone AppTopology) error
}

// subject is a cluster or an app of which something is published.
type subject struct{ kind, name string }

// entry is the topology of a cluster or of an app.
type entry interface {
	subject() subject
	same(entry) bool // clients would see no difference between the two
	put(ctx context.Context, k Sink, platform string) error
	fields() []zap.Field // for the log
}

// withdrawal deletes the keys of a subject that was removed at a version; 0 where removals need not be told apart.
type withdrawal struct {
	subject
	version uint64
	do      func(context.Context, Sink) error
}

// Source gives the committed state, and whether this controller leads.
type Source interface {
	State() *state.State
	Changed() <-chan struct{} // closed after the next change of either
	Leading() bool
}

// Of computes the topologies of committed state, in the platform's order.
func Of(s *state.State) []Topology {
	if s.Platform == nil {
		return nil
	}
	var out []Topology
	for i := range s.Platform.Clusters {
		conf := &s.Platform.Clusters[i]
		cl := s.Clusters[conf.Name]
		t := Topology{Cluster: conf.Name, Epoch: cl.Epoch, Version: cl.Version, Timeline: cl.Timeline, Opened: cl.Opened, Replicas: []Endpoint{}}
		for _, m := range conf.Members {
			e := Endpoint{Member: m.Name, Port: m.Port}
			if h := s.Platform.Host(m.Host); h != nil {
				e.Address = h.Address
			}
			if m.Name == cl.Primary {
				t.Primary = &e
			} else {
				t.Replicas = append(t.Replicas, e)
			}
		}
		out = append(out, t)
	}
	return out
}

// entries are all topologies to publish.
func entries(s *state.State) (all []entry) {
	for _, t := range Of(s) {
		all = append(all, t)
	}
	for _, t := range AppsOf(s) {
		all = append(all, t)
	}
	return all
}

// withdrawals are all removed clusters and apps, whose keys must be deleted.
func withdrawals(s *state.State) (all []withdrawal) {
	if s.Platform == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.RemovedClusters)) {
		version := s.RemovedClusters[name].Version
		all = append(all, withdrawal{subject{"cluster", name}, version, func(ctx context.Context, k Sink) error {
			return k.Withdraw(ctx, s.Platform.Name, name, version)
		}})
	}
	for _, name := range s.RemovedApps {
		all = append(all, withdrawApp(name, s))
	}
	return all
}

// Publisher keeps a sink up to date.
type Publisher struct {
	sink   Sink
	every  time.Duration // how often to publish an unchanged topology
	logger *zap.Logger

	sent    map[subject]entry  // since this controller leads
	gone    map[subject]uint64 // withdrawn since then, with its version
	renewed time.Time          // when all of them were published last
	down    bool
	backoff time.Duration
}

// New returns a publisher that publishes everything again once in every.
func New(sink Sink, every time.Duration, logger *zap.Logger) *Publisher {
	return &Publisher{sink: sink, every: every, logger: logger, sent: map[subject]entry{}, gone: map[subject]uint64{}}
}

// Run publishes until ctx ends; it then returns nil.
func (p *Publisher) Run(ctx context.Context, source Source) error {
	for {
		changed := source.Changed()
		next := p.every
		if !source.Leading() {
			clear(p.sent)
			clear(p.gone)
		} else if err := p.round(ctx, source.State()); err != nil {
			next, changed = p.failed(err), nil
		} else {
			p.worked()
		}
		if !sleep(ctx, fastest, nil) || !sleep(ctx, next, changed) {
			return nil
		}
	}
}

// round publishes the changes, and everything once in p.every. It returns the first failure: what the sink refuses delays nothing
// else, since what it holds of the others may be false as well. It ends early when a call was not answered in time.
func (p *Publisher) round(ctx context.Context, s *state.State) error {
	renew := time.Since(p.renewed) >= p.every
	var first error
	for _, e := range entries(s) {
		if err := p.publish(ctx, s.Platform.Name, e, renew); errors.Is(err, errHung) {
			return err
		} else if first == nil {
			first = err
		}
	}
	for _, w := range withdrawals(s) {
		if err := p.withdraw(ctx, w, renew); errors.Is(err, errHung) {
			return err
		} else if first == nil {
			first = err
		}
	}
	if renew && first == nil {
		p.renewed = time.Now()
	}
	return first
}

// errHung is returned when the sink did not answer in time.
var errHung = errors.New("no answer in time")

// call makes one call of the sink.
func (p *Publisher) call(ctx context.Context, do func(context.Context, Sink) error) error {
	call, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	err := do(call, p.sink)
	if err != nil && call.Err() != nil {
		return fmt.Errorf("%w: %w", errHung, err)
	}
	return err
}

func (p *Publisher) publish(ctx context.Context, platform string, e entry, renew bool) error {
	last, known := p.sent[e.subject()]
	news := !known || !last.same(e)
	if !news && !renew {
		return nil
	}
	err := p.call(ctx, func(ctx context.Context, k Sink) error { return e.put(ctx, k, platform) })
	switch {
	case errors.Is(err, ErrNewer) && news: // a new leader publishes, and this controller will learn of it
		p.logger.Info("topology not published: the sink has a newer one", e.fields()...)
	case err != nil && !errors.Is(err, ErrNewer):
		return err
	case err == nil && news:
		p.logger.Info("topology published", e.fields()...)
	}
	p.sent[e.subject()] = e
	delete(p.gone, e.subject())
	return nil
}

// withdraw deletes the keys of a removed cluster or app, and again once in p.every: an old leader that did not know of the removal
// may have published them once more.
func (p *Publisher) withdraw(ctx context.Context, w withdrawal, renew bool) error {
	last, known := p.gone[w.subject]
	if known = known && last == w.version; known && !renew {
		return nil
	}
	err := p.call(ctx, w.do)
	if err != nil && !errors.Is(err, ErrNewer) { // the cluster or app was added again, and a new leader publishes it
		return err
	}
	if err == nil && !known {
		p.logger.Info("removed from the published topology", zap.String(w.kind, w.name))
	}
	p.gone[w.subject] = w.version
	delete(p.sent, w.subject)
	return nil
}

// failed logs once that the sink is down, and returns the pause before the next attempt.
func (p *Publisher) failed(err error) time.Duration {
	if !p.down {
		p.down, p.backoff = true, firstRetry
		p.logger.Warn("topology cannot be published; trying again", zap.Error(err))
	}
	p.renewed = time.Time{} // the keys may be gone when the sink is back
	wait := p.backoff
	p.backoff = min(2*p.backoff, lastRetry)
	return wait
}

func (p *Publisher) worked() {
	if p.down {
		p.down = false
		p.logger.Info("topology is published again")
	}
}

// sleep waits for d, or less if changed is closed; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
