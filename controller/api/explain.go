package api

import (
	"context"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// explain answers what is wrong, what would happen if the primary failed now, and why each other member would not be promoted. It
// runs the engine itself on a copy of the view.
func (a *API) explain(ctx context.Context, q *request) (any, error) {
	s, err := a.subjectOf(ctx, q)
	if err != nil {
		return nil, err
	}
	in, why := s.snapshot.Input, s.snapshot.Last.Reasons.Of(s.c.Name)
	out := wire.ExplainAnswer{
		Cluster: s.c.Name, Primary: s.c.Primary, Rule: string(why.Rule), Code: why.Code.String(), Now: why.String(), Problems: []health.Problem{},
		Proofs: []wire.ProofView{}, Protection: []wire.MemberProtection{},
		IfHostLost: decide.Predict(in, s.c.Name, decide.HostLost), IfCrashed: decide.Predict(in, s.c.Name, decide.PrimaryCrashed),
		Timings: timings(s.conf, s.c.LongestLease), Sets: s.c.Sets,
	}
	if severalSites(in.State.Platform) {
		p := decide.Predict(in, s.c.Name, decide.SiteLost)
		out.IfSiteLost = &p
	}
	for _, p := range s.snapshot.Last.Problems {
		if p.Cluster == s.c.Name || p.Cluster == "" && aboutControllers(p.Kind) {
			out.Problems = append(out.Problems, p)
		}
	}
	for _, o := range decide.Outlooks(in, s.c.Name) {
		out.Proofs = append(out.Proofs, wire.ProofView{Kind: o.Kind, Possible: o.Possible, Why: o.Why.String(), About: o.About})
	}
	for i := range s.conf.Members {
		m := &s.conf.Members[i]
		out.Protection = append(out.Protection, wire.MemberProtection{Member: m.Name, Protection: protection(in, m)})
	}
	var fates []decide.SlotFate
	fates, out.MoreSlots = decide.SlotFates(in, s.c.Name, "")
	for _, f := range fates {
		out.Slots = append(out.Slots, wire.SlotView(f))
	}
	out.Switchover.Target, out.Switchover.Blockers = s.couldSwitch()
	return out, nil
}

// couldSwitch names the member that a switchover would promote, and the reasons that prevent it.
func (s *subject) couldSwitch() (target string, blockers []string) {
	if err := s.quiet(); err != nil {
		return "", []string{err.Error()}
	}
	in := s.snapshot.Input
	target, why := decide.CheckSwitchover(in, s.c.Name, "")
	if target != "" {
		why = decide.RefusedSlots(in, s.c.Name, target)
	}
	if blockers = decide.Texts(why); s.awaitsBackups() != "" {
		blockers = append(blockers, s.awaitsBackups())
	}
	return target, blockers
}

// aboutControllers tells whether a kind of problem is about the controllers, without which no cluster fails over.
func aboutControllers(k health.Kind) bool {
	d, known := health.Describe(k)
	return known && d.About == health.AboutController
}

// severalSites tells whether members are on more than one site.
func severalSites(p *platform.Platform) bool {
	sites := map[string]bool{}
	for _, c := range p.Clusters {
		for _, m := range c.Members {
			sites[p.SiteOf(m.Host)] = true
		}
	}
	return len(sites) > 1
}

// raftRoom says under which load the timings in force may differ.
const raftRoom = "up to twice that on a controller with scheduling delay, as far as half of the shortest lease allows"

// timings is the table of a cluster's timings, derived from its lease or fixed.
func timings(conf *platform.Cluster, longest time.Duration) []wire.Timing {
	return []wire.Timing{
		{Name: "lease", Value: conf.Lease, From: "the platform file"},
		{Name: "heartbeat", Value: platform.Heartbeat(conf.Lease), From: "lease / 10"},
		{Name: "suspect", Value: platform.Suspect(conf.Lease), From: "3 heartbeats of silence"},
		{Name: "count-out", Value: platform.CountOut(longest), From: "the longest lease in force, + 20% for clocks, + guard kill"},
		{Name: "guard kill", Value: platform.GuardKill, From: "fixed bound"},
		{Name: "tick limit", Value: conf.Lease / 5, From: "lease / 5: a leader whose disk stalls longer exits"},
		{Name: "raft heartbeat", Value: platform.RaftHeartbeat, From: raftRoom},
		{Name: "raft election", Value: platform.RaftElection, From: raftRoom},
		{Name: "raft lease", Value: platform.RaftLease, From: "fixed"},
	}
}
