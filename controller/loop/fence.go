package loop

import "mainstay/controller/state"

// noteFence marks an epoch as being fenced before the command leaves: from here on it gets no grant (L3).
func (c *Core) noteFence(cmd state.Command) {
	if cmd.Fence != nil {
		for _, name := range c.ledFrom(cmd.Fence.Host) {
			c.fenced[name] = c.state.Clusters[name].Epoch
		}
		return
	}
	cl := c.state.Clusters[cmd.Cluster]
	if cl == nil {
		return
	}
	seals := cmd.Begin != nil && cmd.Begin.Kind != state.Switchover || cmd.Advance != nil && cmd.Advance.Phase == state.PhaseSeal
	if seals || cmd.Promote != nil {
		c.fenced[cmd.Cluster] = cl.Epoch
	}
}

// ledFrom names the clusters whose primary is on a host.
func (c *Core) ledFrom(host string) []string {
	var names []string
	for _, name := range c.state.ClusterNames() {
		if conf := c.state.ClusterConfig(name); conf != nil {
			if m := conf.Member(c.state.Clusters[name].Primary); m != nil && m.Host == host {
				names = append(names, name)
			}
		}
	}
	return names
}
