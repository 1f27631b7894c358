package world

import (
	"time"

	"mainstay/controller/loop"
	"mainstay/health"
)

// observeEvery is the pace at which controllers probe and tell each other what they see.
const observeEvery = 250 * time.Millisecond

// othersEvery is in how many rounds the controllers that do not lead are told once, while nothing is in doubt.
const othersEvery = 8

// observe probes every member, and sends this controller's own observations to the leader, and to the others seldom or in doubt.
func (c *controller) observe() {
	c.on(observeEvery, (*observing)(c))
	doubted := c.core.Doubted(c.now())
	c.probes, c.appProbes = c.probe(c.probes[:0], doubted), c.probeApps(c.appProbes[:0])
	all := &told{Observations: c.core.Observe(c.began, c.probes, c.appProbes, c.now())}
	leader := c.w.raft.leader
	everybody := len(doubted) > 0 || leader == nil || c.rounds%othersEvery == 0
	c.rounds++
	tellings := all.tellings[:0]
	for _, o := range c.w.controllers {
		if o != c && (everybody || o == leader) {
			tellings = append(tellings, telling{o, &all.Observations})
		}
	}
	for i := range tellings {
		c.w.net.sends(c.node, tellings[i].to.node, &tellings[i])
	}
}

// told is a controller's observations, with room for telling two others: one piece of memory.
type told struct {
	health.Observations
	tellings [2]telling
}

// telling is a controller's observations on their way to another.
type telling struct {
	to           *controller
	observations *health.Observations
}

func (t *telling) happen() {
	if t.to.alive {
		t.to.core.Observations(*t.observations, t.to.now())
	}
}

// probe asks the members that are in doubt, and the others once in a while, on new connections: a frozen server answers none. One
// that has had no answer for overdue counts as failed. The results are appended to all.
func (c *controller) probe(all []health.Observation, doubted map[loop.MemberKey]bool) []health.Observation {
	const overdue, rarely = 500 * time.Millisecond, time.Minute
	for _, cl := range c.w.clusters {
		for _, m := range cl.members {
			at, answered := c.probed[m]
			due := !answered || c.now()-at >= rarely || doubted[loop.MemberKey{Cluster: cl.name, Member: m.name}]
			switch lives := m.pg.running && m.pg.hung <= c.w.now && c.w.net.both(c.node, m.host.node); {
			case due && lives:
				at, answered = c.now(), true
				c.probed[m] = at
				delete(c.failing, m)
			case due && c.failing[m] == 0:
				c.failing[m] = c.now()
			}
			v := health.Observation{Cluster: cl.name, Member: m.name, ProbedMS: -1}
			if answered {
				v.ProbedMS = (c.now() - at).Milliseconds()
			}
			if since := c.failing[m]; since != 0 && c.now()-since >= overdue {
				v.FailedMS = overdue.Milliseconds() // the last of those that it has begun since
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
