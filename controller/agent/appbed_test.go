package agent

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

	"golang.org/x/sync/errgroup"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/fencing/process"
	"mainstay/health"
)

const web = "web-e1"

// appHost is an agent that looks after the app server web-e1 and nothing else; leaders' answers come from the test.
type appHost struct {
	*office
	stop func() // the agent ends, and the app server lives on
}

// newAppHost starts one; what runs at the end of the test is killed.
func newAppHost(t *testing.T, cfg config.AgentInstance) *appHost {
	h := &appHost{office: newOffice(t)}
	if cfg.Stop == 0 {
		cfg.Stop = 10 * time.Second
	}
	h.cfg.Instances = map[string]config.AgentInstance{web: cfg}
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

// removeCgroup waits until the kernel has let go of what was killed.
func (h *appHost) removeCgroup(c *appCommand) {
	h.t.Helper()
	eventually(h.t, "the instance's cgroups to be empty and gone", func() bool {
		groups, err := process.Find(process.CgroupName("instance-"+web, c.dir))
		for _, g := range groups {
			err = errors.Join(err, g.Remove())
		}
		var none *process.UnavailableError
		return err == nil || errors.As(err, &none)
	})
}

// begin starts the agent, or the one after it.
func (h *appHost) begin() {
	h.bootID, h.begun, h.beat, h.strangers = boottime.BootID(), boottime.Now(), 100*time.Millisecond, map[string]string{}
	h.clocks, h.kick = member.NewClocks("run", uint64(boottime.Now())), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	h.group, h.ctx = errgroup.WithContext(ctx)
	h.mindApps(h.ctx)
	group := h.group
	h.stop = func() { cancel(); _ = group.Wait() }
}

func (h *appHost) restart() { h.stop(); h.begin() }

func (h *appHost) command() *appCommand {
	if m := h.apps[web]; m != nil {
		c, _ := m.server.(*appCommand)
		return c
	}
	return nil
}

// report is the number of a report of this moment.
func (h *appHost) report() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.clocks.Send(boottime.Now())
}

// leads answers a report of this moment with that goal.
func (h *appHost) leads(g platform.InstanceGoal) (number uint64) {
	number = h.report()
	h.obeyInstances(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: g}})
	return number
}

func (h *appHost) wait(what string, yes func(health.Instance) bool) (r health.Instance) {
	h.t.Helper()
	defer func() {
		if h.t.Failed() {
			h.t.Logf("%s: last %+v\nlog: %s", what, r, h.said())
		}
	}()
	eventually(h.t, what, func() bool { r = h.instances()[0]; return yes(r) })
	return r
}

// said is what the app server wrote.
func (h *appHost) said() string {
	c := h.command()
	if c == nil {
		return ""
	}
	b, _ := os.ReadFile(c.log())
	return string(b)
}

// saying waits until the app server has written a text.
func (h *appHost) saying(text string) {
	h.t.Helper()
	h.wait("it to say "+text, func(health.Instance) bool { return strings.Contains(h.said(), text) })
}

// started waits until the app server has written for the nth time that it was started: its process runs before it writes.
func (h *appHost) started(n int) {
	h.t.Helper()
	count := func() int { return strings.Count(h.said(), "started\n") }
	h.wait(fmt.Sprintf("start %d", n), func(health.Instance) bool { return count() >= n })
	if got := count(); got != n {
		h.t.Errorf("started %d times, want %d", got, n)
	}
}

// main watches the main process.
func (h *appHost) main() *process.Handle {
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
func (h *appHost) get(path string) (int, string) {
	mux := http.NewServeMux()
	h.probes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (h *appHost) probed(code int, word string) {
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
