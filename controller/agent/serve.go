package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/crowd"
	"mainstay/controller/identity"
	"mainstay/controller/metric"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// api answers operators, other agents and load balancers.
type api struct {
	*Agent
	desk  desk // of requests that look at the disk
	files func(member string) comparedFiles
}

func newAPI(a *Agent) *api { return &api{Agent: a, desk: make(desk, 2), files: a.filesOf} }

// serve answers operators and other agents over mutual TLS, and load balancers over plain HTTP where one is configured.
// Everything comes from memory.
func (a *api) serve(ctx context.Context) error {
	mux, err := identity.Listen(a.cfg.Listen, a.tls, identity.OnRefused(func(from net.Addr, err error) {
		a.log.Warn("connection refused", zap.Stringer("from", from), zap.Error(err))
	}))
	if err != nil {
		return fmt.Errorf("listen on %s: %w; correct `listen` in the agent's file", a.cfg.Listen, err)
	}
	defer mux.Close()
	mutual := http.NewServeMux()
	mutual.HandleFunc("GET /v1/status", a.status)
	mutual.HandleFunc("POST /v1/promise", a.promise)
	mutual.HandleFunc("GET /v1/relay", a.relay)
	mutual.HandleFunc("GET /v1/lease", a.lease)
	a.quarantineAPI(mutual)
	a.integrityAPI(mutual)
	a.structureAPI(mutual)
	a.probes(mutual)
	servers := []*http.Server{a.server(a.judged(mutual))}
	listeners := []net.Listener{mux.HTTP()}
	if a.cfg.Health != "" {
		plain := http.NewServeMux()
		a.probes(plain)
		l, err := net.Listen("tcp", a.cfg.Health)
		if err != nil {
			return fmt.Errorf("listen on %s: %w; correct `health` in the agent's file", a.cfg.Health, err)
		}
		servers, listeners = append(servers, a.server(plain)), append(listeners, crowd.Plain(l))
	}
	failed := make(chan error, len(servers))
	for i, s := range servers {
		go func() { failed <- s.Serve(listeners[i]) }()
	}
	left := len(servers)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		left--
	}
	for _, s := range servers {
		s.Close()
	}
	for range left {
		<-failed
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// judged refuses callers whose certificate would not be accepted now: it may have been revoked since the handshake.
func (a *api) judged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := a.tls.IDOf(r); err != nil {
			respond(w, nil, refuse(http.StatusForbidden, "forbidden", "%v", err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *api) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second,
		IdleTimeout: time.Minute, ErrorLog: zap.NewStdLog(a.log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel)))}
}

// probes are the paths that load balancers ask: 200 for yes, 503 for no. /primary and /replica ask about the only member of the host;
// /primary/NAME about a member, or the host's member of a cluster; /instance/NAME about an app server.
func (a *api) probes(mux *http.ServeMux) {
	for path, yes := range map[string]func(wire.MemberStatus) bool{"primary": isPrimary, "replica": isReplica} {
		h := func(w http.ResponseWriter, r *http.Request) { a.probe(w, r, path, yes) }
		mux.HandleFunc("GET /"+path, h)
		mux.HandleFunc("GET /"+path+"/{name}", h)
	}
	mux.HandleFunc("GET /instance/{name}", a.apps.Probe)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{a.Agent})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
}

// isPrimary tells whether the member is writable under a lease that still runs.
func isPrimary(m wire.MemberStatus) bool {
	return m.Goal == platform.GoalPrimary && m.Seen.Role == health.RolePrimary && m.Seen.LeaseLeft > 0 && m.Seen.Opened
}

func isReplica(m wire.MemberStatus) bool {
	return m.Seen.Role == health.RoleStandby && m.Seen.Receiver != nil && m.Seen.Receiver.Streaming
}

func (a *api) probe(w http.ResponseWriter, r *http.Request, role string, yes func(wire.MemberStatus) bool) {
	name := r.PathValue("name")
	var found []wire.MemberStatus
	for _, c := range a.clusters() {
		for _, m := range c.Members {
			if name == "" || name == m.Name || name == c.Name {
				found = append(found, m)
			}
		}
	}
	switch {
	case len(found) == 0:
		http.Error(w, "this host has no member "+name, http.StatusNotFound)
	case len(found) > 1:
		http.Error(w, "this host has several members; ask for one by name, such as "+r.URL.Path+"/"+found[0].Name, http.StatusBadRequest)
	case yes(found[0]):
		fmt.Fprintln(w, found[0].Name)
	default:
		http.Error(w, found[0].Name+" does not serve as "+role, http.StatusServiceUnavailable)
	}
}

// ready tells whether a leader has answered within a lease.
func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	heard, leader := a.heard, a.leader
	a.mu.Unlock()
	if heard == 0 || boottime.Now()-heard > platform.DefaultLease {
		http.Error(w, "no leader has answered for longer than a lease", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "leader", leader)
}

