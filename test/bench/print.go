package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// sample is one measured outage.
type sample struct {
	total, detect, fence, promote, reconnect time.Duration
	proof                                    string
}

type samples []sample

// print shows the distribution, and the median of each part.
func (s samples) print(name string) {
	parts := []struct {
		name string
		of   func(sample) time.Duration
	}{
		{"outage", func(x sample) time.Duration { return x.total }},
		{"  detect", func(x sample) time.Duration { return x.detect }},
		{"  fence, seal, choose", func(x sample) time.Duration { return x.fence }},
		{"  promote", func(x sample) time.Duration { return x.promote }},
		{"  reconnect, first ack", func(x sample) time.Duration { return x.reconnect }},
	}
	proofs := map[string]int{}
	for _, x := range s {
		proofs[x.proof]++
	}
	var kinds []string
	for k, n := range proofs {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, n))
	}
	sort.Strings(kinds)
	fmt.Printf("\n%s, n=%d, proof: %s\n%-24s %8s %8s %8s %8s\n", name, len(s), strings.Join(kinds, ", "), "", "min", "p50", "p90", "max")
	for _, p := range parts {
		v := make([]time.Duration, len(s))
		for i, x := range s {
			v[i] = p.of(x)
		}
		sort.Slice(v, func(i, j int) bool { return v[i] < v[j] })
		at := func(q float64) time.Duration { return v[min(len(v)-1, int(q*float64(len(v))))].Round(time.Millisecond) }
		fmt.Printf("%-24s %8s %8s %8s %8s\n", p.name, at(0), at(0.5), at(0.9), v[len(v)-1].Round(time.Millisecond))
	}
}
