package world

import (
	"fmt"
	"time"

	"mainstay/controller/appserver"
	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/test/invariant"
)

// pool is an app: one that lives with its cluster's primary, or one that runs everywhere and is asked to refuse writes.
type pool struct {
	w           *World
	name        string
	cluster     *cluster
	everywhere  bool
	verified    bool // a site switchover ends with a write and a read through it
	drain       time.Duration
	supervisors []*appSupervisor
}

func (p *pool) config() platform.App {
	a := platform.App{Name: p.name, Needs: []string{p.cluster.name}, Run: platform.RunWithPrimary, Drain: p.drain,
		Check: platform.AppCheck{Every: observeEvery, Timeout: observeEvery, Rise: rise, Fall: fall}}
	if p.everywhere {
		a.Run, a.Quiesce, a.Resume = platform.RunEverywhere, "http://{address}/quiesce", "http://{address}/resume"
	}
	if p.verified {
		a.Verify = "http://{address}/verify"
	}
	for _, m := range p.supervisors {
		a.Instances = append(a.Instances, platform.Instance{Name: m.name, Site: m.site, Address: m.name, Host: m.host.name})
	}
	return a
}

// together shows the checker which app servers live at this moment.
func (p *pool) together() {
	if p.everywhere || p.cluster.unfenced {
		return
	}
	var living []invariant.AppServer
	for _, m := range p.supervisors {
		if m.server.lives() {
			living = append(living, invariant.AppServer{Name: m.name, Site: m.site, Unattended: m.unattended()})
		}
	}
	p.cluster.check.Together(p.w.now, p.name, living)
}

// appGrace is for how long an agent that is started may let an app server run, that an earlier one has started, if its permit had
// ended before: it asks first, for a second of its own clock, then ends it.
const appGrace = time.Second + platform.GuardKill

// unattended is the limit that is stated openly: its agent is dead or stopped at the end of its permit, or was until a moment
// ago, so that no agent could stop it. An app server whose permit has not ended needs no excuse, and gets none.
func (m *appSupervisor) unattended() bool {
	a, n := m.host.agent, m.w.net
	switch {
	case a.up && m.foundOver && m.w.now-a.since < appGrace && m.server.by != a.life:
		return true
	case !m.permitOver():
		return false
	}
	return !a.up || n.asleep(m.host.node) || m.w.now-n.slept[m.host.node] < platform.GuardKill
}

// permitOver tells whether the permit has ended by the host's clock, whether or not its agent runs.
func (m *appSupervisor) permitOver() bool { return m.goal.Permit > 0 && m.host.now() >= m.permitEnd }

// ill says what is not as it should be, "" for nothing.
func (p *pool) ill() string {
	top := p.w.raft.top()
	a, home := top.Apps[p.name], p.w.net.sites[p.cluster.primary().host.node]
	if a == nil {
		return "there is no app " + p.name
	}
	if !p.everywhere && (a.Site != home || a.Moving) {
		return fmt.Sprintf("app %s is of site %s (moving: %v), and the primary of %s on site %s", p.name, a.Site, a.Moving, p.cluster.name, home)
	}
	for _, m := range p.supervisors {
		wanted := p.everywhere || m.site == home
		if runs := m.server.process == health.ProcessRunning; runs != wanted || !wanted && m.server.lives() {
			return fmt.Sprintf("the app server %s of site %s is %s, and the primary of %s on site %s: %s", m.name, m.site, m.server.process,
				p.cluster.name, home, m)
		}
	}
	return ""
}

func (m *appSupervisor) String() string {
	act := appserver.Next(m.input())
	return fmt.Sprintf("goal %s permit %s left %s, seen %s, waits for %q %s", m.goal.Want, m.goal.Permit, m.permitEnd-m.host.now(),
		m.seen.Process, act.Wait, act.Error)
}

// watchPools looks now and then whether two sites serve at once: what begins is looked at when it does.
func (w *World) watchPools() {
	w.after(200*time.Millisecond, w.watchPools)
	for _, p := range w.pools() {
		p.together()
	}
}
