package loop

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Voters takes over the names of the controllers that vote in the log: the observers whose votes are expected. The slice
// is not changed afterwards.
func (c *Core) Voters(names []string) { c.voters = names }

// Votes takes in another controller's votes.
func (c *Core) Votes(v health.Votes, now time.Duration) { c.view.FoldVotes(v, now) }

// Vote makes this controller's own votes of what it has heard and of what its probes say, of members and of app servers,
// folds them in, and returns them for the others. began tells this process from earlier ones.
func (c *Core) Vote(began string, probes []health.Vote, apps []health.InstanceVote, now time.Duration) health.Votes {
	c.voted++
	out := health.Votes{Observer: c.name, Site: c.site, Number: c.voted, Began: began, Votes: []health.Vote{}, Apps: c.known(apps)}
	probed := map[string]health.Vote{}
	for _, p := range probes {
		probed[p.Cluster+"/"+p.Member] = p
	}
	for _, name := range c.state.ClusterNames() {
		conf := c.state.ClusterConfig(name)
		if conf == nil || c.state.Clusters[name].Primary == "" {
			continue
		}
		for i := range conf.Members {
			v, known := probed[name+"/"+conf.Members[i].Name]
			if !known {
				v.ProbedMS = -1
			}
			v.Cluster, v.Member, v.HeardMS = name, conf.Members[i].Name, c.heard(&conf.Members[i], now)
			if c.tells(&v, platform.Suspect(conf.Lease), now) {
				out.Votes = append(out.Votes, v)
			}
		}
	}
	c.view.FoldVotes(out, now)
	return out
}

// known leaves out the app servers that the platform no longer has.
func (c *Core) known(apps []health.InstanceVote) (out []health.InstanceVote) {
	if c.state.Platform == nil {
		return nil
	}
	for _, v := range apps {
		if a := c.state.Platform.App(v.App); a != nil && a.Instance(v.Instance) != nil {
			out = append(out, v)
		}
	}
	return out
}

// heard is the age of a member's last report in milliseconds, -1 for never.
func (c *Core) heard(m *platform.Member, now time.Duration) int64 {
	if c.view.Report(m.Host) == nil {
		return -1
	}
	return c.view.Silence(m.Host, now).Milliseconds()
}

// tells: who has only just begun to look, or cannot look, knows nothing against a member, and gives no vote rather than a bad one.
func (c *Core) tells(v *health.Vote, suspect, now time.Duration) bool {
	return now-c.view.Since > suspect && !v.Unable || v.Heard(suspect) || v.Probed(suspect)
}
