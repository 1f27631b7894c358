package state

import "mainstay/controller/platform"

// GoalOf computes a member's goal. It is a pure function of committed state: a failover is a sequence of goals, and a new
// leader gives the same ones.
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
	if s.FencedOff(m.Host) != nil {
		return platform.Goal{Cluster: cluster, Listen: self.Address, Port: self.Port, Watchdog: asked}
	}
	if c.Primary == "" {
		return platform.Goal{Kind: platform.GoalObserve, Cluster: cluster, Listen: self.Address, Port: self.Port, Watchdog: asked}
	}
	g := platform.Goal{
		Cluster: cluster, Listen: self.Address, Port: self.Port, Epoch: c.Epoch, Timeline: c.Timeline,
		History: c.History, Fork: c.Fork(), ForkFinal: c.ForkFinal, Opened: c.Opened,
		SystemID: c.SystemID, Incarnation: c.Members[member].Incarnation, Sets: c.Sets, OtherMembers: otherMembers(conf, member),
		MembersVersion: s.PlatformVersion, Lease: c.LongestLease, Paused: c.Pause != nil && !c.Pause.Resuming, Watchdog: asked,
		Archive: conf.Backup != nil && conf.Backup.Archives(),
	}
	if c.Fencing() {
		if f := c.Attempt.CatchUp; f != nil && f.To == member {
			if up := s.upstream(conf, f.From); up.Member != "" {
				g.Upstream = &up
			}
		}
		c.fencingGoal(&g, member)
		if g.Kind == platform.GoalSealed {
			g.Freeze = c.freezeGoal(member)
		}
		return g
	}
	if member == c.Primary {
		s.primaryGoal(c, &g)
		return g
	}
	g.Kind, g.Freeze, g.Mend = platform.GoalReplica, c.freezeGoal(member), c.Members[member].mendGoal()
	if g.Damaged = c.Members[member].DamagedAs; c.Members[c.Primary].Excluded+c.Members[c.Primary].Cleared == "" {
		g.Damage = c.Members[member].Excluded
	}
	if p := c.Members[c.Primary]; p.Excluded != "" && conf.Failover.OnCorruption == platform.AutomaticOnCorruption {
		g.Verify = p.DamagedAs
	}
	from := c.Primary
	if upstream := c.Upstreams[member]; upstream != "" {
		from = upstream
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
		g.Kind = platform.GoalNone // it may still recover; it gets no grants
	}
}

func (s *State) primaryGoal(c *Cluster, g *platform.Goal) {
	if c.Members[c.Primary].Older { // its epoch may have been taken up with the lost disk
		if g.Kind = platform.GoalStopped; g.Paused {
			g.Kind = platform.GoalNone
		}
		return
	}
	g.Kind = platform.GoalPrimary
	g.Create = c.SystemID == "" // no primary has ever opened, so no other member has data either
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

// EarlyCheckpoint is the tag of the CHECKPOINT that a site switchover asks of a cluster's primary before it quiesces the apps, so
// that they wait for less; zero for none. The cluster's own switchover then uses it.
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

// watchdog is the platform file's setting for the watchdog of a member's host. Its timeout follows the lease granted from now on,
// even while a longer one may still be in force: too short a timeout is safe.
func watchdog(conf *platform.Cluster, h *platform.Host) *platform.Watchdog {
	if h == nil || h.Watchdog == platform.WatchdogOff {
		return nil
	}
	return &platform.Watchdog{Mode: h.Watchdog, Timeout: platform.WatchdogTimeout(conf.Lease)}
}

// upstream is a member's address; its Member is "" if the platform does not have it.
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
