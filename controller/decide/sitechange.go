package decide

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// siteChangeView is the running site switchover as the leader sees it now.
type siteChangeView struct {
	Input
	ch       *state.SiteChange
	decision *Decision
}

// siteChange advances a site switchover. Clusters move by their own switchovers (moveSite), apps by their goals, and
// hooks and requests to instances are effects: this code only decides whether a step is done.
func siteChange(in Input, d *Decision) {
	v := &siteChangeView{Input: in, ch: in.State.Change, decision: d}
	if v.ch == nil {
		return
	}
	if v.ch.Halted != "" {
		text := fmt.Sprintf("site switchover %s to %s halted at step %s: %s. It waits for `mainstay site` %s",
			v.ch.ID, v.ch.To, v.ch.Step, v.ch.Halted, strings.Join(v.ch.Decisions(), ", "))
		d.Problems = append(d.Problems, health.Problem{Kind: health.SiteChangeHalted, Site: v.ch.To, Evidence: text})
		return
	}
	step, why := v.next()
	why.Rule = RuleSite
	d.because("site switchover", why)
	if step != nil {
		step.Change, step.Version = v.ch.ID, v.ch.Version
		d.Commands = append(d.Commands, state.Command{By: byMainstay, At: in.At(), StepSite: step})
	}
}

// next is the command that advances the change, or the reason why it waits.
func (v *siteChangeView) next() (*state.StepSite, Reason) {
	if v.ch.Step == platform.StepCheck {
		if bad := CheckSite(v.Input, v.ch.To); len(bad) > 0 {
			return &state.StepSite{End: state.Abandoned, Note: Reason{Code: notBegun, Because: bad}.String()}, bad[0]
		}
		return v.checkpoints()
	}
	if name := v.State.MovedAway(v.ch); name != "" {
		return v.fail(v.left(name))
	}
	if step, why := v.hooks("before"); step != nil || why.given() {
		return step, why
	}
	waits, bound, failed := v.step()
	if failed.given() {
		return v.fail(failed)
	}
	if waits.given() {
		if v.Conditions.heldFor(siteStepWaits, v.ch.ID, v.ch.Step, strconv.Itoa(len(v.ch.Tried))) > bound {
			return v.fail(Reason{Code: notInTime, For: bound, Because: []Reason{waits}})
		}
		return nil, waits
	}
	if !v.ch.Worked && !v.ch.Undoing && len(v.State.Platform.HooksAt(v.ch.Step, "after")) > 0 {
		return &state.StepSite{Worked: true}, Reason{Code: hooksMayRun, Detail: v.ch.Step}
	}
	if step, why := v.hooks("after"); step != nil || why.given() {
		return step, why
	}
	return v.after()
}

// checkpoints waits for a CHECKPOINT on every primary that must stop: the apps need not be quiet meanwhile.
func (v *siteChangeView) checkpoints() (*state.StepSite, Reason) {
	for _, name := range v.State.ClusterNames() {
		c, conf := v.State.Clusters[name], v.State.ClusterConfig(name)
		tag := v.State.EarlyCheckpoint(c)
		if tag.IsZero() {
			continue
		}
		if p := v.View.Member(conf.Member(c.Primary)); p != nil && p.Checkpointed == tag {
			continue
		}
		waits := Reason{Code: checkpointAwaited, Member: c.Primary}
		if v.Conditions.heldFor(siteCheckpoints, v.ch.ID) > checkpointBound {
			late := Reason{Code: notInTime, For: checkpointBound, Because: []Reason{waits}}
			return &state.StepSite{End: state.Abandoned, Note: Reason{Code: notBegun, Because: []Reason{late}}.String()}, waits
		}
		return nil, waits
	}
	return v.begin(platform.StepQuiesce, checksPassed)
}

func (v *siteChangeView) begin(step string, done Code) (*state.StepSite, Reason) {
	why := Reason{Code: done}
	return &state.StepSite{Step: step, Note: why.String()}, Reason{Code: stepBegins, Detail: step, Because: []Reason{why}}
}

// fail halts the change or, if no cluster has moved yet, lets the apps resume where they were, without an operator's decision.
func (v *siteChangeView) fail(why Reason) (*state.StepSite, Reason) {
	if v.ch.Step == platform.StepQuiesce {
		return &state.StepSite{Undo: true, Note: Reason{Code: appsGoOn, Because: []Reason{why}}.String()}, why
	}
	return &state.StepSite{Halt: why.String()}, why
}

// hooks waits for those at a moment of the step.
func (v *siteChangeView) hooks(when string) (*state.StepSite, Reason) {
	err := v.ch.Ready(v.State.Platform, v.ch.Step, when)
	if err == nil {
		return nil, Reason{}
	}
	why := Reason{Code: hookRuns, Detail: err.Error()}
	switch {
	case !errors.Is(err, state.ErrHookRuns):
		why.Code = hookFailed
		return v.fail(why)
	case v.Conditions.heldFor(siteHookRuns, v.ch.ID, v.ch.Step, when, strconv.Itoa(len(v.ch.Answers))) > v.longestHook():
		why.Code = hookSilent
		return v.fail(why)
	}
	return nil, why
}

