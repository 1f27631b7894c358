package decide

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// How long the steps of a site switchover may take before it halts. A drain comes on top.
const (
	quiesceBound = 30 * time.Second
	clusterBound = 3 * time.Minute // of one cluster; its own steps have bounds of their own
	appsBound    = time.Minute
	verifyBound  = 30 * time.Second
	hookGrace    = 5 * time.Second // above a hook's own deadline
)

// changeLook is the site switchover under way as the leader sees it now.
type changeLook struct {
	Input
	ch       *state.SiteChange
	decision *Decision
}

// siteChange moves a site switchover on. What it asks of clusters they do themselves (moveSite), what it asks of apps is in
// their goals, and what it asks of hooks and instances are effects: here is only whether a step is done.
func siteChange(in Input, d *Decision) {
	l := &changeLook{Input: in, ch: in.State.Change, decision: d}
	if l.ch == nil {
		return
	}
	if l.ch.Halted != "" {
		text := fmt.Sprintf("site switchover %s to %s halted at step %s: %s. It waits for `mainstay site` %s",
			l.ch.ID, l.ch.To, l.ch.Step, l.ch.Halted, strings.Join(l.ch.Words(), ", "))
		d.Problems = append(d.Problems, health.Problem{Kind: health.SiteChangeHalted, Site: l.ch.To, Evidence: text})
		return
	}
	step, why := l.next()
	why.Rule = RuleSite
	d.because("site switchover", why)
	if step != nil {
		step.Change, step.Version = l.ch.ID, l.ch.Version
		d.Commands = append(d.Commands, state.Command{By: byMainstay, At: in.At(), StepSite: step})
	}
}

// next is the command that moves the change on, or what it waits for.
func (l *changeLook) next() (*state.StepSite, Reason) {
	if l.ch.Step == platform.StepCheck {
		if bad := CheckSite(l.Input, l.ch.To); len(bad) > 0 {
			return &state.StepSite{End: state.Abandoned, Note: Reason{Code: notBegun, Because: bad}.String()}, bad[0]
		}
		return l.checkpoints()
	}
	if name := l.State.Left(l.ch); name != "" {
		return l.fail(l.left(name))
	}
	if step, why := l.hooks("before"); step != nil || why.given() {
		return step, why
	}
	waits, bound, failed := l.step()
	if failed.given() {
		return l.fail(failed)
	}
	if waits.given() {
		if l.Watch.held(fmt.Sprintf("site/%s/%s/%d", l.ch.ID, l.ch.Step, len(l.ch.Tried))) > bound {
			return l.fail(Reason{Code: notInTime, For: bound, Because: []Reason{waits}})
		}
		return nil, waits
	}
	if !l.ch.Worked && !l.ch.Undoing && len(l.State.Platform.HooksAt(l.ch.Step, "after")) > 0 {
		return &state.StepSite{Worked: true}, Reason{Code: hooksMayRun, Detail: l.ch.Step}
	}
	if step, why := l.hooks("after"); step != nil || why.given() {
		return step, why
	}
	return l.after()
}

// checkpoints waits for a CHECKPOINT on every primary that is to stop: the apps need not be quiet meanwhile.
func (l *changeLook) checkpoints() (*state.StepSite, Reason) {
	for _, name := range l.State.ClusterNames() {
		c, conf := l.State.Clusters[name], l.State.ClusterConfig(name)
		tag := l.State.EarlyCheckpoint(c)
		if tag.IsZero() {
			continue
		}
		if p := l.View.Member(conf.Member(c.Primary)); p != nil && p.Checkpointed == tag {
			continue
		}
		waits := Reason{Code: checkpointAwaited, Member: c.Primary}
		if l.Watch.held("site/"+l.ch.ID+"/checkpoint") > checkpointBound {
			late := Reason{Code: notInTime, For: checkpointBound, Because: []Reason{waits}}
			return &state.StepSite{End: state.Abandoned, Note: Reason{Code: notBegun, Because: []Reason{late}}.String()}, waits
		}
		return nil, waits
	}
	return l.begin(platform.StepQuiesce, checksPassed)
}

