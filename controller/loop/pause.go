package loop

import (
	"time"

	"mainstay/controller/platform"
)

// decideEvery is how often Decide is called at least while time alone may change the decision; followEvery is the same on a controller that
// does not lead, where it has nothing to decide.
const (
	decideEvery = 50 * time.Millisecond
	followEvery = time.Second
)

// Pause is how long after the Decide at now the next one is due, unless an event comes before. Reports and observations are events, so
// while all is well time alone changes nothing before an agent's report is late or a barrier is due.
func (c *Core) Pause(now time.Duration) time.Duration {
	c.pause = c.untilDecide(now)
	return c.pause
}

func (c *Core) untilDecide(now time.Duration) time.Duration {
	switch {
	case !c.leading:
		return followEvery
	case c.barrier != 0 || !c.calm(now) || !c.conditions.None() || len(c.last.Problems) > 0:
		return decideEvery
	}
	due := c.untilDoubt(now)
	if due <= 0 {
		return decideEvery
	}
	if len(c.waiting) > 0 {
		due = min(due, c.barrierAt()-now)
	}
	return max(due, time.Millisecond)
}

// untilDoubt is the time until the agent that was heard least recently counts as late (doubtAfter); 0 if one is late already, or reports
// that its PostgreSQL does not answer.
func (c *Core) untilDoubt(now time.Duration) time.Duration {
	if c.state.Platform == nil {
		return 0
	}
	limit := doubtAfter(c.shortestLease())
	until := limit
	hear := func(host string) {
		until = min(until, limit-c.view.Silence(host, now))
		if r := c.view.Report(host); r != nil {
			for i := range r.Members {
				if r.Members[i].Stale > 0 || r.Members[i].WriteStale > 0 {
					until = 0
				}
			}
		}
	}
	for _, cl := range c.state.Platform.Clusters {
		for _, m := range cl.Members {
			hear(m.Host)
		}
	}
	for _, app := range c.state.Platform.Apps {
		for _, i := range app.Instances {
			hear(i.Host)
		}
	}
	return max(0, until)
}

// barrierAt is when a barrier for the waiting reports is due while no goal is about to change.
func (c *Core) barrierAt() time.Duration {
	return max(c.waits+gather, c.proposed+platform.Heartbeat(c.shortestLease())*9/10)
}
