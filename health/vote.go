package health

import (
	"time"

	"mainstay/controller/platform"
)

// Votes are one controller's own observations of the members: the reports that reached it and its probes. Controllers send them to
// each other, so that the leader infers nothing from its own view alone.
type Votes struct {
	Observer string `json:"observer"` // the controller's name
	// Number grows with each message of one process, and Began tells processes apart.
	Number uint64 `json:"number"`
	Began  string `json:"began"`
	// Site is the controller's site.
	Site  string         `json:"site,omitempty"`
	Votes []Vote         `json:"votes"`
	Apps  []InstanceVote `json:"apps,omitempty"`
	// Lacks names the platform's programs that the controller's own file does not allow, and what to do; "" for none.
	Lacks string `json:"lacks,omitempty"`
}

// Vote is a controller's observation of one member.
type Vote struct {
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
func (v *Vote) Heard(limit time.Duration) bool { return within(v.HeardMS, limit) }

// Probed tells whether the member's PostgreSQL answers the observer on new connections.
func (v *Vote) Probed(limit time.Duration) bool { return within(v.ProbedMS, limit) }

// Failed tells whether it did not answer the observer on a connection begun within limit, after its agent's last report.
func (v *Vote) Failed(limit time.Duration) bool {
	return v.FailedMS > 0 && within(v.FailedMS, limit) && (v.HeardMS < 0 || v.FailedMS < v.HeardMS)
}

type seenVotes struct {
	votes Votes
	at    time.Duration
	apps  map[appInstance]*InstanceVote // index of votes.Apps if they are many: the leader looks each up in every round
}

// fewApps is the number up to which a search is faster than building an index.
const fewApps = 16

func (s *seenVotes) of(app, instance string) *InstanceVote {
	if s.apps != nil {
		return s.apps[appInstance{app, instance}]
	}
	for i := len(s.votes.Apps) - 1; i >= 0; i-- {
		if a := &s.votes.Apps[i]; a.Instance == instance && a.App == app {
			return a
		}
	}
	return nil
}

type appInstance struct{ app, instance string }

// FoldVotes takes in a controller's votes that arrived at now. Older ones of the same process are dropped.
func (v *View) FoldVotes(votes Votes, now time.Duration) {
	if old, ok := v.votes[votes.Observer]; ok && old.votes.Began == votes.Began && old.votes.Number >= votes.Number {
		return
	}
	var apps map[appInstance]*InstanceVote
	if len(votes.Apps) > fewApps {
		apps = make(map[appInstance]*InstanceVote, len(votes.Apps))
		for i := range votes.Apps {
			a := &votes.Apps[i]
			apps[appInstance{a.App, a.Instance}] = a
		}
	}
	v.votes[votes.Observer] = seenVotes{votes, now, apps}
}

// SiteOf is the last reported site of an observer; "" if it has reported none.
func (v *View) SiteOf(observer string) string { return v.votes[observer].votes.Site }

// Speaks tells whether an observer has sent votes within limit.
func (v *View) Speaks(observer string, limit, now time.Duration) bool {
	s, ok := v.votes[observer]
	return ok && now-s.at <= limit
}

// Lacks is an observer's Votes.Lacks, if it has sent votes within limit; "" for none.
func (v *View) Lacks(observer string, limit, now time.Duration) string {
	if !v.Speaks(observer, limit, now) {
		return ""
	}
	return v.votes[observer].votes.Lacks
}

// Vote returns what an observer says of a member, if it said so within limit; nil: no fresh vote.
func (v *View) Vote(observer string, m *platform.Member, limit, now time.Duration) *Vote {
	s, ok := v.votes[observer]
	if !ok || now-s.at > limit {
		return nil
	}
	for i := range s.votes.Votes {
		if s.votes.Votes[i].Member == m.Name {
			return &s.votes.Votes[i]
		}
	}
	return nil
}

// InstanceVote returns an observer's vote on an app's instance, if its last check began within limit; nil: no fresh vote.
// See platform.AppCheck.Fresh for the limit.
func (v *View) InstanceVote(observer, app, instance string, limit, now time.Duration) *InstanceVote {
	s := v.votes[observer]
	a := s.of(app, instance)
	if a == nil || !within(a.AgeMS, limit-(now-s.at)) {
		return nil
	}
	return a
}
