package agent

import (
	"context"
	"maps"
	"slices"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/wakeup"
)

// pulseEvery is how often the agent checks itself.
const pulseEvery = 100 * time.Millisecond

// pulse tells whether this process gets its turns: it should tick every pulseEvery. A starved or stopped agent sees everything late,
// and must not mistake its own lateness for a member's.
type pulse struct{ last, late time.Duration }

// tick notes a tick at now, late if it came more than slack after its time.
func (p *pulse) tick(now, slack time.Duration) {
	if p.last != 0 && now-p.last > pulseEvery+slack {
		p.late = now
	}
	p.last = now
}

// fair is the time since which this process has had its turns; now, if a tick is overdue.
func (p *pulse) fair(now, slack time.Duration) time.Duration {
	if p.last != 0 && now-p.last > pulseEvery+slack {
		return now
	}
	return p.late
}

// watchItself records the agent's own pulse, and checks at each tick for hangs.
func (a *Agent) watchItself(ctx context.Context) error {
	ticker := time.NewTicker(pulseEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		a.mu.Lock()
		now := boottime.Now()
		a.pulse.tick(now, a.heartbeatEvery)
		fair, members := a.pulse.fair(now, a.heartbeatEvery), slices.Collect(maps.Values(a.members))
		a.mu.Unlock()
		for _, m := range members {
			if m.Crossed(now, fair) {
				wakeup.Signal(a.kick)
			}
		}
	}
}

// fair is the time since which the agent itself has had its turns, to within a heartbeat.
func (a *Agent) fair() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pulse.fair(boottime.Now(), a.heartbeatEvery)
}
