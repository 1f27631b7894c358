package loop

import (
	"fmt"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

type waitingReport struct {
	id     uint64
	report *health.Report
}

// Report takes in an agent's report. The leader answers it after the next barrier. Other controllers only fold it into their view, so that
// it is current if they become the leader, and return ErrNotLeader.
func (c *Core) Report(id uint64, r *health.Report, now time.Duration) (Out, error) {
	if r.Platform != "" && r.Platform == c.state.PlatformID {
		c.heardOf = max(c.heardOf, r.Generation)
		if r.Generation == c.state.Generation && r.Mark != c.state.Mark {
			return c.ofOtherGroup(id, r, now)
		}
	}
	registered, silence := c.state.Runs[r.Host], time.Duration(0)
	if r.RunID != registered {
		silence = c.silenceBefore(r.Host)
	}
	speaks := c.view.Fold(r, registered, silence, now)
	switch {
	case !c.leading:
		return Out{}, ErrNotLeader
	case !speaks:
		return Out{Replies: []Reply{{ID: id, Answer: c.turnAway(r)}}}, nil
	}
	if len(c.waiting) == 0 {
		c.waits = now
	}
	c.waiting = append(c.waiting, waitingReport{id, r})
	if c.barrier != 0 || c.calm(now) && !c.fresh(r, now) {
		return Out{}, nil // the next barrier serves it, and others that come until then
	}
	return c.propose(now), nil
}

// unrecorded tells whether a run speaks for its host that the log does not have yet. The log must tell first whether this run has the disk
// of the run before it (L8).
func (c *Core) unrecorded(r *health.Report) bool {
	if c.state.Platform == nil || c.state.Platform.Host(r.Host) == nil || c.state.Runs[r.Host] == r.RunID {
		return false
	}
	last := c.view.Report(r.Host)
	return last != nil && last.RunID == r.RunID
}

// fresh tells whether an agent has not been answered in this term, or not for long.
func (c *Core) fresh(r *health.Report, now time.Duration) bool {
	return now-c.answered[r.RunID] > platform.Suspect(c.shortestLease())
}

// ofOtherGroup answers an agent that obeys another group of the same generation. Its report is not folded: the agent follows
// goals and leases of another log, so neither its report nor its silence proves anything here (S1).
func (c *Core) ofOtherGroup(id uint64, r *health.Report, now time.Duration) (Out, error) {
	if c.otherGroup == nil {
		c.otherGroup = map[string]time.Duration{}
	}
	c.otherGroup[r.Host] = now
	if !c.leading {
		return Out{}, ErrNotLeader
	}
	answer := c.turnAway(r)
	answer.Alarm = decide.TwoRecoveries
	return Out{Replies: []Reply{{ID: id, Answer: answer}}}, nil
}

// turnAway answers an agent that does not speak for its host, without goals and grants.
func (c *Core) turnAway(r *health.Report) *wire.ReportAnswer {
	return &wire.ReportAnswer{PlatformID: c.state.PlatformID, Generation: c.state.Generation, Mark: c.state.Mark,
		RunID: r.RunID, Number: r.Number, Leader: c.name,
		Alarm: fmt.Sprintf("another agent speaks for host %s: this machine is a copy of that host, or has just restarted. "+
			"This agent gets no goals until the other has been silent for %s", r.Host, c.silenceBefore(r.Host))}
}

// silenceBefore is how long a host's agent must be silent before another may speak for the host: longer than any lease (L8).
func (c *Core) silenceBefore(host string) time.Duration {
	silence := platform.CountOut(platform.DefaultLease)
	if c.state.Platform == nil {
		return silence
	}
	for _, conf := range c.state.Platform.Clusters {
		for _, m := range conf.Members {
			if m.Host == host {
				silence = max(silence, platform.CountOut(c.state.Clusters[conf.Name].LongestLease))
			}
		}
	}
	return silence
}
