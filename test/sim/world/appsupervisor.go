package world

import (
	"time"

	"mainstay/controller/appserver"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

const (
	appLookEvery = 500 * time.Millisecond
	keepAgain    = 2 * time.Second
)

// appSupervisor is the shell of instance.Next for one app server, as controller/apps is: it looks, asks, acts.
type appSupervisor struct {
	w          *World
	host       *host
	pool       *pool
	name, site string
	stop       time.Duration // how long TERM may take
	server     *server

	durable appserver.Durable // on disk
	appRun
}

// appRun is what a run of the agent knows. Each task does one thing at a time.
type appRun struct {
	goal      platform.InstanceGoal
	goalFrom  platform.Age
	heard     time.Duration
	permitEnd time.Duration
	grace     time.Duration
	foundOver bool // its permit had ended before this run of the agent began
	byPrimary bool
	seen      appserver.Seen
	memory    appserver.Memory
	said      health.Instance

	looking, starting, stopping, killing, keeping, asking bool

	changed time.Duration // when the last start began or ended; looks begun before show what was
	keepAt  time.Duration
	askedAt time.Duration
	alarm   uint64 // numbers the timers: only the last one counts
}

// begin takes the app server up in a new run of the agent.
func (m *appSupervisor) begin() {
	d := m.durable
	m.appRun = appRun{goal: d.Goal}
	m.permitEnd, m.grace = appserver.PermitAfter(d, m.boot(), m.host.now())
	m.foundOver = m.permitOver()
	m.wake(true)
}

func (m *appSupervisor) boot() string { return m.host.bootID() }

// leave is an agent that ends in good order: it writes exactly when the permit ends.
func (m *appSupervisor) leave() {
	if d := &m.durable; d.Goal == m.goal && d.Boot == m.boot() && d.End < m.permitEnd && !m.keeping && m.host.stall() == 0 {
		d.End = m.permitEnd
	}
}

// back runs f in this life of the agent, once it is not stopped: work beside the loop returns its result so.
func (m *appSupervisor) back(f func()) func() {
	e := m.backing(f)
	return func() {
		now := e // it may be called more than once
		m.w.happen(&now)
	}
}

func (m *appSupervisor) backing(f func()) event {
	return event{what: call(f), owner: &m.host.agent.life, life: m.host.agent.life, where: m.host.node, from: nowhere}
}

// wake is one turn of the loop.
func (m *appSupervisor) wake(look bool) {
	if look {
		m.look()
	}
	pause := m.think()
	pause = min(pause, m.ask())
	m.alarm++
	number := m.alarm
	late := m.w.span(0, 15*time.Millisecond) // a timer is on time, however slow the host
	m.w.add(m.host.clock.when(m.host.now()+pause)+late, m.backing(func() {
		if m.alarm == number {
			m.wake(true)
		}
	}))
}

func (m *appSupervisor) look() {
	if m.looking {
		return
	}
	m.looking = true
	begun, seen := m.host.now(), m.server.see()
	m.host.agent.on(m.w.span(2*time.Millisecond, 60*time.Millisecond), func() {
		m.looking = false
		if begun >= m.changed && !(m.starting && seen.Process == health.ProcessEnded) {
			m.seen = seen
			m.memory = m.memory.Looked(seen, m.host.now())
		}
		m.wake(false)
	})
}

func (m *appSupervisor) input() appserver.Input {
	return appserver.Input{Now: m.host.now(), Boot: m.boot(), Goal: m.goal, PermitEnd: m.permitEnd, Grace: m.grace, Durable: m.durable,
		Seen: m.seen, Memory: m.memory, Stop: m.stop}
}

// think asks the core and does what it says; it returns after how long to think again.
func (m *appSupervisor) think() time.Duration {
	act := appserver.Next(m.input())
	m.do(act)
	m.tell()
	pause := appLookEvery
	if act.Again != 0 {
		pause = min(pause, max(act.Again-m.host.now(), time.Millisecond))
	}
	return pause
}

func (m *appSupervisor) snapshot() health.Instance {
	r := m.input().Report(m.name, m.byPrimary)
	r.From = m.goalFrom.Number
	return r
}

// tell reports at once what others wait for.
func (m *appSupervisor) tell() {
	r := m.snapshot()
	if r.PermitLeft, r.From = 0, 0; r != m.said {
		m.said = r
		m.host.agent.on(time.Millisecond, m.host.agent.send)
	}
}

func (m *appSupervisor) do(act appserver.Act) {
	now := m.host.now()
	switch act.Kind {
	case appserver.Nothing:
		return
	case appserver.Persist:
		m.keep(act.Durable)
		return
	case appserver.Start:
		m.start(now)
	case appserver.Drain:
		m.memory.DrainFrom, m.memory.Drained = now, false
	case appserver.Readmit:
		m.memory = m.memory.Readmitted()
	case appserver.Stop:
		m.server.callOff()
		m.memory.StopFrom = now
		m.end(&m.stopping, m.server.term)
	case appserver.Kill:
		if m.killing {
			return
		}
		m.memory.KilledAt = now
		m.server.callOff()
		m.end(&m.killing, m.server.kill)
	}
	m.w.trace("%s: %s (%s)", m.name, act.Kind, act.Why)
}

func (m *appSupervisor) start(now time.Duration) {
	if m.starting {
		return
	}
	m.changed, m.starting = now, true
	m.memory = m.memory.Starting()
	m.server.start(m.back(func() {
		m.starting, m.changed = false, m.host.now()
		m.wake(true)
	}))
}

// end does what ends it, as a task that is sometimes busy for longer than what it does takes.
func (m *appSupervisor) end(busy *bool, f func()) {
	if *busy {
		return
	}
	*busy = true
	f()
	d := m.w.span(time.Millisecond, 20*time.Millisecond)
	if m.w.rand.IntN(5) == 0 {
		d = m.w.span(20*time.Millisecond, 800*time.Millisecond)
	}
	m.w.after(d, m.back(func() {
		*busy = false
		m.wake(busy == &m.killing)
	}))
}

func (m *appSupervisor) keep(d appserver.Durable) {
	if m.keeping || m.host.now() < m.keepAt {
		return
	}
	m.keeping = true
	m.w.after(m.w.span(time.Millisecond, 15*time.Millisecond)+m.host.stall(), m.back(func() {
		m.keeping = false
		if m.host.full() {
			m.keepAt = m.host.now() + keepAgain
		} else {
			m.durable = d
		}
		m.wake(false)
	}))
}

// obey takes the goal from a leader's answer; s is the clock of the report that it answers (L1).
func (m *appSupervisor) obey(answer *wire.ReportAnswer, s time.Duration) {
	next, named := answer.Instances[m.name]
	if answer.Alarm != "" && len(answer.Instances) == 0 { // it turns this agent away
		m.heard = m.host.now()
		return
	}
	if answer.Age().Before(m.goalFrom) {
		return
	}
	m.pool.cluster.check.Obeyed(m.w.now, m.name, m.goalFrom, answer.Age())
	m.goalFrom, m.heard = answer.Age(), m.host.now()
	if next.Permit > 0 {
		m.permitted(appserver.Renewed(m.goal, next, m.permitEnd, s, m.heard), false)
	}
	g := appserver.Confirm(m.goal, next, named)
	if g == m.goal {
		return
	}
	m.memory = m.memory.Goal(m.goal, g)
	m.goal = g
	m.w.trace("%s: goal %s restart %d permit %s of %s %s", m.name, g.Want, g.Restart, g.Permit, g.Primary, g.Epoch)
	m.host.agent.on(time.Millisecond, func() { m.wake(true) })
}

// permitted takes over a permit; byPrimary: from the agent of the primary.
func (m *appSupervisor) permitted(end time.Duration, byPrimary bool) {
	m.permitEnd, m.byPrimary = end, byPrimary
	if end > m.host.now() {
		m.grace = 0
	}
}
