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

// obeyInstances takes the goals of app servers from a leader's answer to one of this run's reports. An instance that it does
// not name is nobody's any more; an answer that turns this agent away says nothing of them.
func (a *Agent) obeyInstances(answer *wire.ReportAnswer) {
	a.mu.Lock()
	s, ours := a.clocks.End(answer.RunID, answer.Number, 0)
	a.mu.Unlock()
	if !ours || answer.Alarm != "" && len(answer.Instances) == 0 {
		return
	}
	for name, m := range a.apps {
		m.wants(answer.Instances[name], answer.Number, s)
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

// instanceStates are the app servers as the agent's own status shows them.
func (a *Agent) instanceStates() []wire.InstanceState {
	var all []wire.InstanceState
	for _, seen := range a.instances() {
		s := wire.InstanceState{Seen: seen, Closed: "not looked after"}
		if m := a.apps[seen.Name]; m != nil {
			s.App, s.Goal, s.Closed = m.routing()
		}
		all = append(all, s)
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
