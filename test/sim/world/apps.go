package world

import (
	"fmt"
	"math/rand/v2"
	"time"

	"mainstay/controller/appserver"
	"mainstay/controller/platform"
	"mainstay/health"
)

// scenarioApps gives a scenario apps, hooks, a policy for what leaves a site, and an operator who moves the platform between
// sites. It draws from a source of its own: the others stay what they are without it.
type scenarioApps struct {
	pools    []*pool
	hooks    []platform.Hook
	across   platform.AcrossSites // "" for automatic
	absent   bool                 // the operator approves nothing before the heal, and says no word
	refused  int                  // decided commands about apps and sites in a row
	ready    []func()             // what waits for the next pool that may start
	ownHosts bool                 // app servers do not share hosts with members
}

// AppsFrom is the first seed of a scenario with apps: from it on every scenario has some, below it none.
const AppsFrom = 1_000_000

// addApps comes before the clients join, and before the clusters are there.
func (w *World) addApps() {
	if w.seed < AppsFrom {
		return
	}
	r := w.appsRand(0)
	e := &scenarioApps{absent: r.IntN(3) == 0, ownHosts: r.IntN(3) == 0}
	e.across = []platform.AcrossSites{"", "", platform.AcrossApproval, platform.AcrossApproval, platform.AcrossNever}[r.IntN(5)]
	w.apps = e
	for i := 0; e.ownHosts && i < 2; i++ {
		h := &host{w: w, name: fmt.Sprintf("a%d", i+1)}
		h.node = w.net.join(h.name, site(i))
		h.agent = &agent{host: h, w: w}
		if r.IntN(3) == 0 {
			h.power = &switchboard{h: h, apart: r.IntN(2) == 0}
		}
		w.hosts = append(w.hosts, h)
	}
	for _, step := range platform.Steps() {
		for _, when := range []string{platform.HookBefore, platform.HookAfter} {
			if r.IntN(12) == 0 {
				onFailure := []platform.HookFailure{platform.HookStop, platform.HookGoOn}[r.IntN(2)]
				e.hooks = append(e.hooks, platform.Hook{Step: step, When: when, Exec: []string{"/hook"},
					Timeout: time.Duration(1+r.IntN(4)) * time.Second, OnFailure: onFailure})
			}
		}
	}
}

func (w *World) appsRand(n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, 0x657374617465<<8|n))
}

// addPools puts one or two app servers on each data site.
func (w *World) addPools() {
	if w.apps == nil {
		return
	}
	r := w.appsRand(1)
	w.addPool(r, "web", false)
	if r.IntN(3) == 0 {
		w.addPool(r, "api", true)
	}
}

func (w *World) addPool(r *rand.Rand, name string, everywhere bool) {
	p := &pool{w: w, name: name, cluster: w.clusters[r.IntN(len(w.clusters))], everywhere: everywhere, verified: r.IntN(2) == 0}
	if r.IntN(3) == 0 {
		p.drain = time.Duration(r.IntN(1500)) * time.Millisecond
	}
	for i := range 2 {
		var hosts []*host
		for _, h := range w.hosts {
			if w.net.sites[h.node] == site(i) && (len(h.members) == 0) == w.apps.ownHosts {
				hosts = append(hosts, h)
			}
		}
		for n := range 1 + r.IntN(2) {
			h := hosts[r.IntN(len(hosts))]
			m := &appSupervisor{w: w, host: h, pool: p, name: fmt.Sprintf("%s-%s-%d", name, site(i), n+1), site: site(i),
				stop: time.Duration(1+r.IntN(3)) * time.Second}
			m.server = &server{m: m, process: health.ProcessEnded}
			h.apps = append(h.apps, m)
			p.supervisors = append(p.supervisors, m)
		}
	}
	w.apps.pools = append(w.apps.pools, p)
}

func (w *World) pools() []*pool {
	if w.apps == nil {
		return nil
	}
	return w.apps.pools
}

// moving: a site switchover is under way, halted or not.
func (w *World) moving() bool { return w.raft.top().Change != nil }

// illApps says what is not as it should be beside the clusters, "" for nothing. Where a cluster waits for an operator,
// rightly, so does what lives with it.
func (w *World) illApps() string {
	if w.apps == nil {
		return ""
	}
	if ch := w.raft.top().Change; ch != nil {
		return fmt.Sprintf("site switchover %s to %s is still at step %s (undoing: %v, halted: %q)", ch.ID, ch.To, ch.Step, ch.Undoing, ch.Halted)
	}
	for _, p := range w.apps.pools {
		if why := p.ill(); why != "" {
			return why
		}
	}
	return ""
}

func (w *World) judgeApps() {
	for _, c := range w.clusters {
		if c.hopeless() {
			return
		}
	}
	w.clusters[0].check.Alive(w.now, w.illApps())
}

// wipe loses what the agents of a host have kept of its app servers.
func (h *host) wipe() {
	for _, m := range h.apps {
		m.durable = appserver.Durable{}
	}
}
