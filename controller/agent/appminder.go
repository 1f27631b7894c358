package agent

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/instance"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

const (
	// appLookEvery is the pace of looks at an app server.
	appLookEvery = 500 * time.Millisecond
	// tidyEvery is the pace of what belongs to the disk, keepAgain the pause after it could not be written.
	tidyEvery = 10 * time.Second
	keepAgain = 2 * time.Second
)

// appMinder looks after one app server: one goroutine that looks, asks instance.Next, and acts. Looks and acts run beside it
// in lanes, so that none that hangs delays a stop at the end of the permit. What others read lies under mu.
type appMinder struct {
	agent  *Agent
	name   string
	cfg    config.AgentInstance
	log    *zap.Logger
	server appServer
	kick   chan struct{} // capacity 1: think again

	mu        sync.Mutex
	goal      platform.InstanceGoal // the newest confirmed one
	goalFrom  platform.Age          // of the answer that brought it
	heard     time.Duration         // when a leader's answer brought one last in this run; 0: never
	permitEnd time.Duration
	grace     time.Duration // as instance.Input's
	vouched   bool          // the agent of its primary gave the permit last
	durable   instance.Durable
	seen      instance.Seen
	memory    instance.Memory
	fault     string            // what is wrong by instance.Next
	faults    map[string]string // the last failure of each lane, by its name

	// Of the minder's goroutine alone.
	looks, starts, stops, kills, keeps, drains, asks, tidies lane

	glance  glimpse // written by the look under way, read when it has ended
	writing instance.Durable
	changed time.Duration // when the last start began or ended; looks begun before show what was
	keepAt  time.Duration // not to be written before, after a failure
	tidyAt  time.Duration
	askedAt time.Duration
	said    health.Instance // as last reported, to see what is news
}

// glimpse is one look.
type glimpse struct {
	begun time.Duration
	seen  instance.Seen
}

func newAppMinder(a *Agent, name string, cfg config.AgentInstance) (*appMinder, error) {
	m := &appMinder{agent: a, name: name, cfg: cfg, log: a.log.With(zap.String("instance", name)), kick: make(chan struct{}, 1), faults: map[string]string{}}
	if err := os.MkdirAll(appDir(a.cfg.Data, name), 0o700); err != nil {
		return nil, err
	}
	if err := statefile.Read(m.path(), &m.durable); err != nil {
		return nil, err
	}
	m.goal = m.durable.Goal
	m.permitEnd, m.grace = instance.PermitAfter(m.durable, a.bootID, a.begun)
	var err error
	m.server, err = a.appServer(name, cfg, func() { wakeup.Signal(m.kick) })
	return m, err
}

func (m *appMinder) path() string {
	return filepath.Join(appDir(m.agent.cfg.Data, m.name), "goal.json")
}

// run is the instance's loop, until ctx ends. The instance lives on.
func (m *appMinder) run(ctx context.Context) {
	defer m.server.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		look := false
		select {
		case <-ctx.Done():
			m.leave()
			return
		case <-timer.C:
			look = true
		case <-m.kick:
			look = true
		case err := <-m.looks.done:
			m.looks.over()
			m.looked(err)
		case err := <-m.starts.done:
			m.starts.over()
			m.changed = boottime.Now()
			m.ended("start", err)
			look = true
		case err := <-m.stops.done:
			m.stops.over()
			m.ended("stop", err)
		case err := <-m.kills.done:
			m.kills.over()
			m.ended("kill", err)
			look = true
		case err := <-m.drains.done:
			m.drains.over()
			m.drained(err)
		case err := <-m.keeps.done:
			m.keeps.over()
			m.kept(err)
		case <-m.asks.done:
			m.asks.over()
		case err := <-m.tidies.done:
			m.tidies.over()
			m.ended("output", err)
		}
		if look {
			m.look(ctx)
			m.tidy(ctx)
		}
		timer.Reset(min(m.think(ctx), m.ask(ctx)))
	}
}

// look begins one, unless one is under way.
func (m *appMinder) look(ctx context.Context) {
	if m.looks.busy() {
		return
	}
	begun := boottime.Now()
	m.looks.begin(ctx, m.agent.group, lookTimeout, func(ctx context.Context) error {
		seen, err := m.server.look(ctx)
		m.glance = glimpse{begun, seen}
		return err
	})
}

