package health

import (
	"time"

	"mainstay/controller/platform"
)

// Observations are one controller's own observations of the members: the reports that reached it and its probes. Controllers send them to
// each other, so that the leader infers nothing from its own view alone.
type Observations struct {
	Observer string `json:"observer"` // the controller's name
	// Number grows with each message of one process, and Began tells processes apart.
	Number uint64 `json:"number"`
	Began  string `json:"began"`
	// Site is the controller's site.
	Site         string                `json:"site,omitempty"`
	Observations []Observation         `json:"votes"`
	Apps         []InstanceObservation `json:"apps,omitempty"`
	// Lacks names the platform's programs that the controller's own file does not allow, with the remedy; "" for none.
	Lacks string `json:"lacks,omitempty"`
}

// Observation is a controller's observation of one member.
type Observation struct {
	Cluster string `json:"cluster"`
	Member  string `json:"member"`
	// HeardMS is how long ago its agent's last report arrived, ProbedMS how long ago the last successful probe began; in
	// milliseconds, -1 for never.
	HeardMS  int64 `json:"heardMS"`
	ProbedMS int64 `json:"probedMS"`
	// FailedMS is how long ago the last failed or overdue probe began; in milliseconds, 0 for none. While its agent reports, a member
	// is rarely probed, so the lack of a recent successful probe means nothing.
	FailedMS int64 `json:"failedMS,omitempty"`
	// Role is the role that the last successful probe saw.
	Role Role `json:"role,omitempty"`
	// Saturated: the last probe was refused because every connection slot is taken. The server is alive, so the probe counts as
	// successful.
	Saturated bool `json:"saturated,omitempty"`
	// Error is why the last probe failed; "" if it did not.
	Error string `json:"error,omitempty"`
}

// within tells whether an age in milliseconds is at most limit; -1 is never.
func within(ms int64, limit time.Duration) bool {
	return ms >= 0 && time.Duration(ms)*time.Millisecond <= limit
}

// Heard tells whether the agent's reports reach the observer.
func (v *Observation) Heard(limit time.Duration) bool { return within(v.HeardMS, limit) }

// Probed tells whether the member's PostgreSQL answers the observer on new connections.
func (v *Observation) Probed(limit time.Duration) bool { return within(v.ProbedMS, limit) }

// Failed tells whether it did not answer the observer on a connection begun within limit, after its agent's last report.
func (v *Observation) Failed(limit time.Duration) bool {
	return v.FailedMS > 0 && within(v.FailedMS, limit) && (v.HeardMS < 0 || v.FailedMS < v.HeardMS)
}

type seenObservations struct {
	observations Observations
	at           time.Duration
	apps         map[appInstance]*InstanceObservation // index of observations.Apps if they are many: the leader looks each up in every round
}

// fewApps is the number up to which a search is faster than building an index.
const fewApps = 16

func (s *seenObservations) of(app, instance string) *InstanceObservation {
	if s.apps != nil {
		return s.apps[appInstance{app, instance}]
	}
	for i := len(s.observations.Apps) - 1; i >= 0; i-- {
		if a := &s.observations.Apps[i]; a.Instance == instance && a.App == app {
			return a
		}
	}
	return nil
}

type appInstance struct{ app, instance string }

// FoldObservations takes in a controller's observations that arrived at now. Older ones of the same process are dropped.
func (v *View) FoldObservations(observations Observations, now time.Duration) {
	if old, ok := v.observations[observations.Observer]; ok && old.observations.Began == observations.Began &&
		old.observations.Number >= observations.Number {
		return
	}
	var apps map[appInstance]*InstanceObservation
	if len(observations.Apps) > fewApps {
		apps = make(map[appInstance]*InstanceObservation, len(observations.Apps))
		for i := range observations.Apps {
			a := &observations.Apps[i]
			apps[appInstance{a.App, a.Instance}] = a
		}
	}
	v.observations[observations.Observer] = seenObservations{observations, now, apps}
}

// SiteOf is the last reported site of an observer; "" if it has reported none.
func (v *View) SiteOf(observer string) string { return v.observations[observer].observations.Site }

// Speaks tells whether an observer has sent observations within limit.
func (v *View) Speaks(observer string, limit, now time.Duration) bool {
	s, ok := v.observations[observer]
	return ok && now-s.at <= limit
}

// ObserverSilence is for how long an observer has sent no observations.
func (v *View) ObserverSilence(observer string, now time.Duration) time.Duration {
	return now - max(v.observations[observer].at, v.Since)
}

// Lacks is an observer's Observations.Lacks, if it has sent observations within limit; "" for none.
func (v *View) Lacks(observer string, limit, now time.Duration) string {
	if !v.Speaks(observer, limit, now) {
		return ""
	}
	return v.observations[observer].observations.Lacks
}

// Observation returns an observer's observation of a member, if it is not older than limit; nil: no fresh observation.
func (v *View) Observation(observer string, m *platform.Member, limit, now time.Duration) *Observation {
	s, ok := v.observations[observer]
	if !ok || now-s.at > limit {
		return nil
	}
	for i := range s.observations.Observations {
		if s.observations.Observations[i].Member == m.Name {
			return &s.observations.Observations[i]
		}
	}
	return nil
}

// InstanceObservation returns an observer's observation on an app's instance, if its last check began within limit; nil: no fresh
// observation. See platform.AppCheck.Fresh for the limit.
func (v *View) InstanceObservation(observer, app, instance string, limit, now time.Duration) *InstanceObservation {
	s := v.observations[observer]
	a := s.of(app, instance)
	if a == nil || !within(a.AgeMS, limit-(now-s.at)) {
		return nil
	}
	return a
}
