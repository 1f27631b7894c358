package world

import (
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/fencing/guard/machine"
)

// guard outlives its agent and kills the member's tree when the lease has lapsed (L2): the real guard's machine, which is as strict
// here. It stands for both guards, and dies only with its host. It leaves out what the guards are for: the death of one.
type guard struct {
	m *supervisor
	machine.Guard
}

func newGuard(m *supervisor) *guard {
	g := &guard{m, machine.New()}
	g.Peer = true
	return g
}

// extend takes over a lease's end, and tells whether it did.
func (g *guard) extend(epoch platform.Epoch, end time.Duration) bool {
	if g.Extend(epoch, end, g.m.host.now()) != nil {
		return false
	}
	g.arm()
	return true
}

// arm waits for the end on the host's clock. K is counted on the leader's clock, which may be faster.
func (g *guard) arm() {
	w, h, boot, end := g.m.w, g.m.host, g.m.host.boot, g.End
	w.at(h.clock.when(end)+w.span(0, platform.GuardKill*10/12), func() {
		if h.boot == boot && h.up && g.End == end && g.Due(h.now()) {
			g.kill()
		}
	})
}

func (g *guard) kill() {
	if g.m.pg.running {
		g.m.w.trace("guard of %s kills: the lease of %s has ended", g.m.name, g.Epoch)
		g.m.w.counts["guard kills"]++
	}
	g.m.pg.crash()
	g.Killed()
	g.m.soon()
}

// disarm lets it idle, and tells whether it does: not while it has to kill.
func (g *guard) disarm() bool { return g.Disarm(g.m.host.now()) == nil }

// lease is what it holds, zero for nothing.
func (g *guard) lease() member.Lease {
	if g.State != machine.Armed {
		return member.Lease{}
	}
	return member.Lease{Epoch: g.Epoch, End: g.End}
}
