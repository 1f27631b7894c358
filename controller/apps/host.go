// Package apps supervises the app servers of one host: it is the shell of controller/appserver. It observes their processes, obeys
// confirmed goals under their permits, and starts, drains, stops and kills them.
//
// It decides nothing: appserver.Next says what to do. Obey, Report, States and Probe are on the agent's lease path and touch memory
// only (L6); every look and act runs apart, with a deadline, and no stop waits for a disk. Goals arrive with the answers of leaders
// (Obey), permits also from the agent of a primary (permit.go); observations leave in Report. It knows nothing of PostgreSQL. App
// servers outlive the agent.
package apps

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Options are the agent's parameters for its app servers.
type Options struct {
	Config config.Agent    // the agent's file, which names them
	Log    *zap.Logger     // not nil
	TLS    *identity.Store // to ask the agents of primaries
	Boot   string          // id of this boot of the host
	Begun  time.Duration   // CLOCK_BOOTTIME when the agent began
	Report func()          // asks for a report at once; it never blocks
}

// Host is the app servers of one host. The zero value has none; Obey is only called after Start, which sets all fields. mu guards
// unmanaged, and the others never change afterwards.
type Host struct {
	o           Options
	ctx         context.Context // the supervisors live as long
	group       *errgroup.Group // owns their goroutines
	supervisors map[string]*supervisor

	mu        sync.Mutex
	unmanaged map[string]string // app servers that cannot be supervised, and why
}

// Start supervises the app servers that the agent's file names, until ctx ends. It reads the disk. It is called once, before
// reports are sent; group owns every goroutine.
func (h *Host) Start(ctx context.Context, group *errgroup.Group, o Options) {
	h.o, h.ctx, h.group = o, ctx, group
	h.supervisors, h.unmanaged = map[string]*supervisor{}, map[string]string{}
	for name, cfg := range o.Config.Instances {
		m, err := newSupervisor(h, name, cfg)
		if err != nil {
			o.Log.Error("app server cannot be managed", zap.String("instance", name), zap.Error(err))
			h.unmanaged[name] = err.Error()
			continue
		}
		h.supervisors[name] = m
		group.Go(func() error { m.run(ctx); return nil })
	}
}

// Len is the number of app servers that are supervised.
func (h *Host) Len() int { return len(h.supervisors) }

// Obey takes the goals of app servers from a leader's answer to a report of this run of the agent. s is the clock that was read before that
// report: permits count from there (L1). An answer that refuses this agent contains no goals.
func (h *Host) Obey(answer *wire.ReportAnswer, s time.Duration) {
	turnedAway := answer.Alarm != "" && len(answer.Instances) == 0
	for name, m := range h.supervisors {
		if goal, named := answer.Instances[name]; turnedAway {
			m.hears()
		} else {
			m.wants(goal, named, answer.Age(), s)
		}
	}
	if turnedAway {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range answer.Instances {
		if h.supervisors[name] == nil && h.unmanaged[name] == "" {
			h.unmanaged[name] = fmt.Sprintf("the agent's file on %s does not say how to start it: add instances.%s there, and restart the agent",
				h.o.Config.Host, name)
			h.o.Log.Error("app server cannot be managed: add it to the agent's file", zap.String("instance", name))
		}
	}
	maps.DeleteFunc(h.unmanaged, func(name, _ string) bool {
		_, wanted := answer.Instances[name]
		_, named := h.o.Config.Instances[name]
		return !wanted && !named
	})
}

// Report is the app servers' part of a report, in the order of their names.
func (h *Host) Report() []health.Instance {
	var all []health.Instance
	for _, m := range h.supervisors {
		all = append(all, m.snapshot())
	}
	h.mu.Lock()
	for name, why := range h.unmanaged {
		all = append(all, health.Instance{Name: name, Error: why})
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(x, y health.Instance) int { return cmp.Compare(x.Name, y.Name) })
	return all
}

// States are the app servers as the agent's own status shows them, by app; those that no goal names have none.
func (h *Host) States() []wire.AppState {
	byApp := map[string]*wire.AppState{}
	for _, seen := range h.Report() {
		app, i := "", wire.InstanceStatus{Name: seen.Name, Host: h.o.Config.Host, Out: "not managed", Seen: &seen}
		if m := h.supervisors[seen.Name]; m != nil {
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

// Probe answers load balancers that ask for the app server {name} in the path: 200 while it may get requests, otherwise 503 with the
// reason.
func (h *Host) Probe(w http.ResponseWriter, r *http.Request) {
	m := h.supervisors[r.PathValue("name")]
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

// routing returns the app of the instance, its wanted state, and why it gets no requests; "" if it may get some.
func (m *supervisor) routing() (app string, want platform.Wanting, closed string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.goal.App, m.goal.Want, m.input(boottime.Now()).Closed()
}