// looked takes in a look. One that failed leaves what was seen running as running: it must still be stopped in time. While a
// start is under way nothing has ended yet.
func (m *appMinder) looked(err error) {
	m.ended("look", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.glance
	switch {
	case err != nil && m.seen.Process == health.ProcessEnded:
		m.seen = instance.Seen{}
	case err != nil || g.begun < m.changed || m.starts.busy() && g.seen.Process == health.ProcessEnded:
	default:
		m.seen = g.seen
		if m.cfg.Unit != "" && g.seen.Process == health.ProcessRunning && !g.seen.Starting {
			delete(m.faults, "start") // it runs all the same: systemd's job may outlive the wait for it
		}
		m.memory = m.memory.Looked(m.seen, boottime.Now())
	}
}

// ended notes how something in a lane has ended; a failure is reported until it goes well or the goal changes. What was called
// off has not failed.
func (m *appMinder) ended(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.faults, what)
		return
	}
	if text := what + ": " + health.Brief(err); m.faults[what] != text && m.agent.ctx.Err() == nil {
		m.faults[what] = text
		m.log.Warn(what+" failed", zap.Error(err))
	}
}

// think asks the pure core and does what it says; it returns after how long to think again.
func (m *appMinder) think(ctx context.Context) time.Duration {
	now := boottime.Now()
	m.mu.Lock()
	act := instance.Next(m.input(now))
	m.fault = act.Error
	m.mu.Unlock()
	m.do(ctx, act, now)
	m.tell()
	pause := appLookEvery
	if act.Again != 0 {
		pause = min(pause, max(act.Again-boottime.Now(), time.Millisecond))
	}
	return pause
}

// input is everything the pure core may know; called with mu held.
func (m *appMinder) input(now time.Duration) instance.Input {
	return instance.Input{Now: now, Boot: m.agent.bootID, Goal: m.goal, PermitEnd: m.permitEnd, Grace: m.grace, Durable: m.durable, Seen: m.seen,
		Memory: m.memory, Stop: m.cfg.Stop, Output: m.server.output()}
}

// snapshot is the instance's part of a report, from memory.
func (m *appMinder) snapshot() health.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.input(boottime.Now()).Report(m.name, m.vouched)
	r.Error, r.From = m.fault, m.goalFrom.Number
	for _, what := range []string{"start", "kill", "stop", "keep", "look", "drain", "output", "goal"} {
		r.Error = cmp.Or(r.Error, m.faults[what])
	}
	return r
}

// tell reports at once what others wait for.
func (m *appMinder) tell() {
	r := m.snapshot()
	r.PermitLeft, r.From = 0, 0
	if r != m.said {
		m.said = r
		wakeup.Signal(m.agent.kick)
	}
}

// wants takes over what a leader's answer says of the instance, unless a later one is known (never both pools). s is the clock of
// the report it answers: a permit counts from there (L1). It is of the lease path: memory only.
func (m *appMinder) wants(g platform.InstanceGoal, named bool, of platform.Age, s time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of.Before(m.goalFrom) {
		return
	}
	m.goalFrom, m.heard = of, boottime.Now()
	delete(m.faults, "goal")
	if g.Permit > 0 {
		m.permitted(instance.Renewed(m.goal, g, m.permitEnd, s, m.heard), false)
	}
	g = instance.Confirm(m.goal, g, named)
	if g == m.goal {
		if !named && g != (platform.InstanceGoal{}) {
			m.faults["goal"] = "no leader names a goal for it any more: it left the platform, or this host is fenced; to have it left alone, delete instances." + m.name + " from the agent's file"
		}
		return
	}
	m.memory = m.memory.Goal(m.goal, g)
	m.goal, m.faults = g, map[string]string{}
	m.log.Info("goal", zap.String("want", string(g.Want)), zap.Uint64("restart", g.Restart), zap.Duration("permit", g.Permit), zap.String("primary", g.Primary))
	wakeup.Signal(m.kick)
}

// permitted takes over a permit; vouched: from the agent of the primary. Called with mu held.
func (m *appMinder) permitted(end time.Duration, vouched bool) {
	m.permitEnd, m.vouched = end, vouched
	if end > boottime.Now() {
		m.grace = 0
	}
}

// hears notes that a leader has answered, and said nothing of the instance: nobody else is asked then.
func (m *appMinder) hears() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = boottime.Now()
}
