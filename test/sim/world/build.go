package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mainstay/controller/platform"
	"mainstay/test/invariant"
)

// build draws the machines and the clusters on them: mostly one cluster, sometimes two that share hosts.
func (w *World) build() {
	controllers := 3
	if w.rand.IntN(8) == 0 {
		controllers = 5
	}
	for i := range controllers {
		name := fmt.Sprintf("c%d", i+1)
		w.voters = append(w.voters, name)
		w.controllers = append(w.controllers, &controller{w: w, name: name, node: w.net.join(name, site(i))})
	}
	members, powered := 2+w.rand.IntN(4), w.rand.IntN(3) == 0
	for i := range members {
		h := &host{w: w, name: fmt.Sprintf("h%d", i+1)}
		h.node = w.net.join(h.name, site(i%2))
		h.agent = &agent{host: h, w: w}
		if powered && w.rand.IntN(6) > 0 {
			h.power = &switchboard{h: h, apart: w.rand.IntN(2) == 0}
		}
		w.hosts = append(w.hosts, h)
	}
	w.addApps()
	w.spare = w.net.join("copy", site(w.rand.IntN(2)))
	w.addCluster("feed", "m", members)
	if w.rand.IntN(10) == 0 {
		w.addCluster("mail", "n", min(members, 2+w.rand.IntN(2)))
	}
	w.addPools()
}

func site(i int) string { return fmt.Sprintf("s%d", 1+i%3) }

// addCluster puts one member on each of the first hosts, and has two clients write to it.
func (w *World) addCluster(name, prefix string, members int) {
	c := &cluster{w: w, name: name, freezes: map[string]string{}, acks: min([]int{1, 1, 1, 2, 2, 0, 0}[w.rand.IntN(7)], members-1),
		lease: time.Duration(1+w.rand.IntN(3)) * time.Second}
	c.check = invariant.New()
	for i := range members {
		m := &supervisor{w: w, host: w.hosts[i], cluster: c, name: fmt.Sprintf("%s%d", prefix, i+1)}
		m.pg = &postgres{w: w, m: m}
		m.host.members = append(m.host.members, m)
		c.members = append(c.members, m)
	}
	for i := range 2 {
		c.clients = append(c.clients, &client{cluster: c, node: w.net.join(fmt.Sprintf("%s-client%d", name, i+1), site(i)), target: i % members})
	}
	w.clusters = append(w.clusters, c)
	c.leaves = rand.New(rand.NewPCG(w.seed, 0x6c65617665)).IntN(2) == 0
	c.degrades, c.far, c.unattended = w.rand.IntN(4) == 0, w.rand.IntN(6) == 0, w.rand.IntN(4) == 0
	if c.far {
		c.acks = min(c.acks, members/2)
	}
	c.old = w.rand.IntN(12) == 0
}

// grown is a cluster that ran before it was taken under protection: a primary, and replicas that stream or are empty.
func (c *cluster) grown() {
	p := c.members[0].pg
	p.initialise()
	p.life++
	p.running, p.primary, p.clean, p.adoptable = true, true, false, true
	p.writeProbe()
	for _, m := range c.members[1:] {
		if c.w.rand.IntN(3) == 0 {
			continue
		}
		m.pg.present, m.pg.wal = true, p.wal
		m.pg.upstream, m.pg.pointed, m.pg.settings = p, "?", "?"
		m.pg.startStandby(false)
		m.pg.adoptable = true
	}
}

func (w *World) platform() *platform.Platform {
	p := &platform.Platform{Name: "sim", Sites: []platform.Site{{Name: "s1"}, {Name: "s2"}, {Name: "s3", Witness: true}}}
	for _, h := range w.hosts {
		p.Hosts = append(p.Hosts, platform.Host{Name: h.name, Site: w.net.sites[h.node], Address: h.name, Fence: h.power.declared()})
	}
	for _, c := range w.clusters {
		p.Clusters = append(p.Clusters, c.config())
	}
	if w.apps != nil {
		p.Hooks = w.apps.hooks
	}
	for _, a := range w.pools() {
		p.Apps = append(p.Apps, a.config())
	}
	return p
}
