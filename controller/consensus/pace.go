package consensus

import (
	"sync"
	"time"
)

// pace is what raft's timeouts follow.
type pace struct {
	mu      sync.Mutex
	timeout time.Duration // of this controller
	leads   bool
}

// leisure is by how much a leader's own heartbeat timeout is longer on a quiet machine. Raft sends heartbeats at random intervals of a
// tenth to a fifth of it. A leader uses its timeout for nothing else, and with 100 to 200 ms its followers, which count on their own,
// still hear from it at least twice in theirs. Heartbeats are most of what an idle controller does.
const leisure = 2

// Retime changes the heartbeat and the election timeout of this controller from now on. It must not be below Options.Lease.
func (l *Log) Retime(timeout time.Duration) error {
	return l.repace(func(p *pace) { p.timeout = timeout })
}

// Timeout is the heartbeat timeout in force while this controller does not lead.
func (l *Log) Timeout() time.Duration {
	l.pace.mu.Lock()
	defer l.pace.mu.Unlock()
	return l.pace.timeout
}

// repace changes what the timeouts follow, unless raft refuses the result.
func (l *Log) repace(change func(*pace)) error {
	l.pace.mu.Lock()
	defer l.pace.mu.Unlock()
	next := pace{timeout: l.pace.timeout, leads: l.pace.leads}
	change(&next)
	c := l.raft.ReloadableConfig()
	c.HeartbeatTimeout = next.timeout
	if next.leads && next.timeout == l.options.Heartbeat {
		c.HeartbeatTimeout *= leisure
	}
	c.ElectionTimeout = max(c.HeartbeatTimeout, l.election(next.timeout))
	if err := l.raft.ReloadConfig(c); err != nil {
		return err
	}
	l.pace.timeout, l.pace.leads = next.timeout, next.leads
	return nil
}

// election is the election timeout that belongs to a heartbeat timeout: the same, but at first that of the options.
func (l *Log) election(timeout time.Duration) time.Duration {
	if timeout == l.options.Heartbeat {
		return l.options.Election
	}
	return timeout
}
