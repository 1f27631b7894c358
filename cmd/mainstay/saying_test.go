package main

import (
	"strings"
	"testing"
	"time"

	"mainstay/health"
)

func TestSaying(t *testing.T) {
	s, at := saying{cluster: "feed"}, time.Unix(0, 0)
	for n, step := range []struct {
		after   time.Duration
		percent int
		waiting int64
		says    bool
		hint    bool
	}{
		{0, 40, 0, true, false}, {5 * time.Second, 80, 3, true, false}, {5 * time.Second, 100, 5, true, true},
		{5 * time.Second, 100, 5, false, false}, {50 * time.Second, 100, 5, false, false}, {5 * time.Second, 100, 5, true, true},
		{5 * time.Second, 100, 4, true, true}, {5 * time.Second, 100, 0, true, false},
	} {
		at = at.Add(step.after)
		line := s.next(&health.Comparison{Percent: step.percent, Waiting: step.waiting}, at)
		if (line != "") != step.says || strings.Contains(line, "CHECKPOINT on the primary") != step.hint {
			t.Errorf("step %d: %q", n, line)
		}
	}
	if line := s.next(nil, at); line != "" {
		t.Errorf("of nothing: %q", line)
	}
}
