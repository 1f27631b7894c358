package world

import (
	"slices"
	"time"
)

// copyHost lets a copy of a machine run beside it for a while: an agent with another run id reports as the same host, with
// the data as it was (L8). It lives shorter than any hold on a host's name: a copy that outlives the silence of the one it
// was made from is a machine that was restored, which cannot be told from one that was restarted.
func (w *World) copyHost() string {
	h := w.someHost()
	if !h.up || !h.agent.up || w.twin != nil || !w.heard(h) {
		return ""
	}
	w.twin = h.copy(w.spare)
	w.twin.start()
	t := w.twin
	w.later(w.span(500*time.Millisecond, 4*time.Second), func() { w.endCopy(t) })
	return "a copy of " + h.name + " is started"
}

// heard: its agent's reports arrive at every controller, the last one a moment ago: one that was silent for long is given up.
func (w *World) heard(h *host) bool {
	for _, c := range w.controllers {
		last := c.heard[h.node]
		if !c.alive || !w.net.both(c.node, h.node) || w.net.asleep(c.node) || last.boot != h.boot || w.now-last.at > time.Second {
			return false
		}
	}
	return !w.net.asleep(h.node)
}

func (h *host) copy(at node) *host {
	t := &host{w: h.w, name: h.name, node: at, twin: true, runs: h.runs, bonded: h.bonded}
	t.agent = &agent{host: t, w: h.w}
	for _, m := range h.members {
		n := &supervisor{w: h.w, host: t, cluster: m.cluster, name: m.name, durable: m.durable, kept: m.kept}
		p := m.pg
		n.pg = &postgres{w: h.w, m: n}
		n.pg.restore(p)
		t.members = append(t.members, n)
	}
	return t
}

// restore is p with the disk of another, which does not run.
func (p *postgres) restore(from *postgres) {
	*p = postgres{w: p.w, m: p.m, restored: true, life: p.life + 1, present: from.present && !from.busy, wal: slices.Clip(from.wal),
		asPrimary: from.asPrimary, shutdown: from.shutdown, settings: from.settings, pointed: from.pointed, set: from.set, shown: from.shown,
		slots: from.slots}
	p.damage.lost, p.frozen.furthest = from.damage.lost, len(p.wal)
}

func (w *World) endCopy(t *host) {
	if t != nil && t.up {
		t.crash()
	}
	if w.twin == t {
		w.twin = nil
	}
}

// restoreHost lets a host come back with the disks that it had before its last restart, as from a backup. Without a restart in between
// nothing tells the two apart.
func (w *World) restoreHost() string {
	h := w.someHost()
	if !h.up || !h.agent.up || !h.bonded || slices.ContainsFunc(h.members, func(m *supervisor) bool { return m.pg.busy || !m.pg.present }) {
		return "" // that would be a loss of its disks
	}
	image := h.copy(w.spare)
	h.crash()
	h.again(w.span(100*time.Millisecond, time.Second), h.start)
	w.later(w.span(7*time.Second, 10*time.Second), func() {
		if !h.up || h.agent.spoke == 0 {
			return
		}
		h.crash()
		h.runs = image.runs
		for i, m := range h.members {
			old := image.members[i]
			m.forget()
			m.durable, m.kept, m.aside, m.mending = old.durable, old.kept, nil, nil
			m.pg.restore(old.pg)
		}
		h.again(w.span(100*time.Millisecond, 3*time.Second), h.start)
	})
	return "host " + h.name + " restarts, and is then restored from before"
}

// lookIntoOlder is an operator who is asked once a second after all else has healed. Where an attempt has waited for long, because what
// it needs was on the lost disk of a host that came back with an older copy, he accepts the loss.
func (w *World) lookIntoOlder(c *cluster) {
	const patience = 20
	s, older := c.state(), false
	for _, m := range s.Members {
		older = older || m.Older
	}
	if c.older++; s.Attempt == nil || !older {
		c.older = 0
	}
	if c.older == patience {
		w.acceptFor(c, "", false)
	}
}
