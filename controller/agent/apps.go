package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// apps are the app servers of the host, by name. The map is made before the agent runs, and never changed.
type apps map[string]*appMinder

// mindApps begins to look after the app servers that the agent's file names. It is called once, before reports are sent.
func (a *Agent) mindApps(ctx context.Context) {
	a.apps = apps{}
	for name, cfg := range a.cfg.Instances {
		m, err := newAppMinder(a, name, cfg)
		if err != nil {
			a.log.Error("app server cannot be looked after", zap.String("instance", name), zap.Error(err))
			a.strangers[name] = err.Error()
			continue
		}
		a.apps[name] = m
		a.group.Go(func() error { m.run(ctx); return nil })
	}
}

// obeyInstances takes the goals of app servers from a leader's answer to one of this run's reports. An answer that turns this
// agent away says nothing of them.
func (a *Agent) obeyInstances(answer *wire.ReportAnswer) {
	a.mu.Lock()
	s, ours := a.clocks.End(answer.RunID, answer.Number, 0)
	a.mu.Unlock()
	if !ours {
		return
	}
	turnedAway := answer.Alarm != "" && len(answer.Instances) == 0
	for name, m := range a.apps {
		if goal, named := answer.Instances[name]; turnedAway {
			m.hears()
		} else {
			m.wants(goal, named, answer.Age(), s)
		}
	}
	if turnedAway {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range answer.Instances {
		if a.apps[name] == nil && a.strangers[name] == "" {
			a.strangers[name] = fmt.Sprintf("the agent's file on %s does not say how it is started: add instances.%s there, and restart the agent", a.cfg.Host, name)
			a.log.Error("app server cannot be looked after: add it to the agent's file", zap.String("instance", name))
		}
	}
	maps.DeleteFunc(a.strangers, func(name, _ string) bool {
		_, wanted := answer.Instances[name]
		_, named := a.cfg.Instances[name]
		return !wanted && !named
	})
}

// instances are the app servers' part of a report, from memory alone (L6).
func (a *Agent) instances() []health.Instance {
	var all []health.Instance
	for _, m := range a.apps {
		all = append(all, m.snapshot())
	}
	a.mu.Lock()
	for name, why := range a.strangers {
		all = append(all, health.Instance{Name: name, Error: why})
	}
	a.mu.Unlock()
	slices.SortFunc(all, func(x, y health.Instance) int { return cmp.Compare(x.Name, y.Name) })
	return all
}

// appStates are the app servers as the agent's own status shows them, by app; those that no goal names have none.
func (a *Agent) appStates() []wire.AppState {
	byApp := map[string]*wire.AppState{}
	for _, seen := range a.instances() {
		app, i := "", wire.InstanceStatus{Name: seen.Name, Host: a.cfg.Host, Out: "not looked after", Seen: &seen}
		if m := a.apps[seen.Name]; m != nil {
			app, i.Goal, i.Out = m.routing()
		}
		i.Serves = i.Out == ""
		if byApp[app] == nil {
			byApp[app] = &wire.AppState{Name: app}
		}
		byApp[app].Instances = append(byApp[app].Instances, i)
	}
	var all []wire.AppState
	for _, name := range slices.Sorted(maps.Keys(byApp)) {
		all = append(all, *byApp[name])
	}
	return all
}

// routing says whose it is, what is wanted of it, and why it gets no requests, "" if it may get some.
func (m *appMinder) routing() (app string, want platform.Wanting, closed string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goal.App, m.goal.Want, m.input(boottime.Now()).Closed()
}

// probeInstance answers load balancers: 200 while the instance may get requests, 503 and a word why otherwise.
func (a *Agent) probeInstance(w http.ResponseWriter, r *http.Request) {
	m := a.apps[r.PathValue("name")]
	if m == nil {
		http.Error(w, "this host has no app server "+r.PathValue("name"), http.StatusNotFound)
		return
	}
	if _, _, closed := m.routing(); closed != "" {
		http.Error(w, closed, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, m.name)
}
