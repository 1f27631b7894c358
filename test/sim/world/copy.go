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
	t := &host{w: h.w, name: h.name, node: at, twin: true}
	t.agent = &agent{host: t, w: h.w}
	for _, m := range h.members {
		n := &supervisor{w: h.w, host: t, cluster: m.cluster, name: m.name, durable: m.durable, kept: m.kept}
		p := m.pg
		n.pg = &postgres{w: h.w, m: n, present: p.present && !p.busy, wal: slices.Clip(p.wal), asPrimary: p.asPrimary, shutdown: p.shutdown,
			settings: p.settings, pointed: p.pointed, set: p.set, shown: p.shown, slots: p.slots}
		t.members = append(t.members, n)
	}
	return t
}

func (w *World) endCopy(t *host) {
	if t != nil && t.up {
		t.crash()
	}
	if w.twin == t {
		w.twin = nil
	}
}
