package main

import (
	"strings"
	"testing"

	"mainstay/health/backup"
)

// TestCopies: what is in each sum, and what was not measured is left out.
func TestCopies(t *testing.T) {
	c := copies{MB: 100, Version: "17.1", CPUs: 2, Load: "1 before, 2 after", Plain: []float64{4, 2, 9},
		Steps: map[backup.StepName][]float64{backup.StepTake: {2}, backup.StepManifest: {1}, backup.StepPack: {2}, backup.StepRecover: {0.5},
			backup.StepStop: {0.25}, backup.StepPages: {0.25}, backup.StepStructure: {7}, backup.StepRelease: {3}},
		Order: []backup.StepName{backup.StepTake, backup.StepPack},
		Hand:  map[string][]float64{"pg_basebackup": {5}, "pg_verifybackup": {3}}}
	says := func(wants ...string) string {
		t.Helper()
		var out strings.Builder
		c.print(&out)
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
		return out.String()
	}
	text := says("| Mainstay, full: take | 2.00 |", "page checks | 2.00 | plain pg_basebackup | 4.00 | 0.50 |",
		"by hand too | 6.00 | by hand | 8.00 | 0.75 |")
	if strings.Contains(text, "a second backup") {
		t.Errorf("a second backup was not made:\n%s", text)
	}
	c.Parts = map[backup.StepName][]float64{backup.StepTake: {0.5}, backup.StepKeep: {9}, backup.StepCombine: {0.5}}
	says("2 % of the blocks changed | 1.00 | the first | 6.00 | 0.17 |")
}
