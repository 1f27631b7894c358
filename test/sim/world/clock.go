package world

import (
	"math/rand/v2"
	"time"
)

// clock is a machine's CLOCK_BOOTTIME: it began at some other moment, and its rate is its own and may change. Any two
// rates differ by less than the 20% that ρ allows.
type clock struct {
	offset time.Duration // what it showed at began
	rate   float64       // local seconds in a true one: 1.00 to 1.19
	began  time.Duration
}

func newClock(r *rand.Rand, now time.Duration) clock {
	return clock{offset: time.Duration(1+r.IntN(1000)) * time.Second, rate: anyRate(r), began: now}
}

func anyRate(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return 1 + 0.19*r.Float64()
	case 1, 2:
		return 1.19
	}
	return 1
}

func (c clock) read(now time.Duration) time.Duration {
	return c.offset + time.Duration(float64(now-c.began)*c.rate)
}

// when is the true time at which the clock shows local, rounded up.
func (c clock) when(local time.Duration) time.Duration {
	return c.began + time.Duration(float64(local-c.offset)/c.rate) + 1
}

// drift continues at another rate.
func (c clock) drift(now time.Duration, rate float64) clock {
	return clock{offset: c.read(now), rate: rate, began: now}
}
