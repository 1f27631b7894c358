package world

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// Plots are faults in several steps, each aimed at one rule.

// strand cuts the primary off from controllers and replicas, but not from its clients: only the end of its lease makes it
// safe to go on without it (L1 to L4).
func (w *World) strand() string {
	h := w.primaryHost()
	w.cutOff(h, true)
	w.after(w.span(2*time.Second, 9*time.Second), func() { w.net.cuts = map[way]bool{} })
	return h.member + " is stranded with its clients"
}

// cutOff cuts a host's ways to controllers and other hosts; its own reports get through if not deaf and mute.
func (w *World) cutOff(h *host, mute bool) {
	for _, name := range w.nodes() {
		if name == h.name || name == "k1" || name == "k2" {
			continue
		}
		w.cut(name, h.name)
		if mute {
			w.cut(h.name, name)
		}
	}
}

// flicker lets a stranded primary be heard for a moment, but hear nothing: the attempt is abandoned for a higher epoch,
// of which it never learns while it lives on under the lease of the one before (L3).
func (w *World) flicker() string {
	h := w.primaryHost()
	w.cutOff(h, true)
	heard := platform.Suspect(w.lease) + w.span(50*time.Millisecond, 300*time.Millisecond)
	w.after(heard, func() {
		for _, c := range w.controllers {
			delete(w.net.cuts, way{h.name, c.name})
		}
	})
	w.after(heard+w.span(100*time.Millisecond, 400*time.Millisecond), func() { w.cutOff(h, true) })
	w.after(heard+w.span(3*time.Second, 8*time.Second), func() { w.net.cuts = map[way]bool{} })
	return h.member + " flickers"
}

// laggard lets one replica receive late while the others lose the primary and leave the durability set; then the primary
// dies: only clause (b) of the drop rule keeps the laggard from being promoted.
func (w *World) laggard() string {
	p, slow := w.primaryHost(), w.anyHost()
	if slow == p {
		return ""
	}
	slow.lag = w.span(3*time.Second, 7*time.Second)
	w.after(w.span(2*time.Second, 4*time.Second), func() {
		for _, h := range w.hosts {
			if h != p && h != slow {
				w.cut(h.name, p.name)
				w.cut(p.name, h.name)
			}
		}
	})
	w.after(w.span(5*time.Second, 9*time.Second), func() {
		p.crash()
		p.again(w.span(2*time.Second, 8*time.Second), p.start)
		slow.lag, w.net.cuts = 0, map[way]bool{}
	})
	return slow.member + " lags, the others lose " + p.member + ", which then dies"
}

// lateNetwork delays everything for longer than a lease's margin (L1).
func (w *World) lateNetwork() string {
	w.net.slow = w.span(500*time.Millisecond, 3*time.Second)
	w.after(w.span(2*time.Second, 6*time.Second), func() { w.net.slow = 0 })
	return "messages are late"
}

func (w *World) switchover() string {
	c := w.controller(w.raft.leader)
	if c == nil || !c.alive {
		return ""
	}
	to := ""
	if w.rand.IntN(2) == 0 {
		to = w.anyHost().member
	}
	w.net.awake(c.name, func() {
		c.submit(state.Command{Cluster: "feed", By: "operator", Begin: &state.Begin{Kind: state.Switchover, Reason: "asked", To: to}})
	})
	return "an operator asks for a switchover to " + to
}
