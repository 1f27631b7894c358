package world

import "time"

// fault does something bad and says what.
type fault func(w *World) string

// faults are drawn by weight: repeat a line to make it more likely.
var faults = []fault{
	(*World).crashPostgres, (*World).crashPostgres, (*World).crashPrimary, (*World).crashPrimary,
	(*World).crashAgent, (*World).crashHost, (*World).crashHost, (*World).destroyHost,
	(*World).isolate, (*World).isolate, (*World).cutOneWay, (*World).cutOneWay, (*World).cutBoth, (*World).healNetwork,
	(*World).crashController, (*World).freezeController, (*World).freezeController, (*World).reelect,
	(*World).freezeAgent, (*World).slowReplica, (*World).badNetwork, (*World).lateNetwork, (*World).switchover, (*World).switchover,
	(*World).strand, (*World).strand, (*World).flicker, (*World).laggard,
}

// plan draws the faults of the scenario and heals at the end of the trouble.
func (w *World) plan() {
	for n := 1 + w.rand.IntN(9); n > 0; n-- {
		f := faults[w.rand.IntN(len(faults))]
		w.at(w.span(quiet, trouble), func() {
			if what := f(w); what != "" {
				w.trace("FAULT %s", what)
			}
		})
	}
	w.at(trouble, w.heal)
}

func (w *World) heal() {
	w.trace("everything heals")
	w.net.heal()
	w.net.sleep = map[string]time.Duration{}
	for _, h := range w.hosts {
		h.lag = 0
		if !h.up {
			h.start()
		} else if !h.agent.up {
			h.agent.start()
		}
	}
	for _, c := range w.controllers {
		c.restart()
	}
}

func (w *World) anyHost() *host { return w.hosts[w.rand.IntN(len(w.hosts))] }

// primaryHost is the present primary's host, or any.
func (w *World) primaryHost() *host {
	if c := w.cluster(); c.Primary != "" {
		return w.host(c.Primary)
	}
	return w.anyHost()
}

func (w *World) someHost() *host {
	if w.rand.IntN(2) == 0 {
		return w.primaryHost()
	}
	return w.anyHost()
}

func (w *World) anyController() *controller {
	if c := w.controller(w.raft.leader); c != nil && w.rand.IntN(2) == 0 {
		return c
	}
	return w.controllers[w.rand.IntN(len(w.controllers))]
}

// nodes are all ends of the network.
func (w *World) nodes() []string {
	var names []string
	for _, c := range w.controllers {
		names = append(names, c.name)
	}
	for _, h := range w.hosts {
		names = append(names, h.name)
	}
	for _, c := range w.clients {
		names = append(names, c.name)
	}
	return names
}

func (w *World) crashPostgres() string {
	h := w.anyHost()
	h.pg.crash()
	h.agent.soonIfUp()
	return "postgres of " + h.member + " crashes"
}

func (w *World) crashPrimary() string {
	h := w.primaryHost()
	h.pg.crash()
	h.agent.soonIfUp()
	return "postgres of the primary " + h.member + " crashes"
}

func (a *agent) soonIfUp() {
	if a.up {
		a.soon()
	}
}

func (w *World) crashAgent() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	h.agent.stop()
	h.again(w.span(100*time.Millisecond, 6*time.Second), func() {
		if !h.agent.up {
			h.agent.start()
		}
	})
	return "agent of " + h.member + " crashes"
}

// again runs f later if the host has not been rebooted since.
func (h *host) again(d time.Duration, f func()) {
	boot := h.boot
	h.w.after(d, func() {
		if h.boot == boot {
			f()
		}
	})
}

func (w *World) crashHost() string {
	h := w.someHost()
	if !h.up {
		return ""
	}
	h.crash()
	h.again(w.span(300*time.Millisecond, 10*time.Second), h.start)
	return "host of " + h.member + " crashes"
}

// destroyHost loses a disk: S2 promises to outlive one, whatever acks is, so one a scenario.
func (w *World) destroyHost() string {
	h := w.someHost()
	if !h.up || w.destroyed != "" || w.acks == 0 {
		return ""
	}
	w.destroyed = h.member
	h.destroy()
	h.again(w.span(300*time.Millisecond, 10*time.Second), h.start)
	return "host of " + h.member + " is destroyed"
}

func (w *World) cut(from, to string) { w.net.cuts[way{from, to}] = true }

// isolate cuts a node off from all or some of the others, for a while.
func (w *World) isolate() string {
	nodes := w.nodes()
	node := nodes[w.rand.IntN(len(nodes))]
	if w.rand.IntN(2) == 0 {
		node = w.primaryHost().name
	}
	all := w.rand.IntN(2) == 0
	for _, other := range nodes {
		if other != node && (all || w.rand.IntN(2) == 0) {
			w.cut(node, other)
			w.cut(other, node)
		}
	}
	w.after(w.span(200*time.Millisecond, 8*time.Second), func() { w.net.cuts = map[way]bool{} })
	return node + " is isolated"
}

func (w *World) cutOneWay() string {
	nodes := w.nodes()
	from, to := nodes[w.rand.IntN(len(nodes))], nodes[w.rand.IntN(len(nodes))]
	w.cut(from, to)
	return "no way from " + from + " to " + to
}

func (w *World) cutBoth() string {
	a, b := w.someHost().name, w.nodes()[w.rand.IntN(len(w.nodes()))]
	w.cut(a, b)
	w.cut(b, a)
	return "no way between " + a + " and " + b
}

func (w *World) healNetwork() string {
	w.net.heal()
	return "network heals"
}

func (w *World) crashController() string {
	c := w.anyController()
	c.crash()
	w.after(w.span(300*time.Millisecond, 6*time.Second), c.restart)
	return c.name + " crashes"
}

func (w *World) freezeController() string {
	c := w.anyController()
	w.net.freeze(c.name, w.span(100*time.Millisecond, 7*time.Second))
	return c.name + " is frozen"
}

func (w *World) freezeAgent() string {
	h := w.someHost()
	w.net.freeze(h.name, w.span(100*time.Millisecond, 5*time.Second))
	return "agent of " + h.member + " is frozen"
}

// reelect makes leadership flap, perhaps back to the same controller.
func (w *World) reelect() string {
	for range 1 + w.rand.IntN(3) {
		w.after(w.span(0, 400*time.Millisecond), w.raft.elect)
	}
	return "leadership flaps"
}

func (w *World) slowReplica() string {
	h := w.anyHost()
	h.lag = w.span(50*time.Millisecond, 3*time.Second)
	w.after(w.span(time.Second, 6*time.Second), func() { h.lag = 0 })
	return h.member + " receives slowly"
}

func (w *World) badNetwork() string {
	w.net.loss, w.net.slow = 0.4*w.rand.Float64(), w.span(0, 600*time.Millisecond)
	w.after(w.span(time.Second, 6*time.Second), func() { w.net.loss, w.net.slow = 0, 0 })
	return "messages are lost and late"
}
