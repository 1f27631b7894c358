package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

func lastOf(g platform.Goal) platform.DurabilitySet {
	if len(g.Sets) == 0 {
		return platform.DurabilitySet{}
	}
	return g.Sets[len(g.Sets)-1]
}

// point writes a standby's settings: its upstream, and a list under which nothing is acknowledged.
func (m *supervisor) point(g platform.Goal) {
	p := m.pg
	p.upstream, p.settings = nil, g.Incarnation
	p.pointed = ""
	if g.Upstream != nil {
		p.pointed = g.Upstream.Member
		p.upstream = m.cluster.member(p.pointed).pg
	}
	p.list(member.ReplicaSet())
}

// list is another list of a standby. If it is promoted before its checkpointer has taken notice, its backends do not wait.
func (p *postgres) list(set platform.DurabilitySet) {
	p.show(set)
	if !p.running {
		return // a start takes notice at once
	}
	life := p.life
	p.w.after(p.w.span(0, 1500*time.Millisecond), func() {
		if p.life == life {
			p.obey()
		}
	})
}

// source is the running primary that a rewind or a clone reads from, or a standby that hands its stream on; or nil.
func (m *supervisor) source() *postgres {
	if m.goal.Upstream == nil || m.w.rand.IntN(8) == 0 {
		return nil
	}
	up := m.cluster.member(m.goal.Upstream.Member)
	if !up.pg.running || !up.pg.hands(m.pg) || up.pg.stopping || !m.w.net.both(m.host.node, up.host.node) {
		return nil
	}
	return up.pg
}

// discards tells the checker that the data in place is given up under its name.
func (m *supervisor) discards() {
	if c := m.cluster.state(); c != nil && !m.host.twin && m.pg.present && m.durable.Incarnation != "" {
		m.cluster.check.Discards(m.w.now, m.name, m.durable.Incarnation, lastOf(m.goal).Acks == 0 || lastOf(m.goal).Has(m.goal.Incarnation),
			c.Sets)
	}
}

// rewind cuts the data back to what the primary also holds. pg_rewind brings the primary's newest WAL along, which this does not; and it
// believes the primary's last checkpoint, so that before one on a new timeline it does nothing and says that it is done: the
// shell's checkpoint before a rewind is not held to that here.
func (m *supervisor) rewind(act member.Act) bool {
	p, up := m.pg, m.source()
	if up == nil || p.running || p.timeline() > up.timeline() {
		m.memory.RewindFailures++
		return false
	}
	n := common(p.wal, up.wal)
	leftOut := m.discard(p.wal, n)
	p.wal, p.own = slices.Clip(p.wal[:n]), false
	p.asPrimary, p.clean = false, false
	p.replayed, p.frozen.furthest = min(p.replayed, n), min(p.frozen.furthest, n)
	m.rename(act, leftOut)
	return n > 0
}

// clone copies the primary's data as it is when it ends.
func (m *supervisor) clone(act member.Act, wanted bool) bool {
	p, up := m.pg, m.source()
	if !wanted || up == nil {
		p.wipe()
		return false
	}
	if up.damage.text != "" { // pg_basebackup verifies what it copies, and the source counts what does not match
		up.damage.counted = true
		p.wipe()
		return false
	}
	p.present, p.busy = true, false
	p.damage = damage{lost: up.damage.lost} // a copy has every page, and no checksum shows this
	p.wal, p.own = slices.Clip(up.wal), false
	m.rename(act, m.discard(m.aside, common(m.aside, up.wal)))
	m.aside = nil
	return true
}

// common is how many records two WALs begin with.
func common(a, b []*record) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// discard counts what a repair leaves out of a WAL that is kept up to n records; nil for nothing.
func (m *supervisor) discard(wal []*record, n int) *health.Discard {
	if n == len(wal) {
		return nil
	}
	d := &health.Discard{To: wal[len(wal)-1].lsn, Timeline: wal[len(wal)-1].timeline, Kept: "quarantine"}
	if n > 0 {
		d.From = wal[n-1].lsn
	}
	return d
}

func (m *supervisor) rename(act member.Act, leftOut *health.Discard) {
	d := act.Durable
	d.SystemID, d.Discarded = systemID, leftOut
	if d.Rename(m.goal.Incarnation); act.Kind == member.Clone {
		d.Replace(m.goal.Incarnation)
	}
	m.keep(d)
	if m.leftOut = ""; leftOut != nil {
		m.leftOut = fmt.Sprintf("WAL %s to %s of timeline %d", leftOut.From, leftOut.To, leftOut.Timeline)
	}
}
