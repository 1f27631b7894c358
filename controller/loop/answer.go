package loop

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// answer confirms goals and grants leases for one report, on state applied up to an entry that was committed after the
// report arrived (L1). Every grant is recorded before the answer leaves (L3).
func (c *Core) answer(r *health.Report, now time.Duration) *wire.ReportAnswer {
	a := &wire.ReportAnswer{
		PlatformID: c.state.PlatformID, Generation: c.state.Generation, Mark: c.state.Mark, RunID: r.RunID, Number: r.Number, Leader: c.name, Index: c.state.Index,
		Version: WakeVersion(c.state, r.Host), Goals: map[string]platform.Goal{}, Heartbeat: platform.Heartbeat(platform.DefaultLease),
	}
	if c.state.Platform == nil {
		return a
	}
	for name, goal := range c.state.Releases(r.Host) {
		if r.Member(name) != nil { // its agent has not let go of it yet
			a.Goals[name] = goal
		}
	}
	heartbeat := platform.MaxLease
	for i := range c.state.Platform.Clusters {
		conf := &c.state.Platform.Clusters[i]
		for _, m := range conf.Members {
			if m.Host != r.Host {
				continue
			}
			heartbeat = min(heartbeat, platform.Heartbeat(conf.Lease))
			a.Goals[m.Name] = c.state.GoalOf(conf.Name, m.Name)
			c.others(conf, a)
			if g := c.grant(conf, m.Name, r, now, a); g != nil {
				a.Grants = append(a.Grants, *g)
			}
		}
	}
	heartbeat = min(heartbeat, c.permits(r, now, a))
	if heartbeat < platform.MaxLease {
		a.Heartbeat = heartbeat
	}
	return a
}

// permits gives the goals of the host's app servers. A permit is counted like a lease, before the answer leaves (L3): a pool
// starts on another site only once every permit has surely ended.
func (c *Core) permits(r *health.Report, now time.Duration, a *wire.ReportAnswer) (heartbeat time.Duration) {
	heartbeat = platform.MaxLease
	a.Instances = c.state.InstanceGoals(r.Host)
	for name, g := range a.Instances {
		if g.Permit == 0 {
			continue
		}
		conf := c.state.ClusterConfig(g.Cluster)
		c.leases.Told(decide.PermitKey(g.App), name, r.RunID, r.Number, g.Want == platform.WantRunning)
		if !stopped(r, name) || g.Want == platform.WantRunning {
			c.leases.Record(decide.PermitKey(g.App), name, platform.Epoch{}, now, g.Permit)
		}
		heartbeat = min(heartbeat, platform.Heartbeat(conf.Lease))
		if m := conf.Member(g.Primary); m != nil {
			if host := c.view.Report(m.Host); host != nil {
				g.Agent = host.Address
				a.Instances[name] = g
			}
		}
	}
	return heartbeat
}

func (c *Core) grant(conf *platform.Cluster, member string, r *health.Report, now time.Duration, a *wire.ReportAnswer) *wire.Grant {
	cl := c.state.Clusters[conf.Name]
	if cl.Primary != member || cl.Fencing() || c.fenced[conf.Name] == cl.Epoch || c.state.Barred(r.Host) != nil {
		return nil
	}
	seen := r.Member(member)
	if seen == nil || cl.Epoch.Less(seen.Epoch) || !seen.Closed.Less(cl.Epoch) {
		return nil // it has obeyed a later epoch, or has closed this one for good
	}
	if cl.Guarded && !seen.Guard.Complete {
		return nil // a lease that no guard enforces must not look like one that is (L2)
	}
	key := held{conf.Name, member}
	if h, ok := c.holders[key]; ok && h.run != r.RunID && now < h.end {
		a.Alarm = fmt.Sprintf("member %s is already held by another agent (run %s): is host %s cloned? It gets no lease until that one's has ended", member, h.run, r.Host)
		return nil
	}
	c.leases.Record(conf.Name, member, cl.Epoch, now, conf.Lease)
	c.holders[key] = holder{r.RunID, now + platform.CountOut(conf.Lease)}
	return &wire.Grant{Member: member, Epoch: cl.Epoch, Length: conf.Lease}
}

