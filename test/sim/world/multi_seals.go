package world

import (
	"fmt"
	"slices"
	"time"

	"mainstay/controller/state"
)

// cutAtStop has an operator switch over, and cuts the streams at the moment the primary begins to stop: the replicas have
// everything but the shutdown record, and may not be taken for having it.
func (w *World) cutAtStop() string {
	c := w.anyCluster()
	m := c.primary()
	for _, k := range c.clients {
		k.idle = w.now + 4*time.Second // the pool is paused first
	}
	w.later(w.span(300*time.Millisecond, time.Second), func() {
		w.ask(state.Command{Cluster: c.name, Begin: &state.Begin{Kind: state.Switchover, Reason: "asked"}})
	})
	spared := c.anyMember()
	m.pg.onStop = func() {
		for _, o := range c.members {
			if o != m && (o != spared || w.rand.IntN(2) == 0) {
				w.net.cut(m.host.node, o.host.node)
				w.net.cut(o.host.node, m.host.node)
			}
		}
	}
	w.later(w.span(4*time.Second, 8*time.Second), func() { m.pg.onStop = nil; w.net.mend() })
	return "a switchover of " + c.name + ", its streams cut as " + m.name + " stops"
}

// stubborn keeps the receivers alive by queries that block replay, then makes the primary's reports vanish while its WAL
// still flows: a seal by reload alone would not end the stream.
func (w *World) stubborn() string {
	c := w.anyCluster()
	m := c.primary()
	for _, o := range c.members {
		if o != m && w.rand.IntN(4) > 0 {
			o.pg.block(w.span(2*time.Second, 9*time.Second))
		}
	}
	// The agents' way is cut, the streams' is not: but a stream that was silent for a while was taken for dead.
	for _, k := range w.controllers {
		w.net.cut(m.host.node, k.node)
		w.net.cut(k.node, m.host.node)
	}
	d := w.span(time.Second, 2*time.Second)
	m.host.stalled = max(m.host.stalled, w.now+d)
	w.later(w.span(5*time.Second, 9*time.Second), w.net.mend)
	return "replay is blocked by queries; " + m.name + " is cut from the controllers, and its disk hangs"
}

// stutter elects the same or others in quick succession while results are late: what was committed in one term must serve
// no report in the next (L1). The primary is stranded meanwhile.
func (w *World) stutter() string {
	m := w.anyCluster().primary()
	for i := range 3 + w.rand.IntN(4) {
		w.later(time.Duration(i)*w.span(30*time.Millisecond, 500*time.Millisecond), w.raft.elect)
	}
	w.raft.late = w.now + 4*time.Second
	w.later(w.span(200*time.Millisecond, 2*time.Second), func() {
		l := w.raft.leader
		if l == nil {
			return
		}
		for _, c := range w.controllers {
			if c != l {
				w.net.cut(c.node, l.node)
				w.net.cut(l.node, c.node)
			}
		}
		w.onlyReach(m.host, l) // it continues for the primary only
	})
	w.later(w.span(5*time.Second, 9*time.Second), w.net.mend)
	return "leadership stutters, results are late, and " + m.name + " hears only the one that led"
}

// restartInSeal loses the primary for a while, and restarts standbys, or their agents, while they are being sealed: a
// position read from replay would understate.
func (w *World) restartInSeal() string {
	c := w.anyCluster()
	m := c.primary()
	m.host.fall(w.span(time.Second, 8*time.Second))
	for _, o := range c.members {
		if o == m || w.rand.IntN(3) == 0 {
			continue
		}
		w.later(w.span(0, 1500*time.Millisecond), func() {
			switch w.rand.IntN(3) {
			case 0:
				o.host.crashAgent(w.span(10*time.Millisecond, time.Second))
			case 1:
				o.host.fall(w.span(100*time.Millisecond, time.Second))
			default:
				o.pg.crash()
				o.soon()
			}
		})
	}
	return "host " + m.host.name + " falls, and the standbys restart while they are sealed"
}

// sleeper stops the leader's process for less than a lease, while the primary can reach only that: when it wakes it may
// still believe to lead, and reports have come in since another has won (L1).
func (w *World) sleeper() string {
	l, m := w.raft.leader, w.anyCluster().primary()
	if l == nil {
		return ""
	}
	w.onlyReach(m.host, l)
	w.net.freeze(l.node, w.span(m.cluster.lease/3, m.cluster.lease))
	w.later(w.span(5*time.Second, 9*time.Second), w.net.mend)
	return l.name + " sleeps, and " + m.name + " reaches no other controller"
}

// onlyReach cuts a host off from all controllers but one, and from the other hosts.
func (w *World) onlyReach(h *host, l *controller) {
	w.cutOff(h, true)
	w.net.cuts[h.node][l.node], w.net.cuts[l.node][h.node] = false, false
}

