package state

import (
	"fmt"

	"mainstay/controller/platform"
)

// BootstrapCluster gives a new cluster its first epoch: by initialising Member, or by adopting it as it runs.
type BootstrapCluster struct {
	Member string `json:"member"`
	Adopt  bool   `json:"adopt"`
	// Guarded, SystemID, Timeline and History are what the adopted primary's agent reported.
	Guarded  bool              `json:"guarded"`
	SystemID string            `json:"systemID,omitempty"`
	Timeline platform.Timeline `json:"timeline,omitempty"`
	History  platform.History  `json:"history,omitempty"`
	Reason   string            `json:"reason"`
}

func applyBootstrap(s *State, c *Cluster, cmd Command) error {
	b := cmd.Bootstrap
	if c.Primary != "" {
		return fmt.Errorf("cluster %s already exists; its primary is %s", c.Name, c.Primary)
	}
	if c.Members[b.Member] == nil {
		return fmt.Errorf("cluster %s has no member %s", c.Name, b.Member)
	}
	kind := Bootstrap
	c.Timeline = 1
	if b.Adopt {
		kind = Adoption
		// Its agent reports it opened, so that others may copy it, once it runs under our settings.
		c.SystemID, c.Timeline, c.History, c.Ancestry = b.SystemID, b.Timeline, b.History, b.History
		// An adopted cluster stays asynchronous until enough replicas stream under their new names: its clients must not wait for
		// acknowledgements that no member gives yet.
		c.addSet(s.epoch(c.HighEpoch+1), 0, nil)
	}
	c.Epoch = s.nextNumber(c)
	c.HighTimeline = max(c.HighTimeline, c.Timeline)
	c.Primary = b.Member
	c.grantedUnder(b.Guarded)
	if !b.Adopt {
		c.addSet(c.Epoch, s.ClusterConfig(c.Name).Durability.Acks, s.Ackers(c, c.Primary))
	}
	op := c.begin(Operation{Kind: kind, Reason: b.Reason, By: cmd.By, To: b.Member, Epoch: c.Epoch, Timeline: c.Timeline}, cmd.At)
	if b.Adopt {
		op.end(Done, b.Member+" continues as primary, without a restart", cmd.At)
	}
	return nil
}
