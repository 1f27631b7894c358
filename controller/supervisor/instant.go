package supervisor

import "time"

// instant is a point of CLOCK_BOOTTIME, or none. In a file it is wall time, which outlives a boot.
type instant struct {
	at  time.Duration
	set bool
}

// ageMS is how long ago it was, in milliseconds, at least 1; 0 for none.
func (i instant) ageMS(now time.Duration) int64 {
	if !i.set {
		return 0
	}
	return max(1, (now - i.at).Milliseconds())
}

// wall is the same in wall time, by both clocks' present time; the zero value for none.
func (i instant) wall(now time.Duration, wall time.Time) time.Time {
	if !i.set {
		return time.Time{}
	}
	return wall.Add(i.at - now).Round(0)
}

// instantOf reads what wall returns. A clock that was set back makes it now.
func instantOf(t time.Time, now time.Duration, wall time.Time) instant {
	if t.IsZero() {
		return instant{}
	}
	return instant{at: now - max(0, wall.Sub(t)), set: true}
}
