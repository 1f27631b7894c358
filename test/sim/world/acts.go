package world

import (
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// took is how long an act takes, from a third of it to all of it.
var took = map[member.Kind]time.Duration{
	member.Persist: 15 * time.Millisecond, member.Initialise: 800 * time.Millisecond, member.StartPrimary: 400 * time.Millisecond,
	member.StartStandby: 400 * time.Millisecond, member.Promote: 300 * time.Millisecond, member.Open: 150 * time.Millisecond,
	member.LoadSet: 60 * time.Millisecond, member.Settings: 60 * time.Millisecond, member.Checkpoint: 300 * time.Millisecond,
	member.Slots: 30 * time.Millisecond, member.Seal: 200 * time.Millisecond, member.StopReceiver: 200 * time.Millisecond,
	member.Kill:      60 * time.Millisecond,
	member.StopClean: 30 * time.Millisecond, member.Rewind: 1500 * time.Millisecond, member.Clone: 2 * time.Second,
	member.Quieten: 30 * time.Millisecond, member.EndSenders: 30 * time.Millisecond, member.Disarm: 10 * time.Millisecond,
	member.Adopt: 200 * time.Millisecond,
	member.Mend:  400 * time.Millisecond, member.Freeze: 30 * time.Millisecond, member.Thaw: 30 * time.Millisecond,
}

// duration of an act on a disk that does not hang; a CHECKPOINT takes what the disk needs.
func (m *supervisor) duration(k member.Kind) time.Duration {
	d := m.w.span(took[k]/3, took[k])
	if k == member.Open && !m.goal.Opened || k == member.Checkpoint {
		d += m.w.span(0, m.w.checkpoint)
	}
	return d
}

// act carries an act out. Its promises are on disk first, unless they hold only once it is done.
func (m *supervisor) act(act member.Act) {
	m.acting, m.cancel = true, false
	if m.dim > m.w.now { // observations continue, and the one at the end of the act was begun before it
		m.unseen = m.w.now + m.w.span(0, 2*time.Second)
	}
	if m.w.traced() {
		m.w.trace("%s: %s (%s) goal %s %s", m.name, act.Kind, act.Why, m.goal.Kind, m.goal.Epoch)
	}
	late := act.Kind == member.Rewind || act.Kind == member.Clone || act.Kind == member.Adopt
	if act.Kind == member.Rewind || act.Kind == member.Clone {
		m.discards()
	}
	if act.Kind == member.Clone {
		if m.pg.present {
			m.aside = m.pg.wal
		}
		m.pg.wipe()
		m.pg.busy = true
	}
	goal := m.goal
	m.host.agent.onDisk(m.w.span(time.Millisecond, 10*time.Millisecond), func() {
		if m.noRoom(act.Kind) {
			m.finished(false)
			return
		}
		if !late && act.Durable != m.durable {
			m.keep(act.Durable)
		}
		if act.Kind == member.Promote { // its settings are loaded first, and ask for no upstream
			m.pg.upstream, m.pg.pointed, m.pg.receiver = nil, "", nil
		}
		over, life := false, m.host.agent.life
		end := func() {
			if !over && m.host.agent.life == life {
				over = true
				m.carryOut(act, goal, goal.Epoch == m.goal.Epoch && !m.cancel)
			}
		}
		if act.Kind == member.Checkpoint || act.Kind == member.Open { // its session ends with the server, however long it would have taken
			m.pg.onEnd = func() { m.host.agent.on(0, end) }
		}
		m.host.agent.onDisk(m.duration(act.Kind), end)
	})
}

// noRoom: it cannot be done on a full disk, which the agent reports.
func (m *supervisor) noRoom(k member.Kind) bool {
	m.failed = ""
	if m.host.full() && needsRoom(k) {
		m.failed = string(k) + ": no space left on device"
	}
	return m.failed != ""
}

// finished ends an act; one that failed is held back for a moment.
func (m *supervisor) finished(ok bool) {
	m.acting, m.pg.onEnd = false, nil
	if !ok {
		m.pg.abortClone()
		m.waitTill = m.host.now() + 150*time.Millisecond
	}
	m.look()
	m.soon()
}

func (m *supervisor) disarm() bool {
	if !m.guard.disarm() {
		return false
	}
	m.spent = platform.Epoch{}
	return true
}

func (m *supervisor) leased() bool {
	return m.lease.Epoch == m.goal.Epoch && m.lease.End > m.host.now()
}

// fedBy: it receives the WAL of another sealed standby, and no other.
func (p *postgres) fedBy(up *postgres) bool {
	g := p.m.goal
	return g.Kind == platform.GoalSealed && g.Upstream != nil && g.Upstream.Member == up.m.name && up.known
}

// carryOut has the effect of an act that was begun for that goal; wanted is false if the goal has changed since it began.
func (m *supervisor) carryOut(act member.Act, goal platform.Goal, wanted bool) {
	p, ok := m.pg, true
	if p.hung > m.w.now && act.Kind != member.Kill || m.noRoom(act.Kind) {
		m.finished(false) // it needs a new connection, or room
		return
	}
	switch act.Kind {
	case member.Initialise:
		p.initialise()
	case member.StartPrimary, member.Promote:
		ok = wanted && m.takeOver(act)
	case member.Disarm:
		ok = m.disarm()
	case member.StartStandby:
		if ok = m.disarm() && !p.running && p.rotten == ""; ok {
			m.settleMending()
			m.point(goal)
			p.startStandby(m.frozenGoal(goal))
			m.memory.MovedAt = m.host.now()
		}
	case member.Settings:
		if ok = wanted; ok {
			m.point(goal)
		}
	case member.LoadSet:
		if ok = wanted && p.running && p.primary; ok {
			p.load(lastOf(m.goal))
		}
	case member.Open:
		ok = wanted && m.open()
	case member.Checkpoint:
		ok = m.checkpoint(goal, wanted)
	case member.EndSenders:
		p.endStale()
	case member.Slots:
		p.slots = slices.Clone(m.goal.OtherMembers)
	case member.Seal:
		if ok = m.receiveNothing() && wanted; ok {
			m.memory.SealConfirmed, m.memory.SealedAt = m.goal.Epoch, m.host.now()
		}
	case member.Quieten:
		m.memory.Quiet = goal.Epoch
	case member.StopReceiver:
		if ok = m.receiveNothing() && wanted; ok {
			m.memory.Apart = m.goal.Epoch
		}
	case member.Mend:
		m.mend(goal)
		return
	case member.Freeze:
		ok = wanted && p.pauseReplay()
	case member.Thaw:
		ok = wanted && p.resumeReplay()
	case member.Kill:
		p.crash()
	case member.StopClean:
		m.memory.Restarted = m.goal.Kind == platform.GoalReplica
		p.stopClean(func() { m.host.agent.on(0, func() { m.finished(true) }) })
		return
	case member.Rewind:
		ok = wanted && m.rewind(act)
	case member.Clone:
		ok = m.clone(act, wanted)
	case member.Adopt:
		m.adopt(act)
	}
	m.finished(ok)
}

// takeOver starts or promotes a primary under its lease, which the guard holds first.
func (m *supervisor) takeOver(act member.Act) bool {
	p := m.pg
	if !m.leased() {
		return false
	}
	if !m.goal.Paused && !m.guard.extend(m.lease.Epoch, m.lease.End) { // a start as a standby has let it idle
		return false
	}
	switch {
	case act.Kind == member.StartPrimary && !p.running && p.rotten == "":
		m.settleMending()
		p.show(lastOf(m.goal))
		p.startPrimary(act.Durable.Ran)
	case act.Kind == member.Promote && p.running && !p.primary && p.timeline() < m.goal.Timeline:
		p.list(lastOf(m.goal))
		p.promote(act.Durable.Ran, m.goal.Timeline)
	default:
		return false
	}
	return true
}

func (m *supervisor) open() bool {
	if !m.pg.running || !m.pg.primary || m.pg.timeline() != m.goal.Timeline {
		return false
	}
	d := m.durable
	d.SystemID = systemID
	m.keep(d)
	m.memory.Opened = m.goal.Epoch
	return true
}

// checkpoint counts for the durability set that was loaded when it began.
func (m *supervisor) checkpoint(goal platform.Goal, wanted bool) bool {
	if !wanted || !m.pg.running || !m.pg.primary {
		return false
	}
	if lastOf(goal).ID == lastOf(m.goal).ID {
		m.pg.obey()
	}
	m.memory.Checkpointed, m.memory.SetCheckpoint = goal.Checkpoint, lastOf(goal).ID
	return true
}

// receiveNothing empties the setting, then ends the receiver's process: a reload alone would leave it alive. The list comes along.
func (m *supervisor) receiveNothing() bool {
	p := m.pg
	p.upstream, p.pointed = nil, ""
	if want := member.ReplicaSet(); want.Acks != p.set.Acks {
		p.list(want)
	}
	p.receiver = nil
	return p.running && !p.primary
}

// adopt takes a running instance under our settings without a restart.
func (m *supervisor) adopt(act member.Act) {
	d := act.Durable
	if !m.pg.primary {
		d.Rename(m.goal.Incarnation)
		m.point(m.goal)
	}
	m.pg.adoptable = false
	m.keep(d)
}
