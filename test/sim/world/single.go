package world

import "time"

func (w *World) crashPostgres() string {
	m := w.anyCluster().anyMember()
	m.pg.crash()
	m.soon()
	return "postgres of " + m.name + " crashes"
}

func (w *World) crashPrimary() string {
	m := w.anyCluster().primary()
	m.pg.crash()
	m.soon()
	return "postgres of the primary " + m.name + " crashes"
}

func (w *World) crashAgent() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	h.crashAgent(w.span(100*time.Millisecond, 6*time.Second))
	return "agent of " + h.name + " crashes"
}

func (h *host) crashAgent(d time.Duration) {
	if !h.up {
		return
	}
	for _, m := range h.apps {
		if h.agent.up && h.w.rand.IntN(2) == 0 {
			m.leave()
		}
	}
	h.agent.stop()
	h.again(d, func() {
		if !h.agent.up {
			h.agent.start()
		}
	})
}

// loseState takes the agent's file of one member away while it is down.
func (w *World) loseState() string {
	m := w.someMember()
	if !m.host.up {
		return ""
	}
	m.forget()
	m.host.crashAgent(w.span(10*time.Millisecond, 3*time.Second))
	return "the agent of " + m.name + " loses its state"
}

func (w *World) crashHost() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	h.crash()
	h.again(w.span(300*time.Millisecond, 10*time.Second), h.start)
	return "host " + h.name + " crashes"
}

// destroyHost loses a host with its disks. S2 promises to outlive the primary and k-1 further members: that many.
func (w *World) destroyHost() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	for _, m := range h.members {
		if !m.cluster.mayLose() {
			return ""
		}
	}
	for _, m := range h.members {
		m.cluster.destroyed = append(m.cluster.destroyed, m.name)
	}
	h.destroy()
	h.again(w.span(300*time.Millisecond, 10*time.Second), h.start)
	return "host " + h.name + " is destroyed"
}

// isolate cuts a node off from all or some of the others, for a while.
func (w *World) isolate() string {
	a := w.anyNode()
	if w.rand.IntN(2) == 0 {
		a = w.someHost().node
	}
	all := w.rand.IntN(2) == 0
	for b := range w.net.names {
		if node(b) != a && (all || w.rand.IntN(2) == 0) {
			w.net.cut(a, node(b))
			w.net.cut(node(b), a)
		}
	}
	w.later(w.span(200*time.Millisecond, 8*time.Second), w.net.mend)
	return w.net.names[a] + " is isolated"
}

func (w *World) cutOneWay() string {
	from, to := w.anyNode(), w.anyNode()
	w.net.cut(from, to)
	return "no way from " + w.net.names[from] + " to " + w.net.names[to]
}

func (w *World) cutBoth() string {
	a, b := w.someHost().node, w.anyNode()
	w.net.cut(a, b)
	w.net.cut(b, a)
	return "no way between " + w.net.names[a] + " and " + w.net.names[b]
}

// cutSites severs one site from the others, or only one way out of it.
func (w *World) cutSites() string {
	s, oneWay := site(w.rand.IntN(3)), w.rand.IntN(3) == 0
	for a := range w.net.names {
		for b := range w.net.names {
			if w.net.sites[a] == s && w.net.sites[b] != s {
				w.net.cut(node(a), node(b))
				if !oneWay {
					w.net.cut(node(b), node(a))
				}
			}
		}
	}
	w.later(w.span(time.Second, 9*time.Second), w.net.mend)
	return "site " + s + " is cut off"
}

func (w *World) healNetwork() string {
	w.net.heal()
	return "network heals"
}

func (w *World) badNetwork() string {
	w.net.loss, w.net.twice, w.net.slow = 0.4*w.rand.Float64(), 0.3*w.rand.Float64(), w.span(0, 600*time.Millisecond)
	w.later(w.span(time.Second, 6*time.Second), func() { w.net.loss, w.net.twice, w.net.slow = 0, 0, 0 })
	return "messages are lost, repeated and late"
}

// lateNetwork delays everything for longer than a lease's margin (L1).
func (w *World) lateNetwork() string {
	w.net.slow = w.span(500*time.Millisecond, 3*time.Second)
	w.later(w.span(2*time.Second, 6*time.Second), func() { w.net.slow = 0 })
	return "messages are late"
}

func (w *World) crashController() string {
	c := w.anyController()
	c.crash()
	w.later(w.span(300*time.Millisecond, 6*time.Second), c.restart)
	return c.name + " crashes"
}

func (w *World) freezeController() string {
	c := w.anyController()
	w.net.freeze(c.node, w.span(100*time.Millisecond, 7*time.Second))
	return c.name + " is stopped for a while"
}

func (w *World) freezeAgent() string {
	h := w.someHost()
	w.net.freeze(h.node, w.span(100*time.Millisecond, 5*time.Second))
	return "the agent on " + h.name + " is stopped for a while"
}

// reelect makes leadership flap, perhaps back to the same controller.
func (w *World) reelect() string {
	for range 1 + w.rand.IntN(3) {
		w.later(w.span(0, 400*time.Millisecond), w.raft.elect)
	}
	return "leadership flaps"
}

func (w *World) slowReplica() string {
	p := w.anyCluster().anyMember().pg
	p.lag = w.span(50*time.Millisecond, 3*time.Second)
	w.later(w.span(time.Second, 6*time.Second), func() { p.lag = 0 })
	return p.m.name + " receives slowly"
}

// conflict is a query on a standby that blocks replay, and with it the startup process.
func (w *World) conflict() string {
	m := w.anyCluster().anyMember()
	m.pg.block(w.span(500*time.Millisecond, 8*time.Second))
	return "a query blocks replay on " + m.name
}

func (p *postgres) block(d time.Duration) {
	if !p.running || p.primary {
		return
	}
	p.conflict = max(p.conflict, p.w.now+d)
	life := p.life
	p.w.later(d, func() {
		if p.life == life && p.running && !p.primary && p.known && p.conflict <= p.w.now && !p.frozen.paused {
			p.replays(len(p.wal))
		}
	})
}

// hang stops a postmaster, and what a new connection would need; present sessions continue. Or what an agent sees of a member comes
// late, as from a filesystem that is slow to answer.
func (w *World) hang() string {
	m := w.someMember()
	if w.rand.IntN(3) == 0 {
		m.dim = w.now + w.span(time.Second, 9*time.Second)
		return "looks at " + m.name + " take long"
	}
	if !m.pg.running {
		return ""
	}
	m.pg.hung = w.now + w.span(300*time.Millisecond, 6*time.Second)
	return "the postmaster of " + m.name + " hangs"
}

func (w *World) stallDisk() string {
	h := w.someHost()
	h.stalled = max(h.stalled, w.now+w.span(100*time.Millisecond, 5*time.Second))
	return "the disk of " + h.name + " hangs for a while"
}

func (w *World) drift() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	h.drift()
	c := w.anyController()
	c.clock = c.clock.drift(w.now, anyRate(w.rand))
	return "clocks of " + h.name + " and " + c.name + " change their rate"
}
