package world

import (
	"time"

	"mainstay/controller/platform"
)

// Faults in several steps, each aimed at one rule. Those about seals and about epochs have files of their own.

// strand cuts the primary off from controllers and replicas, but not from its clients: only the end of its lease makes it
// safe to continue without it (L1 to L4).
func (w *World) strand() string {
	m := w.anyCluster().primary()
	w.cutOff(m.host, true)
	w.later(w.span(2*time.Second, 9*time.Second), w.net.mend)
	return m.name + " is stranded with its clients"
}

// cutOff cuts a host's ways from controllers and other hosts, and to them too if it must be mute.
func (w *World) cutOff(h *host, mute bool) {
	for _, c := range w.controllers {
		w.net.cut(c.node, h.node)
		if mute {
			w.net.cut(h.node, c.node)
		}
	}
	for _, o := range w.hosts {
		if o != h {
			w.net.cut(o.node, h.node)
			w.net.cut(h.node, o.node)
		}
	}
}

// laggard lets one replica receive late while the others lose the primary and leave the durability set; then the primary
// dies: only clause (b) of the drop rule keeps the laggard from being promoted.
func (w *World) laggard() string {
	c := w.anyCluster()
	p, slow := c.primary(), c.anyMember()
	if slow == p {
		return ""
	}
	slow.pg.lag = w.span(3*time.Second, 7*time.Second)
	w.later(w.span(2*time.Second, 4*time.Second), func() {
		for _, m := range c.members {
			if m != p && m != slow {
				w.net.cut(m.host.node, p.host.node)
				w.net.cut(p.host.node, m.host.node)
			}
		}
	})
	w.later(w.span(5*time.Second, 9*time.Second), func() {
		p.host.crash()
		p.host.again(w.span(2*time.Second, 8*time.Second), p.host.start)
		slow.pg.lag = 0
		w.net.mend()
	})
	return slow.name + " lags, the others lose " + p.name + ", which then dies"
}

// lateAnswers delays the leader's answers to the primary, then cuts its way out: what is granted arrives when the lease is
// nearly over (L1).
func (w *World) lateAnswers() string {
	m := w.anyCluster().primary()
	h, late := m.host, w.span(300*time.Millisecond, 3*time.Second)
	for _, c := range w.controllers {
		w.net.late[c.node][h.node] = late
	}
	w.later(w.span(500*time.Millisecond, 4*time.Second), func() {
		for to := range w.net.names {
			if n := node(to); n < m.cluster.clients[0].node {
				w.net.cut(h.node, n)
			}
		}
	})
	w.later(w.span(6*time.Second, 10*time.Second), func() {
		w.net.mend()
		for _, c := range w.controllers {
			w.net.late[c.node][h.node] = 0
		}
	})
	return "answers to " + m.name + " are late, then its reports are lost"
}

// shorten applies a shorter lease, changes the leader and strands the primary: the longer lease may still run (L4).
func (w *World) shorten() string {
	c := w.anyCluster()
	m := c.primary()
	if c.lease == time.Second {
		w.change(c, func(conf *platform.Cluster) { conf.Lease = 3 * time.Second })
		w.later(w.span(time.Second, 2*time.Second), func() { w.shortenNow(c, m) })
	} else {
		w.shortenNow(c, m)
	}
	return "the lease of " + c.name + " is shortened, and the leader changes"
}

func (w *World) shortenNow(c *cluster, m *supervisor) {
	w.change(c, func(conf *platform.Cluster) { conf.Lease = time.Second })
	w.later(w.span(20*time.Millisecond, 300*time.Millisecond), w.raft.elect)
	w.later(w.span(20*time.Millisecond, 300*time.Millisecond), func() { w.cutOff(m.host, true) })
	w.later(w.span(4*time.Second, 8*time.Second), w.net.mend)
}

// aftershock crashes the primary, and the next one soon after it was chosen; members that were cut off meanwhile return
// between the two.
func (w *World) aftershock() string {
	c := w.anyCluster()
	away := c.anyMember()
	if away != c.primary() {
		w.isolateHost(away.host)
	}
	w.later(w.span(0, 2*time.Second), func() { c.primary().host.fall(w.span(500*time.Millisecond, 6*time.Second)) })
	w.promoted = append(w.promoted, func(m *supervisor) {
		w.later(w.span(300*time.Millisecond, 4*time.Second), func() {
			w.net.mend()
			m.host.fall(w.span(time.Second, 9*time.Second))
		})
	})
	return "the primary of " + c.name + " dies, and soon the next; " + away.name + " is away"
}

// fall crashes a host for a while.
func (h *host) fall(d time.Duration) {
	if h.up {
		h.crash()
		h.again(d, h.start)
	}
}

func (w *World) isolateHost(h *host) {
	for b := range w.net.names {
		if n := node(b); n != h.node {
			w.net.cut(h.node, n)
			w.net.cut(n, h.node)
		}
	}
}
