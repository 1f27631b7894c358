package world

import (
	"time"

	"mainstay/controller/platform"
)

// guard outlives its agent and kills the member's tree when the lease has lapsed (L2). It dies only with its host.
type guard struct {
	m     *minder
	epoch platform.Epoch
	end   time.Duration // local clock; 0 for idle
}

// extend takes over a lease's end; one of the same epoch never shrinks.
func (g *guard) extend(epoch platform.Epoch, end time.Duration) {
	if epoch.Less(g.epoch) || epoch == g.epoch && end <= g.end {
		return
	}
	g.epoch, g.end = epoch, end
	g.arm()
}

// arm waits for the end on the host's clock. K is counted on the leader's clock, which may be faster.
func (g *guard) arm() {
	w, h, boot, end := g.m.w, g.m.host, g.m.host.boot, g.end
	w.at(h.clock.when(end)+w.span(0, platform.GuardKill*10/12), func() {
		if h.boot == boot && h.up && g.end == end && end != 0 && h.now() >= end {
			g.kill()
		}
	})
}

func (g *guard) kill() {
	if g.m.pg.running {
		g.m.w.trace("guard of %s kills: the lease of %s has ended", g.m.name, g.epoch)
		g.m.w.counts["guard kills"]++
	}
	g.end = 0
	g.m.pg.crash()
	g.m.soon()
}

func (g *guard) disarm() { g.end = 0 }

// armed is the epoch the guard holds a lease of, for the report.
func (g *guard) armed() platform.Epoch {
	if g.end == 0 {
		return platform.Epoch{}
	}
	return g.epoch
}
