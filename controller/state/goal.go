package state

import "mainstay/controller/platform"

// GoalOf computes what the controllers want a member to be. It is a pure function of committed state: a failover is a
// sequence of goals, and a new leader gives the same ones.
func (s *State) GoalOf(cluster, member string) platform.Goal {
	c, conf := s.Clusters[cluster], s.ClusterConfig(cluster)
	if c == nil || conf == nil {
		return platform.Goal{}
	}
	m := conf.Member(member)
	if m == nil {
		return platform.Goal{}
	}
	host := s.Platform.Host(m.Host)
	self, asked := address(m, host), watchdog(conf, host)
	if s.Barred(m.Host) != nil {
		return platform.Goal{Cluster: cluster, Listen: self.Address, Port: self.Port, Watchdog: asked}
	}
	if c.Primary == "" {
		return platform.Goal{Kind: platform.GoalObserve, Cluster: cluster, Listen: self.Address, Port: self.Port, Watchdog: asked}
	}
	g := platform.Goal{
		Cluster: cluster, Listen: self.Address, Port: self.Port, Epoch: c.Epoch, Timeline: c.Timeline, History: c.History, Fork: c.Fork(), ForkFinal: c.ForkFinal, Opened: c.Opened,
		SystemID: c.SystemID, Incarnation: c.Members[member].Incarnation, Sets: c.Sets,
		Slots: otherMembers(conf, member), List: s.PlatformVersion, Lease: c.LongestLease, Paused: c.Pause != nil && !c.Pause.Resuming, Watchdog: asked,
	}
	if c.Fencing() {
		if f := c.Attempt.Feed; f != nil && f.To == member {
			if up := s.upstream(conf, f.From); up.Member != "" {
				g.Upstream = &up
			}
		}
		c.fencingGoal(&g, member)
		return g
	}
	if member == c.Primary {
		s.primaryGoal(c, &g)
		return g
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

func (c *Cluster) fencingGoal(g *platform.Goal, member string) {
	switch {
	case member != c.Primary:
		g.Kind, g.Epoch = platform.GoalSealed, c.Attempt.Number
	case c.Attempt.StopOld:
		g.Kind = platform.GoalStopped
	default:
		g.Kind = platform.GoalNone // it may yet turn out well; it gets no grants
	}
}

func (s *State) primaryGoal(c *Cluster, g *platform.Goal) {
	g.Kind = platform.GoalPrimary
	g.Create = c.SystemID == "" // it has never opened, so nobody else has data either
	if c.Attempt == nil {
		g.Checkpoint = s.EarlyCheckpoint(c)
		return
	}
	switch c.Attempt.Phase {
	case PhaseCheckpoint:
		g.Checkpoint = c.Attempt.Number
	case PhaseStop:
		g.Kind, g.Clean = platform.GoalStopped, true
	}
}

// EarlyCheckpoint is the tag of the CHECKPOINT that a site switchover wants of a cluster's primary before the apps are quiet,
// so that they need not be for as long as it takes; zero for none. The cluster's own switchover takes it for its first.
func (s *State) EarlyCheckpoint(c *Cluster) platform.Epoch {
	conf := s.ClusterConfig(c.Name)
	if s.Change == nil || s.Change.Step != platform.StepCheck || conf == nil || c.Attempt != nil || c.Primary == "" {
		return platform.Epoch{}
	}
	if m := conf.Member(c.Primary); m == nil || s.Platform.SiteOf(m.Host) == s.Change.To {
		return platform.Epoch{}
	}
	return s.epoch(c.HighEpoch + 1)
}

// watchdog is what the platform file says of the watchdog of a member's host. Its timeout follows the lease that is granted
// from now on, also where a longer one may still be in force: too short a timeout is safe.
func watchdog(conf *platform.Cluster, h *platform.Host) *platform.Watchdog {
	if h == nil || h.Watchdog == platform.WatchdogOff {
		return nil
	}
	return &platform.Watchdog{Mode: h.Watchdog, Timeout: platform.WatchdogTimeout(conf.Lease)}
}

// upstream is where a member is reached; its Member is "" if the platform does not say.
func (s *State) upstream(conf *platform.Cluster, member string) platform.Upstream {
	m := conf.Member(member)
	if m == nil {
		return platform.Upstream{}
	}
	return address(m, s.Platform.Host(m.Host))
}

func address(m *platform.Member, h *platform.Host) platform.Upstream {
	if h == nil {
		return platform.Upstream{}
	}
	return platform.Upstream{Member: m.Name, Address: h.Address, Port: m.Port}
}

func otherMembers(conf *platform.Cluster, member string) []string {
	names := make([]string, 0, len(conf.Members))
	for i := range conf.Members {
		if name := conf.Members[i].Name; name != member {
			names = append(names, name)
		}
	}
	return names
}
