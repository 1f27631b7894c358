package apps

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/fencing/process"
	"mainstay/health"
	"mainstay/test/conform"
	"mainstay/test/sim/world"
)

// TestAppConforms: the simulator's app servers and their agents against an agent with a program of this host.
func TestAppConforms(t *testing.T) {
	const stop = 2 * time.Second
	conform.Check(t, "app",
		func(_ *testing.T, seed uint64) conform.Driver { return appScript{world.NewApp(seed, stop)} },
		func(t *testing.T) conform.Driver {
			return appScript{&realApp{bed: newBed(t, config.AgentInstance{Command: script("echo started; exec sleep 1000"), Stop: stop})}}
		})
}

// app is one app server and its agent.
type app interface {
	Obey(g platform.InstanceGoal, ago time.Duration) // a leader's answer to a report of then
	Report() health.Instance
	Lives() bool
	Starts() int
	Crash()
	Agent(run bool)
	Pass(d time.Duration)
}

// appScript knows the verbs want WHAT [PERMIT], late AGO WHAT PERMIT, crash, agent-end, agent-start and wait LONG, and looks by app,
// process and starts.
type appScript struct{ app }

func (s appScript) Do(_ context.Context, step conform.Step) (string, error) {
	switch a := step.Args; step.Verb {
	case "want":
		return "", s.want(a, 0)
	case "late":
		ago, err := time.ParseDuration(a[0])
		if err != nil {
			return "", err
		}
		return "", s.want(a[1:], ago)
	case "wait":
		long, err := time.ParseDuration(a[0])
		s.Pass(long)
		return "", err
	case "crash":
		s.Crash()
	case "agent-end", "agent-start":
		s.Agent(step.Verb == "agent-start")
	case "app":
		switch r := s.Report(); {
		case r.Running:
			return "running", nil
		case r.Stopped:
			return "stopped", nil
		}
		return "neither", nil
	case "process":
		return map[bool]string{true: "lives", false: "ended"}[s.Lives()], nil
	case "starts":
		if s.Starts() == 0 {
			return "none", nil
		}
		return strconv.Itoa(s.Starts()), nil
	default:
		return "", fmt.Errorf("there is no verb %s", step.Verb)
	}
	return "", nil
}

func (s appScript) want(words []string, ago time.Duration) (err error) {
	g := platform.InstanceGoal{App: "web", Want: platform.Wanting(words[0])}
	if len(words) > 1 {
		if g.Permit, err = time.ParseDuration(words[1]); err != nil {
			return err
		}
		g.Cluster, g.Primary, g.Epoch = "feed", "feed-e1", epoch5
	}
	s.Obey(g, ago)
	return nil
}

// realApp is an agent with a program.
type realApp struct {
	*bed
	watched *process.Handle // nil until it runs first
}

func (r *realApp) Pass(d time.Duration) { time.Sleep(d) }

func (r *realApp) Obey(g platform.InstanceGoal, ago time.Duration) {
	number := r.clocks.Send(boottime.Now() - ago)
	r.obey(&wire.ReportAnswer{RunID: "run", Number: number, Instances: map[string]platform.InstanceGoal{web: g}})
}

func (r *realApp) Report() health.Instance { return r.bed.Host.Report()[0] }

// Lives watches the main process, which outlives the agent that knows it.
func (r *realApp) Lives() bool {
	if c := r.command(); c != nil {
		if _, leader := c.held(); leader != nil && (r.watched == nil || r.watched.PID() != leader.PID()) {
			if w, err := process.Watch(leader.PID()); err == nil {
				r.t.Cleanup(w.Close)
				r.watched = w
			}
		}
	}
	return r.watched != nil && r.watched.Alive()
}

func (r *realApp) Starts() int { return strings.Count(r.bed.said(), "started\n") }

func (r *realApp) Crash() {
	_, leader := r.command().held()
	if err := leader.Signal(syscall.SIGKILL); err != nil {
		r.t.Error(err)
	}
	<-leader.Done()
}

func (r *realApp) Agent(run bool) {
	if run {
		r.begin()
		return
	}
	r.stop()
}
