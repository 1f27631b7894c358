package world

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// relaxed has an operator make a cluster asynchronous, mostly, where it is not: then the end of leases is the first proof
// there is. It tells how long that takes.
func (w *World) relaxed(c *cluster) time.Duration {
	if c.conf().Durability.Acks == 0 || c.far || w.rand.IntN(3) == 0 {
		return 0
	}
	w.change(c, func(conf *platform.Cluster) { conf.Durability.Acks = 0 })
	return w.span(1500*time.Millisecond, 3*time.Second)
}

// flicker lets a stranded primary be heard for a moment, but hear nothing: the attempt is abandoned for a higher epoch,
// of which it never learns while it lives on under the lease of the one before (L3). It is silent again before anything is
// granted of the higher one.
func (w *World) flicker() string {
	c := w.anyCluster()
	w.later(w.relaxed(c), func() {
		h := c.primary().host
		w.cutOff(h, true)
		w.later(platform.Suspect(c.lease)+w.span(100*time.Millisecond, 700*time.Millisecond), func() {
			for _, k := range w.controllers {
				w.net.cuts[h.node][k.node] = false
			}
			w.abandoned = append(w.abandoned, func() { w.cutOff(h, true) })
		})
		w.later(w.span(4*time.Second, 9*time.Second), w.net.mend)
	})
	return "the primary of " + c.name + " flickers"
}

// unheld pauses a cluster, so that no guard holds its primary, and strands that. Then an operator resumes, or accepts a loss
// and does not stand in for the fence: the end of the lease proves nothing (L7).
func (w *World) unheld() string {
	c := w.anyCluster()
	w.later(w.relaxed(c), func() {
		m := c.primary()
		w.ask(state.Command{Cluster: c.name, Pause: &state.SetPause{Pause: &state.Pause{By: "operator", Reason: "work"}}})
		d := w.span(500*time.Millisecond, 1500*time.Millisecond)
		w.later(d, func() { w.cutOff(m.host, true) })
		w.later(d+w.span(time.Second, 2*time.Second), func() {
			if to := c.anyMember(); to != m && w.rand.IntN(2) == 0 {
				w.acceptFor(c, to.name, false)
			} else {
				w.resume(c)
			}
		})
		w.later(d+w.span(7*time.Second, 10*time.Second), func() {
			w.net.mend()
			w.resume(c)
		})
	})
	return c.name + " is paused, and its primary stranded"
}

// beyond lets one member get a little ahead, whose agent is not heard. The primary dies; that member restarts, so that it
// does not know the end of its WAL, and is heard again just as the next has been promoted, which must wait for it: its
// commits may not be released by a position past the fork (S2).
func (w *World) beyond() string {
	c := w.anyCluster()
	if len(c.members) < 4 || c.far {
		return ""
	}
	w.change(c, func(conf *platform.Cluster) { conf.Durability.Acks = len(c.members) - 2 })
	w.later(w.span(1500*time.Millisecond, 2500*time.Millisecond), func() {
		m, up := c.primary(), c.anyMember()
		for up == m {
			up = c.anyMember()
		}
		for _, k := range w.controllers {
			w.net.cut(up.host.node, k.node)
			w.net.cut(k.node, up.host.node)
		}
		for _, o := range c.members {
			if o != m && o != up {
				o.pg.lag = w.span(500*time.Millisecond, 1500*time.Millisecond)
			}
		}
		d := w.span(1200*time.Millisecond, 2*time.Second)
		w.later(d, func() {
			m.host.fall(w.span(6*time.Second, 9*time.Second))
			for _, o := range c.members {
				o.pg.lag = 0
			}
		})
		w.later(d+w.span(0, 600*time.Millisecond), up.pg.restartsSlowly)
		w.promoted = append(w.promoted, func(*supervisor) { w.later(w.span(0, 300*time.Millisecond), w.net.mend) })
	})
	return "a member of " + c.name + " is ahead, not heard and restarts; the primary dies"
}

// raised makes a cluster synchronous that was not, and loses its primary a moment later: the next one was told just before,
// and its backends may not know yet that they must wait (S2).
func (w *World) raised() string {
	c := w.anyCluster()
	if c.far || c.acks == 0 {
		return ""
	}
	acks := c.acks
	w.later(w.relaxed(c), func() {
		w.change(c, func(conf *platform.Cluster) { conf.Durability.Acks = acks })
		w.later(w.span(500*time.Millisecond, 1700*time.Millisecond), func() {
			c.primary().host.fall(w.span(2*time.Second, 6*time.Second))
		})
	})
	return c.name + " waits for replicas again, and its primary dies"
}
