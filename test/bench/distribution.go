package main

import (
	"math"
	"slices"
	"time"
)

// distribution of measured times. Quantiles are by nearest rank: each is a time that was measured, p90 of less than ten
// the longest.
type distribution struct {
	n                  int
	min, p50, p90, max time.Duration
}

// distribute needs no order; of nothing it is zero.
func distribute(measured []time.Duration) distribution {
	if len(measured) == 0 {
		return distribution{}
	}
	sorted := slices.Sorted(slices.Values(measured))
	at := func(q float64) time.Duration { return sorted[max(1, int(math.Ceil(q*float64(len(sorted)))))-1] }
	return distribution{len(sorted), sorted[0], at(0.5), at(0.9), sorted[len(sorted)-1]}
}