func (v *siteChangeView) longestHook() (longest time.Duration) {
	for _, h := range v.State.Platform.Hooks {
		longest = max(longest, h.Timeout)
	}
	return longest + hookGrace
}

// step says what the present step waits for, if it is not done, and how long it may; failed is why it cannot be.
func (v *siteChangeView) step() (waits Reason, bound time.Duration, failed Reason) {
	if waits = v.unsettled(); waits.given() {
		return waits, clusterBound, failed
	}
	switch v.ch.Step {
	case platform.StepQuiesce:
		waits, bound = v.quiet()
	case platform.StepClusters:
		waits, failed = v.clusters()
		bound = clusterBound
	case platform.StepApps:
		waits, bound = v.serving(), appsBound
	case platform.StepVerify:
		if waits, bound = v.unverifiable(), verifyBound; !waits.given() {
			waits = v.unsaid(state.Verify)
		}
	}
	return waits, bound, failed
}

// after is the step that follows.
func (v *siteChangeView) after() (*state.StepSite, Reason) {
	switch v.ch.Step {
	case platform.StepQuiesce:
		return v.begin(platform.StepClusters, appsQuiet)
	case platform.StepClusters:
		return v.begin(platform.StepApps, clustersArrived)
	case platform.StepApps:
		return v.begin(platform.StepRouting, appsWell)
	case platform.StepRouting:
		if v.ch.Undoing {
			why := v.undone()
			return &state.StepSite{End: state.Abandoned, Note: why.String()}, why
		}
		return v.begin(platform.StepVerify, topologyPublished)
	}
	why := Reason{Code: runsOnSite, Other: v.ch.To}
	return &state.StepSite{End: state.Done, Note: why.String()}, why
}

