package apps

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/priority"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/kit"
)

func TestAppServer(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := config.AgentInstance{Command: script("pwd; env; id -un; echo ready; exec sleep 1000"), Directory: dir,
		Environment: map[string]string{"PORT": "8080"}}
	if os.Geteuid() == 0 {
		cfg.User, cfg.Directory = "nobody", "/tmp"
	}
	h := newBed(t, cfg)
	h.wait("a look", func(r health.Instance) bool { return h.supervisors[web].seenProcess() == health.ProcessEnded })
	h.probed(503, "not wanted")
	setOOMScore(t, "500")
	if err := priority.Raise(); err != nil { // as the daemon does
		t.Log(err)
	}
	h.leads(toRun)
	h.wait("running", serving)
	h.saying("ready")
	h.probed(200, web)
	if apps := h.States(); len(apps) != 1 || apps[0].Name != "web" || !apps[0].Instances[0].Serves || !apps[0].Instances[0].Seen.Running {
		t.Errorf("status shows %+v", apps)
	}
	for _, line := range []string{cfg.Directory, "PORT=8080", cfg.User} {
		if !strings.Contains(h.said(), line+"\n") {
			t.Errorf("it does not say %q:\n%s", line, h.said())
		}
	}
	if strings.Contains(h.said(), "HOME=") {
		t.Errorf("the agent's environment leaked:\n%s", h.said())
	}
	main := h.main()
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", main.PID())); string(b) != "0\n" {
		t.Errorf("the agent's OOM score leaked: %q, %v", b, err)
	}
	if a, err := unix.SchedGetAttr(main.PID(), 0); err != nil || a.Nice != 0 {
		t.Errorf("the agent's priority leaked: %+v, %v", a, err)
	}
	h.leads(toStop)
	h.probed(503, "not wanted")
	h.wait("stopped", ended)
	if main.Alive() {
		t.Error("reported as stopped, and lives")
	}
	h.leads(platform.InstanceGoal{})
	if r := h.wait("no goal", func(r health.Instance) bool { return !r.Stopped }); r.Running {
		t.Errorf("%+v", r)
	}
}

func TestAppServerThatIgnoresTERM(t *testing.T) {
	for _, cgroup := range []string{"automatic", "off"} {
		t.Run("cgroup "+cgroup, func(t *testing.T) {
			h := newBed(t, config.AgentInstance{Command: script(stubborn), Stop: 300 * time.Millisecond})
			h.stop()
			h.o.Config.Cgroup = cgroup
			h.begin()
			h.leads(toRun)
			h.saying("ready")
			h.main()
			tree, _ := h.command().held()
			kit.Eventually(t, "its children", func() bool {
				pids, err := tree.Pids()
				return err == nil && len(pids) >= 3
			})
			h.leads(toStop)
			h.wait("stopped", ended)
			if pids, err := tree.Pids(); err != nil || len(pids) > 0 {
				t.Errorf("reported as stopped, and %v live, %v", pids, err)
			}
		})
	}
}

func TestAppServerThatCrashes(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("echo started; exit 3")})
	h.leads(toRun)
	r := h.wait("two restarts", func(r health.Instance) bool { return r.Restarts >= 2 })
	if r.Stopped || strings.Count(h.said(), "started") < 2 {
		t.Errorf("%+v, and it said\n%s", r, h.said())
	}
	h.leads(toStop)
	h.wait("stopped", ended)
	h.leads(toRun)
	h.wait("counted anew", func(r health.Instance) bool { return r.Restarts < 2 && !r.Stopped })

	t.Run("a program that is not there", func(t *testing.T) {
		h := newBed(t, config.AgentInstance{Command: []string{"/none/web"}})
		h.leads(toRun)
		h.wait("the mistake", func(r health.Instance) bool {
			return strings.Contains(r.Error, "/none/web") && strings.Contains(r.Error, "instances.web-e1")
		})
	})
}

// An agent that is started anew finds what runs, whether a goal wants it or not, and repeats no restart.
func TestAppServerOutlivesTheAgent(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("echo started; exec sleep 1000")})
	g := toRun
	g.Restart = 3
	h.leads(g)
	h.wait("running", func(r health.Instance) bool { return r.Running && r.Restarted == 3 })
	h.started(1)
	main := h.main()
	late := h.leads(g) - 1
	h.restart()
	h.wait("adopted", serving)
	h.probed(200, web) // its goal is known from the disk
	h.leads(g)
	g.Restart = 4
	h.leads(g)
	r := h.wait("restarted once", func(r health.Instance) bool { return r.Running && r.Restarted == 4 && !r.Draining })
	if main.Alive() || r.Restarts != 0 {
		t.Errorf("restarted: %v, %+v", main.Alive(), r)
	}
	h.started(2)
	h.obey(&wire.ReportAnswer{RunID: "run", Number: late, Instances: map[string]platform.InstanceGoal{web: toStop}})
	h.obey(&wire.ReportAnswer{RunID: "another", Number: late + 1<<40, Instances: map[string]platform.InstanceGoal{web: toStop}})
	h.probed(200, web)

	h.restart()
	h.wait("adopted again", serving)
	if r := h.Report()[0]; r.Restarted != 4 {
		t.Errorf("%+v", r)
	}
	main = h.main()
	if err := os.Remove(h.command().record()); err != nil { // the agent died before it could keep its start
		t.Fatal(err)
	}
	if h.command().cgroup() == nil {
		t.Skip("without a cgroup it cannot be found then")
	}
	h.restart()
	<-main.Done()
	h.started(3)
	h.wait("started anew", serving)
}

