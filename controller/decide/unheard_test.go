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
		want   Reason
	}{
		{"the host is silent", nil, Reason{Code: agentNotHeard, Other: "h3", For: 5 * time.Second}},
		{"its state is damaged", map[string]string{"m3": "m3.json is damaged"},
			Reason{Code: agentCannot, Other: "h3", Detail: "m3.json is damaged"}},
		{"another member's is", map[string]string{"m9": "m9.json is damaged"}, Reason{Code: agentNotSpoken, Other: "h3"}},
	} {
		st := well(t, 1, nil)
		st.members["m3"] = nil
		st.later(5 * time.Second)
		if c.answer != nil {
			st.view.Fold(&health.Report{Host: "h3", RunID: "r", Number: st.number + 1, Unmanaged: c.answer}, "", 0, st.now)
		}
		_, _, d := st.next()
		got := ""
		for _, p := range d.Problems {
			if p.Kind == health.ReplicaMissing {
				got = p.Evidence
			}
		}
		if got != c.want.String() {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// A prediction steps through hours that nobody lives through: its words name no such silence, and every replica has its reason.
func TestPredictionNamesNoHypotheticalSilence(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m3"] = nil
	st.later(5 * time.Second)
	gone := Reason{Code: agentGone, Other: "h3"}.String()
	for failure, want := range map[Failure]map[string]string{
		HostLost:       {"m2": Reason{Code: comesFirst}.String(), "m3": gone},
		PrimaryCrashed: {"m2": Reason{Code: notShownComplete}.String(), "m3": gone},
	} {
		p := Predict(st.input(), "feed", failure)
		for name, why := range want {
			if !strings.Contains(p.Others[name], why) || strings.Contains(Sentence(p), "24h") {
				t.Errorf("failure %d: %s: %q, want %q; %s", failure, name, p.Others[name], why, Sentence(p))
			}
		}
	}
}
