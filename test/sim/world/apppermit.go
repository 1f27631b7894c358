package world

import (
	"time"

	"mainstay/controller/appserver"
	"mainstay/controller/platform"
)

// askPause lies between two questions to the agent of an instance's primary.
const askPause = 100 * time.Millisecond

// ask renews the permit while no leader answers: the agent of the primary says for how long that is good for one, counted
// from before the question was sent (L1). It returns after how long to come again.
func (m *appSupervisor) ask() time.Duration {
	g, now := m.goal, m.host.now()
	at := max(appserver.AskAt(g, m.heard), m.askedAt+askPause)
	if m.byPrimary {
		at = max(at, m.permitEnd-g.Permit/2)
	}
	if g.Permit == 0 || g.Want != platform.WantRunning || g.Agent == "" || m.asking {
		return appLookEvery
	}
	if now < at {
		return at - now
	}
	m.askedAt, m.asking = now, true
	over := m.back(func() { m.asking = false })
	m.w.after(max(g.Permit/4, askPause), over)
	peer := m.w.host(g.Agent)
	m.w.net.send(m.host.node, peer.node, func() {
		if !peer.agent.up {
			return
		}
		left := peer.leaseOf(g)
		m.w.net.send(peer.node, m.host.node, m.back(func() { m.permitByPrimary(g, now, left) }))
	})
	return askPause
}

// permitByPrimary takes the primary's agent at its word, if the goal is still the one it was asked for.
func (m *appSupervisor) permitByPrimary(asked platform.InstanceGoal, s, left time.Duration) {
	if end := s + min(left, asked.Permit); left > 0 && m.goal == asked && end > m.permitEnd {
		m.permitted(end, true)
		m.w.counts["permits vouched for"]++
	}
}

// leaseOf is for how long the member named in a goal is good for a permit under that epoch.
func (h *host) leaseOf(g platform.InstanceGoal) time.Duration {
	m := h.member(g.Primary)
	if m == nil {
		return 0
	}
	in := m.input(&m.seen)
	e, left := in.Permits(m.promises.Length)
	if e != g.Epoch {
		return 0
	}
	return left
}
