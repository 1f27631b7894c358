package decide

import "time"

// Stopwatch remembers since when conditions have held without a break. It is volatile: a new leader starts it anew, so
// that everything bounded by it happens late rather than early.
type Stopwatch struct {
	now     time.Duration
	since   map[string]time.Duration
	touched map[string]bool
}

// NewStopwatch returns a stopwatch on which nothing has begun.
func NewStopwatch() *Stopwatch {
	return &Stopwatch{since: map[string]time.Duration{}}
}

func (s *Stopwatch) begin(now time.Duration) { s.now, s.touched = now, map[string]bool{} }

// end forgets every condition that was not held up in this round.
func (s *Stopwatch) end() {
	for key := range s.since {
		if !s.touched[key] {
			delete(s.since, key)
		}
	}
}

// held says for how long the condition key has held; asking is what holds it up.
func (s *Stopwatch) held(key string) time.Duration {
	s.touched[key] = true
	if _, ok := s.since[key]; !ok {
		s.since[key] = s.now
	}
	return s.now - s.since[key]
}

// Clone copies the stopwatch, for explain.
func (s *Stopwatch) Clone() *Stopwatch {
	c := NewStopwatch()
	for k, v := range s.since {
		c.since[k] = v
	}
	return c
}
