package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// Single and multi-step faults of scenarios with apps.
var appFaults = []func(*World) string{
	(*World).siteSwitchover, (*World).siteSwitchover, (*World).siteSwitchover, (*World).crashServer, (*World).sickServer,
	(*World).crashAppAgent, (*World).crashAppAgent,
	(*World).cutOffApps, (*World).cutOffApps, (*World).cutOffApps, (*World).leaveSite, (*World).leaveSite, (*World).leaveSite,
	(*World).stallApps, (*World).reelect,
	(*World).moveBack, (*World).moveBack,
}

// planApps adds faults of their own to those of a scenario with apps.
func (w *World) planApps() {
	if w.apps == nil {
		return
	}
	r := w.appsRand(2)
	for range 1 + r.IntN(4) {
		at := quiet + time.Duration(r.Int64N(int64(trouble-quiet)))
		w.faults = append(w.faults, &fault{number: len(w.faults) + 1, at: at, run: appFaults[r.IntN(len(appFaults))]})
	}
}

// siteSwitchover is an operator who moves the platform, at any moment.
func (w *World) siteSwitchover() string {
	to := site(w.rand.IntN(2))
	w.ask(state.Command{BeginSite: &state.BeginSite{To: to, Reason: "asked"}})
	return "an operator asks for a switchover to site " + to
}

func (w *World) anyApp() *appSupervisor {
	p := w.apps.pools[w.rand.IntN(len(w.apps.pools))]
	return p.supervisors[w.rand.IntN(len(p.supervisors))]
}

// livingApp is one that runs, or any.
func (w *World) livingApp() *appSupervisor {
	m := w.anyApp()
	for range 5 {
		if !m.server.lives() {
			m = w.anyApp()
		}
	}
	return m
}

func (w *World) crashServer() string {
	m := w.livingApp()
	m.server.becomes(health.ProcessEnded)
	return "the app server " + m.name + " crashes"
}

// sickServer lets an app server run without answering.
func (w *World) sickServer() string {
	m := w.livingApp()
	m.server.sick = true
	w.later(w.span(time.Second, 14*time.Second), func() { m.server.sick = false })
	return "the app server " + m.name + " runs without answering"
}

func (w *World) crashAppAgent() string {
	m := w.livingApp()
	if !m.host.up {
		return ""
	}
	m.host.crashAgent(w.span(5*time.Millisecond, 3*time.Second))
	return "the agent of " + m.name + " ends"
}

// stallApps stops the agent of an app server, or the disk under it.
func (w *World) stallApps() string {
	h, d := w.livingApp().host, w.span(100*time.Millisecond, 5*time.Second)
	if w.rand.IntN(2) == 0 {
		w.net.freeze(h.node, d)
		return "the agent on " + h.name + " is stopped for a while"
	}
	h.stalled = max(h.stalled, w.now+d)
	return "the disk of " + h.name + " hangs for a while"
}

// cutOffApps takes the controllers away from a pool's hosts, perhaps the other hosts too, and then the primary from its site:
// only the end of the permits makes it safe to start elsewhere.
func (w *World) cutOffApps() string {
	m := w.livingApp()
	for _, o := range m.pool.supervisors {
		if o.site == m.site && w.rand.IntN(3) > 0 {
			w.cutOff(o.host, w.rand.IntN(2) == 0)
		}
	}
	w.later(w.span(0, 3*time.Second), func() { w.primaryLeaves(m.pool.cluster) })
	if w.rand.IntN(2) == 0 {
		w.later(w.span(200*time.Millisecond, 5*time.Second), func() {
			if m.host.up {
				m.host.crashAgent(w.span(5*time.Millisecond, 2*time.Second))
			}
		})
	}
	w.later(w.span(3*time.Second, 9*time.Second), w.net.mend)
	return "the hosts of " + m.pool.name + " on site " + m.site + " are cut off, and the primary leaves"
}

// primaryLeaves is an operator who switches over to the other site, or a primary that dies.
func (w *World) primaryLeaves(c *cluster) {
	p := c.primary()
	if w.rand.IntN(3) == 0 {
		p.host.fall(w.span(time.Second, 8*time.Second))
		return
	}
	for _, m := range c.members {
		if w.net.sites[m.host.node] != w.net.sites[p.host.node] {
			w.ask(state.Command{Cluster: c.name, Begin: &state.Begin{Kind: state.Switchover, Reason: "asked", To: m.name}})
			return
		}
	}
}

