package agent

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/controller/wire"
	"mainstay/health"
)

var epoch5 = platform.Epoch{Generation: 1, Number: 5}

// shortPermit is one whose end a test waits for; a busy machine must manage a start and a question within it.
const shortPermit = 4 * time.Second

func permitted(length time.Duration) platform.InstanceGoal {
	g := toRun
	g.Permit, g.Cluster, g.Primary, g.Epoch = length, "feed", "feed-e1", epoch5
	return g
}

func lapsed(r health.Instance) bool {
	return !r.Running && strings.Contains(r.Error, "its permit has ended") && r.PermitLeft == 0
}

func TestPermitEnds(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script(stubborn), Stop: time.Hour})
	h.leads(permitted(time.Hour))
	h.saying("ready")
	main := h.main()
	m := h.apps[web]
	m.mu.Lock()
	m.permitEnd = boottime.Now()
	m.mu.Unlock()
	h.probed(503, "no permit")
	h.wait("the end", lapsed)
	<-main.Done()
	h.leads(permitted(time.Hour))
	h.wait("started again", serving)
	if r := h.instances()[0]; r.PermitLeft == 0 || r.Vouched {
		t.Errorf("%+v", r)
	}
}

// Without a permit in force nothing is started, and the permit counts from the report, not from the answer.
func TestPermitOfALateAnswer(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script("echo started; exec sleep 1000")})
	number := h.clocks.Send(boottime.Now() - time.Minute)
	h.obeyInstances(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: permitted(time.Minute)}})
	h.wait("the end", lapsed)
	if h.said() != "" {
		t.Errorf("it was started:\n%s", h.said())
	}
}

// An answer that gives no permit lengthens none, though the old one binds until the app server has stopped.
func TestNoPermitIsNone(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.leads(permitted(time.Hour))
	h.wait("running", serving)
	m := h.apps[web]
	end := func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.permitEnd
	}
	before, g := end(), toStop
	g.Drain = time.Hour
	h.leads(g)
	if r := h.instances()[0]; end() != before || r.PermitLeft == 0 {
		t.Errorf("it ends %s later: %+v", end()-before, r)
	}
}

// What runs under a permit is bound by it also under the agent's next life, which hears nobody.
func TestPermitOutlivesTheAgent(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.leads(permitted(time.Hour))
	h.wait("running", serving)
	main := h.main()
	h.restart()
	if r := h.wait("adopted", serving); r.PermitLeft == 0 {
		t.Errorf("%+v", r)
	}
	h.stop()
	m := h.apps[web]
	d := m.durable
	if err := statefile.Read(m.path(), &d); err != nil || d.Boot == "" || d.End != m.permitEnd {
		t.Fatalf("on disk: %+v, %v", d, err)
	}
	d.Boot = "an earlier boot"
	if err := statefile.Write(m.path(), d); err != nil {
		t.Fatal(err)
	}
	h.begin()
	<-main.Done()
	h.wait("the end", lapsed)
}

// primaryHost is the agent of an instance's primary.
type primaryHost struct {
	address string
	m       *minder
}

func newPrimaryHost(t *testing.T, o *office) *primaryHost {
	t.Helper()
	a := &Agent{cfg: config.Agent{Host: "db-w1"}, log: o.log, tls: o.store(identity.RoleAgent, "db-w1"), members: map[string]*minder{}}
	p := &primaryHost{}
	p.m = &minder{agent: a, name: "feed-e1", goal: platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch5},
		lease: member.Lease{Epoch: epoch5, End: boottime.Now() + time.Hour, Renewed: boottime.Now() + time.Hour - 5*time.Second}, promises: member.Promises{Length: 5 * time.Second}, durable: member.Durable{Epoch: epoch5, Ran: epoch5}}
	a.members["feed-e1"] = p.m
	mux, err := identity.Listen("127.0.0.1:0", a.tls)
	if err != nil {
		t.Fatal(err)
	}
	p.address = mux.Addr().String()
	api := http.NewServeMux()
	api.HandleFunc("GET /v1/lease", a.lease)
	s, served := a.server(api), make(chan error, 1)
	go func() { served <- s.Serve(mux.HTTP()) }()
	t.Cleanup(func() { s.Close(); mux.Close(); <-served })
	return p
}

func (p *primaryHost) change(f func(*minder)) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	f(p.m)
}

func TestVouchedInstance(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script("exec sleep 1000")})
	p := newPrimaryHost(t, h.office)
	g := permitted(shortPermit)
	g.Agent = p.address
	h.leads(g)
	h.wait("running", serving)
	main := h.main()
	r := h.wait("vouched for", func(r health.Instance) bool { return r.Vouched })
	if r.PermitLeft > shortPermit.Milliseconds() {
		t.Errorf("vouched for longer than its permit: %+v", r)
	}
	h.obeyInstances(&wire.ReportAnswer{RunID: "run", Number: h.clocks.Send(boottime.Now())})
	h.wait("what the leader's silence means", func(r health.Instance) bool { return strings.Contains(r.Error, "no leader names a goal") })
	h.restart() // and once more by an agent that has never heard a leader
	h.wait("vouched for again", func(r health.Instance) bool { return r.Vouched && r.Running })
	if !main.Alive() {
		t.Fatal("it was stopped in between")
	}
	p.change(func(m *minder) { m.durable.Closed = epoch5 }) // the primary has ended
	h.wait("the end", lapsed)
	<-main.Done()
}

