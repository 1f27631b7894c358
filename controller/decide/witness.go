package decide

import (
	"fmt"
	"sort"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// appsCutOff hands the primary role over where the app servers of its site, which are well themselves, have not reached it
// for a while although it looks well: a planned change, since it can still be stopped cleanly.
func (l *look) appsCutOff() (*state.Command, Reason) {
	w := l.conf.Failover.Witness
	if w == nil || !l.c.Opened {
		return nil, Reason{}
	}
	cut := l.cutOff(l.State.Platform.App(w.App))
	if len(cut) == 0 {
		return nil, Reason{}
	}
	why := Reason{Code: appsDoNotReach, Names: cut, Other: w.App}
	held := l.Watch.held(fmt.Sprintf("%s/witness/%d", l.c.Name, l.c.HighOperation))
	to := l.elsewhere()
	switch {
	case l.c.Recovered != "":
		why = join(why, l.blockReason())
	case to == "":
		why = join(why, Reason{Code: nobodyReady})
	case held >= w.After:
		cmd, why := l.begin(health.AppsCutOff, why, false)
		cmd.Begin.Kind, cmd.Begin.To = state.Switchover, to
		return cmd, why
	}
	l.problem(health.AppsCutOff, l.c.Primary, why.String(), false)
	return nil, Reason{}
}

// cutOff are the app's instances on the primary's site, if all of them are well and reach no primary; else nobody.
func (l *look) cutOff(app *platform.App) (names []string) {
	if app == nil {
		return nil
	}
	for i := range app.Instances {
		inst := &app.Instances[i]
		if inst.Site != l.site(l.c.Primary) || l.State.Wants(app, inst.Name) != platform.WantRunning {
			continue
		}
		votes := l.instanceVotes(app, inst.Name)
		if health.JudgeInstance(votes, len(l.Controllers)) != health.Well || health.JudgeReaches(votes, len(l.Controllers)) != health.Down {
			return nil
		}
		names = append(names, inst.Name)
	}
	return names
}

// elsewhere is who should take over from a primary that its site's apps do not reach: rather on another site, where the
// cluster's policy lets it go there.
func (l *look) elsewhere() string {
	var ready []string
	home := l.site(l.c.Primary)
	for _, name := range l.replicas() {
		if (l.conf.Failover.AcrossSites == platform.AcrossAutomatic || l.site(name) == home) &&
			!l.cannotTakeOver(name, "").given() && len(l.SwitchoverBlockers(name)) == 0 {
			ready = append(ready, name)
		}
	}
	if len(ready) == 0 {
		return ""
	}
	l.byPreference(ready)
	sort.SliceStable(ready, func(i, j int) bool { return l.site(ready[i]) != home && l.site(ready[j]) == home })
	return ready[0]
}
