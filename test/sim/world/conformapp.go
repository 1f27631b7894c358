package world

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/invariant"
)

// App is one app server with its agent, which hears no leader but the test: test/conform holds it to controller/apps.
type App struct {
	w *World
	h *host
	m *appSupervisor
}

// AppName is what the app server is called.
const AppName = "web-e1"

// NewApp makes one that does not run, whose agent does.
func NewApp(seed uint64, stop time.Duration) *App {
	w := bare(seed)
	c := &cluster{w: w, name: "conform", check: invariant.New()}
	h := w.bareMember(c, "a").host
	h.members = nil
	m := &appSupervisor{w: w, host: h, pool: &pool{w: w, name: "web", cluster: c, everywhere: true}, name: AppName, stop: stop}
	m.server = &server{m: m, process: health.ProcessEnded}
	m.pool.supervisors, h.apps = []*appSupervisor{m}, []*appSupervisor{m}
	h.agent.start()
	return &App{w, h, m}
}

// Pass lets time go by.
func (s *App) Pass(d time.Duration) { s.w.pass(d) }

// Obey is a leader's answer to a report that was sent so long ago.
func (s *App) Obey(g platform.InstanceGoal, ago time.Duration) {
	s.m.obey(&wire.ReportAnswer{Instances: map[string]platform.InstanceGoal{AppName: g}}, s.h.now()-ago)
}

// Report is what the agent says of it.
func (s *App) Report() health.Instance { return s.m.snapshot() }

// Lives tells whether any of its processes does; Starts is how often it was started.
func (s *App) Lives() bool { return s.m.server.lives() }

// Starts is how often it was started.
func (s *App) Starts() int { return s.m.server.life }

// Crash ends its processes.
func (s *App) Crash() { s.m.server.becomes(health.ProcessEnded) }

// Agent starts or ends its agent.
func (s *App) Agent(run bool) {
	if run {
		s.h.agent.start()
		return
	}
	s.m.leave()
	s.h.agent.stop()
}
