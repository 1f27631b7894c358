package decide

import (
	"sort"
	"strconv"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// appsCutOff hands the primary role over where the app servers of its site, which are well themselves, have not reached it
// for a while although it looks well: a planned change, since it can still be stopped cleanly.
func (v *clusterView) appsCutOff() (*state.Command, Reason) {
	by := v.conf.Failover.ReachableBy
	if by == nil || !v.c.Opened {
		return nil, Reason{}
	}
	cut := v.cutOff(v.State.Platform.App(by.App))
	if len(cut) == 0 {
		return nil, Reason{}
	}
	why := Reason{Code: appsDoNotReach, Names: cut, Other: by.App}
	held := v.heldFor(appsReachNothing, strconv.FormatUint(v.c.HighOperation, 10))
	to := v.elsewhere()
	switch {
	case v.c.Recovered != "":
		why = join(why, v.blockReason())
	case to == "":
		why = join(why, Reason{Code: noMemberReady})
	case held >= by.After:
		cmd, why := v.begin(health.AppsCutOff, why, false)
		cmd.Begin.Kind, cmd.Begin.To = state.Switchover, to
		return cmd, why
	}
	v.problem(health.AppsCutOff, v.c.Primary, why.String(), false)
	return nil, Reason{}
}

// cutOff are the app's instances on the primary's site, if all of them are well and reach no primary; else none.
func (v *clusterView) cutOff(app *platform.App) (names []string) {
	if app == nil {
		return nil
	}
	for i := range app.Instances {
		inst := &app.Instances[i]
		if inst.Site != v.site(v.c.Primary) || v.State.Wants(app, inst.Name) != platform.WantRunning {
			continue
		}
		observations := v.instanceObservations(app, inst.Name)
		if health.JudgeInstance(observations, len(v.Controllers)) != health.Well ||
			health.JudgeReaches(observations, len(v.Controllers)) != health.Down {
			return nil
		}
		names = append(names, inst.Name)
	}
	return names
}

// elsewhere is the member that should take over from a primary that its site's apps do not reach: preferably on another site,
// if the cluster's policy allows that.
func (v *clusterView) elsewhere() string {
	var ready []string
	home := v.site(v.c.Primary)
	for _, name := range v.replicas() {
		if (v.conf.Failover.AcrossSites == platform.AcrossAutomatic || v.site(name) == home) &&
			!v.cannotTakeOver(name, "").given() && len(v.SwitchoverBlockers(name)) == 0 {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	v.byPreference(ready)
	sort.SliceStable(ready, func(i, j int) bool { return v.site(ready[i]) != home && v.site(ready[j]) == home })
	return ready[0]
}
