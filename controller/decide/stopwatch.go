package decide

import (
	"maps"
	"time"
)

// Stopwatch remembers since when conditions have held without a break. It is volatile: a new leader starts it anew, so
// that everything bounded by it happens late rather than early.
type Stopwatch struct {
	now     time.Duration
	round   uint64 // numbers the rounds of questions
	touched int    // how many conditions were held up in this round
	holds   map[string]hold
}

type hold struct {
	since time.Duration
	round uint64 // in which it was held up last
}

// NewStopwatch returns a stopwatch on which nothing has begun.
func NewStopwatch() *Stopwatch {
	return &Stopwatch{holds: map[string]hold{}}
}

func (s *Stopwatch) begin(now time.Duration) { s.now, s.round, s.touched = now, s.round+1, 0 }

// end forgets every condition that was not held up in this round.
func (s *Stopwatch) end() {
	if s.touched < len(s.holds) {
		maps.DeleteFunc(s.holds, func(_ string, h hold) bool { return h.round != s.round })
	}
}

// held says for how long the condition key has held; asking is what holds it up.
func (s *Stopwatch) held(key string) time.Duration {
	h, ok := s.holds[key]
	if !ok {
		h.since = s.now
	}
	if !ok || h.round != s.round {
		h.round = s.round
		s.holds[key] = h
		s.touched++
	}
	return s.now - h.since
}

// Clone copies the stopwatch, for explain.
func (s *Stopwatch) Clone() *Stopwatch {
	c := *s
	c.holds = maps.Clone(s.holds)
	return &c
}
