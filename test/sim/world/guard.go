package world

import (
	"time"

	"mainstay/controller/platform"
)

// guard outlives its agent and kills the member's tree when the lease has lapsed (L2). It dies only with its host.
type guard struct {
	host  *host
	epoch platform.Epoch
	end   time.Duration // local clock; 0 for idle
}

// extend takes over a lease's end; one of the same epoch never shrinks.
func (g *guard) extend(epoch platform.Epoch, end time.Duration) {
	if epoch.Less(g.epoch) || epoch == g.epoch && end <= g.end {
		return
	}
	g.epoch, g.end = epoch, end
	h, boot := g.host, g.host.boot
	kill := h.clock.when(end) + h.w.span(0, platform.GuardKill*10/12) // K is counted on the leader's clock, which may be faster
	h.w.at(kill, func() {
		if h.boot == boot && h.up && g.epoch == epoch && g.end == end {
			g.end = 0
			if h.pg.running {
				h.w.trace("guard of %s kills: the lease of %s has ended", h.member, epoch)
			}
			h.pg.crash()
			h.agent.soon()
		}
	})
}

func (g *guard) disarm() { g.end = 0 }