func (l *changeLook) begin(step string, done Code) (*state.StepSite, Reason) {
	why := Reason{Code: done}
	return &state.StepSite{Step: step, Note: why.String()}, Reason{Code: stepBegins, Detail: step, Because: []Reason{why}}
}

// fail halts the change or, where no cluster has moved yet, lets the apps go on where they were: nobody waits for a word.
func (l *changeLook) fail(why Reason) (*state.StepSite, Reason) {
	if l.ch.Step == platform.StepQuiesce {
		return &state.StepSite{Undo: true, Note: Reason{Code: appsGoOn, Because: []Reason{why}}.String()}, why
	}
	return &state.StepSite{Halt: why.String()}, why
}

// hooks waits for those at a moment of the step.
func (l *changeLook) hooks(when string) (*state.StepSite, Reason) {
	err := l.ch.Ready(l.State.Platform, l.ch.Step, when)
	if err == nil {
		return nil, Reason{}
	}
	why := Reason{Code: hookRuns, Detail: err.Error()}
	switch {
	case !errors.Is(err, state.ErrHookRuns):
		why.Code = hookFailed
		return l.fail(why)
	case l.Watch.held(fmt.Sprintf("site/%s/%s/%s/%d", l.ch.ID, l.ch.Step, when, len(l.ch.Answers))) > l.longestHook():
		why.Code = hookSilent
		return l.fail(why)
	}
	return nil, why
}

func (l *changeLook) longestHook() (longest time.Duration) {
	for _, h := range l.State.Platform.Hooks {
		longest = max(longest, h.Timeout)
	}
	return longest + hookGrace
}

// step says what the present step waits for, if it is not done, and how long it may; failed is why it cannot be.
func (l *changeLook) step() (waits Reason, bound time.Duration, failed Reason) {
	if waits = l.unsettled(); waits.given() {
		return waits, clusterBound, failed
	}
	switch l.ch.Step {
	case platform.StepQuiesce:
		waits, bound = l.quiet()
	case platform.StepClusters:
		waits, failed = l.clusters()
		bound = clusterBound
	case platform.StepApps:
		waits, bound = l.serving(), appsBound
	case platform.StepVerify:
		if waits, bound = l.unverifiable(), verifyBound; !waits.given() {
			waits = l.unsaid(state.Verify)
		}
	}
	return waits, bound, failed
}

// after is the step that follows.
func (l *changeLook) after() (*state.StepSite, Reason) {
	switch l.ch.Step {
	case platform.StepQuiesce:
		return l.begin(platform.StepClusters, appsQuiet)
	case platform.StepClusters:
		return l.begin(platform.StepApps, clustersArrived)
	case platform.StepApps:
		return l.begin(platform.StepRouting, appsWell)
	case platform.StepRouting:
		if l.ch.Undoing {
			why := l.undone()
			return &state.StepSite{End: state.Abandoned, Note: why.String()}, why
		}
		return l.begin(platform.StepVerify, topologyPublished)
	}
	why := Reason{Code: runsOnSite, Other: l.ch.To}
	return &state.StepSite{End: state.Done, Note: why.String()}, why
}

