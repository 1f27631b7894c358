package decide

import (
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// CheckSite lists every objection to moving the platform to a site now: one is enough to refuse. If every primary is there
// already, so are the apps that run with one: they would be stopped and started for nothing.
func CheckSite(in Input, to string) (bad []Reason) {
	s := in.State
	if !slices.ContainsFunc(s.ClusterNames(), func(name string) bool { return in.State.PrimarySite(name) != to }) {
		return []Reason{{Code: thereAlready, Other: to}}
	}
	for _, name := range s.ClusterNames() {
		bad = append(bad, checkClusterTo(in, name, to)...)
	}
	for _, name := range s.AppNames() {
		bad = append(bad, checkAppTo(in, s.Platform.App(name), to)...)
	}
	if why := in.siteLost(to); why.given() {
		bad = append(bad, Reason{Code: siteIsLost, Other: to, Because: []Reason{why}})
	}
	return bad
}

func checkClusterTo(in Input, name, to string) []Reason {
	c, conf := in.State.Clusters[name], in.State.ClusterConfig(name)
	say := func(why ...Reason) []Reason { return []Reason{{Code: ofCluster, Cluster: name, Because: why}} }
	switch {
	case conf == nil:
		return nil
	case c.Primary == "":
		return say(Reason{Code: hasNoPrimary, Cluster: name})
	case c.Pause != nil:
		return say(paused(c))
	case c.Attempt != nil:
		return say(Reason{Code: isBusy, Cluster: name, Other: c.Attempt.Operation})
	case in.State.PrimarySite(name) == to:
		return nil
	}
	target := bestOn(in, name, to)
	if target == "" {
		return say(Reason{Code: noMemberOnSite, Other: to}, Reason{Code: explainSaysWhy, Cluster: name})
	}
	_, blockers := CheckSwitchover(in, name, target)
	blockers = append(blockers, RefusedSlots(in, name, target)...)
	if blockers = append(blockers, AwaitedBackups(in, name)...); len(blockers) > 0 {
		return say(blockers...)
	}
	return nil
}

func checkAppTo(in Input, conf *platform.App, to string) []Reason {
	on, silent := 0, []string{}
	for i := range conf.Instances {
		inst := &conf.Instances[i]
		if inst.Site != to {
			continue
		}
		on++
		if inst.Host != "" && (in.View.Report(inst.Host) == nil || in.View.Silence(inst.Host, in.Now) > in.suspect()) {
			silent = append(silent, inst.Host)
		}
	}
	switch heard := on - len(silent); {
	case on == 0:
		return []Reason{{Code: appNotOnSite, Member: conf.Name, Other: to}}
	case heard < min(conf.Minimum, on):
		return []Reason{{Code: appAgentsSilent, Member: conf.Name, Other: to,
			Number: heard, Of: on, Want: fmt.Sprint(min(conf.Minimum, on)), Names: silent}}
	}
	return nil
}

func paused(c *state.Cluster) Reason {
	return Reason{Code: isPaused, Cluster: c.Name, Other: c.Pause.By, Detail: c.Pause.Reason}
}

// PlanSite tells, step by step, what a site switchover would do.
func PlanSite(in Input, to string) (plan []string) {
	s := in.State
	hooks := func(step, when string) {
		for _, n := range s.Platform.HooksAt(step, when) {
			h := s.Platform.Hooks[n]
			plan = append(plan, fmt.Sprintf("hook %s %s: %s%s (at most %s; on failure %s)",
				when, step, strings.Join(h.Exec, " "), h.Webhook, h.Timeout, h.OnFailure))
		}
	}
	for _, name := range s.ClusterNames() {
		if at := in.State.PrimarySite(name); at != "" && at != to {
			if wait := PlanBackups(in, name); wait != "" {
				plan = append(plan, "check: "+wait)
			}
		}
	}
	for _, name := range s.ClusterNames() {
		if at := in.State.PrimarySite(name); at != "" && at != to {
			plan = append(plan, fmt.Sprintf("check: CHECKPOINT on %s, while clients still work, so that its stop is short",
				s.Clusters[name].Primary))
		}
	}
	for _, step := range platform.Steps() {
		hooks(step, "before")
		plan = append(plan, planStep(in, step, to)...)
		hooks(step, "after")
	}
	return plan
}

func planStep(in Input, step, to string) (plan []string) {
	s := in.State
	for _, name := range s.AppNames() {
		conf := s.Platform.App(name)
		lives := conf.Run == platform.RunWithPrimary
		switch {
		case step == platform.StepQuiesce && lives:
			plan = append(plan, fmt.Sprintf("quiesce: app %s is drained (%s) and stopped on every site", name, conf.Drain))
		case step == platform.StepQuiesce && conf.Quiesce != "":
			plan = append(plan, "quiesce: app "+name+" is asked to refuse writes")
		case step == platform.StepApps && lives:
			plan = append(plan, "apps: app "+name+" starts on site "+to)
		case step == platform.StepApps && conf.Resume != "":
			plan = append(plan, "apps: app "+name+" is asked to take writes again")
		case step == platform.StepVerify && conf.Verify != "":
			plan = append(plan, "verify: a write and a read through app "+name)
		}
	}
	for _, name := range s.ClusterNames() {
		if at := in.State.PrimarySite(name); step == platform.StepClusters && at != "" && at != to {
			plan = append(plan, fmt.Sprintf("clusters: %s is switched over from %s to %s", name, s.Clusters[name].Primary, bestOn(in, name, to)))
		}
	}
	if step == platform.StepRouting {
		plan = append(plan, "routing: clients find the primaries on site "+to+" by the published topology")
	}
	return plan
}
