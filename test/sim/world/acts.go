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
	member.Slots: 30 * time.Millisecond, member.Seal: 200 * time.Millisecond, member.Kill: 60 * time.Millisecond,
	member.StopClean: 30 * time.Millisecond, member.Rewind: 1500 * time.Millisecond, member.Clone: 2 * time.Second,
}

// begin carries an act out. Its promises are on disk first, unless they hold only once it is done.
func (a *agent) begin(act member.Act) {
	a.acting, a.cancel = true, false
	h, goal, d := a.host, a.goal, took[act.Kind]
	a.w.trace("%s: %s (%s) goal %s %s", h.member, act.Kind, act.Why, goal.Kind, goal.Epoch)
	if act.Kind == member.Rewind || act.Kind == member.Clone {
		a.discard()
	}
	if act.Kind == member.Clone {
		h.pg.wipe()
		h.pg.busy = true
	}
	persist := a.w.span(time.Millisecond, 10*time.Millisecond)
	a.on(persist, func() {
		if act.Kind != member.Rewind && act.Kind != member.Clone && act.Durable != h.disk.durable {
			h.keep(act.Durable)
		}
		a.on(a.w.span(d/3, d), func() { a.carryOut(act, goal.Epoch == a.goal.Epoch && !a.cancel) })
	})
}

// finished ends an act; one that failed is held back for a moment.
func (a *agent) finished(ok bool) {
	a.acting = false
	if !ok {
		a.waitTill = a.host.now() + 150*time.Millisecond
	}
	a.sendReport()
	a.soon()
}

func (a *agent) leased() bool { return a.lease.Epoch == a.goal.Epoch && a.lease.End > a.host.now() }

// carryOut has the act's effect; wanted is false if the goal has changed since it began.
func (a *agent) carryOut(act member.Act, wanted bool) {
	p, goal := a.host.pg, a.goal
	ok := true
	if act.Kind == member.StartPrimary || act.Kind == member.Promote {
		a.host.guard.extend(a.lease.Epoch, a.lease.End) // a start as a standby has let it idle
	}
	switch act.Kind {
	case member.Initialise:
		p.wipe()
		p.present, p.asPrimary, p.clean = true, true, true
		p.wal = []*record{{lsn: 1000, timeline: 1}}
		p.shutdown = 900
	case member.StartPrimary:
		if ok = wanted && a.leased() && !p.running; ok {
			p.set = lastOf(goal)
			p.startPrimary(act.Durable.Ran)
		}
	case member.Promote:
		if ok = wanted && a.leased() && p.running && !p.primary; ok {
			p.promote(act.Durable.Ran, goal.Timeline)
		}
	case member.StartStandby:
		a.host.guard.disarm()
		if ok = !p.running; ok {
			a.point()
			p.startStandby()
			a.memory.StreamedAt = a.host.now()
		}
	case member.Settings:
		a.host.guard.disarm()
		if ok = wanted; ok {
			a.point()
		}
	case member.LoadSet:
		if ok = wanted && p.primary; ok {
			p.set = lastOf(goal)
			p.release()
		}
	case member.Open:
		if ok = wanted && p.running && p.primary && p.timeline() == goal.Timeline; ok {
			d := a.host.disk.durable
			d.SystemID = systemID
			a.host.keep(d)
			a.memory.Opened = goal.Epoch
		}
	case member.Checkpoint:
		a.memory.Checkpointed, a.memory.SetCheckpoint = goal.Checkpoint, lastOf(goal).ID
	case member.Slots:
		p.slots = slices.Clone(goal.Slots)
	case member.Seal:
		p.upstream, p.receiver = "", nil
		if ok = wanted && p.running && !p.primary; ok {
			a.memory.SealConfirmed = goal.Epoch
		}
	case member.Kill:
		p.crash()
	case member.StopClean:
		a.memory.Restarted = goal.Kind == platform.GoalReplica
		p.stopClean(func() { a.on(0, func() { a.finished(true) }) })
		return
	case member.Rewind:
		ok = wanted && a.rewind(act)
	case member.Clone:
		ok = a.clone(act, wanted)
	}
	a.finished(ok)
}
