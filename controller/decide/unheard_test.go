package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/health"
)

// A silent host and a member that its agent cannot look after send an operator to different places.
func TestUnheard(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer map[string]string // what the agent cannot look after; nil: the host is silent
		want   string
	}{
		{"the host is silent", nil, "its agent on h3 has not been heard for 5s"},
		{"its state is damaged", map[string]string{"m3": "m3.json is damaged"}, "its agent on h3 cannot look after it: m3.json is damaged"},
		{"another member's is", map[string]string{"m9": "m9.json is damaged"}, "its agent on h3 answers, and has not spoken of it yet"},
	} {
		st := well(t, 1, nil)
		st.members["m3"] = nil
		st.later(5 * time.Second)
		if c.answer != nil {
			st.view.Fold(&health.Report{Host: "h3", RunID: "r", Number: st.number + 1, Unfit: c.answer}, "", 0, st.now)
		}
		_, _, d := st.next()
		got := ""
		for _, p := range d.Problems {
			if p.Kind == health.ReplicaMissing {
				got = p.Evidence
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A prediction steps through hours that nobody lives through: its words name no such silence, and every replica has its reason.
func TestPredictionNamesNoImaginedSilence(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m3"] = nil
	st.later(5 * time.Second)
	for death, want := range map[Death]map[string]string{
		HostLost: {"m2": "it comes first, once that wait is over", "m3": "its agent on h3 does not answer"},
		Crash:    {"m2": "cannot be shown to hold every acknowledged commit", "m3": "its agent on h3 does not answer"},
	} {
		p := Predict(st.input(), "feed", death)
		for name, why := range want {
			if !strings.Contains(p.Others[name], why) || strings.Contains(Sentence(p), "24h") {
				t.Errorf("death %d: %s: %q, want %q; %s", death, name, p.Others[name], why, Sentence(p))
			}
		}
	}
}