// others tells what the leader knows of the cluster's members: how far their slots may be advanced, where their agents are.
func (c *Core) others(conf *platform.Cluster, a *wire.ReportAnswer) {
	for i := range conf.Members {
		m := &conf.Members[i]
		r := c.view.Report(m.Host)
		if r == nil {
			continue
		}
		if cl := c.state.Clusters[conf.Name]; cl != nil && m.Name == cl.Primary {
			if slots := failoverSlots(r.Member(m.Name)); len(slots) > 0 {
				if a.FailoverSlots == nil {
					a.FailoverSlots = map[string][]string{}
				}
				a.FailoverSlots[conf.Name] = slots
			}
		}
		if seen := r.Member(m.Name); seen != nil && seen.Position != 0 {
			if a.Positions == nil {
				a.Positions = make(map[string]platform.LSN, len(conf.Members))
			}
			a.Positions[m.Name] = seen.Position
		}
		if r.Address != "" {
			if a.Peers == nil {
				a.Peers = make(map[string]platform.Peer, len(conf.Members))
			}
			a.Peers[m.Name] = platform.Peer{Host: m.Host, Address: r.Address}
		}
	}
}

// failoverSlots names those of a primary that were synchronised to it while it was a standby: they have gone on from those that the former
// primary still has of its own. One that was made anew since has not, though it may bear the same name. In the report of a standby a copy
// may still stand for what went before.
func failoverSlots(primary *health.Member) (names []string) {
	if primary == nil || primary.Process != health.ProcessRunning || primary.Role != health.RolePrimary {
		return nil
	}
	for _, s := range primary.Slots {
		if s.Failover && s.Synced && !s.Invalid() {
			names = append(names, s.Name)
		}
	}
	return names
}

// stopped: the agent affirms it, and that it starts it only for a goal that says so.
func stopped(r *health.Report, instance string) bool {
	return slices.ContainsFunc(r.Instances, func(i health.Instance) bool { return i.Name == instance && i.Stopped })
}

// WakeVersion changes whenever the goals of a host may have changed: it is made of the versions they are computed from.
func WakeVersion(s *state.State, host string) string {
	v := strconv.AppendUint(make([]byte, 0, 64), s.Generation, 10)
	add := func(word, name, sep string, version uint64) {
		v = append(append(append(v, word...), name...), sep...)
		v = strconv.AppendUint(v, version, 10)
	}
	add("", "", ".", s.PlatformVersion)
	if s.Platform == nil {
		return string(v)
	}
	for i := range s.Platform.Clusters {
		conf := &s.Platform.Clusters[i]
		for _, m := range conf.Members {
			if m.Host == host {
				add("/", conf.Name, ":", s.Clusters[conf.Name].Version)
				break
			}
		}
	}
	for i := range s.Platform.Apps {
		app := &s.Platform.Apps[i]
		for j := range app.Instances {
			if a := s.Apps[app.Name]; app.Instances[j].Host == host && a != nil {
				add("/app ", app.Name, ":", a.Version)
				break
			}
		}
	}
	if s.Change != nil {
		add("/", s.Change.ID, ":", s.Change.Version)
	}
	return string(v)
}

// hold is for how long a host's agent must be silent before another may speak for the host: longer than any lease (L8).
func (c *Core) hold(host string) time.Duration {
	hold := platform.CountOut(platform.DefaultLease)
	if c.state.Platform == nil {
		return hold
	}
	for _, conf := range c.state.Platform.Clusters {
		for _, m := range conf.Members {
			if m.Host == host {
				hold = max(hold, platform.CountOut(c.state.Clusters[conf.Name].LongestLease))
			}
		}
	}
	return hold
}

// turnAway answers an agent that does not speak for its host: no goals, no grants.
func (c *Core) turnAway(r *health.Report) *wire.ReportAnswer {
	return &wire.ReportAnswer{PlatformID: c.state.PlatformID, Generation: c.state.Generation, Mark: c.state.Mark, RunID: r.RunID, Number: r.Number, Leader: c.name,
		Alarm: fmt.Sprintf("another agent speaks for host %s: this is a copy of that machine, or the machine was started anew a moment ago. It gets no goals until the other has been silent for %s", r.Host, c.hold(r.Host))}
}
