package decide

import (
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// siteLost is the evidence that a site is lost, if it is: every agent and every controller there is silent, no app
// server of it is seen well, and the controllers of the other sites, a majority of all, agree.
func (in Input) siteLost(site string) Reason {
	p := in.State.Platform
	if site == "" || site == in.Site {
		return Reason{}
	}
	silence, hosts := in.silenceOf(site)
	if hosts == 0 || silence <= in.suspect() {
		return Reason{}
	}
	var gone, agree []string
	for _, c := range in.Controllers {
		switch at := in.View.SiteOf(c); {
		case c == in.Self:
			agree = append(agree, c)
		case at == site && in.View.Speaks(c, in.suspect(), in.Now):
			return Reason{}
		case at == site:
			gone = append(gone, c)
		case at != "" && in.View.Speaks(c, in.suspect(), in.Now) && !in.hears(c, site):
			agree = append(agree, c)
		}
	}
	if 2*len(agree) <= len(in.Controllers) || in.serves(p, site) {
		return Reason{}
	}
	why := Reason{Code: siteSilent, Other: site, For: silence}
	if in.View.Hypothetical() {
		why.Code = noAgentOfSite
	}
	if len(gone) > 0 {
		why = Reason{Code: norItsControllers, Names: gone, Because: []Reason{why}}
	}
	return join(why, Reason{Code: soSay, Names: agree})
}

// suspect is the silence after which observations and reports no longer count, for the most patient cluster.
func (in Input) suspect() time.Duration {
	longest := platform.Suspect(platform.MinLease)
	for _, c := range in.State.Platform.Clusters {
		longest = max(longest, platform.Suspect(c.Lease))
	}
	return longest
}

// silenceOf is for how long no host of a site has been heard, and how many hosts it has.
func (in Input) silenceOf(site string) (silence time.Duration, hosts int) {
	for _, h := range in.State.Platform.Hosts {
		if h.Site != site {
			continue
		}
		if s := in.View.Silence(h.Name, in.Now); hosts == 0 || s < silence {
			silence = s
		}
		hosts++
	}
	return silence, hosts
}

// hears: a controller has fresh contact with a member of the site, or has not come to ask it: only a probe that failed agrees that
// the site is lost.
func (in Input) hears(controller, site string) bool {
	for i := range in.State.Platform.Clusters {
		conf := &in.State.Platform.Clusters[i]
		for j := range conf.Members {
			m := &conf.Members[j]
			if in.State.Platform.SiteOf(m.Host) != site {
				continue
			}
			o, suspect := in.View.Observation(controller, m, in.suspect(), in.Now), in.suspect()
			if o != nil && (o.Heard(2*platform.Heartbeat(conf.Lease)) || o.Probed(suspect) || !o.Failed(2*suspect)) {
				return true
			}
		}
	}
	return false
}

// serves: some observer of another site sees an app server of the site well.
func (in Input) serves(p *platform.Platform, site string) bool {
	for _, a := range p.Apps {
		for _, i := range a.Instances {
			if i.Site == site &&
				slices.ContainsFunc(in.instanceObservations(&a, i.Name),
					func(o *health.InstanceObservation) bool { return o != nil && o.Health == health.Well }) {
				return true
			}
		}
	}
	return false
}

// siteProblems names the sites that are lost.
func siteProblems(in Input) (problems []health.Problem) {
	for _, s := range in.State.Platform.Sites {
		if why := in.siteLost(s.Name); why.given() {
			problems = append(problems, health.Problem{Kind: health.SiteLost, Site: s.Name, Evidence: why.String(), Actionable: true})
		}
	}
	return problems
}

// recoveredAtHome: the last automatic failover stayed on the site that is lost now, so the next one does not undo it.
func (v *clusterView) recoveredAtHome() bool {
	for _, op := range v.c.Operations {
		if op.ID == v.c.Recovered {
			return v.site(op.From) == v.site(op.To) && v.site(op.To) == v.site(v.c.Primary)
		}
	}
	return false
}

// unapproved says what the attempt could do if an operator allowed it to leave the site, if that would help.
func (v *clusterView) unapproved(ch choice) Reason {
	a := v.c.Attempt
	if ch.best != "" || v.conf.Failover.AcrossSites != platform.AcrossApproval || a.Approved != "" || a.To != "" {
		return Reason{}
	}
	would := *a
	would.Approved = "?"
	c := *v.c
	c.Attempt = &would
	if ch = (&clusterView{Input: v.Input, c: &c, conf: v.conf, decision: &Decision{}}).choose(); ch.best == "" {
		return Reason{}
	}
	loss := v.loss(ch)
	if err := state.Complete(v.c.Sets, ch.sealed); err != nil {
		loss = Reason{Code: notComplete, Detail: err.Error()}
	}
	if !loss.given() {
		loss = Reason{Code: nothingWouldBeLost}
	}
	return join(Reason{Code: approvalAwaited, Member: ch.best, Is: v.site(ch.best), Other: v.approvable()}, loss)
}

// approvable is what an operator gives to `mainstay approve`: the operation, or, where it is only hypothetical, the cluster.
func (v *clusterView) approvable() string {
	if v.Hypothetical {
		return v.c.Name
	}
	return v.c.Attempt.Operation
}

// askApproval keeps asking for as long as it would help; status, metrics and the leader's log remind of it. While seals are still
// to come the cost of an approval is not known, so the question waits.
func (v *clusterView) askApproval(ch choice) {
	if v.sealing(ch) {
		return
	}
	if why := v.unapproved(ch); why.given() {
		v.problem(health.ApprovalNeeded, "", why.String(), false)
	}
}
