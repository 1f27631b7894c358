package decide

import (
	"maps"
	"time"
)

// Conditions remembers since when conditions have held without a break. It is volatile: a new leader starts it anew, so
// everything bounded by it happens late, never early.
type Conditions struct {
	now     time.Duration
	round   uint64 // numbers the rounds of questions
	touched int    // how many conditions were kept alive in this round
	holds   map[string]hold
}

type hold struct {
	since time.Duration
	round uint64 // in which it was kept alive last
}

// NewConditions returns conditions of which none holds.
func NewConditions() *Conditions {
	return &Conditions{holds: map[string]hold{}}
}

func (s *Conditions) begin(now time.Duration) { s.now, s.round, s.touched = now, s.round+1, 0 }

// end forgets every condition that was not kept alive in this round.
func (s *Conditions) end() {
	if s.touched < len(s.holds) {
		maps.DeleteFunc(s.holds, func(_ string, h hold) bool { return h.round != s.round })
	}
}

// heldFor says for how long the condition key has held; asking keeps it alive.
func (s *Conditions) heldFor(key string) time.Duration {
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

// Clone copies them, for explain.
func (s *Conditions) Clone() *Conditions {
	c := *s
	c.holds = maps.Clone(s.holds)
	return &c
}
