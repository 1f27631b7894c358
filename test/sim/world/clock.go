package world

import (
	"math/rand/v2"
	"time"
)

// clock is a host's CLOCK_BOOTTIME: it began at some other moment, and its rate is its own. Any two rates differ by less
// than the 20% that ρ allows.
type clock struct {
	offset time.Duration
	rate   float64 // local seconds in a true one: 1.00 to 1.19
	began  time.Duration
}

func newClock(r *rand.Rand, now time.Duration) clock {
	c := clock{offset: time.Duration(1+r.IntN(1000)) * time.Second, rate: 1, began: now}
	switch r.IntN(4) {
	case 0:
		c.rate = 1 + 0.19*r.Float64()
	case 1, 2:
		c.rate = 1.19
	}
	return c
}

func (c clock) read(now time.Duration) time.Duration {
	return c.offset + time.Duration(float64(now-c.began)*c.rate)
}

// when is the true time at which the clock shows local, rounded up.
func (c clock) when(local time.Duration) time.Duration {
	return c.began + time.Duration(float64(local-c.offset)/c.rate) + 1
}