// ahead lets one member keep up whose agent is not heard, while the others lag; the primary dies, and perhaps so does the
// next before its CHECKPOINT is done; then the one that is ahead, on the older timeline, is heard again, perhaps just
// restarted.
func (w *World) ahead() string {
	c := w.anyCluster()
	m, up := c.primary(), c.anyMember()
	if up == m {
		return ""
	}
	w.checkpoint = max(w.checkpoint, w.span(time.Second, 4*time.Second))
	for _, k := range w.controllers {
		w.net.cut(up.host.node, k.node)
		w.net.cut(k.node, up.host.node)
	}
	for _, o := range c.members {
		if o != m && o != up {
			o.pg.lag = w.span(time.Second, 3*time.Second)
		}
	}
	w.later(w.span(time.Second, 4*time.Second), func() { m.host.fall(w.span(2*time.Second, 6*time.Second)) })
	w.promoted = append(w.promoted, func(next *supervisor) {
		for _, o := range c.members {
			o.pg.lag = 0
		}
		d := w.span(600*time.Millisecond, 4*time.Second)
		if w.rand.IntN(2) == 0 {
			w.later(d-w.span(300*time.Millisecond, 600*time.Millisecond), up.pg.restartsSlowly)
		}
		again := w.rand.IntN(2) == 0
		w.later(d, func() {
			if again {
				next.host.fall(w.span(2*time.Second, 8*time.Second))
			}
			w.net.mend()
		})
	})
	w.later(w.span(8*time.Second, 11*time.Second), w.net.mend)
	return up.name + " is ahead and not heard, " + m.name + " dies, and perhaps the next"
}

// restartsSlowly crashes a standby, which does not know the end of its WAL for a while after that.
func (p *postgres) restartsSlowly() {
	if p.running && !p.primary {
		p.crash()
		p.conflict = p.w.now + p.w.span(500*time.Millisecond, 3*time.Second)
		p.m.soon()
	}
}

// darkness takes the controllers away from all hosts, so that the primary continues by promises, perhaps through a restart of
// its agent; then the others hear the leader again and lose the primary, which still counts on what they promised, even if
// their agents do not remember (L5).
func (w *World) darkness() string {
	c := w.anyCluster()
	m := c.primary()
	for _, k := range w.controllers {
		for _, h := range w.hosts {
			w.net.cut(k.node, h.node)
			w.net.cut(h.node, k.node)
		}
	}
	if w.rand.IntN(2) == 0 {
		w.later(w.span(0, c.lease), func() {
			if m.host.up {
				m.host.crashAgent(w.span(5*time.Millisecond, 300*time.Millisecond))
			}
		})
	}
	w.later(w.span(c.lease, 2*c.lease+2*time.Second), func() {
		w.net.mend()
		w.cutOff(m.host, true)
		if w.rand.IntN(2) == 0 {
			return
		}
		for _, h := range w.hosts {
			if h != m.host && h.up {
				h.crashAgent(w.span(5*time.Millisecond, 300*time.Millisecond))
			}
		}
	})
	w.later(w.span(8*time.Second, 11*time.Second), w.net.mend)
	return "the hosts lose all controllers, then " + m.name + " loses everything but its clients"
}

// half cuts the primary and some replicas off together: they promise and it continues, while the others hear the leader. An
// operator who does not know that accepts a loss, but does not stand in for the fence (L5).
func (w *World) half() string {
	c := w.anyCluster()
	m := c.primary()
	with := []*host{m.host}
	for _, o := range c.members {
		if o != m && w.rand.IntN(2) == 0 {
			with = append(with, o.host)
		}
	}
	w.cutTogether(with)
	w.later(w.span(2*time.Second, 4*time.Second), func() {
		if to := c.anyMember(); c.state().Attempt == nil || c.state().Attempt.Accepted == nil {
			w.acceptFor(c, to.name, false)
		}
	})
	w.later(w.span(6*time.Second, 11*time.Second), w.net.mend)
	return fmt.Sprintf("%s and %d replicas are cut off together, and an operator accepts a loss", m.name, len(with)-1)
}

// cutTogether severs hosts from the controllers and from all other hosts, but not from each other.
func (w *World) cutTogether(with []*host) {
	for _, h := range with {
		for _, c := range w.controllers {
			w.net.cut(c.node, h.node)
			w.net.cut(h.node, c.node)
		}
		for _, o := range w.hosts {
			if !slices.Contains(with, o) {
				w.net.cut(o.node, h.node)
				w.net.cut(h.node, o.node)
			}
		}
	}
}

// dimly has a primary crash whose agent sees late: what it knows of the member may be from before it was started again (S4).
func (w *World) dimly() string {
	c := w.anyCluster()
	m := c.primary()
	m.dim = w.now + w.span(3*time.Second, 9*time.Second)
	if w.rand.IntN(2) == 0 { // so it is started in place, mostly
		for _, other := range c.members {
			if other.host != m.host && other.host.up {
				other.host.fall(w.span(time.Second, 6*time.Second))
			}
		}
	}
	m.pg.crash()
	m.soon()
	return m.name + " crashes, and looks at it take long"
}
