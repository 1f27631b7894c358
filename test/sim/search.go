package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"sort"
	"sync"
	"time"

	"mainstay/test/sim/world"
)

// search plays seeds in parallel, each in a world of its own.
type search struct {
	out         io.Writer
	first       uint64
	seeds       uint64
	long        time.Duration
	keep        bool
	hash        bool // print a hash of each scenario's trace
	workers     int
	began       time.Time
	mu          sync.Mutex
	next        uint64 // the next seed to play
	played      int
	failed      []world.Result
	counts      map[string]int
	lowestFails uint64 // no seed above it is begun any more, unless keep
}

// run plays the budget and returns the exit code. Without keep it ends at the lowest seed that fails: the same one,
// however many workers there are.
func (s *search) run(ctx context.Context) int {
	s.play(ctx)
	summary(s.counts, s.out)
	for _, r := range s.failed {
		fmt.Fprint(s.out, explain(r))
		if !s.keep {
			break
		}
	}
	fmt.Fprintf(s.out, "%d scenarios in %s, %d failed\n", s.played, since(s.began), len(s.failed))
	return min(len(s.failed), 1)
}

func (s *search) play(ctx context.Context) {
	defer debug.SetGCPercent(debug.SetGCPercent(4800)) // scenarios leave much garbage and little else: some 200 MB between collections
	s.began, s.next, s.counts, s.lowestFails = time.Now(), s.first, map[string]int{}, ^uint64(0)
	if s.long > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.long)
		defer cancel()
	}
	var wg sync.WaitGroup
	for range max(1, s.workers) {
		wg.Go(func() {
			for seed, ok := s.take(ctx); ok; seed, ok = s.take(ctx) {
				s.took(world.New(seed, world.Options{Hash: s.hash}).Run())
			}
		})
	}
	wg.Wait()
	sort.Slice(s.failed, func(i, j int) bool { return s.failed[i].Seed < s.failed[j].Seed })
}

func (s *search) take(ctx context.Context) (uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.long == 0 && s.next >= s.first+s.seeds || !s.keep && s.next > s.lowestFails {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

func (s *search) took(r world.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.played++
	if s.hash {
		fmt.Fprintf(s.out, "seed %d: trace %016x\n", r.Seed, r.Hash)
	}
	for k, n := range r.Counts {
		s.counts[k] += n
	}
	s.counts["acknowledged"] += r.Acked
	if len(r.Violations) > 0 {
		s.failed = append(s.failed, r)
		s.lowestFails = min(s.lowestFails, r.Seed)
	}
}

func summary(counts map[string]int, out io.Writer) {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(out, "%8d %s\n", counts[n], n)
	}
}
