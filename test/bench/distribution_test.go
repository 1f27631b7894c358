package main

import (
	"testing"
	"time"
)

func TestDistribute(t *testing.T) {
	upTo := func(n int) (all []time.Duration) {
		for i := range n {
			all = append(all, time.Duration(n-i)) // the longest first
		}
		return all
	}
	for _, c := range []struct {
		measured []time.Duration
		want     distribution
	}{
		{nil, distribution{}},
		{upTo(1), distribution{1, 1, 1, 1, 1}},
		{upTo(2), distribution{2, 1, 1, 2, 2}},
		{upTo(7), distribution{7, 1, 4, 7, 7}},
		{upTo(10), distribution{10, 1, 5, 9, 10}},
		{upTo(20), distribution{20, 1, 10, 18, 20}},
		{[]time.Duration{5, 5, 1, 5}, distribution{4, 1, 5, 5, 5}},
	} {
		if got := distribute(c.measured); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.measured, got, c.want)
		}
	}
}

func TestDistributeLeavesTheOrder(t *testing.T) {
	measured := []time.Duration{3, 1, 2}
	distribute(measured)
	if measured[0] != 3 || measured[1] != 1 {
		t.Errorf("the samples are now %v", measured)
	}
}
