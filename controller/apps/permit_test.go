package apps

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/kit/certs"
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
	h := newBed(t, config.AgentInstance{Command: script(stubborn), Stop: time.Hour})
	h.leads(permitted(time.Hour))
	h.saying("ready")
	main := h.main()
	m := h.supervisors[web]
	m.mu.Lock()
	m.permit.end = boottime.Now()
	m.mu.Unlock()
	h.probed(503, "no permit")
	h.wait("the end", lapsed)
	<-main.Done()
	h.leads(permitted(time.Hour))
	h.wait("started again", serving)
	if r := h.Report()[0]; r.PermitLeft == 0 || r.ByPrimary {
		t.Errorf("%+v", r)
	}
}

// Without a permit in force nothing is started, and the permit counts from the report, not from the answer.
func TestPermitOfALateAnswer(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("echo started; exec sleep 1000")})
	number := h.clocks.Send(boottime.Now() - time.Minute)
	h.obey(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: permitted(time.Minute)}})
	h.wait("the end", lapsed)
	if h.said() != "" {
		t.Errorf("it was started:\n%s", h.said())
	}
}

// An answer that gives no permit lengthens none, though the old one binds until the app server has stopped.
func TestNoPermitIsNone(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.leads(permitted(time.Hour))
	h.wait("running", serving)
	m := h.supervisors[web]
	end := func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.permit.end
	}
	before, g := end(), toStop
	g.Drain = time.Hour
	h.leads(g)
	if r := h.Report()[0]; end() != before || r.PermitLeft == 0 {
		t.Errorf("it ends %s later: %+v", end()-before, r)
	}
}

// A permit also binds an instance under the next run of the agent, which no leader answers.
func TestPermitOutlivesTheAgent(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.leads(permitted(time.Hour))
	h.wait("running", serving)
	main := h.main()
	h.restart()
	if r := h.wait("adopted", serving); r.PermitLeft == 0 {
		t.Errorf("%+v", r)
	}
	h.stop()
	m := h.supervisors[web]
	d := m.durable
	if err := statefile.Read(m.path(), &d); err != nil || d.Boot == "" || d.End != m.permit.end {
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

// primaryAgent is the agent of an instance's primary.
type primaryAgent struct {
	address string
	left    atomic.Int64 // of the primary's lease, in nanoseconds
}

func newPrimaryAgent(t *testing.T, ca certs.Authority) *primaryAgent {
	t.Helper()
	mux, err := identity.Listen("127.0.0.1:0", ca.Store(identity.RoleAgent, "db-w1"))
	if err != nil {
		t.Fatal(err)
	}
	p := &primaryAgent{address: mux.Addr().String()}
	p.left.Store(int64(time.Hour))
	api := http.NewServeMux()
	api.HandleFunc("GET /v1/lease", func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("member") != "feed-e1" || q.Get("epoch") != epoch5.String() {
			t.Errorf("asked for the lease of %s, epoch %s", q.Get("member"), q.Get("epoch"))
		}
		answer := wire.LeaseAnswer{Member: "feed-e1", Epoch: epoch5, Left: time.Duration(p.left.Load())}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Log(err) // the instance's agent has ended meanwhile
		}
	})
	s, served := &http.Server{Handler: api}, make(chan error, 1)
	go func() { served <- s.Serve(mux.HTTP()) }()
	t.Cleanup(func() { s.Close(); mux.Close(); <-served })
	return p
}

func TestInstancePermittedByItsPrimary(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	p := newPrimaryAgent(t, h.ca)
	g := permitted(shortPermit)
	g.Agent = p.address
	h.leads(g)
	h.wait("running", serving)
	main := h.main()
	r := h.wait("permitted by the primary's agent", func(r health.Instance) bool { return r.ByPrimary })
	if r.PermitLeft > shortPermit.Milliseconds() {
		t.Errorf("permitted by the primary's agent for longer than its permit: %+v", r)
	}
	h.obey(&wire.ReportAnswer{RunID: "run", Number: h.clocks.Send(boottime.Now())})
	h.wait("what the leader's silence means", func(r health.Instance) bool { return strings.Contains(r.Error, "no leader gives it a goal") })
	h.restart() // and once more by an agent that has never heard a leader
	h.wait("permitted by the primary's agent again", func(r health.Instance) bool { return r.ByPrimary && r.Running })
	if !main.Alive() {
		t.Fatal("it was stopped in between")
	}
	p.left.Store(0) // the primary has ended
	h.wait("the end", lapsed)
	<-main.Done()
}

// A leader that answers, and gives no permit, is not got around by the agent of the primary.
func TestNoPermitAgainstALeader(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	g := permitted(shortPermit)
	g.Agent = newPrimaryAgent(t, h.ca).address
	for _, alarm := range []string{"", "a clone"} {
		h.leads(g)
		h.wait("running", serving)
		h.wait("the end", func(r health.Instance) bool {
			h.obey(&wire.ReportAnswer{RunID: "run", Number: h.clocks.Send(boottime.Now()), Alarm: alarm})
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
		h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
		first, second := h.report(), h.report()
		says := func(number, generation, index uint64, g platform.InstanceGoal) {
			h.obey(&wire.ReportAnswer{RunID: "run", Number: number, Generation: generation, Index: index,
				Instances: map[string]platform.InstanceGoal{web: g}})
		}
		says(first, 1, 8, toStop)
		says(second, late.generation, late.index, permitted(time.Hour))
		m := h.supervisors[web]
		m.mu.Lock()
		if m.goal.Want != late.want {
			t.Errorf("generation %d, entry %d after entry 8 of generation 1: %s", late.generation, late.index, m.goal.Want)
		}
		m.mu.Unlock()
	}
}
