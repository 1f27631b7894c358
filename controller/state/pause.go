package state

import (
	"fmt"
	"time"
)

// SetPause pauses or resumes a cluster (L7). Exactly one field is set.
type SetPause struct {
	Pause  *Pause `json:"pause,omitempty"`
	Resume bool   `json:"resume,omitempty"`
	// EndResume ends a resume: the guards enforce the lease again (Guarded), or are out of reach (not Guarded, so the end of a lease
	// proves nothing).
	EndResume bool `json:"bound,omitempty"`
	Guarded   bool `json:"guarded,omitempty"`
}

func applyPause(s *State, c *Cluster, cmd Command) error {
	p := cmd.Pause
	switch {
	case p.Pause != nil:
		if c.Attempt != nil {
			return fmt.Errorf("cluster %s: operation %s is running; pause when it has ended", c.Name, c.Attempt.Operation)
		}
		// From here on the guards do not enforce the lease, so its end proves nothing (L7).
		c.Pause, c.Guarded, c.AwaitsGuards = p.Pause, false, false
	case c.Pause == nil:
		return fmt.Errorf("cluster %s is not paused", c.Name)
	case p.Resume:
		c.Pause.Resuming, c.Pause.Resumed = true, s.Index
	case p.EndResume && c.Pause.Resuming:
		c.Pause, c.Guarded = nil, p.Guarded
	default:
		return fmt.Errorf("cluster %s is not resuming", c.Name)
	}
	return nil
}

// LeaseCounted replaces the longest lease once this leader has counted out the longer one (L4).
type LeaseCounted struct {
	Longest int64 `json:"longest"` // ns
}

func applyLeaseCounted(s *State, c *Cluster, cmd Command) error {
	c.LongestLease = max(s.ClusterConfig(c.Name).Lease, time.Duration(cmd.LeaseCounted.Longest))
	return nil
}

// Ack lifts the block that an automatic failover leaves: by an operator who has seen it, or once it has expired.
type Ack struct {
	Operation string `json:"operation"` // "" for whichever blocks
}

func applyAck(_ *State, c *Cluster, cmd Command) error {
	switch {
	case c.Recovered == "":
		return fmt.Errorf("cluster %s: nothing blocks its next automatic failover; no acknowledgement is needed", c.Name)
	case cmd.Ack.Operation != "" && cmd.Ack.Operation != c.Recovered:
		return fmt.Errorf("cluster %s: operation %s blocks its next automatic failover, not %s", c.Name, c.Recovered, cmd.Ack.Operation)
	}
	c.Recovered = ""
	return nil
}
