package apps

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/appserver"
	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

const (
	// lookEvery is the interval of looks at an app server; lookTimeout bounds one.
	lookEvery   = 500 * time.Millisecond
	lookTimeout = 2 * time.Second
	// quick bounds each short task: asking a process to end, a start, a write.
	quick = 10 * time.Second
	// tidyEvery is the interval of tidying the disk, keepAgain the pause after a failed write.
	tidyEvery = 10 * time.Second
	keepAgain = 2 * time.Second
)

// supervisor supervises one app server: one goroutine (run) looks, asks appserver.Next, and acts. Looks and acts run beside it in
// tasks, so that one that hangs does not delay a stop at the end of the permit. The first six fields never change; mu guards the fields
// below it, up to faults, which other goroutines read; only the goroutine of run uses the rest.
type supervisor struct {
	host   *Host
	name   string
	cfg    config.AgentInstance
	log    *zap.Logger
	server server
	kick   chan struct{} // capacity 1: decide again

	mu       sync.Mutex
	goal     platform.InstanceGoal // the newest confirmed one
	goalFrom platform.Age          // of the answer that brought it
	heard    time.Duration         // when a leader's answer last brought one in this run; 0: never
	permit   permit
	durable  appserver.Durable
	seen     appserver.Seen
	memory   appserver.Memory
	fault    string            // the error of appserver.Next
	faults   map[string]string // the last failure of each task, by its name

	tasks   tasks
	glance  glimpse // written by the look in progress, read when it has ended
	writing appserver.Durable
	moments moments
	said    health.Instance // as last reported, to recognise news
}

// permit is the permit to run, if the goal needs one.
type permit struct {
	end       time.Duration
	grace     time.Duration // see appserver.Input
	byPrimary bool          // the agent of its primary last renewed it
}

// tasks are the tasks that may be in progress, each at most once.
type tasks struct{ looks, starts, stops, kills, keeps, drains, asks, tidies task }

// moments are points in time, as readings of CLOCK_BOOTTIME.
type moments struct {
	changed time.Duration // when the last start began or ended; looks begun before are out of date
	keep    time.Duration // no write before this, after a failure
	tidy    time.Duration // no tidying before this
	asked   time.Duration // when the agent of the primary was asked last
}

// glimpse is the result of one look.
type glimpse struct {
	begun time.Duration
	seen  appserver.Seen
}

func newSupervisor(h *Host, name string, cfg config.AgentInstance) (*supervisor, error) {
	m := &supervisor{host: h, name: name, cfg: cfg, log: h.o.Log.With(zap.String("instance", name)),
		kick: make(chan struct{}, 1), faults: map[string]string{}}
	if err := os.MkdirAll(dirOf(h.o.Config.Data, name), 0o700); err != nil {
		return nil, err
	}
	if err := statefile.Read(m.path(), &m.durable); err != nil {
		return nil, err
	}
	m.goal = m.durable.Goal
	m.permit.end, m.permit.grace = appserver.PermitAfter(m.durable, h.o.Boot, h.o.Begun)
	var err error
	m.server, err = h.open(name, cfg, func() { wakeup.Signal(m.kick) })
	return m, err
}

func (m *supervisor) path() string {
	return filepath.Join(dirOf(m.host.o.Config.Data, m.name), "goal.json")
}

// run is the instance's loop, until ctx ends. The instance keeps running.
func (m *supervisor) run(ctx context.Context) {
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
		case err := <-m.tasks.looks.done:
			m.tasks.looks.over()
			m.looked(err)
		case err := <-m.tasks.starts.done:
			m.tasks.starts.over()
			m.moments.changed = boottime.Now()
			m.ended("start", err)
			look = true
		case err := <-m.tasks.stops.done:
			m.tasks.stops.over()
			m.ended("stop", err)
		case err := <-m.tasks.kills.done:
			m.tasks.kills.over()
			m.ended("kill", err)
			look = true
		case err := <-m.tasks.drains.done:
			m.tasks.drains.over()
			m.drained(err)
		case err := <-m.tasks.keeps.done:
			m.tasks.keeps.over()
			m.kept(err)
		case <-m.tasks.asks.done:
			m.tasks.asks.over()
		case err := <-m.tasks.tidies.done:
			m.tasks.tidies.over()
			m.ended("output", err)
		}
		if look {
			m.look(ctx)
			m.tidy(ctx)
		}
		timer.Reset(min(m.think(ctx), m.ask(ctx)))
	}
}

// look starts a look, unless one is in progress.
func (m *supervisor) look(ctx context.Context) {
	if m.tasks.looks.busy() {
		return
	}
	begun := boottime.Now()
	m.tasks.looks.begin(ctx, m.host.group, lookTimeout, func(ctx context.Context) error {
		seen, err := m.server.look(ctx)
		m.glance = glimpse{begun, seen}
		return err
	})
}

