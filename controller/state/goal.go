package state

import "mainstay/controller/platform"

// GoalOf computes what the controllers want a member to be. It is a pure function of committed state: a failover is a
// sequence of goals, and a new leader gives the same ones.
func (s *State) GoalOf(cluster, member string) platform.Goal {
	c, conf := s.Clusters[cluster], s.ClusterConfig(cluster)
	if c == nil || conf == nil || conf.Member(member) == nil {
		return platform.Goal{}
	}
	self := s.upstream(conf, member)
	if s.FenceOf(cluster, member) != nil {
		return platform.Goal{Cluster: cluster, Listen: self.Address, Port: self.Port}
	}
	if c.Primary == "" {
		return platform.Goal{Kind: platform.GoalObserve, Cluster: cluster, Listen: self.Address, Port: self.Port}
	}
	g := platform.Goal{
		Cluster: cluster, Listen: self.Address, Port: self.Port, Epoch: c.Epoch, Timeline: c.Timeline, History: c.History, Fork: c.Fork, Opened: c.Opened,
		SystemID: c.SystemID, Incarnation: c.Members[member].Incarnation, Sets: c.Sets,
		Slots: otherMembers(conf, member), List: s.PlatformVersion, Lease: c.LongestLease, Paused: c.Pause != nil && !c.Pause.Resuming,
	}
	if c.Fencing() {
		if f := c.Attempt.Feed; f != nil && f.To == member {
			if up := s.upstream(conf, f.From); up.Member != "" {
				g.Upstream = &up
			}
		}
		return c.fencingGoal(g, member)
	}
	if member == c.Primary {
		return c.primaryGoal(g)
	}
	g.Kind = platform.GoalReplica
	from := c.Primary
	if relay := c.Upstreams[member]; relay != "" {
		from = relay
	}
	if up := s.upstream(conf, from); up.Member != "" {
		g.Upstream = &up
	}
	return g
}

func (c *Cluster) fencingGoal(g platform.Goal, member string) platform.Goal {
	switch {
	case member != c.Primary:
		g.Kind, g.Epoch = platform.GoalSealed, c.Attempt.Number
	case c.Attempt.StopOld:
		g.Kind = platform.GoalStopped
	default:
		g.Kind = platform.GoalNone // it may yet turn out well; it gets no grants
	}
	return g
}

func (c *Cluster) primaryGoal(g platform.Goal) platform.Goal {
	g.Kind = platform.GoalPrimary
	g.Create = c.SystemID == "" // it has never opened, so nobody else has data either
	if c.Attempt == nil {
		return g
	}
	switch c.Attempt.Phase {
	case PhaseCheckpoint:
		g.Checkpoint = c.Attempt.Number
	case PhaseStop:
		g.Kind, g.Clean = platform.GoalStopped, true
	}
	return g
}

// upstream is where a member is reached; its Member is "" if the platform does not say.
func (s *State) upstream(conf *platform.Cluster, member string) platform.Upstream {
	m := conf.Member(member)
	if m == nil {
		return platform.Upstream{}
	}
	h := s.Platform.Host(m.Host)
	if h == nil {
		return platform.Upstream{}
	}
	return platform.Upstream{Member: m.Name, Address: h.Address, Port: m.Port}
}

func otherMembers(conf *platform.Cluster, member string) []string {
	var names []string
	for _, m := range conf.Members {
		if m.Name != member {
			names = append(names, m.Name)
		}
	}
	return names
}