// A wish whose write has failed may be on disk all the same: that it has stopped is affirmed again once the next one is.
func TestStoppedIsAffirmedFromTheDisk(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.leads(toStop)
	h.wait("stopped", ended)
	blocked := h.supervisors[web].path() + ".new"
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	h.leads(toRun)
	h.wait("what is wrong", func(r health.Instance) bool { return strings.HasPrefix(r.Error, "keep: ") })
	h.leads(toStop)
	if r := h.Report()[0]; r.Stopped {
		t.Errorf("an agent that is started anew may start it: %+v", r)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	h.wait("stopped", ended)
}

// Without a cgroup the next agent knows only what was kept of a start.
func TestAppServerThatCannotBeKept(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	h.stop()
	h.o.Config.Cgroup = "off"
	h.begin()
	if err := os.Mkdir(h.command().record()+".new", 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	h.leads(toRun)
	h.wait("why", func(r health.Instance) bool { return strings.Contains(r.Error, "keep what the agent must not forget") })
	tree, _ := h.command().held()
	kit.Eventually(t, "its end, for no later agent would find it", func() bool {
		left, err := tree.Left()
		return !left && err == nil
	})
}

func TestAppServerThatNoControllerKnows(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	number := h.clocks.Send(0)
	h.obey(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{"api-e1": toRun}})
	if r := h.Report(); len(r) != 2 || r[0].Name != "api-e1" || !strings.Contains(r[0].Error, "add instances.api-e1") {
		t.Errorf("%+v", r)
	}
	h.obey(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: toRun}})
	if r := h.Report(); len(r) != 1 {
		t.Errorf("%+v", r)
	}
	h.wait("running", serving)
	h.obey(&wire.ReportAnswer{RunID: "run", Number: h.clocks.Send(0), Alarm: "a clone"})
	h.probed(200, web) // an agent that is refused hears nothing of its instances
}

func TestDrainProgram(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "drained")
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000"), Drain: script("echo drained > " + mark)})
	h.leads(toRun)
	h.wait("running", serving)
	g := toStop
	g.Drain = time.Hour
	h.leads(g)
	h.wait("stopped without an hour's wait", ended)
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}

	t.Run("one that fails", func(t *testing.T) {
		h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000"), Drain: script("echo no such pool; exit 1")})
		h.leads(toRun)
		h.wait("running", serving)
		h.leads(g)
		h.wait("why", func(r health.Instance) bool { return r.Draining && strings.Contains(r.Error, "no such pool") })
		if g.Drain = 10 * time.Millisecond; h.leads(g) == 0 {
			t.Fatal()
		}
		h.wait("stopped", ended)
	})
}

func TestOutputIsBounded(t *testing.T) {
	h := newBed(t, config.AgentInstance{Command: script("exec sleep 1000")})
	c := h.command()
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(c.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err == nil {
			_, err = f.WriteString(text)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("0123456789")
	if err := c.bound(10); err != nil || h.said() != "0123456789" {
		t.Errorf("%q, %v", h.said(), err)
	}
	write("ab")
	if err := c.bound(10); err != nil || h.said() != "" {
		t.Errorf("%q, %v", h.said(), err)
	}
	if old, err := os.ReadFile(c.log() + ".1"); string(old) != "23456789ab" {
		t.Errorf("%q, %v", old, err)
	}
}

func TestUnitStates(t *testing.T) {
	u := &unit{}
	for state, want := range map[string]health.Process{"active": health.ProcessRunning, "reloading": health.ProcessRunning,
		"activating": health.ProcessRunning, "deactivating": health.ProcessEnding, "inactive": health.ProcessEnded,
		"failed": health.ProcessEnded, "": health.ProcessUnknown, "new": health.ProcessUnknown} {
		seen, err := u.seen(state, "")
		if seen.Process != want || seen.Starting != (state == "activating") || (err == nil) != (want != health.ProcessUnknown) {
			t.Errorf("%q is %+v, %v", state, seen, err)
		}
	}
	for job, starting := range map[string]bool{"": false, "0": false, "1742": true} {
		if seen, err := u.seen("inactive", job); err != nil || seen.Starting != starting || (seen.Process == health.ProcessEnded) == starting {
			t.Errorf("inactive with job %q is %+v, %v", job, seen, err)
		}
	}
}

func (m *supervisor) seenProcess() health.Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.Process
}

// setOOMScore changes the test's own, until it ends.
func setOOMScore(t *testing.T, value string) {
	t.Helper()
	const own = "/proc/self/oom_score_adj"
	before, err := os.ReadFile(own)
	if err == nil {
		err = os.WriteFile(own, []byte(value), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(own, before, 0) }) // it is this process's alone
}
