package api

import (
	"context"
	"fmt"
	"strings"

	"mainstay/controller/decide"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// failover carries out an operator's decision (S4): by name, with a reason, for one attempt, with a separate field for whether it replaces
// the fence. It begins an attempt, or joins the running one that waits for this decision.
func (a *API) failover(ctx context.Context, q *request) (any, error) {
	var req wire.FailoverRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.To == "" {
		return nil, badRequest(`field "to" is missing: name the member to promote`)
	}
	if req.AcceptLoss == "" {
		return nil, badRequest(`field "acceptLoss" is missing: give the reason why a loss of acknowledged commits is accepted; history keeps it`)
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.failover(req) })
}

func (s *subject) failover(req wire.FailoverRequest) (planned, error) {
	switch m := s.c.Members[req.To]; {
	case s.c.Primary == "":
		return planned{}, refused("cluster %s has no primary yet: %s", s.c.Name, s.snapshot.Last.Reasons.Of(s.c.Name))
	case m == nil || s.conf.Member(req.To) == nil:
		return planned{}, refused("cluster %s has no member %s; it has %s", s.c.Name, req.To, strings.Join(s.conf.Names(), ", "))
	case m.Excluded != "" && req.To != s.c.Primary:
		return planned{}, refused("%s must not be promoted: %s; name another member with --to", req.To, m.Excluded)
	}
	word := &state.Acceptance{By: s.by, Reason: req.AcceptLoss, Completeness: true, Fence: req.Fenced}
	reason := fmt.Sprintf("asked by %s, who accepts a loss: %s", s.by, req.AcceptLoss)
	p := planned{number: s.nextAttempt()}
	if at := s.c.Attempt; at != nil {
		p.number = at.Number
		p.cmd.Advance = &state.Advance{Attempt: at.Number, Phase: state.PhaseSeal, StopOld: true, To: req.To, Accepted: word, Note: reason}
	} else {
		p.cmd.Begin = &state.Begin{Kind: state.Failover, Reason: reason, To: req.To, StopOld: true, Accepted: word}
	}
	fates, more := decide.SlotFates(s.snapshot.Input, s.c.Name, req.To)
	if p.cmd.Begin != nil {
		p.cmd.Begin.Reason += decide.SlotNote(fates, more, s.c.Primary, req.To)
	}
	p.answer.Target, p.answer.Plan, p.answer.Warnings = req.To, s.failoverPlan(req), s.failoverWarnings(req)
	p.answer.Warnings = append(p.answer.Warnings, decide.SlotWarnings(fates, more, s.c.Primary)...)
	return p, nil
}

func (s *subject) failoverPlan(req wire.FailoverRequest) []string {
	fence := "fence " + s.c.Primary + ": stop it through its agent, seal enough members, or count out its lease; the first proof counts"
	if req.Fenced {
		fence = s.by + "'s word replaces the fence of " + s.c.Primary
	}
	if s.c.RestartsInPlace(req.To) {
		return []string{fence, "restart " + req.To + " in place", "the other members follow it"}
	}
	return []string{
		fence,
		fmt.Sprintf("promote %s on timeline %d with what it holds", req.To, s.c.HighTimeline+1),
		"the other members follow " + req.To + "; commits that only they hold are counted and kept in quarantine",
	}
}

// failoverWarnings tells the operator before the decision what may be lost (S4).
func (s *subject) failoverWarnings(req wire.FailoverRequest) []string {
	out := []string{s.loss(req.To)}
	if why := s.behind(req.To); why != "" {
		out = append(out, why)
	}
	p := decide.Predict(s.snapshot.Input, s.c.Name, decide.HostLost)
	out = append(out, "without your decision, if "+s.c.Primary+" failed now: "+decide.Sentence(p))
	if why := p.Others[req.To]; why != "" && p.Promote != req.To {
		out = append(out, req.To+" would not be chosen: "+why)
	}
	if f := s.c.Members[req.To].Frozen(); f != nil {
		out = append(out, fmt.Sprintf("the replay of %s is frozen: its promotion replays all WAL that it has, with what may carry damage over "+
			"(%s). To stop short of that would lose commits that were acknowledged, and Mainstay does not: read the good page there first if "+
			"you need it", req.To, f.Why))
	}
	switch {
	case req.Fenced:
		out = append(out, "you state that "+s.c.Primary+" is off: if it is not, there will be two primaries")
	case !s.c.Guarded:
		out = append(out, "epoch "+s.c.Epoch.String()+" was granted without a complete guard: if the agent of "+s.c.Primary+
			" does not answer, this waits until you say that it is off (--fenced)")
	}
	return out
}

// loss compares the member with the primary's last known position.
func (s *subject) loss(to string) string {
	if s.c.Members[to].Older {
		return "the host of " + to + " came back with an older copy of its disk: all that was committed since that copy was made may be lost"
	}
	if to == s.c.Primary {
		return to + " holds every commit that it has acknowledged, unless its data is damaged"
	}
	v := s.snapshot.Input.View
	old, m := v.Member(s.conf.Member(s.c.Primary)), v.Member(s.conf.Member(to))
	if lag(old, m) < 0 {
		return "it is not known how much may be lost: the position of " + s.c.Primary + " or of " + to + " is not known"
	}
	age := v.Silence(s.conf.Member(s.c.Primary).Host, s.snapshot.Input.Now)
	return fmt.Sprintf("%s was %d bytes of WAL behind %s at the last report (%s ago); these and all later commits may be lost",
		to, lag(old, m), s.c.Primary, age.Round(100e6))
}

// behind names a member that holds more WAL than the requested one.
func (s *subject) behind(to string) string {
	v := s.snapshot.Input.View
	m := v.Member(s.conf.Member(to))
	if m == nil {
		return "nothing is known of " + to + ": its agent has not reported"
	}
	for i := range s.conf.Members {
		other := &s.conf.Members[i]
		if o := v.Member(other); other.Name != s.c.Primary && o != nil && position(o) > position(m) {
			return fmt.Sprintf("%s holds more (%s) than %s (%s)", other.Name, position(o), to, position(m))
		}
	}
	return ""
}