func TestLeaseIsTold(t *testing.T) {
	o := newOffice(t)
	p := newPrimaryHost(t, o)
	ask := func(role, name, query string) (wire.LeaseAnswer, error) {
		client := wire.NewClient([]string{p.address}, o.store(role, name).ClientConfig(identity.RoleAgent, ""))
		defer client.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var answer wire.LeaseAnswer
		return answer, client.DoAt(ctx, p.address, http.MethodGet, "/v1/lease?"+query, nil, &answer)
	}
	want := func(role, query, fault string, left bool) {
		t.Helper()
		answer, err := ask(role, "someone", query)
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s asks %s: %v, want %q", role, query, err, fault)
		}
		if (answer.Left > 0) != left || answer.Left > time.Hour {
			t.Errorf("%s asks %s: %s is left", role, query, answer.Left)
		}
	}
	const right = "member=feed-e1&epoch=1.5"
	want(identity.RoleController, right, "", true)
	want(identity.RoleOperator, right, "", true)
	want(identity.RoleViewer, right, "only agents", false)
	want(identity.RoleOperator, "member=feed-e9&epoch=1.5", "no member feed-e9", false)
	want(identity.RoleOperator, "member=feed-e1&epoch=1.4", "not 1.4", false)
	for name, f := range map[string]func(*minder){
		"over": func(m *minder) { m.lease.End = boottime.Now() },
		"not renewed for a permit": func(m *minder) {
			m.lease.Renewed = boottime.Now() - platform.Permit(platform.DefaultLease)
		},
		"closed":    func(m *minder) { m.durable.Closed = epoch5 },
		"sealed":    func(m *minder) { m.durable.Sealed = epoch5.Next() },
		"obeys on":  func(m *minder) { m.durable.Epoch = epoch5.Next() },
		"told of":   func(m *minder) { m.goal.Epoch = epoch5.Next() },
		"a replica": func(m *minder) { m.goal.Kind = platform.GoalReplica },
		"never ran": func(m *minder) { m.durable.Ran = platform.Epoch{} },
	} {
		p.m.mu.Lock()
		lease, durable, goal := p.m.lease, p.m.durable, p.m.goal
		f(p.m)
		p.m.mu.Unlock()
		t.Run(name, func(*testing.T) { want(identity.RoleOperator, right, "", false) })
		p.change(func(m *minder) { m.lease, m.durable, m.goal = lease, durable, goal })
	}
	want(identity.RoleOperator, right, "", true)
}

// A leader that answers, and gives no permit, is not got around by the agent of the primary.
func TestNobodyVouchesAgainstALeader(t *testing.T) {
	h := newAppHost(t, config.AgentInstance{Command: script("exec sleep 1000")})
	g := permitted(shortPermit)
	g.Agent = newPrimaryHost(t, h.office).address
	for _, alarm := range []string{"", "a clone"} {
		h.leads(g)
		h.wait("running", serving)
		h.wait("the end", func(r health.Instance) bool {
			h.obeyInstances(&wire.ReportAnswer{RunID: "run", Number: h.clocks.Send(boottime.Now()), Alarm: alarm})
			return lapsed(r)
		})
	}
}

// TestAnswerOfADeposedLeader: it answered a later report than its successor did, and knew less; its answer comes last.
func TestAnswerOfADeposedLeader(t *testing.T) {
	for _, late := range []struct {
		generation, index uint64
		want              platform.Wanting
	}{{1, 7, platform.WantStopped}, {1, 8, platform.WantRunning}, {1, 0, platform.WantRunning}, {2, 3, platform.WantRunning}} {
		h := newAppHost(t, config.AgentInstance{Command: script("exec sleep 1000")})
		first, second := h.report(), h.report()
		says := func(number, generation, index uint64, g platform.InstanceGoal) {
			h.obeyInstances(&wire.ReportAnswer{RunID: "run", Number: number, Generation: generation, Index: index, Instances: map[string]platform.InstanceGoal{web: g}})
		}
		says(first, 1, 8, toStop)
		says(second, late.generation, late.index, permitted(time.Hour))
		m := h.apps[web]
		m.mu.Lock()
		if m.goal.Want != late.want {
			t.Errorf("generation %d, entry %d after entry 8 of generation 1: %s", late.generation, late.index, m.goal.Want)
		}
		m.mu.Unlock()
	}
}
