package agent

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mainstay/controller/apps"
	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/fencing/process"
	"mainstay/health"
)

// appOffice is an agent with the app server web-e1.
type appOffice struct {
	*office
	pid string // the file into which it writes its process id
}

func newAppOffice(t *testing.T) *appOffice {
	t.Helper()
	o := &appOffice{newOffice(t), filepath.Join(t.TempDir(), "pid")}
	o.cfg.Cgroup = "off"
	o.cfg.Instances = map[string]config.AgentInstance{"web-e1": {
		Command: []string{"/bin/sh", "-c", "echo $$ > " + o.pid + ".new; mv " + o.pid + ".new " + o.pid + "; exec sleep 1000"},
		Stop:    10 * time.Second}}
	o.bond, o.clocks = bond{PlatformID: "p", Generation: 1}, member.NewClocks("r", 0)
	o.kick, o.inStep, o.wake, o.news = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	o.apps.Start(ctx, group, apps.Options{Config: o.cfg, Log: o.log, TLS: o.tls, Boot: boottime.BootID(), Begun: boottime.Now(),
		Report: func() { wakeup.Signal(o.kick) }})
	t.Cleanup(func() {
		o.answers("r", o.clocks.Send(boottime.Now()), platform.InstanceGoal{Want: platform.WantStopped})
		o.wait("stopped", func(r health.Instance) bool { return r.Stopped })
		cancel()
		_ = group.Wait()
	})
	return o
}

// answers is a leader's answer to the report of that number, of a run of the agent.
func (o *appOffice) answers(run string, number uint64, g platform.InstanceGoal) {
	g.App = "web"
	o.obey(&wire.ReportAnswer{PlatformID: "p", Generation: 1, RunID: run, Number: number,
		Instances: map[string]platform.InstanceGoal{"web-e1": g}}, way{})
}

func (o *appOffice) wait(what string, yes func(health.Instance) bool) {
	o.t.Helper()
	var r health.Instance
	defer func() {
		if o.t.Failed() {
			o.t.Logf("%s: last %+v", what, r)
		}
	}()
	eventually(o.t, what, func() bool { r = o.apps.Report()[0]; return yes(r) })
}

// main watches the main process.
func (o *appOffice) main() *process.Handle {
	o.t.Helper()
	var text []byte
	eventually(o.t, "the app server's process id", func() (yes bool) { text, _ = os.ReadFile(o.pid); return len(text) > 0 })
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	check(o.t, err)
	h, err := process.Watch(pid)
	check(o.t, err)
	o.t.Cleanup(h.Close)
	return h
}

// get asks as a load balancer or Prometheus does.
func (o *appOffice) get(path string) (int, string) {
	mux := http.NewServeMux()
	o.probes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func runs(r health.Instance) bool { return r.Running }

// TestAppsOfAnAgent: leaders' answers reach the app servers, and all that the agent says of itself has them.
func TestAppsOfAnAgent(t *testing.T) {
	o := newAppOffice(t)
	number := o.clocks.Send(boottime.Now())
	toRun := platform.InstanceGoal{Want: platform.WantRunning}
	o.answers("another", number, toRun)
	o.answers("r", number+1, toRun) // which was never sent
	if s := o.apps.States(); len(s) != 1 || s[0].Name != "" || s[0].Instances[0].Goal != platform.WantNothing {
		t.Errorf("an answer to no report of this run was obeyed: %+v", s)
	}
	o.answers("r", number, toRun)
	o.wait("running", runs)
	<-o.kick // the controllers wait for it
	if code, text := o.get("/instance/web-e1"); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	if _, text := o.get("/metrics"); !strings.Contains(text, `mainstay_agent_instance_serves{app="web",instance="web-e1"} 1`+"\n") {
		t.Errorf("metrics:\n%s", text)
	}
	w := httptest.NewRecorder()
	o.status(w, httptest.NewRequest(http.MethodGet, "/v1/status", nil))
	if !strings.Contains(w.Body.String(), `"web-e1"`) {
		t.Errorf("status: %s", w.Body)
	}
	if r := o.reportOf(number, "r"); len(r.Instances) != 1 || !r.Instances[0].Running {
		t.Errorf("report: %+v", r)
	}
}

// TestPermitCountsFromTheReport: from the clock that was read before it was sent (L1).
func TestPermitCountsFromTheReport(t *testing.T) {
	o := newAppOffice(t)
	g := platform.InstanceGoal{Want: platform.WantRunning, Permit: time.Minute, Cluster: "feed", Primary: "feed-e1", Epoch: epoch5}
	o.answers("r", o.clocks.Send(boottime.Now()-time.Minute), g)
	o.wait("the end of the permit", func(r health.Instance) bool { return strings.Contains(r.Error, "its permit has ended") })
	o.answers("r", o.clocks.Send(boottime.Now()), g)
	o.wait("running", runs)
}

// TestPermittedByTheAgentOfAPrimary: that agent's answer is what an app server's permit is renewed with.
func TestPermittedByTheAgentOfAPrimary(t *testing.T) {
	o := newAppOffice(t)
	p := newPrimaryHost(t, o.office)
	o.answers("r", o.clocks.Send(boottime.Now()), platform.InstanceGoal{Want: platform.WantRunning, Permit: 4 * time.Second,
		Cluster: "feed", Primary: "feed-e1", Epoch: epoch5, Agent: p.address})
	o.wait("running, permitted by the primary's agent", func(r health.Instance) bool { return r.Running && r.ByPrimary })
	main := o.main()
	p.hears(platform.Goal{Kind: platform.GoalReplica, Cluster: "feed", Epoch: epoch5.Next()}) // it is a primary no longer
	o.wait("the end", func(r health.Instance) bool { return !r.Running && strings.Contains(r.Error, "its permit has ended") })
	<-main.Done()
}
