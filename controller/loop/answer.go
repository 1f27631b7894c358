package loop

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// answer confirms goals and grants leases for one report, on state applied up to an entry that was committed after the report arrived (L1).
// Every grant is recorded before the answer leaves (L3). of holds the parts that all answers of this moment share.
func (c *Core) answer(r *health.Report, of news, now time.Duration) *wire.ReportAnswer {
	goals := c.goalsOf(r.Host)
	a := &wire.ReportAnswer{
		PlatformID: c.state.PlatformID, Generation: c.state.Generation, Mark: c.state.Mark,
		RunID: r.RunID, Number: r.Number, Leader: c.name, Index: c.state.Index, Version: goals.version,
		Goals: goals.members, Heartbeat: platform.Heartbeat(platform.DefaultLease),
	}
	if c.state.Platform == nil {
		return a
	}
	if released := c.state.Releases(r.Host); len(released) > 0 {
		// its agent still reports these members, so it has not released them
		maps.DeleteFunc(released, func(name string, _ platform.Goal) bool { return r.Member(name) == nil })
		maps.Copy(released, goals.members)
		a.Goals = released
	}
	heartbeat := platform.MaxLease
	for i := range c.state.Platform.Clusters {
		conf := &c.state.Platform.Clusters[i]
		for j := range conf.Members {
			m := &conf.Members[j]
			if m.Host != r.Host {
				continue
			}
			heartbeat = min(heartbeat, platform.Heartbeat(conf.Lease))
			c.others(conf, of, now).addTo(a)
			if by, order := decide.CheckOrder(decide.Input{State: c.state, View: c.view, Now: now}, conf.Name); by == m.Name {
				if a.Checks == nil {
					a.Checks = map[string]platform.CheckOrder{}
				}
				a.Checks[m.Name] = order
			}
			if order, any := decide.BackupOrder(decide.Input{State: c.state, View: c.view, Now: now}, conf.Name, m.Name); any {
				a.Backups = with(a.Backups, map[string]platform.BackupOrder{m.Name: order})
			}
			if g := c.grant(conf, m.Name, r, now, a); g != nil {
				a.Grants = append(a.Grants, *g)
			}
		}
	}
	heartbeat = min(heartbeat, c.permits(r, goals, now, a))
	if heartbeat < platform.MaxLease {
		a.Heartbeat = heartbeat
	}
	return a
}

// hostGoals are the goals of one host. Answers share the maps, so they are never edited.
type hostGoals struct {
	version   string
	members   map[string]platform.Goal
	instances map[string]platform.InstanceGoal
}

func (c *Core) goalsOf(host string) *hostGoals {
	if g := c.goals[host]; g != nil {
		return g
	}
	g := &hostGoals{WakeVersion(c.state, host), map[string]platform.Goal{}, c.state.InstanceGoals(host)}
	c.goals[host] = g
	if c.state.Platform == nil {
		return g
	}
	for i := range c.state.Platform.Clusters {
		conf := &c.state.Platform.Clusters[i]
		for j := range conf.Members {
			if m := &conf.Members[j]; m.Host == host {
				g.members[m.Name] = c.state.GoalOf(conf.Name, m.Name)
			}
		}
	}
	return g
}

type held struct{ cluster, member string }

type holder struct {
	run string
	end time.Duration
}

func (c *Core) grant(conf *platform.Cluster, member string, r *health.Report, now time.Duration, a *wire.ReportAnswer) *wire.Grant {
	cl := c.state.Clusters[conf.Name]
	if cl.Primary != member || cl.Fencing() || c.fenced[conf.Name] == cl.Epoch || c.state.FencedOff(r.Host) != nil {
		return nil
	}
	seen := r.Member(member)
	if cl.Members[member].Older {
		return nil // its epoch belongs to the disk that is lost
	}
	if seen == nil || cl.Epoch.Less(seen.Epoch) || !seen.Closed.Less(cl.Epoch) {
		return nil // the agent has obeyed a later epoch, or has closed this one for good
	}
	if cl.Guarded && !seen.Guard.Complete {
		return nil // a lease that no guard enforces must not look like one that a guard enforces (L2)
	}
	key := held{conf.Name, member}
	if h, ok := c.holders[key]; ok && h.run != r.RunID && now < h.end {
		a.Alarm = fmt.Sprintf("another agent (run %s) holds the lease of member %s: is this machine a clone of host %s? "+
			"This agent gets no lease until that one has ended", h.run, member, r.Host)
		return nil
	}
	c.leases.Record(conf.Name, member, cl.Epoch, now, conf.Lease)
	c.holders[key] = holder{r.RunID, now + platform.CountOut(conf.Lease)}
	return &wire.Grant{Member: member, Epoch: cl.Epoch, Length: conf.Lease}
}

