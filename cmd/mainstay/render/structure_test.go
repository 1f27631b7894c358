package render

import (
	"strings"
	"testing"

	"mainstay/health"
)

// TestStructureVerdicts: nothing is called undamaged that did not end, or was not checked.
func TestStructureVerdicts(t *testing.T) {
	heap := func(clean, suspect, corrupt int64) map[string]health.StructureCounts {
		return map[string]health.StructureCounts{"heap": {Clean: clean, Suspect: suspect, Corrupt: corrupt}}
	}
	files := map[string]health.StructureCounts{"files": {Clean: 3}}
	for want, s := range map[string]*health.Structure{
		"was not checked": nil,
		"no damage found in what was verified; 1s ago":             {Complete: true, AgeMS: 1000, Checks: heap(3, 0, 0)},
		"not finished; 0s ago, after 0s; it ended before: stopped": {Ended: "stopped", Checks: heap(3, 0, 0)},
		"not verified: no table and no index":                      {Complete: true, Checks: files},
		"damaged: 2 verdicts corrupt, 1 suspect":                   {Complete: true, Checks: heap(0, 1, 2)},
		"suspect: 0 verdicts corrupt, 1 suspect":                   {Complete: true, Checks: heap(0, 1, 0)},
		"running, at 4% (waiting: paused)":                         {Running: true, Percent: 4, Waiting: "paused"},
		"damaged: 1 verdict corrupt, 0 suspect; running, at 4%":    {Running: true, Percent: 4, Checks: heap(0, 0, 1)},
	} {
		if got := Structures([]CheckedStructure{{Cluster: "feed", Member: "feed-e1", Check: s}}, Options{}); !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}