// status is this host's view of itself, for `mainstay local`, and for `status` when no leader answers.
func (a *api) status(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	s := wire.Status{Platform: a.tls.ID().Platform, PlatformID: a.bond.PlatformID, Source: "agent " + a.cfg.Host, Leader: a.leader,
		At: time.Now().UTC().Format(time.RFC3339)}
	silence := boottime.Now() - a.heard
	heard, alarm := a.heard != 0, a.alarm
	a.mu.Unlock()
	s.Hosts = []wire.HostStatus{{Name: a.cfg.Host, Address: a.cfg.Advertise, Silence: silence, Heard: heard}}
	s.Clusters = a.clusters()
	s.Apps = a.apps.States()
	if alarm != "" {
		s.Problems = append(s.Problems, health.Problem{Kind: health.ClonedMachine, Evidence: alarm})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // a client that has left needs no answer
}

// clusters groups the host's members by cluster, as status shows them.
func (a *Agent) clusters() []wire.ClusterState {
	byName := map[string]*wire.ClusterState{}
	var order []string
	for _, m := range a.list() {
		seen, goal := m.Snapshot(), m.Goal()
		c := byName[goal.Cluster]
		if c == nil {
			c = &wire.ClusterState{Name: goal.Cluster, Epoch: goal.Epoch, Timeline: goal.Timeline, Sets: goal.Sets}
			byName[goal.Cluster] = c
			order = append(order, goal.Cluster)
		}
		if goal.Upstream != nil {
			c.Primary = goal.Upstream.Member
		}
		if goal.Kind == platform.GoalPrimary {
			c.Primary = m.Name()
		}
		c.Members = append(c.Members, wire.MemberStatus{Name: m.Name(), Host: a.cfg.Host, Goal: goal.Kind, Seen: &seen, Lag: -1,
			Protection: wire.GuardOf(&seen), Address: strings.TrimPrefix(net.JoinHostPort(goal.Listen, fmt.Sprint(goal.Port)), ":0")})
	}
	var out []wire.ClusterState
	for _, name := range order {
		out = append(out, *byName[name])
	}
	return append(out, a.unmanagedMembers()...)
}

// unmanagedMembers are the members that cannot be managed; their cluster is not known.
func (a *Agent) unmanagedMembers() (out []wire.ClusterState) {
	cannot := a.cannot()
	for _, name := range slices.Sorted(maps.Keys(cannot)) {
		seen := health.Member{Name: name, Error: cannot[name]}
		m := wire.MemberStatus{Name: name, Host: a.cfg.Host, Seen: &seen, Lag: -1, Protection: wire.GuardOf(&seen)}
		out = append(out, wire.ClusterState{Members: []wire.MemberStatus{m}})
	}
	return out
}

// collector makes metrics of the status at each scrape.
type collector struct{ a *Agent }

var (
	descUp   = prometheus.NewDesc("mainstay_agent_member_running", "1 if the member's PostgreSQL runs.", []string{"cluster", "member"}, nil)
	descLead = prometheus.NewDesc("mainstay_agent_member_primary", "1 if the member is a writable primary under a lease.",
		[]string{"cluster", "member"}, nil)
	descLease = prometheus.NewDesc("mainstay_agent_lease_left_seconds", "Seconds until the member's lease ends.",
		[]string{"cluster", "member"}, nil)
	descOwes = prometheus.NewDesc("mainstay_agent_promised_seconds",
		"For how long the member has promised a primary to be neither sealed nor promoted; 0 for none.", []string{"cluster", "member"}, nil)
	descGuard = prometheus.NewDesc("mainstay_agent_guard_complete", "1 if both guards live and reach every process of the member.",
		[]string{"cluster", "member"}, nil)
	descApp    = prometheus.NewDesc("mainstay_agent_instance_running", "1 if the app server runs.", []string{"app", "instance"}, nil)
	descServes = prometheus.NewDesc("mainstay_agent_instance_serves", "1 if the app server may get requests: /instance/NAME answers 200.",
		[]string{"app", "instance"}, nil)
	descAgain = prometheus.NewDesc("mainstay_agent_instance_restarts",
		"How often the app server was restarted after it had ended, since its goal last became to run.", []string{"app", "instance"}, nil)
	descMay = prometheus.NewDesc("mainstay_agent_permit_left_seconds",
		"Seconds until the app server's permit ends; 0 if it needs none.", []string{"app", "instance"}, nil)
	descCert = prometheus.NewDesc("mainstay_certificate_days_left",
		"Days until a certificate that this process uses passes its date; negative after it.", []string{"holder"}, nil)
	descHeard = prometheus.NewDesc("mainstay_agent_leader_heard_seconds", "Seconds since the leader last answered.", nil, nil)
)

// Describe lists the metrics.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descLead, descLease, descOwes, descGuard, descApp, descServes, descAgain, descMay, descCert,
		descHeard} {
		ch <- d
	}
}

// Collect reads memory only.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	e := metric.Emitter(ch)
	for _, end := range c.a.tls.Ends() {
		e.Gauge(descCert, time.Until(end.At).Hours()/24, end.Holder)
	}
	for _, cl := range c.a.clusters() {
		for _, m := range cl.Members {
			e.Flag(descUp, m.Seen.Process == health.ProcessRunning, cl.Name, m.Name)
			e.Flag(descLead, isPrimary(m), cl.Name, m.Name)
			e.Gauge(descLease, float64(m.Seen.LeaseLeft)/1000, cl.Name, m.Name)
			e.Gauge(descOwes, float64(m.Seen.Promised)/1000, cl.Name, m.Name)
			e.Flag(descGuard, m.Seen.Guard.Complete, cl.Name, m.Name)
		}
	}
	for _, app := range c.a.apps.States() {
		for _, i := range app.Instances {
			e.Flag(descApp, i.Seen.Running, app.Name, i.Name)
			e.Flag(descServes, i.Serves, app.Name, i.Name)
			e.Gauge(descAgain, float64(i.Seen.Restarts), app.Name, i.Name)
			e.Gauge(descMay, float64(i.Seen.PermitLeft)/1000, app.Name, i.Name)
		}
	}
	c.a.mu.Lock()
	heard := c.a.heard
	c.a.mu.Unlock()
	if heard != 0 {
		e.Gauge(descHeard, (boottime.Now() - heard).Seconds())
	}
}
