package decide

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// Failure is a way in which a primary can die, for predictions.
type Failure int

const (
	// HostLost: nothing on the primary's host answers any more.
	HostLost Failure = iota
	// PrimaryCrashed: PostgreSQL ends, its agent lives and sees it.
	PrimaryCrashed
	// SiteLost: nothing on the primary's site answers any more.
	SiteLost
)

// promotionTime is what a prediction allows for seals, promotion and the first commit after the decision; test/bench
// prints the measured times.
const promotionTime = 400 * time.Millisecond

// Predict runs the real decisions on a copy of state and view in which the primary has died, stepped to the end. explain
// prints the result, and each real failover keeps it beside its record.
func Predict(in Input, cluster string, failure Failure) state.Prediction {
	c := in.State.Clusters[cluster]
	if c == nil || in.State.ClusterConfig(cluster) == nil || c.Primary == "" {
		return state.Prediction{Why: "the cluster has no primary yet"}
	}
	p := &prediction{in: in, cluster: cluster, began: in.Now}
	p.in.View, p.in.Conditions, p.in.Hypothetical, p.in.Survey = in.View.Clone(), in.Conditions.Clone(), true, false
	lost := ""
	if failure == SiteLost {
		lost = in.State.Platform.SiteOf(in.State.ClusterConfig(cluster).Member(c.Primary).Host)
	}
	if why := p.choosesObservers(lost); why.given() {
		return state.Prediction{Why: why.String(), Loss: nothingPromoted}
	}
	p.forgetSilent()
	p.kill(c, failure)
	if failure != PrimaryCrashed { // which its agent sees at once
		p.in.Now += platform.Suspect(in.State.ClusterConfig(cluster).Lease)
	}
	p.refresh()
	return p.run()
}

// nothingPromoted is the loss of a failover that only waits.
const nothingPromoted = "nothing is promoted, so nothing more is lost"

type prediction struct {
	in          Input
	cluster     string
	began       time.Duration
	why         string
	promisesEnd time.Duration // for as long the promises of members that must be sealed bar that (L5)

	observers []observer // the controllers that would still observe then
	round     uint64     // of their observations
}

type observer struct{ name, site string }

// choosesObservers keeps the controllers that are heard now and would not be lost with that site ("" for none), since the others would
// not be heard then either. It gives the reason if they could elect no leader. If this one is lost, another leads.
func (p *prediction) choosesObservers(lost string) Reason {
	at := func(name string) string {
		if name == p.in.Self {
			return p.in.Site
		}
		return p.in.View.SiteOf(name)
	}
	controllers := p.in.Controllers
	if len(controllers) == 0 {
		controllers = []string{p.in.Self}
	}
	var gone []string
	for _, name := range controllers {
		switch site := at(name); {
		case lost != "" && site == lost:
			gone = append(gone, name)
		case name == p.in.Self || p.in.View.Speaks(name, p.in.suspect(), p.in.Now):
			p.observers = append(p.observers, observer{name, site})
		}
	}
	if 2*len(gone) >= len(controllers) {
		return Reason{Code: noLeaderLeft, Other: lost, Names: gone, Of: len(controllers)}
	}
	if len(p.observers) > 0 && lost != "" && p.in.Site == lost {
		p.in.Self, p.in.Site = p.observers[0].name, p.observers[0].site
	}
	return Reason{}
}

// refresh makes every report that is heard fresh, and the controllers observe that the primary does not answer.
func (p *prediction) refresh() {
	p.in.View.Refresh(p.in.Now)
	p.round++
	dead := health.Observation{Cluster: p.cluster, Member: p.in.State.Clusters[p.cluster].Primary, HeardMS: -1, ProbedMS: -1, FailedMS: 1}
	for _, o := range p.observers {
		p.in.View.FoldObservations(health.Observations{Observer: o.name, Site: o.site, Number: p.round, Observations: []health.Observation{dead}},
			p.in.Now)
	}
}

// forgetSilent: an agent that is not heard now would not be heard then either.
func (p *prediction) forgetSilent() {
	conf := p.in.State.ClusterConfig(p.cluster)
	for _, m := range conf.Members {
		if p.in.View.Fresh(&m, platform.Suspect(conf.Lease), p.in.Now) == nil {
			p.in.View.Forget(m.Host)
		}
	}
}

func (p *prediction) kill(c *state.Cluster, failure Failure) {
	conf := p.in.State.ClusterConfig(p.cluster)
	dead := conf.Member(c.Primary)
	p.in.View.ForgetObservations()
	switch failure {
	case HostLost:
		p.in.View.Forget(dead.Host)
	case SiteLost:
		for _, h := range p.in.State.Platform.Hosts {
			if h.Site == p.in.State.Platform.SiteOf(dead.Host) {
				p.in.View.Forget(h.Name)
			}
		}
	default:
		p.in.View.Replace(dead, func(m *health.Member) {
			m.Process, m.Role, m.Closed, m.Clean = health.ProcessEnded, health.RoleUnknown, c.Epoch, false
		})
	}
	for i := range conf.Members {
		if m := &conf.Members[i]; m.Name != c.Primary {
			p.in.View.Replace(m, func(r *health.Member) { r.Receiver = nil })
		}
	}
}

