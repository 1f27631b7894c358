package health

import (
	"maps"
	"slices"
	"time"

	"mainstay/controller/platform"
)

// View is the leader's volatile picture: the last report of each host and when it arrived, on the leader's own clock.
type View struct {
	// Since is when this controller began to observe. A host that has never been heard is silent only since then: a new leader
	// restarts the observation timers, so that they fire late and not early.
	Since time.Duration
	hosts map[string]seen
	// streamed is when each incarnation was last seen streaming by a primary.
	streamed map[string]time.Duration
	// observations are the controllers' last observations, by observer.
	observations map[string]seenObservations
	// otherRuns are other agents that wanted to speak for a host.
	otherRuns map[string]otherRun
	// hypothetical: the view is of a prediction, so its times are not shown.
	hypothetical bool
}

type otherRun struct {
	run string
	at  time.Duration
}

// seen is a host's last report. The report is never edited, so copies of the view share it.
type seen struct {
	report *Report
	at     time.Duration
}

// NewView starts an empty view at now.
func NewView(now time.Duration) *View {
	return &View{Since: now, hosts: map[string]seen{}, streamed: map[string]time.Duration{},
		observations: map[string]seenObservations{}, otherRuns: map[string]otherRun{}}
}

// Fold takes in a report that arrived at now, and tells whether it speaks for its host. registered is the run id that the log has for the
// host ("" for none). Another run is refused, because it may be a clone's, until no other run has been heard for that silence (L8); a run
// lasts as long as a boot of its host. A report older than the last one changes nothing. The view keeps the report, so the caller must not
// change it any more.
func (v *View) Fold(r *Report, registered string, silence, now time.Duration) bool {
	old, ok := v.hosts[r.Host]
	switch {
	case ok && old.report.RunID == r.RunID:
		if old.report.Number >= r.Number {
			return true
		}
	case v.isOtherRun(r, registered, silence, now):
		v.otherRuns[r.Host] = otherRun{r.RunID, now}
		return false
	}
	v.hosts[r.Host] = seen{r, now}
	for i := range r.Members {
		if r.Members[i].Role != RolePrimary {
			continue
		}
		for j := range r.Members[i].Senders {
			if s := &r.Members[i].Senders[j]; s.State == "streaming" {
				v.streamed[s.Name] = now
			}
		}
	}
	return true
}

// isOtherRun tells whether another run speaks for the host: the run in the log or, if the log has none, the first that was heard.
func (v *View) isOtherRun(r *Report, registered string, silence, now time.Duration) bool {
	if r.RunID == registered {
		return false
	}
	if old, ok := v.hosts[r.Host]; ok {
		return now-old.at <= silence
	}
	return registered != "" && now-v.Since <= silence
}

// OtherRun returns the run of another agent that wanted to speak for a host within limit; "" for none.
func (v *View) OtherRun(host string, limit, now time.Duration) string {
	if r, ok := v.otherRuns[host]; ok && now-r.at <= limit {
		return r.run
	}
	return ""
}

// Report returns the last report of a host, or nil.
func (v *View) Report(host string) *Report {
	if s, ok := v.hosts[host]; ok {
		return s.report
	}
	return nil
}

// Silence is how long a host has not been heard.
func (v *View) Silence(host string, now time.Duration) time.Duration {
	silence, _ := v.Heard(host, now)
	return silence
}

// Heard is Silence, and whether the host was ever heard.
func (v *View) Heard(host string, now time.Duration) (silence time.Duration, ever bool) {
	s, ever := v.hosts[host]
	if !ever {
		return now - v.Since, false
	}
	return now - max(s.at, v.Since), true
}

// Member returns the last report of a member, however old, or nil.
func (v *View) Member(m *platform.Member) *Member {
	if s, ok := v.hosts[m.Host]; ok {
		return s.report.Member(m.Name)
	}
	return nil
}

// Fresh returns the last report of a member if its host was heard within limit, else nil.
func (v *View) Fresh(m *platform.Member, limit, now time.Duration) *Member {
	if s, ok := v.hosts[m.Host]; ok && now-s.at <= limit {
		return s.report.Member(m.Name)
	}
	return nil
}

// NotStreaming is how long an incarnation has not been seen streaming from a primary.
func (v *View) NotStreaming(incarnation string, now time.Duration) time.Duration {
	at := v.streamed[incarnation]
	return now - max(at, v.Since)
}

// Clone copies the view, so that explain can change it.
func (v *View) Clone() *View {
	return &View{Since: v.Since, hosts: maps.Clone(v.hosts), streamed: maps.Clone(v.streamed),
		observations: maps.Clone(v.observations), otherRuns: maps.Clone(v.otherRuns)}
}

// Forget removes a host's report, as if it had not been heard since at.
func (v *View) Forget(host string) { delete(v.hosts, host) }

// ForgetObservations removes all observations, for explain: after the failure that it predicts they would differ.
func (v *View) ForgetObservations() { clear(v.observations) }

// Refresh makes every known report arrive at now, and the view begin long before, for explain.
func (v *View) Refresh(now time.Duration) {
	v.Since, v.hypothetical = now-24*time.Hour, true
	for h, s := range v.hosts {
		v.hosts[h] = seen{s.report, now}
	}
}

// Hypothetical tells whether the view is of a prediction, in which the length of a silence means nothing.
func (v *View) Hypothetical() bool { return v.hypothetical }

// Replace changes the last report of one member, for explain and for tests.
func (v *View) Replace(m *platform.Member, change func(*Member)) {
	old, ok := v.hosts[m.Host]
	if !ok {
		return
	}
	r := *old.report
	r.Members = slices.Clone(r.Members)
	if known := r.Member(m.Name); known != nil {
		change(known)
		v.hosts[m.Host] = seen{&r, old.at}
	}
}
