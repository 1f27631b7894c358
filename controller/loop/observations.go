package loop

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Voters sets the names of the controllers that vote in the log: the observers whose observations are expected. The slice
// is not changed afterwards.
func (c *Core) Voters(names []string) { c.voters = names }

// Lacks sets the programs that this controller's own file does not allow, for its observations from now on.
func (c *Core) Lacks(text string) { c.lacks = text }

// Observations folds another controller's observations.
func (c *Core) Observations(v health.Observations, now time.Duration) {
	c.view.FoldObservations(v, now)
}

// Observe makes this controller's own observations on members and app servers from reports and probes, folds them, and returns them for the
// other controllers. began distinguishes this process from earlier ones.
func (c *Core) Observe(began string, probes []health.Observation, apps []health.InstanceObservation,
	now time.Duration) health.Observations {
	c.observed++
	out := health.Observations{Observer: c.name, Site: c.site, Number: c.observed, Began: began,
		Observations: make([]health.Observation, 0, len(probes)), Apps: c.known(apps), Lacks: c.lacks}
	var clusters []platform.Cluster
	if c.state.Platform != nil {
		clusters = c.state.Platform.Clusters
	}
	for n := range clusters {
		conf := &clusters[n]
		if cl := c.state.Clusters[conf.Name]; cl == nil || cl.Primary == "" {
			continue
		}
		for i := range conf.Members {
			v := probeOf(probes, conf.Name, conf.Members[i].Name)
			v.HeardMS = c.heard(&conf.Members[i], now)
			if c.tells(&v, platform.Suspect(conf.Lease), now) {
				out.Observations = append(out.Observations, v)
			}
		}
	}
	c.view.FoldObservations(out, now)
	return out
}

// MemberKey names a member of a cluster.
type MemberKey struct{ Cluster, Member string }

// doubtAfter is how long a member's agent may be silent before this controller probes the member itself: one missed
// heartbeat, and half a heartbeat for the network.
func doubtAfter(lease time.Duration) time.Duration { return platform.Heartbeat(lease) * 3 / 2 }

// Doubted names the members that this controller should probe itself, at once and often: their agents are silent, or report
// that PostgreSQL does not answer.
func (c *Core) Doubted(now time.Duration) (out map[MemberKey]bool) {
	if c.state.Platform == nil {
		return nil
	}
	for n := range c.state.Platform.Clusters {
		conf := &c.state.Platform.Clusters[n]
		if c.state.Clusters[conf.Name].Primary == "" {
			continue
		}
		limit := doubtAfter(conf.Lease)
		for i := range conf.Members {
			m := &conf.Members[i]
			if r := c.view.Fresh(m, limit, now); r == nil || r.Stale > 0 {
				if out == nil {
					out = map[MemberKey]bool{}
				}
				out[MemberKey{conf.Name, m.Name}] = true
			}
		}
	}
	return out
}

// probeOf is the probes' result for a member.
func probeOf(probes []health.Observation, cluster, member string) health.Observation {
	for i := range probes {
		if p := &probes[i]; p.Member == member && p.Cluster == cluster {
			return *p
		}
	}
	return health.Observation{Cluster: cluster, Member: member, ProbedMS: -1}
}

// known leaves out the app servers that the platform no longer has.
func (c *Core) known(apps []health.InstanceObservation) []health.InstanceObservation {
	if c.state.Platform == nil || len(apps) == 0 {
		return nil
	}
	out := make([]health.InstanceObservation, 0, len(apps))
	for _, v := range apps {
		if a := c.state.Platform.App(v.App); a != nil && a.Instance(v.Instance) != nil {
			out = append(out, v)
		}
	}
	return out
}

// heard is the age of a member's last report in milliseconds; -1: none.
func (c *Core) heard(m *platform.Member, now time.Duration) int64 {
	silence, ever := c.view.Heard(m.Host, now)
	if !ever {
		return -1
	}
	return silence.Milliseconds()
}

// tells tells whether an observation may be given. A controller that has only just begun to observe, or cannot observe, has no evidence
// against a member, so it gives no observation instead of a bad one.
func (c *Core) tells(v *health.Observation, suspect, now time.Duration) bool {
	return now-c.view.Since > suspect || v.Heard(suspect) || v.Probed(suspect)
}
