package main

import (
	"strings"
	"testing"
)

// TestSpeeds: ratios are those of one round's figures, and what was not measured is shown as nothing.
func TestSpeeds(t *testing.T) {
	s := speeds{MB: 100, CPUs: 2, Load: "1 before, 2 after", Scan: []float64{1, 2, 4}, Checksums: []float64{2, 8, 4}, Pages: []float64{2, 2},
		Compare: []float64{3, 3}, SentPerGB: 5,
		Incremental: []float64{0.3, 0.3}, Again: []float64{0.025, 0.025}, P99: []float64{4, 4, 4, 4}, P99Pages: []float64{6, 6}}
	var out strings.Builder
	s.print(&out)
	for _, want := range []string{"| 2.00 s | `pg_checksums --check` of the same | 4.00 s | 2.00 |",
		"| 3.00 s | a pages scan of both at the same time | 2.00 s | 1.50 |",
		"| incremental comparison, 2% of the pages changed, 2.5% read | 0.30 s | a full comparison before | 3.00 s | 0.10 |",
		"| 6.00 ms | without | 4.00 ms | 1.50 |", "comparison of 20 MB/s | 0.00 ms | without", "5 bytes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if ratio(nil, nil) != 0 || middle([]float64{3, 1, 2}) != 2 {
		t.Error("the median")
	}
}