// looked handles the end of a look. After a failed one, an instance that was running still counts as running: it must still be stopped
// in time. While a start is in progress nothing has ended yet.
func (m *supervisor) looked(err error) {
	m.ended("look", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.glance
	switch {
	case err != nil && m.seen.Process == health.ProcessEnded:
		m.seen = appserver.Seen{}
	case err != nil || g.begun < m.moments.changed || m.tasks.starts.busy() && g.seen.Process == health.ProcessEnded:
	default:
		m.seen = g.seen
		if m.cfg.Unit != "" && g.seen.Process == health.ProcessRunning && !g.seen.Starting {
			delete(m.faults, "start") // it runs all the same: systemd's job may outlive the wait for it
		}
		m.memory = m.memory.Looked(m.seen, boottime.Now())
	}
}

// ended records the result of a task; a failure is reported until the task succeeds or the goal changes. A cancelled task has not
// failed.
func (m *supervisor) ended(what string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		delete(m.faults, what)
		return
	}
	if text := what + ": " + health.Brief(err); m.faults[what] != text && m.host.ctx.Err() == nil {
		m.faults[what] = text
		m.log.Warn(what+" failed", zap.Error(err))
	}
}

// think asks the pure core, starts the act that it returns, and returns the time until the next call.
func (m *supervisor) think(ctx context.Context) time.Duration {
	now := boottime.Now()
	m.mu.Lock()
	act := appserver.Next(m.input(now))
	m.fault = act.Error
	m.mu.Unlock()
	m.do(ctx, act, now)
	m.tell()
	pause := lookEvery
	if act.Again != 0 {
		pause = min(pause, max(act.Again-boottime.Now(), time.Millisecond))
	}
	return pause
}

// input is everything that the pure core may use; called with mu held.
func (m *supervisor) input(now time.Duration) appserver.Input {
	return appserver.Input{Now: now, Boot: m.host.o.Boot, Goal: m.goal, PermitEnd: m.permit.end, Grace: m.permit.grace,
		Durable: m.durable, Seen: m.seen, Memory: m.memory, Stop: m.cfg.Stop, Output: m.server.output()}
}

// snapshot is the instance's part of a report, from memory.
func (m *supervisor) snapshot() health.Instance {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.input(boottime.Now()).Report(m.name, m.permit.byPrimary)
	r.Error, r.From = m.fault, m.goalFrom.Number
	for _, what := range []string{"start", "kill", "stop", "keep", "look", "drain", "output", "goal"} {
		r.Error = cmp.Or(r.Error, m.faults[what])
	}
	return r
}

// tell asks for a report at once if others wait for the change.
func (m *supervisor) tell() {
	r := m.snapshot()
	r.PermitLeft, r.From = 0, 0
	if r != m.said {
		m.said = r
		m.host.o.Report()
	}
}

// wants stores the goal in a leader's answer, unless a later one is known (never both pools). s is the clock of the report it answers:
// a permit counts from there (L1). It is on the lease path: memory only.
func (m *supervisor) wants(g platform.InstanceGoal, named bool, of platform.Age, s time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of.Before(m.goalFrom) {
		return
	}
	m.goalFrom, m.heard = of, boottime.Now()
	delete(m.faults, "goal")
	if g.Permit > 0 {
		m.permitted(appserver.Renewed(m.goal, g, m.permit.end, s, m.heard), false)
	}
	g = appserver.Confirm(m.goal, g, named)
	if g == m.goal {
		if !named && g != (platform.InstanceGoal{}) {
			m.faults["goal"] = "no leader gives it a goal any more: it was removed from the platform, or this host is fenced; " +
				"to keep it running without Mainstay, delete instances." + m.name + " from the agent's file"
		}
		return
	}
	m.memory = m.memory.Goal(m.goal, g)
	m.goal, m.faults = g, map[string]string{}
	m.log.Info("goal", zap.String("want", string(g.Want)), zap.Uint64("restart", g.Restart), zap.Duration("permit", g.Permit),
		zap.String("primary", g.Primary))
	wakeup.Signal(m.kick)
}

// permitted stores a permit; byPrimary: from the agent of the primary. Called with mu held.
func (m *supervisor) permitted(end time.Duration, byPrimary bool) {
	m.permit.end, m.permit.byPrimary = end, byPrimary
	if end > boottime.Now() {
		m.permit.grace = 0
	}
}

// hears records that a leader has answered without naming the instance; the agent of the primary is then not asked.
func (m *supervisor) hears() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = boottime.Now()
}
