package world

import (
	"slices"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

func lastOf(g platform.Goal) platform.Set {
	if len(g.Sets) == 0 {
		return platform.Set{}
	}
	return g.Sets[len(g.Sets)-1]
}

// point writes a standby's settings: whom to stream from, and a list that lets nothing be acknowledged.
func (a *agent) point() {
	p, g := a.host.pg, a.goal
	p.upstream, p.settings = "", g.Incarnation
	if g.Upstream != nil {
		p.upstream = g.Upstream.Member
	}
	p.set = member.ReplicaSet(g)
}

// source is the running primary that a rewind or a clone reads from, or nil.
func (a *agent) source() *postgres {
	if a.goal.Upstream == nil || a.w.rand.IntN(8) == 0 {
		return nil
	}
	up := a.w.host(a.goal.Upstream.Member)
	if !up.pg.running || !up.pg.primary || up.pg.stopping || !a.w.net.both(a.host.name, up.name) {
		return nil
	}
	return up.pg
}

// discard tells the checker that the data in place is given up under its name.
func (a *agent) discard() {
	if c := a.w.cluster(); c != nil && a.host.pg.present && a.host.disk.durable.Incarnation != "" {
		a.w.check.Discards(a.w.now, a.host.member, a.host.disk.durable.Incarnation, lastOf(a.goal).Has(a.goal.Incarnation), c.Sets)
	}
}

// rewind cuts the data back to what the primary also holds.
func (a *agent) rewind(act member.Act) bool {
	p, up := a.host.pg, a.source()
	if up == nil || p.running || p.timeline() > up.timeline() {
		a.memory.RewindFailures++
		return false
	}
	n := 0
	for n < len(p.wal) && n < len(up.wal) && p.wal[n] == up.wal[n] {
		n++
	}
	p.wal, p.own = slices.Clip(p.wal[:n]), false
	p.asPrimary, p.clean = false, false
	a.rename(act)
	return n > 0
}

// clone copies the primary's data as it is when it ends.
func (a *agent) clone(act member.Act, wanted bool) bool {
	p, up := a.host.pg, a.source()
	if !wanted || up == nil {
		p.wipe()
		return false
	}
	p.present, p.busy = true, false
	p.wal, p.own = slices.Clip(up.wal), false
	a.rename(act)
	return true
}

func (a *agent) rename(act member.Act) {
	d := act.Durable
	d.Incarnation, d.SystemID = a.goal.Incarnation, systemID
	a.host.keep(d)
}