// undone names the clusters that are not back: an operator left them behind, or a failover moved them.
func (v *siteChangeView) undone() Reason {
	var left []string
	for _, name := range v.State.ClusterNames() {
		if !v.there(name) {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		return Reason{Code: undoneInPart, Names: left}
	}
	return Reason{Code: undone}
}

// quiet waits for the pools that live with their primary to stop, and for the others to refuse writes.
func (v *siteChangeView) quiet() (waits Reason, bound time.Duration) {
	bound = quiesceBound
	for _, name := range v.State.AppNames() {
		p := &appView{Input: v.Input, a: v.State.Apps[name], conf: v.State.Platform.App(name), decision: v.decision}
		c := v.State.AppCluster(p.conf)
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
		waits = v.unsaid(state.Quiesce)
	}
	return waits, bound
}

// clusters waits for every cluster to have its primary where it should be.
func (v *siteChangeView) clusters() (waits, failed Reason) {
	for _, name := range v.State.ClusterNames() {
		c := v.State.Clusters[name]
		if v.arrived(name) {
			continue
		}
		if op := operation(c, v.ch.Tried[name]); op != nil && op.Result != state.Running {
			return Reason{}, Reason{Code: operationEnded, Cluster: name, Other: op.ID, Is: string(op.Result), Detail: op.Outcome}
		}
		if c.Attempt == nil && v.ch.Tried[name] == "" {
			if bad := v.blockers(name); len(bad) > 0 {
				return Reason{Code: clusterBlocked, Cluster: name, Because: bad}, Reason{}
			}
		}
		return Reason{Code: clusterAwaited, Cluster: name}, Reason{}
	}
	return Reason{}, Reason{}
}

// unsettled waits while a cluster that had arrived is changing again: it may leave.
func (v *siteChangeView) unsettled() Reason {
	for _, name := range v.ch.Moved {
		if c := v.State.Clusters[name]; v.ch.Step != platform.StepClusters && v.State.ClusterConfig(name) != nil &&
			(c.Attempt != nil || !c.Opened) {
			return Reason{Code: arrivedAndBusy, Cluster: name}
		}
	}
	return Reason{}
}

// left says how a cluster that had arrived came to be elsewhere.
func (v *siteChangeView) left(cluster string) Reason {
	c := v.State.Clusters[cluster]
	how := ""
	for _, op := range c.Operations {
		if op.To == c.Primary && (op.Kind == state.Failover || op.Kind == state.Switchover) {
			how = fmt.Sprintf(" (%s %s: %s)", op.Kind, op.ID, op.Reason)
		}
	}
	return Reason{Code: leftSite, Cluster: cluster, Other: v.ch.To, Member: c.Primary, Detail: how}
}

// target is the member that must become primary: the best on the new site or, where the change is undone, the former one, or
// the best of its site if that one cannot.
func (v *siteChangeView) target(cluster string) string {
	if !v.ch.Undoing {
		return bestOn(v.Input, cluster, v.ch.To)
	}
	former := v.ch.Former[cluster]
	if _, bad := CheckSwitchover(v.Input, cluster, former); len(bad) == 0 {
		return former
	}
	if m := v.State.ClusterConfig(cluster).Member(former); m != nil {
		if other := bestOn(v.Input, cluster, v.State.Platform.SiteOf(m.Host)); other != "" {
			return other
		}
	}
	return former
}

func (v *siteChangeView) arrived(cluster string) bool {
	c := v.State.Clusters[cluster]
	return v.there(cluster) && (c.Opened && c.Attempt == nil || v.State.ClusterConfig(cluster) == nil)
}

// there: its primary is on the site where it should be.
func (v *siteChangeView) there(cluster string) bool {
	to := v.ch.To
	if v.ch.Undoing {
		conf := v.State.ClusterConfig(cluster)
		if conf == nil || conf.Member(v.ch.Former[cluster]) == nil {
			return true
		}
		to = v.State.Platform.SiteOf(conf.Member(v.ch.Former[cluster]).Host)
	}
	site := v.State.PrimarySite(cluster)
	return site == "" || site == to
}

func (v *siteChangeView) blockers(cluster string) []Reason {
	to := v.target(cluster)
	if c := v.State.Clusters[cluster]; c.Pause != nil {
		return []Reason{paused(c)}
	}
	if to == "" {
		return []Reason{{Code: noMemberOnSite, Other: v.ch.To}}
	}
	_, bad := CheckSwitchover(v.Input, cluster, to)
	return bad
}

// serving waits until each app has its minimum of instances well where it must run, and those that were asked to refuse
// writes take them again.
func (v *siteChangeView) serving() Reason {
	for _, name := range v.State.AppNames() {
		p := &appView{Input: v.Input, a: v.State.Apps[name], conf: v.State.Platform.App(name), decision: &Decision{}}
		well, all := 0, 0
		for i := range p.conf.Instances {
			inst := &p.conf.Instances[i]
			if !v.ch.Undoing && inst.Site != v.ch.To || v.ch.Undoing && !p.wanted(inst) {
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
	return v.unsaid(state.Resume)
}

// unverifiable names an app that must be verified but has no instance to ask on the new site, if there is one: an app that
// was not asked is not verified.
func (v *siteChangeView) unverifiable() Reason {
	for n := range v.State.Platform.Apps {
		conf := &v.State.Platform.Apps[n]
		takes := func(i platform.Instance) bool { return i.Site == v.ch.To && v.State.Serves(conf, i.Name) }
		if conf.Verify != "" && !slices.ContainsFunc(conf.Instances, takes) {
			return Reason{Code: noInstanceVerifies, Member: conf.Name, Other: v.ch.To}
		}
	}
	return Reason{}
}

// unsaid waits for the instances that are asked for something. If one never confirmed that it refuses writes, any answer is
// enough when it is asked to take them again.
func (v *siteChangeView) unsaid(kind state.EffectKind) Reason {
	for _, e := range v.State.Effects() {
		a, answered := v.ch.Answers[e.Key()]
		if e.Kind != kind || answered && kind == state.Resume && !v.ch.Quieted(e.Instance) {
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
func (v *clusterView) moveSite() (*state.Command, Reason) {
	ch := v.State.Change
	if ch == nil || ch.Halted != "" || ch.Step != platform.StepClusters || ch.Tried[v.c.Name] != "" || v.c.Pause != nil {
		return nil, Reason{}
	}
	change := &siteChangeView{Input: v.Input, ch: ch, decision: v.decision}
	if ch.Ready(v.State.Platform, ch.Step, "before") != nil || change.arrived(v.c.Name) {
		return nil, Reason{}
	}
	for _, name := range v.State.ClusterNames() {
		if name == v.c.Name {
			break
		}
		if !change.arrived(name) {
			return nil, Reason{} // one after the other
		}
	}
	to := change.target(v.c.Name)
	if to == "" || len(v.SwitchoverBlockers(to)) > 0 {
		return nil, Reason{}
	}
	why := Reason{Code: partOfSiteSwitchover, Other: ch.ID, Detail: ch.Reason}
	return &state.Command{By: ch.By, Begin: &state.Begin{Kind: state.Switchover, To: to, Reason: why.String(), Change: ch.ID}}, why
}

// bestOn is the member of a site that a planned change would choose, "" if none can take over now.
func bestOn(in Input, cluster, site string) string {
	in.Conditions = in.Conditions.Clone()
	in.Conditions.begin(in.Now)
	c, conf := in.State.Clusters[cluster], in.State.ClusterConfig(cluster)
	v := &clusterView{Input: in, c: c, conf: conf, decision: &Decision{}}
	var ready []string
	for _, name := range v.replicas() {
		if v.site(name) == site && conf.Member(name).MayLead && !v.cannotTakeOver(name, "").given() {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	v.byPreference(ready)
	return ready[0]
}
