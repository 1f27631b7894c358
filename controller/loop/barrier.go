package loop

import (
	"time"

	"mainstay/controller/platform"
)

// gather is how long a report waits for other reports, so that one barrier serves all of them, while no goal is about to change.
const gather = 20 * time.Millisecond

// settling is how long after a command goals may still change.
const settling = 2 * time.Second

// calm tells whether no goal is about to change. Then an answer only renews leases, and one barrier a heartbeat serves all
// agents. This also synchronises them, since each sends its next report a heartbeat after an answer. A lease counts from
// the sending of the report, so waiting is safe, and costs at most a tenth of the lease, once.
func (c *Core) calm(now time.Duration) bool {
	if !c.ready || now-c.moved < settling || c.state.Change != nil {
		return false
	}
	for _, cl := range c.state.Clusters {
		if cl.Attempt != nil || !cl.Opened {
			return false
		}
	}
	return true
}

// barrierDue tells whether a barrier for the waiting reports is due.
func (c *Core) barrierDue(now time.Duration) bool {
	if len(c.waiting) == 0 || c.barrier != 0 {
		return false
	}
	return !c.calm(now) || now >= c.barrierAt()
}

// propose proposes a barrier that serves every report waiting so far, unless one is in flight.
func (c *Core) propose(now time.Duration) Out {
	if !c.leading || c.barrier != 0 {
		return Out{}
	}
	c.inBarrier, c.waiting = c.waiting, nil
	c.barriers++
	c.barrier, c.barrierSince, c.proposed = c.barriers, now, now
	return Out{Barrier: c.barrier}
}

// BarrierDone takes in the result of a barrier, up to which the state is applied. A barrier of an earlier term serves no report: it was
// committed before the reports of this term arrived (L1).
func (c *Core) BarrierDone(barrier uint64, err error, now time.Duration) Out {
	if !c.leading || barrier != c.barrier {
		return Out{}
	}
	served := c.inBarrier
	c.inBarrier, c.barrier = nil, 0
	out := Out{Replies: make([]Reply, 0, len(served))}
	if err == nil {
		c.ready = true
	}
	if err == nil && c.givenUp() {
		err = ErrNotLeader
	}
	of := news{}
	for _, w := range served {
		reply := Reply{ID: w.id, Err: err}
		if err == nil && c.unrecorded(w.report) {
			c.waiting = append(c.waiting, w) // otherwise its answer might contain a goal that is meant for its predecessor only
			continue
		}
		if err == nil {
			reply.Answer = c.answer(w.report, of, now)
			c.answered[w.report.RunID] = now
		}
		out.Replies = append(out.Replies, reply)
	}
	if c.barrierDue(now) {
		out.Barrier = c.propose(now).Barrier
	}
	return out
}

// Stalled records how long a write to this controller's own disk has not returned. It is called before each Decide.
func (c *Core) Stalled(d time.Duration) { c.stalled = d }

// distrustSelf subtracts from the age of the barrier in flight the time in which this loop did not run: a host without a free CPU says
// nothing about the disk.
func (c *Core) distrustSelf(now time.Duration) {
	if late := now - c.decided - max(c.pause, decideEvery); c.decided != 0 && late > decideEvery {
		c.barrierSince = min(now, c.barrierSince+late)
	}
	c.decided = now
}

// barrierLimit is a fifth of the shortest lease (L6).
func (c *Core) barrierLimit() time.Duration { return c.shortestLease() / 5 }

func (c *Core) shortestLease() time.Duration {
	limit := platform.DefaultLease
	if c.state.Platform != nil {
		for i := range c.state.Platform.Clusters {
			limit = min(limit, c.state.Platform.Clusters[i].Lease)
		}
	}
	return limit
}