// leaveSite cuts the primary's site off from the others, whole: its agents vouch for its app servers for as long as they may.
func (w *World) leaveSite() string {
	s := w.net.sites[w.apps.pools[0].cluster.primary().host.node]
	for a := range w.net.names {
		for b := range w.net.names {
			if (w.net.sites[a] == s) != (w.net.sites[b] == s) {
				w.net.cut(node(a), node(b))
			}
		}
	}
	w.later(w.span(2*time.Second, 9*time.Second), w.net.mend)
	return "site " + s + ", where the primary is, is cut off"
}

// moveBack has the primary leave again as soon as its pool may start where it went, while the answers that say so are late:
// what is affirmed before they arrive is not what is so after.
func (w *World) moveBack() string {
	p := w.apps.pools[0]
	w.apps.ready = append(w.apps.ready, func() {
		late, m := w.span(300*time.Millisecond, 1500*time.Millisecond), p.cluster.primary()
		for _, i := range p.supervisors {
			for _, k := range w.controllers {
				if i.site == w.net.sites[m.host.node] {
					w.net.late[k.node][i.host.node] = late
				}
			}
		}
		w.later(w.span(0, 300*time.Millisecond), func() {
			m.pg.crash()
			m.soon()
		})
	})
	w.primaryLeaves(p.cluster)
	w.later(w.span(6*time.Second, 11*time.Second), func() {
		w.apps.ready = nil
		for i := range w.net.late {
			clear(w.net.late[i])
		}
	})
	return "the primary of " + p.name + " leaves, and again when the pool may start; answers to it are late"
}

// attendSites is an operator who reads what waits for a word. While there is trouble he says any, late; after it what ends it.
func (w *World) attendSites() {
	w.after(w.span(300*time.Millisecond, 2500*time.Millisecond), w.attendSites)
	if w.apps.absent && w.now < w.trouble {
		return
	}
	if ch := w.raft.top().Change; ch != nil && ch.Halted != "" {
		words := ch.Decisions()
		if w.now >= w.trouble {
			words = slices.DeleteFunc(words, func(word string) bool { return word == state.DecisionContinue })
		}
		w.ask(state.Command{StepSite: &state.StepSite{Change: ch.ID, Decision: words[w.rand.IntN(len(words))]}})
	}
	for _, c := range w.clusters {
		if a := c.state().Attempt; a != nil && a.Approved == "" && w.apps.across == platform.AcrossApproval &&
			(w.now >= w.trouble || w.rand.IntN(3) == 0) {
			w.counts["approved"]++
			w.ask(state.Command{Cluster: c.name, Approve: &state.Approve{Operation: a.Operation}})
		}
	}
}

// mayLeave: the policy lets a failover promote a member of another site.
func (c *cluster) mayLeave(a *state.Attempt) bool {
	e := c.w.apps
	return e == nil || e.across == "" || e.across == platform.AcrossApproval && a.Approved != ""
}

// noteApps watches what is committed about apps and sites.
func (w *World) noteApps(old, next *state.State, cmd state.Command, refused error) {
	e := w.apps
	if e == nil || cmd.App == nil && cmd.StepSite == nil && cmd.BeginSite == nil && cmd.Approve == nil {
		return
	}
	if refused != nil {
		if e.refused++; cmd.By == "mainstay" && e.refused > 40 {
			w.clusters[0].check.Alive(w.now, fmt.Sprintf("the leader decides over and over what the log refuses: %v", refused))
		}
		return
	}
	e.refused = 0
	switch {
	case cmd.BeginSite != nil:
		w.counts["site switchover begins"]++
	case cmd.App != nil && cmd.App.Move != "" && old.Apps[cmd.App.App].Site != "":
		w.counts["pool moves"]++
	case cmd.App != nil && cmd.App.Ready:
		w.counts["pool is ready"]++
		hooks := e.ready
		e.ready = nil
		for _, f := range hooks {
			f()
		}
	case cmd.App != nil && cmd.App.Restart != "":
		w.counts["app server restarted"]++
	case cmd.StepSite != nil && cmd.StepSite.Halt != "":
		w.counts["site switchover halts"]++
	case cmd.StepSite != nil && cmd.StepSite.Decision != "":
		w.counts["word "+cmd.StepSite.Decision]++
	}
	if old.Change != nil && next.Change == nil {
		w.counts["site switchover "+string(next.Changes[len(next.Changes)-1].Result)]++
	}
}