// permits gives the goals of the host's app servers. A permit is recorded like a lease, before the answer leaves (L3): a
// pool starts on another site only once every permit has certainly ended.
func (c *Core) permits(r *health.Report, goals *hostGoals, now time.Duration, a *wire.ReportAnswer) (heartbeat time.Duration) {
	heartbeat = platform.MaxLease
	for name, g := range goals.instances {
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
			if host := c.view.Report(m.Host); host != nil && host.Address != g.Agent {
				g.Agent = host.Address
				goals.instances = maps.Clone(goals.instances)
				goals.instances[name] = g
			}
		}
	}
	a.Instances = goals.instances
	return heartbeat
}

// stopped tells whether the agent reports the app server stopped, and will start it only for a goal that says so.
func stopped(r *health.Report, instance string) bool {
	return slices.ContainsFunc(r.Instances, func(i health.Instance) bool { return i.Name == instance && i.Stopped })
}

// news is the part of answers that is about a cluster's members, by cluster; all answers of one moment share it.
type news map[string]*clusterNews

// clusterNews are the positions of a cluster's members, to which their slots may be advanced, the addresses of their agents, and what
// the primary has. Answers share the maps, so they are never edited.
type clusterNews struct {
	cluster       string
	failoverSlots []string
	tablespaces   []health.Tablespace
	archived      platform.LSN
	keptFrom      platform.LSN
	positions     map[string]platform.LSN
	peers         map[string]platform.Peer
}

func (c *Core) others(conf *platform.Cluster, of news, now time.Duration) *clusterNews {
	if n := of[conf.Name]; n != nil {
		return n
	}
	n := &clusterNews{cluster: conf.Name, keptFrom: decide.KeptFrom(decide.Input{State: c.state, View: c.view, Now: now}, conf.Name)}
	of[conf.Name] = n
	cl := c.state.Clusters[conf.Name]
	for i := range conf.Members {
		m := &conf.Members[i]
		r := c.view.Report(m.Host)
		if r == nil {
			continue
		}
		seen := r.Member(m.Name)
		if cl != nil && m.Name == cl.Primary && seen != nil {
			n.failoverSlots, n.tablespaces = failoverSlots(seen), seen.Tablespaces
			if seen.Archiver != nil {
				n.archived = seen.Archiver.Until
			}
		}
		if seen != nil && seen.Position != 0 {
			if n.positions == nil {
				n.positions = make(map[string]platform.LSN, len(conf.Members))
			}
			n.positions[m.Name] = seen.Position
		}
		if r.Address != "" {
			if n.peers == nil {
				n.peers = make(map[string]platform.Peer, len(conf.Members))
			}
			n.peers[m.Name] = platform.Peer{Host: m.Host, Address: r.Address}
		}
	}
	return n
}

func (n *clusterNews) addTo(a *wire.ReportAnswer) {
	if len(n.failoverSlots) > 0 {
		a.FailoverSlots = with(a.FailoverSlots, map[string][]string{n.cluster: n.failoverSlots})
	}
	if len(n.tablespaces) > 0 {
		a.Tablespaces = with(a.Tablespaces, map[string][]health.Tablespace{n.cluster: n.tablespaces})
	}
	if n.archived != 0 {
		a.Archived = with(a.Archived, map[string]platform.LSN{n.cluster: n.archived})
	}
	if n.keptFrom != 0 {
		a.KeptFrom = with(a.KeptFrom, map[string]platform.LSN{n.cluster: n.keptFrom})
	}
	a.Positions, a.Peers = with(a.Positions, n.positions), with(a.Peers, n.peers)
}

// with returns the union of both maps; neither is edited.
func with[V any](a, b map[string]V) map[string]V {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	both := maps.Clone(a)
	maps.Copy(both, b)
	return both
}

// failoverSlots names the slots of a primary that were synchronised to it while it was a standby: they have moved past the
// former primary's own slots of the same name. A slot that was created since has not, even under the same name. In the report
// of a standby a synchronised slot may be an old copy.
func failoverSlots(primary *health.Member) (names []string) {
	if primary.Process != health.ProcessRunning || primary.Role != health.RolePrimary {
		return nil
	}
	for _, s := range primary.Slots {
		if s.Failover && s.Synced && !s.Invalid() {
			names = append(names, s.Name)
		}
	}
	return names
}
