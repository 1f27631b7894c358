package probe

import (
	"context"
	"sync"
	"time"

	"mainstay/controller/wakeup"
)

// asker says how to probe targets T of one kind, with the knowledge S of each. All of it must be safe for concurrent use.
type asker[T any, K comparable, S any] struct {
	now func() time.Duration
	// key tells targets apart: under another key nothing is known.
	key func(T) K
	// every is the time from the begin of one probe to that of the next. A longer probe delays the next one: probes of one target
	// never overlap.
	every func(T) time.Duration
	// slots bounds the running probes.
	slots func(T) chan struct{}
	// ask returns the knowledge after a probe, in bounded time whatever the target does.
	ask func(ctx context.Context, target T, known S) S
}

// rounds probes each of its targets periodically.
type rounds[T any, K comparable, S any] struct {
	asker[T, K, S]
	aimed chan []T // capacity 1, the latest wins

	mu      sync.Mutex // guards watches and what they hold
	watches map[K]*watch[T, S]
	order   []K
}

// watch is one target with the knowledge of it.
type watch[T, S any] struct {
	target T
	cancel context.CancelFunc
	sooner chan struct{} // capacity 1: the target must be probed more often than before
	known  S
	asked  bool          // a probe is running
	begun  time.Duration // since when
}

func newRounds[T any, K comparable, S any](a asker[T, K, S]) *rounds[T, K, S] {
	return &rounds[T, K, S]{asker: a, aimed: make(chan []T, 1), watches: map[K]*watch[T, S]{}}
}

// aim sets the targets from now on. It never blocks.
func (r *rounds[T, K, S]) aim(targets []T) {
	for {
		select {
		case r.aimed <- targets:
			return
		default:
		}
		select {
		case <-r.aimed:
		default:
		}
	}
}

// run probes until ctx ends, and returns when every probe has ended.
func (r *rounds[T, K, S]) run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case targets := <-r.aimed:
			r.take(ctx, targets, &all)
		}
	}
}

// take begins new watches, ends those that are no longer wanted, and updates the targets and intervals of the others.
func (r *rounds[T, K, S]) take(ctx context.Context, targets []T, all *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.watches
	r.watches, r.order = map[K]*watch[T, S]{}, nil
	for _, t := range targets {
		k := r.key(t)
		if r.watches[k] != nil {
			continue
		}
		w := old[k]
		if w == nil {
			w = &watch[T, S]{sooner: make(chan struct{}, 1)}
			var mine context.Context
			mine, w.cancel = context.WithCancel(ctx)
			all.Go(func() { r.follow(mine, w) })
		}
		if r.every(t) < r.every(w.target) {
			wakeup.Signal(w.sooner)
		}
		w.target = t
		r.watches[k], r.order = w, append(r.order, k)
	}
	for k, w := range old {
		if r.watches[k] == nil {
			w.cancel()
		}
	}
}

// follow probes one target until ctx ends.
func (r *rounds[T, K, S]) follow(ctx context.Context, w *watch[T, S]) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var begun time.Duration
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.sooner:
		case <-timer.C:
			begun = r.now()
			r.once(ctx, w)
		}
		r.mu.Lock()
		every := r.every(w.target)
		r.mu.Unlock()
		timer.Reset(max(every-(r.now()-begun), time.Millisecond))
	}
}

// once probes a target and keeps the result.
func (r *rounds[T, K, S]) once(ctx context.Context, w *watch[T, S]) {
	r.mu.Lock()
	target, known := w.target, w.known
	r.mu.Unlock()
	slots := r.slots(target)
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return
	}
	r.mu.Lock()
	w.asked, w.begun = true, r.now()
	r.mu.Unlock()
	known = r.ask(ctx, target, known)
	if ctx.Err() != nil {
		return // the probe was cancelled, so its result says nothing about the target
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.known, w.asked = known, false
}

// each calls f with the knowledge of each target, in their order, and since when a probe of it has been running; 0: none is.
func (r *rounds[T, K, S]) each(f func(k K, known S, asked time.Duration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.order {
		w, asked := r.watches[k], time.Duration(0)
		if w.asked {
			asked = w.begun
		}
		f(k, w.known, asked)
	}
}
