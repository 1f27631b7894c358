package agent

import (
	"context"
	"maps"
	"slices"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/wakeup"
)

// pulseEvery is how often the agent checks itself at least, and pulseLate what it may be late beside a heartbeat.
const (
	pulseEvery = 250 * time.Millisecond
	pulseLate  = 100 * time.Millisecond
)

// pulse tells whether this process gets its turns: it ticks every pulseEvery or sooner. A starved or stopped agent sees everything
// late, and must not mistake its own lateness for a member's.
type pulse struct{ last, late time.Duration }

// tick notes a tick at now, late if it came more than a heartbeat and pulseLate after the one before.
func (p *pulse) tick(now, heartbeat time.Duration) {
	if p.overdue(now, heartbeat) {
		p.late = now
	}
	p.last = now
}

// fair is the time since which this process has had its turns; now, if a tick is overdue.
func (p *pulse) fair(now, heartbeat time.Duration) time.Duration {
	if p.overdue(now, heartbeat) {
		return now
	}
	return p.late
}

// overdue tells whether the last tick is too long ago. A heartbeat may be as short as pulseEvery.
func (p *pulse) overdue(now, heartbeat time.Duration) bool {
	return p.last != 0 && now-p.last > max(heartbeat, pulseEvery)+pulseLate
}

// watchItself records the agent's own pulse, and checks at each tick for hangs, also at the moment at which one passes a bound.
func (a *Agent) watchItself(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		pause := pulseEvery
		a.mu.Lock()
		now := boottime.Now()
		a.pulse.tick(now, a.heartbeatEvery)
		fair, members := a.pulse.fair(now, a.heartbeatEvery), slices.Collect(maps.Values(a.members))
		a.mu.Unlock()
		for _, m := range members {
			crossed, next := m.Crossed(now, fair)
			if crossed {
				wakeup.Signal(a.kick)
			}
			if next > 0 {
				pause = min(pause, next)
			}
		}
		timer.Reset(pause)
	}
}

// fair is the time since which the agent itself has had its turns, to within a heartbeat.
func (a *Agent) fair() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pulse.fair(boottime.Now(), a.heartbeatEvery)
}
