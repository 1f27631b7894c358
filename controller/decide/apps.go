package decide

import (
	"fmt"
	"strconv"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

const (
	// restartAfter is how long an instance must be down before it is restarted; it doubles with each restart in a row.
	restartAfter = 10 * time.Second
	// restartsAtMost is how many restarts in a row are tried.
	restartsAtMost = 5
)

// appView is one app as the leader sees it now.
type appView struct {
	Input
	a        *state.App
	conf     *platform.App
	decision *Decision
	verdicts []health.Working // of each instance, once one is asked for
}

// apps decides for every app, one command each.
func apps(in Input, d *Decision) {
	for i := range in.State.Platform.Apps {
		conf := &in.State.Platform.Apps[i]
		name := conf.Name
		p := &appView{Input: in, a: in.State.Apps[name], conf: conf, decision: d}
		if p.a == nil {
			continue
		}
		c, why := p.decide()
		if c != nil {
			c.App, c.Version, c.Reason = name, p.a.Version, why.String()
			d.Commands = append(d.Commands, state.Command{By: byMainstay, At: in.At(), App: c})
		}
		if why.given() {
			why.Rule = RuleApps
			d.because("app "+name, why)
		}
	}
}

func (p *appView) decide() (*state.ChangeApp, Reason) {
	if p.Survey {
		p.problems()
	}
	if p.State.Change != nil { // step apps asks since when
		for n := range p.conf.Instances {
			p.runs(&p.conf.Instances[n])
		}
	}
	placed, waits := p.place()
	if placed != nil {
		return placed, waits
	}
	if c, why := p.routing(); c != nil {
		return c, why
	}
	if c, why := p.restart(); c != nil {
		return c, why
	}
	return nil, waits
}

// place moves a pool after its primary. It starts there once nothing of it can run elsewhere.
func (p *appView) place() (*state.ChangeApp, Reason) {
	c := p.State.AppCluster(p.conf)
	if c == nil || c.Primary == "" {
		return nil, Reason{}
	}
	primary := p.State.ClusterConfig(c.Name).Member(c.Primary)
	if site := p.State.Platform.SiteOf(primary.Host); site != p.a.Site {
		return &state.ChangeApp{Move: site}, Reason{Code: followsPrimary, Cluster: c.Name, Member: c.Primary, Is: site}
	}
	if !p.a.Moving {
		return nil, Reason{}
	}
	if name := p.mayRun(c); name != "" {
		return nil, Reason{Code: othersMustStop, Member: name, Is: p.a.Site}
	}
	return &state.ChangeApp{Ready: true}, Reason{Code: othersStopped}
}

// mayRun is an instance of another site that may still run, "" if all have surely stopped: its agent affirms it under
// a goal that no late answer overtakes, its host's power is off, or its permit is counted out and no agent can have renewed it since.
func (p *appView) mayRun(c *state.Cluster) string {
	for i := range p.conf.Instances {
		inst := &p.conf.Instances[i]
		if inst.Site != p.a.Site && !p.stopped(inst, c) {
			return inst.Name
		}
	}
	return ""
}

// stopped: a permit counts for as long as the longest that may be in force; after a lease was shortened the old primary's agent
// may still renew an earlier one (L4).
func (p *appView) stopped(i *platform.Instance, c *state.Cluster) bool {
	if f := p.State.FencedOff(i.Host); f != nil && f.Off {
		return true
	}
	if r := p.seen(i); r != nil && (!r.Stopped || p.obeys(i, r)) {
		return r.Stopped
	}
	permit := platform.Permit(c.LongestLease)
	counted := platform.CountOut(permit)
	if p.Now <= p.Leases.End(PermitKey(p.conf.Name), i.Name, platform.Epoch{}, permit) {
		return false
	}
	if p.Conditions.heldFor(poolMoves, p.conf.Name, c.Epoch.String()) > counted {
		return true
	}
	return noPromisesLeft(c) && p.Now > p.Leases.Granted(c.Name, c.Primary)+counted
}

// obeys: it was affirmed after this leader's last answer that lets it run was overtaken. One that is still on its way would
// start it, even if it was reported as stopped before.
func (p *appView) obeys(i *platform.Instance, r *health.Instance) bool {
	return p.Leases.Obeys(PermitKey(p.conf.Name), i.Name, p.View.Report(i.Host).RunID, r.From)
}

// noPromisesLeft: the proof by which the last primary was fenced shows that no promise had renewed its lease for longer than a
// permit. So its agent can have renewed an app server's permit only for as long after the last lease that a leader gave.
func noPromisesLeft(c *state.Cluster) bool {
	for i := len(c.Operations) - 1; i >= 0; i-- {
		if op := &c.Operations[i]; op.Epoch == c.Epoch && op.Proof != nil {
			return op.Proof.Kind == fencing.QuorumSealed || op.Proof.Kind == fencing.LeaseExpired
		}
	}
	return false
}

// PermitKey is the name under which the permits of an app's instances are counted.
func PermitKey(app string) string { return "app " + app }

// Seen is the present report of an instance by the agent of its host, nil if there is none.
func Seen(in Input, i *platform.Instance) *health.Instance {
	r := in.View.Report(i.Host)
	if i.Host == "" || r == nil || in.View.Silence(i.Host, in.Now) > in.suspect() {
		return nil
	}
	for n := range r.Instances {
		if r.Instances[n].Name == i.Name {
			return &r.Instances[n]
		}
	}
	return nil
}

func (p *appView) seen(i *platform.Instance) *health.Instance { return Seen(p.Input, i) }

// Verdict is what a majority of the expected observers says of an instance, whether it reaches the primary that its
// reachability check is about, and an error that one of them names.
func Verdict(in Input, app *platform.App, instance string) (works, reaches health.Working, detail string) {
	observations := in.instanceObservations(app, instance)
	for _, o := range observations {
		if o != nil && o.Error != "" {
			detail = o.Error
		}
	}
	return health.JudgeInstance(observations, len(in.Controllers)), health.JudgeReaches(observations, len(in.Controllers)), detail
}

// verdict is what a majority of the expected observers says of the nth instance.
func (p *appView) verdict(n int) health.Working {
	if p.verdicts == nil {
		p.verdicts = make([]health.Working, len(p.conf.Instances))
		limit, observations := p.conf.Check.Fresh(p.suspect()), make([]*health.InstanceObservation, 0, len(p.Controllers))
		for i := range p.conf.Instances {
			observations = p.observationsWithin(limit, p.conf, p.conf.Instances[i].Name, observations[:0])
			p.verdicts[i] = health.JudgeInstance(observations, len(p.Controllers))
		}
	}
	return p.verdicts[n]
}

// runs is for how long this leader has seen the instance run without a break, as its agent says.
func (p *appView) runs(i *platform.Instance) time.Duration {
	if r := p.seen(i); r == nil || !r.Running {
		return 0
	}
	return p.Conditions.heldFor(instanceRuns, p.conf.Name, i.Name)
}

// up: a majority finds the instance well and, where it was stopped before, by a check that began since it was seen to run. A
// verdict outlives its instance for as long as the next check hangs; that does not show that it has come up.
func (p *appView) up(i *platform.Instance) bool {
	limit := p.conf.Check.Fresh(p.suspect())
	if p.conf.Run == platform.RunWithPrimary && p.seen(i) != nil {
		limit = min(limit, p.runs(i))
	}
	return health.JudgeInstance(p.observationsWithin(limit, p.conf, i.Name, nil), len(p.Controllers)) == health.Well
}

// wanted: the instance must run now.
func (p *appView) wanted(i *platform.Instance) bool {
	return p.State.Wants(p.conf, i.Name) == platform.WantRunning
}

// routing takes instances that are down out of routing, and brings those back that are well.
func (p *appView) routing() (*state.ChangeApp, Reason) {
	for n := range p.conf.Instances {
		i := &p.conf.Instances[n]
		_, out := p.a.Out[i.Name]
		switch v := p.verdict(n); {
		case v == health.Down && !out && p.wanted(i):
			return &state.ChangeApp{OutOfRouting: i.Name}, p.why(i)
		case v == health.Well && (out || p.a.ConsecutiveRestarts[i.Name] > 0):
			return &state.ChangeApp{BackInRouting: i.Name}, Reason{Code: instanceWell, Member: i.Name}
		case out && !p.wanted(i):
			return &state.ChangeApp{BackInRouting: i.Name}, Reason{Code: instanceNotWanted, Member: i.Name}
		}
	}
	return nil, Reason{}
}

// why is the fault that an observer reports.
func (p *appView) why(i *platform.Instance) Reason {
	for _, o := range p.instanceObservations(p.conf, i.Name) {
		if o != nil && o.Health == health.Down && o.Error != "" {
			return Reason{Code: instanceDown, Member: i.Name, Detail: ": " + o.Error}
		}
	}
	return Reason{Code: instanceDown, Member: i.Name}
}

// restart makes the agent restart an instance that runs and does not answer: one of a pool at a time, and none while its
// database is at fault.
func (p *appView) restart() (*state.ChangeApp, Reason) {
	if p.State.Change != nil || !p.databasesWell() || p.restarting() {
		return nil, Reason{}
	}
	for n := range p.conf.Instances {
		if p.verdict(n) != health.Down {
			continue
		}
		i := &p.conf.Instances[n]
		if r := p.seen(i); r == nil || !r.Running || !p.wanted(i) {
			continue
		}
		consecutive := p.a.ConsecutiveRestarts[i.Name]
		if consecutive >= restartsAtMost {
			continue
		}
		if p.Conditions.heldFor(instanceStaysDown, p.conf.Name, i.Name, strconv.Itoa(consecutive)) >= restartAfter<<consecutive {
			return &state.ChangeApp{Restart: i.Name}, join(p.why(i), Reason{Code: restarts, Number: consecutive + 1})
		}
	}
	return nil, Reason{}
}

// restarting: an agent has yet to obey the last restart.
func (p *appView) restarting() bool {
	for n := range p.conf.Instances {
		i := &p.conf.Instances[n]
		if last := p.a.Restarts[i.Name]; last > 0 {
			if r := p.seen(i); r != nil && r.Restarted < last {
				return true
			}
		}
	}
	return false
}

// databasesWell: every cluster that the app needs is open, and is not changing its primary.
func (p *appView) databasesWell() bool {
	for _, name := range p.conf.Needs {
		if c := p.State.Clusters[name]; c == nil || !c.Opened || c.Attempt != nil {
			return false
		}
	}
	return true
}

// problems names instances that are down, and sites on which too few are well.
func (p *appView) problems() {
	down, all := map[string]int{}, map[string]int{}
	for n := range p.conf.Instances {
		i := &p.conf.Instances[n]
		if !p.wanted(i) {
			continue
		}
		all[i.Site]++
		text := ""
		if r := p.seen(i); r != nil && r.Error != "" {
			text = i.Name + ": " + r.Error
		}
		if p.verdict(n) == health.Down {
			down[i.Site]++
			if text = p.why(i).String(); p.a.ConsecutiveRestarts[i.Name] >= restartsAtMost {
				text += fmt.Sprintf("; %d restarts did not help, and no more are tried until it is well", restartsAtMost)
			}
		}
		if text != "" {
			p.problem(health.AppDown, i.Site, i.Name, text)
		}
	}
	for _, s := range p.State.Platform.Sites {
		if left := all[s.Name] - down[s.Name]; all[s.Name] > 0 && left < p.conf.Minimum {
			p.problem(health.AppPoolShort, s.Name, "",
				fmt.Sprintf("%d of %d instances on site %s are well, fewer than the minimum of %d", left, all[s.Name], s.Name, p.conf.Minimum))
		}
	}
}

func (p *appView) problem(kind health.Kind, site, instance, evidence string) {
	p.decision.Problems = append(p.decision.Problems,
		health.Problem{Kind: kind, App: p.conf.Name, Site: site, Instance: instance, Evidence: evidence})
}

// instanceObservations are the fresh observations of an instance by the expected observers; nil for an observer without one.
func (in Input) instanceObservations(conf *platform.App, instance string) []*health.InstanceObservation {
	observations := make([]*health.InstanceObservation, 0, len(in.Controllers))
	return in.observationsWithin(conf.Check.Fresh(in.suspect()), conf, instance, observations)
}

// observationsWithin appends those whose last check began within limit.
func (in Input) observationsWithin(limit time.Duration, conf *platform.App, instance string,
	observations []*health.InstanceObservation) []*health.InstanceObservation {
	for _, c := range in.Controllers {
		observations = append(observations, in.View.InstanceObservation(c, conf.Name, instance, limit, in.Now))
	}
	return observations
}
