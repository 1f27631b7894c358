package world

import (
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

// supervisor is the shell of member.Next for one member, as controller/supervisor's is: it looks, asks, acts. What the agent
// reports of the member is the last look, however old.
type supervisor struct {
	w       *World
	host    *host
	cluster *cluster
	name    string
	// excluded is for how many seconds it has been since all else has healed.
	excluded int

	// On disk.
	durable   member.Durable
	forgotten bool // it was lost once: its promises too
	kept      member.Kept
	aside     []*record // the WAL that a rebuild under way has set aside
	leftOut   string    // what the last repair left out, as the history should tell; "" for nothing
	mending   *mending  // a page is being replaced, or an agent has ended while it was; nil for none

	pg    *postgres
	guard *guard
	dim   time.Duration // until when a look may take long
	run
}

// run is what a run of the agent knows.
type run struct {
	goal     platform.Goal
	goalFrom platform.Age
	lease    member.Lease
	spent    platform.Epoch // the guards gave no lease of it any more
	memory   member.Memory
	verify   string // for whose sake all pages are being read, or were; see platform.Goal.Verify
	scanned  string // the same, once those of the data of that incarnation have been read without a finding
	of       string
	// compared is what this run has found by comparing all members, while its data was that of an incarnation; nil for nothing.
	compared   *health.Comparison
	comparedOf string
	// rechecked is a page that the mending of that number has replaced beside the primary's; rechecks: it is being compared.
	rechecked   *health.FrozenPage
	recheckedOf uint64
	rechecks    bool
	needs       string
	failed      string            // what failed last
	report      *[1]health.Member // the last look
	sent        bool              // report is part of one that was sent, which nobody edits
	cancel      bool              // the act under way is not wanted any more
	acting      bool
	waitTill    time.Duration // after a failed act
	promised    member.Promised
	promises    member.Promises
	asking      map[string]*asking // by member
	// keptUnder is the version of the goals of which kept is what this run would write, "" for none.
	keptUnder string
	seen      member.Seen // the last look that was answered
	lookedAt  time.Duration
	unseen    time.Duration // until when the look under way is not answered
}

// begin takes the member up in a new run of the agent.
func (m *supervisor) begin() {
	m.promised.Since = m.host.now()
	m.takeUpResume()
	m.pg.abortClone()
	m.step()
}

// step is the supervisor's loop.
func (m *supervisor) step() {
	m.think()
	m.host.agent.lets(m.w.span(60*time.Millisecond, 240*time.Millisecond), (*stepping)(m))
}

type stepping supervisor

func (m *stepping) happen() { (*supervisor)(m).step() }

type thinking supervisor

func (m *thinking) happen() { (*supervisor)(m).think() }

// soon thinks again at once: something happened.
func (m *supervisor) soon() {
	if m.host.agent.up {
		m.host.agent.lets(2*time.Millisecond, (*thinking)(m))
	}
}

func (m *supervisor) think() {
	m.look()
	if m.acting {
		return
	}
	act := member.Next(m.input(&m.seen))
	m.needs = act.Needs
	if m.unlooked() && !act.Blind(m.durable) {
		return // what was seen last is old
	}
	if act.Kind != member.Nothing && m.host.now() >= m.waitTill {
		m.act(act)
	}
}

func (m *supervisor) input(seen *member.Seen) member.Input {
	return member.Input{Now: m.host.now(), Goal: m.goal, Durable: m.durable, Seen: *seen, Lease: m.lease, Memory: m.memory,
		Promised:      m.promised,
		GuardComplete: true, Spent: m.spent, Name: m.name}
}

// look sees the member, advances what the run remembers, and publishes a report; one that says something new leaves at once.
func (m *supervisor) look() {
	if m.unanswered() {
		return
	}
	m.seen = m.pg.see()
	m.compareMended()
	memory := &m.memory
	if m.goal.Paused {
		m.guard.disarm()
	}
	*memory = memory.Looked(m.goal, m.seen, m.host.now())
	memory.Settling = memory.Settle(m.goal, m.seen)
	var next health.Member
	m.describe(&next)
	news := member.Notable(&m.report[0], &next)
	if m.shows(&next); news {
		m.host.agent.send()
	}
}

// shows replaces the report, but edits none that was sent.
func (m *supervisor) shows(next *health.Member) {
	if m.sent {
		m.report, m.sent = new([1]health.Member), false
	}
	m.report[0] = *next
}

// toSend is the report, which is not edited from now on.
func (m *supervisor) toSend() *[1]health.Member {
	m.sent = true
	return m.report
}

// unlooked tells whether the newest look has not ended: PostgreSQL hangs, or a filesystem that it reads.
func (m *supervisor) unlooked() bool { return m.pg.hung > m.w.now || m.unseen > m.w.now }

// unanswered counts for how long a look has not been answered: a hang is evidence. Its streams are seen no more.
func (m *supervisor) unanswered() bool {
	if !m.unlooked() {
		m.lookedAt = m.host.now()
		return false
	}
	if stale := m.host.now() - m.lookedAt; stale > 700*time.Millisecond {
		next := m.report[0]
		next.Stale = stale.Milliseconds()
		m.shows(&next)
	}
	return true
}

// granted takes over a lease; while the cluster is paused no guard holds it (L7).
func (m *supervisor) granted(epoch platform.Epoch, end, length time.Duration) {
	if !m.goal.Paused && !m.guard.extend(epoch, end) {
		m.spent = m.guard.Epoch
		return
	}
	m.lease = m.lease.Renew(epoch, end-length, length)
}

// wants takes over a confirmed goal.
func (m *supervisor) wants(goal platform.Goal, of platform.Age) {
	change := member.ChangeOf(&m.goal, &goal)
	if change == member.Different {
		m.cancel = true
		m.waitTill = 0
	}
	if change != member.Unchanged {
		m.soon()
	}
	m.cluster.check.Obeyed(m.w.now, m.name, m.goalFrom, of)
	m.goal, m.goalFrom = goal, of
	if goal.Verify != "" && goal.Verify != m.verify {
		verify := goal.Verify
		m.verify, m.scanned = verify, ""
		m.host.agent.on(m.w.span(300*time.Millisecond, 4*time.Second), func() { m.verified(verify) })
	}
}

// keep writes the agent's promises.
func (m *supervisor) keep(d member.Durable) {
	if m.durable.Ran.Less(d.Ran) && m.pg.running && m.pg.primary {
		m.pg.epoch = d.Ran // it continues under a higher epoch
	}
	m.durable = d
	if m.host.twin {
		return // an older image than the member's own
	}
	m.cluster.check.Promised(m.w.now, m.name, d.Epoch, m.forgotten)
	m.forgotten = false
}

func (m *supervisor) String() string {
	role := "down"
	switch {
	case m.pg.running && m.pg.primary:
		role = fmt.Sprintf("primary of %s", m.pg.epoch)
	case m.pg.running:
		role = "standby"
	}
	d := &m.durable
	return fmt.Sprintf("%s: %s, timeline %d at %s, named %s, promised %s ran %s closed %s sealed %s (%s)", m.name, role, m.pg.timeline(),
		m.pg.end(),
		d.Incarnation, d.Epoch, d.Ran, d.Closed, d.Sealed, &m.run)
}
