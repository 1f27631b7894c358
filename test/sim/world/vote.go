package world

import (
	"time"

	"mainstay/health"
)

// votesEvery is the pace at which controllers probe and tell each other what they see.
const votesEvery = 250 * time.Millisecond

// vote probes every member, and sends what this controller sees by itself to the others.
func (c *controller) vote() {
	c.on(votesEvery, (*voting)(c))
	votes := c.core.Vote(c.began, c.probe(), c.probeApps(), c.now())
	for _, o := range c.w.controllers {
		if o != c {
			c.w.net.send(c.node, o.node, func() {
				if o.alive {
					o.core.Votes(votes, o.now())
				}
			})
		}
	}
}

func (c *controller) probe() []health.Vote {
	all := make([]health.Vote, 0, len(c.w.hosts))
	for _, cl := range c.w.clusters {
		for _, m := range cl.members {
			if m.pg.running && c.w.net.both(c.node, m.host.node) {
				c.probed[m] = c.now()
			}
			v := health.Vote{Cluster: cl.name, Member: m.name, ProbedMS: -1}
			if at, ok := c.probed[m]; ok {
				v.ProbedMS = (c.now() - at).Milliseconds()
			}
			all = append(all, v)
		}
	}
	return all
}

// transfer lets another controller win, if one can.
func (r *raft) transfer(from *controller) {
	if r.leader == from {
		r.w.counts["transfers"]++
		r.electBut(from)
	}
}
