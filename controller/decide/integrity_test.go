package decide

import (
	"testing"
	"time"

	"mainstay/health"
)

// TestEvidenceSetAside: what an operator has set aside excludes a member no more, also where only a part of it is found again, as after a
// restart of its agent; what is new does.
func TestEvidenceSetAside(t *testing.T) {
	const a, b, c = "base/5/7 block 1 (checksum)", "base/5/7 block 2 (checksum)", "base/5/9 block 3 (header)"
	for _, tt := range []struct {
		cleared, damage string
		judged          bool
	}{
		{"", health.Scanned + a, true},
		{health.Scanned + a + ", " + b, health.Scanned + a + ", " + b, false},
		{health.Scanned + a + ", " + b, health.Scanned + b, false},
		{health.Scanned + a + ", " + b, "", false},
		{health.Scanned + a + ", " + b, health.Scanned + a + ", " + c, true},
		{health.Scanned + a, "PostgreSQL has read it; " + health.Scanned + a, true},
		{"PostgreSQL has read it; " + health.Scanned + a, health.Scanned + a, false},
	} {
		st := well(t, 1, nil)
		st.c().Members["m2"].Cleared, st.members["m2"].Damage = tt.cleared, tt.damage
		st.later(time.Second)
		cmd, _, _ := st.next()
		judged := cmd != nil && cmd.Judge != nil
		if judged != tt.judged || judged && (cmd.Judge.Member != "m2" || cmd.Judge.Excluded != tt.damage) {
			t.Errorf("%q, of which %q is set aside: %+v", tt.damage, tt.cleared, cmd)
		}
	}
}