// run steps the decisions until a member is promoted, or the state no longer changes.
func (p *prediction) run() state.Prediction {
	for range 12 {
		d := Next(p.in)
		p.why = d.Reasons.Of(p.cluster).String()
		cmd := p.command(d)
		if cmd == nil {
			if !p.later() {
				break
			}
			continue
		}
		if cmd.Promote != nil {
			return p.promoted(cmd.Promote)
		}
		next, err := state.Apply(p.in.State, p.in.State.Index+1, *cmd)
		if err != nil {
			p.why = err.Error()
			break
		}
		p.in.State = next
		p.seal()
		p.catchUp()
	}
	out := state.Prediction{Why: p.why, Loss: nothingPromoted}
	if v := p.clusterView(); v.c.Attempt != nil && v.c.Attempt.Phase == state.PhaseSeal {
		ch := v.choose()
		if ch.best != "" {
			ch.notChosen[ch.best] = Reason{Code: comesFirst, Member: ch.best}
		}
		out.Others = textsOf(ch.notChosen)
	}
	return out
}

func (p *prediction) command(d Decision) *state.Command {
	for i := range d.Commands {
		if d.Commands[i].Cluster == p.cluster {
			return &d.Commands[i]
		}
	}
	return nil
}

func (p *prediction) clusterView() *clusterView {
	p.in.Conditions.begin(p.in.Now)
	return &clusterView{Input: p.in, c: p.in.State.Clusters[p.cluster], conf: p.in.State.ClusterConfig(p.cluster), decision: &Decision{}}
}

// seal lets every replica that answers obey the attempt's goal.
func (p *prediction) seal() {
	c, conf := p.in.State.Clusters[p.cluster], p.in.State.ClusterConfig(p.cluster)
	if c.Attempt == nil {
		return
	}
	for i := range conf.Members {
		if m := &conf.Members[i]; m.Name != c.Primary {
			p.in.View.Replace(m, func(r *health.Member) {
				if r.Process == health.ProcessRunning && r.Role == health.RoleStandby {
					r.Sealed, r.PositionKnown = c.Attempt.Number, r.Position != 0
					p.promisesEnd = max(p.promisesEnd, time.Duration(r.Promised)*time.Millisecond)
				}
			})
		}
	}
}

// catchUp lets a hand-over of WAL succeed.
func (p *prediction) catchUp() {
	c, conf := p.in.State.Clusters[p.cluster], p.in.State.ClusterConfig(p.cluster)
	if c.Attempt == nil || c.Attempt.CatchUp == nil {
		return
	}
	from, to := p.clusterView().fresh(c.Attempt.CatchUp.From), conf.Member(c.Attempt.CatchUp.To)
	if from == nil || to == nil {
		return
	}
	p.in.View.Replace(to, func(r *health.Member) { r.Timeline, r.Position = from.Timeline, from.Position })
}

// later moves time to the next moment at which the decision could change: the end of the lease, then the bounds of waits.
func (p *prediction) later() bool {
	c, conf := p.in.State.Clusters[p.cluster], p.in.State.ClusterConfig(p.cluster)
	end := p.in.Leases.End(p.cluster, c.Primary, c.Epoch, c.LongestLease)
	switch {
	case p.in.Now <= end && c.Guarded:
		p.in.Now = end + time.Millisecond
	case c.Recovered != "" && c.Attempt == nil && p.clusterView().blocked() < platform.RecoveryBlock:
		p.in.Now += platform.RecoveryBlock - p.clusterView().blocked() + time.Millisecond
	case p.in.Now < p.began+platform.CountOut(c.LongestLease)+graceForSeals+conf.Failover.AcceptAfter+time.Second:
		p.in.Now += graceForSeals + conf.Failover.AcceptAfter
	default:
		return false
	}
	p.refresh()
	return true
}

func (p *prediction) promoted(cmd *state.Promote) state.Prediction {
	c := p.in.State.Clusters[p.cluster]
	out := state.Prediction{Promote: cmd.Member, Proof: cmd.Proof.Kind, Loss: cmd.Loss, Others: cmd.NotChosen,
		About: p.in.Now - p.began + p.promisesEnd + promotionTime, Why: "the most advanced member that may lead"}
	if out.Loss == "" {
		out.Loss = "no acknowledged commit"
	}
	if cmd.Member == c.Primary {
		out.Why = "restarted in place: no replica can be shown to hold every commit"
	}
	if cmd.Proof.Kind == fencing.LeaseExpired {
		// The lease recorded may have been renewed just now: the full count is the bound.
		out.About = max(platform.CountOut(c.LongestLease), p.in.Now-p.began) + promotionTime
	}
	return out
}

// Sentence is a prediction as people read it.
func Sentence(p state.Prediction) string {
	if p.Promote == "" {
		return "no member would be promoted: " + p.Why
	}
	return fmt.Sprintf("%s would be promoted (%s) by proof %s, losing at most: %s; in about %s",
		p.Promote, p.Why, p.Proof, p.Loss, round(p.About))
}
