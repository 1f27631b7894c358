package agent

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// A starved host is no stuck primary: what happened while the agent had no turn itself does not count.
func TestLateness(t *testing.T) {
	const slack = 500 * ms
	var p pulse
	if p.fair(time.Hour, slack) != 0 {
		t.Error("before the first tick nothing is known to be late")
	}
	for now := 1000 * ms; now <= 2000*ms; now += pulseEvery {
		p.tick(now, slack)
	}
	if got := p.fair(2500*ms, slack); got != 0 {
		t.Errorf("late by less than a heartbeat: %s", got)
	}
	if got := p.fair(2700*ms, slack); got != 2700*ms {
		t.Errorf("a tick is overdue, so nothing counts yet: %s", got)
	}
	p.tick(5000*ms, slack)
	p.tick(5100*ms, slack)
	if got := p.fair(5600*ms, slack); got != 5000*ms {
		t.Errorf("it was itself again: %s", got)
	}
}
