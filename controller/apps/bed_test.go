package apps

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/fencing/process"
	"mainstay/health"
	"mainstay/test/kit"
	"mainstay/test/kit/certs"
)

const web = "web-e1"

// bed is the app server web-e1 of a host; leaders' answers come from the test.
type bed struct {
	*Host
	t      *testing.T
	ca     certs.Authority
	o      Options
	clocks *member.Clocks
	stop   func() // the agent ends, and the app server lives on
}

// newBed starts one; what runs at the end of the test is killed.
func newBed(t *testing.T, cfg config.AgentInstance) *bed {
	t.Helper()
	h := &bed{t: t, ca: certs.New(t, "social")}
	if cfg.Stop == 0 {
		cfg.Stop = 10 * time.Second
	}
	h.o = Options{Config: config.Agent{Host: "db-e1", Data: t.TempDir(), Instances: map[string]config.AgentInstance{web: cfg}},
		Log: zap.NewNop(), TLS: h.ca.Store(identity.RoleAgent, "db-e1"), Report: func() {}}
	h.begin()
	t.Cleanup(func() {
		h.stop()
		if c := h.command(); c != nil {
			tree, _ := c.held()
			if err := tree.Kill(5 * time.Second); err != nil {
				t.Error(err)
			}
			h.removeCgroup(c)
		}
	})
	return h
}

// removeCgroup waits until the kernel has removed the killed processes.
func (h *bed) removeCgroup(c *command) {
	h.t.Helper()
	kit.Eventually(h.t, "the instance's cgroups to be empty and gone", func() bool {
		groups, err := process.Find(process.CgroupName("instance-"+web, c.dir))
		for _, g := range groups {
			err = errors.Join(err, g.Remove())
		}
		var none *process.UnavailableError
		return err == nil || errors.As(err, &none)
	})
}

// begin starts the agent, or the one after it.
func (h *bed) begin() {
	h.o.Boot, h.o.Begun = boottime.BootID(), boottime.Now()
	h.clocks = member.NewClocks("run", uint64(boottime.Now()))
	ctx, cancel := context.WithCancel(context.Background())
	group, ctx := errgroup.WithContext(ctx)
	h.Host = &Host{}
	h.Start(ctx, group, h.o)
	h.stop = func() { cancel(); _ = group.Wait() }
}

func (h *bed) restart() { h.stop(); h.begin() }

func (h *bed) command() *command {
	if m := h.supervisors[web]; m != nil {
		c, _ := m.server.(*command)
		return c
	}
	return nil
}

// report is the number of a report of this moment.
func (h *bed) report() uint64 { return h.clocks.Send(boottime.Now()) }

// obey is a leader's answer; as in the agent, it counts if it answers a report of this run.
func (h *bed) obey(answer *wire.ReportAnswer) {
	if s, ours := h.clocks.End(answer.RunID, answer.Number, 0); ours {
		h.Obey(answer, s)
	}
}

// leads answers a report of this moment with that goal.
func (h *bed) leads(g platform.InstanceGoal) (number uint64) {
	number = h.report()
	h.obey(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: g}})
	return number
}

func (h *bed) wait(what string, yes func(health.Instance) bool) (r health.Instance) {
	h.t.Helper()
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%s: last %+v\nlog: %s", what, r, h.said())
		}
	}()
	kit.Eventually(h.t, what, func() bool { r = h.Report()[0]; return yes(r) })
	return r
}

// said is what the app server wrote.
func (h *bed) said() string {
	c := h.command()
	if c == nil {
		return ""
	}
	b, _ := os.ReadFile(c.log())
	return string(b)
}

// saying waits until the app server has written a text.
func (h *bed) saying(text string) {
	h.t.Helper()
	h.wait("it to say "+text, func(health.Instance) bool { return strings.Contains(h.said(), text) })
}

// started waits until the app server has written for the nth time that it was started: its process runs before it writes.
func (h *bed) started(n int) {
	h.t.Helper()
	count := func() int { return strings.Count(h.said(), "started\n") }
	h.wait(fmt.Sprintf("start %d", n), func(health.Instance) bool { return count() >= n })
	if got := count(); got != n {
		h.t.Errorf("started %d times, want %d", got, n)
	}
}

// main watches the main process.
func (h *bed) main() *process.Handle {
	h.t.Helper()
	h.wait("running", serving)
	_, leader := h.command().held()
	w, err := process.Watch(leader.PID())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(w.Close)
	return w
}

// get asks as a load balancer does.
func (h *bed) get(path string) (int, string) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /instance/{name}", h.Probe)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (h *bed) probed(code int, word string) {
	h.t.Helper()
	if got, text := h.get("/instance/" + web); got != code || text != word {
		h.t.Errorf("/instance/%s answers %d %q, want %d %q", web, got, text, code, word)
	}
}

func script(text string) []string { return []string{"/bin/sh", "-c", text} }

// stubborn does not obey TERM, and neither does its child.
const stubborn = `trap "" TERM; (while :; do sleep 1000; done) & echo ready; while :; do sleep 1000; done`

func serving(r health.Instance) bool { return r.Running }
func ended(r health.Instance) bool   { return r.Stopped }

var (
	toRun  = platform.InstanceGoal{App: "web", Want: platform.WantRunning}
	toStop = platform.InstanceGoal{App: "web", Want: platform.WantStopped}
)