// undone names the clusters that are not back: an operator left them behind, or a failover moved them.
func (l *changeLook) undone() Reason {
	var left []string
	for _, name := range l.State.ClusterNames() {
		if !l.there(name) {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		return Reason{Code: undoneInPart, Names: left}
	}
	return Reason{Code: undone}
}

// quiet waits for the pools that live with their primary to stop, and for the others to refuse writes.
func (l *changeLook) quiet() (waits Reason, bound time.Duration) {
	bound = quiesceBound
	for _, name := range l.State.AppNames() {
		p := &poolLook{Input: l.Input, a: l.State.Apps[name], conf: l.State.Platform.App(name), decision: l.decision}
		c := l.State.AppCluster(p.conf)
		if c == nil {
			continue
		}
		bound = max(bound, quiesceBound+p.conf.Drain)
		for i := range p.conf.Instances {
			if inst := &p.conf.Instances[i]; !p.stopped(inst, c) {
				waits = Reason{Code: stopAwaited, Member: inst.Name}
			}
		}
	}
	if !waits.given() {
		waits = l.unsaid(state.Quiesce)
	}
	return waits, bound
}

// clusters waits for every cluster to have its primary where it is to be.
func (l *changeLook) clusters() (waits, failed Reason) {
	for _, name := range l.State.ClusterNames() {
		c := l.State.Clusters[name]
		if l.arrived(name) {
			continue
		}
		if op := operation(c, l.ch.Tried[name]); op != nil && op.Result != state.Running {
			return Reason{}, Reason{Code: operationEnded, Cluster: name, Other: op.ID, Is: string(op.Result), Detail: op.Outcome}
		}
		if c.Attempt == nil && l.ch.Tried[name] == "" {
			if bad := l.blockers(name); len(bad) > 0 {
				return Reason{Code: clusterBlocked, Cluster: name, Because: bad}, Reason{}
			}
		}
		return Reason{Code: clusterAwaited, Cluster: name}, Reason{}
	}
	return Reason{}, Reason{}
}

// unsettled waits while another change is under way of a cluster that had arrived: it may leave.
func (l *changeLook) unsettled() Reason {
	for _, name := range l.ch.Moved {
		if c := l.State.Clusters[name]; l.ch.Step != platform.StepClusters && l.State.ClusterConfig(name) != nil &&
			(c.Attempt != nil || !c.Opened) {
			return Reason{Code: arrivedAndBusy, Cluster: name}
		}
	}
	return Reason{}
}

// left says how a cluster that had arrived came to be elsewhere.
func (l *changeLook) left(cluster string) Reason {
	c := l.State.Clusters[cluster]
	how := ""
	for _, op := range c.Operations {
		if op.To == c.Primary && (op.Kind == state.Failover || op.Kind == state.Switchover) {
			how = fmt.Sprintf(" (%s %s: %s)", op.Kind, op.ID, op.Reason)
		}
	}
	return Reason{Code: leftSite, Cluster: cluster, Other: l.ch.To, Member: c.Primary, Detail: how}
}

// target is the member that is to become primary: the best on the new site or, where the change is undone, the former one, or
// the best of its site if that one cannot.
func (l *changeLook) target(cluster string) string {
	if !l.ch.Undoing {
		return bestOn(l.Input, cluster, l.ch.To)
	}
	former := l.ch.Former[cluster]
	if _, bad := CheckSwitchover(l.Input, cluster, former); len(bad) == 0 {
		return former
	}
	if m := l.State.ClusterConfig(cluster).Member(former); m != nil {
		if other := bestOn(l.Input, cluster, l.State.Platform.SiteOf(m.Host)); other != "" {
			return other
		}
	}
	return former
}

func (l *changeLook) arrived(cluster string) bool {
	c := l.State.Clusters[cluster]
	return l.there(cluster) && (c.Opened && c.Attempt == nil || l.State.ClusterConfig(cluster) == nil)
}

// there: its primary is on the site where it is to be.
func (l *changeLook) there(cluster string) bool {
	to := l.ch.To
	if l.ch.Undoing {
		conf := l.State.ClusterConfig(cluster)
		if conf == nil || conf.Member(l.ch.Former[cluster]) == nil {
			return true
		}
		to = l.State.Platform.SiteOf(conf.Member(l.ch.Former[cluster]).Host)
	}
	site := l.State.PrimarySite(cluster)
	return site == "" || site == to
}

func (l *changeLook) blockers(cluster string) []Reason {
	to := l.target(cluster)
	if c := l.State.Clusters[cluster]; c.Pause != nil {
		return []Reason{paused(c)}
	}
	if to == "" {
		return []Reason{{Code: nobodyOnSite, Other: l.ch.To}}
	}
	_, bad := CheckSwitchover(l.Input, cluster, to)
	return bad
}

// serving waits until each app has its minimum of instances well where it is to run, and those that were asked to refuse
// writes take them again.
func (l *changeLook) serving() Reason {
	for _, name := range l.State.AppNames() {
		p := &poolLook{Input: l.Input, a: l.State.Apps[name], conf: l.State.Platform.App(name), decision: &Decision{}}
		well, all := 0, 0
		for i := range p.conf.Instances {
			inst := &p.conf.Instances[i]
			if !l.ch.Undoing && inst.Site != l.ch.To || l.ch.Undoing && !p.wanted(inst) {
				continue
			}
			all++
			if p.wanted(inst) && p.up(inst) {
				well++
			}
		}
		if need := min(p.conf.Minimum, all); well < need {
			return Reason{Code: appAwaited, Member: name, Number: well, Of: need}
		}
	}
	return l.unsaid(state.Resume)
}

// unverifiable names an app that is to be verified and has nobody to ask on the new site, if there is one: what nobody was
// asked is not verified.
func (l *changeLook) unverifiable() Reason {
	for n := range l.State.Platform.Apps {
		conf := &l.State.Platform.Apps[n]
		takes := func(i platform.Instance) bool { return i.Site == l.ch.To && l.State.Serves(conf, i.Name) }
		if conf.Verify != "" && !slices.ContainsFunc(conf.Instances, takes) {
			return Reason{Code: nobodyToVerify, Member: conf.Name, Other: l.ch.To}
		}
	}
	return Reason{}
}

// unsaid waits for the instances that are asked for something. Of one that never said that it refuses writes any answer will
// do when it is asked to take them again.
func (l *changeLook) unsaid(kind state.EffectKind) Reason {
	for _, e := range l.State.Effects() {
		a, answered := l.ch.Answers[e.Key()]
		if e.Kind != kind || answered && kind == state.Resume && !l.ch.Quieted(e.Instance) {
			continue
		}
		why := Reason{Code: answerAwaited, Member: e.Instance, Want: string(kind)}
		if answered {
			why.Detail = ": " + a.Detail
		}
		return why
	}
	return Reason{}
}

func operation(c *state.Cluster, id string) *state.Operation {
	for i := range c.Operations {
		if c.Operations[i].ID == id {
			return &c.Operations[i]
		}
	}
	return nil
}

// moveSite begins the switchover of this cluster when the site switchover has come to it.
func (l *look) moveSite() (*state.Command, Reason) {
	ch := l.State.Change
	if ch == nil || ch.Halted != "" || ch.Step != platform.StepClusters || ch.Tried[l.c.Name] != "" || l.c.Pause != nil {
		return nil, Reason{}
	}
	change := &changeLook{Input: l.Input, ch: ch, decision: l.decision}
	if ch.Ready(l.State.Platform, ch.Step, "before") != nil || change.arrived(l.c.Name) {
		return nil, Reason{}
	}
	for _, name := range l.State.ClusterNames() {
		if name == l.c.Name {
			break
		}
		if !change.arrived(name) {
			return nil, Reason{} // one after the other
		}
	}
	to := change.target(l.c.Name)
	if to == "" || len(l.SwitchoverBlockers(to)) > 0 {
		return nil, Reason{}
	}
	why := Reason{Code: partOfSiteSwitchover, Other: ch.ID, Detail: ch.Reason}
	return &state.Command{By: ch.By, Begin: &state.Begin{Kind: state.Switchover, To: to, Reason: why.String(), Change: ch.ID}}, why
}

// bestOn is the member of a site that a planned change would choose, "" if none can take over now.
func bestOn(in Input, cluster, site string) string {
	in.Watch = in.Watch.Clone()
	in.Watch.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	l := &look{Input: in, c: c, conf: conf, decision: &Decision{}}
	var ready []string
	for _, name := range l.replicas() {
		if l.site(name) == site && conf.Member(name).MayLead && !l.cannotTakeOver(name, "").given() {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	l.byPreference(ready)
	return ready[0]
}
