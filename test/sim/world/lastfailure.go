package world

import (
	"slices"
	"time"

	"mainstay/controller/platform"
)

// lastFailure is the last thing that happens to a cluster that is well: its primary dies, and explain's bound is held to (S8).
type lastFailure struct {
	at    time.Duration
	bound time.Duration // what was predicted, of the leader's clock; 0 if nothing was
	// damage was found on the way: no prediction could know of it.
	damage bool
	// barred is for how long members may not be sealed, having promised, or having an agent that may have (L5).
	barred time.Duration
}

// slack is what the acts of this world take longer than those a prediction allows for: the seals, the promotion, and the
// opening, whose CHECKPOINT comes on top.
const slack = 2 * time.Second

// fails causes the last failure of every third scenario once all is well; nothing else is wrong any more.
func (w *World) fails() bool {
	if w.ill() || w.ordered() || w.rand.IntN(3) > 0 {
		return false
	}
	c := w.clusters[w.rand.IntN(len(w.clusters))]
	m := c.primary()
	if slices.ContainsFunc(c.members, func(m *supervisor) bool { return m.pg.damage.text != "" }) {
		return false // a prediction is up to a second old, and may not know of it
	}
	c.last.at, c.last.barred = w.now, c.barred()
	if w.rand.IntN(2) == 0 {
		w.trace("LAST postgres of %s crashes", m.name)
		m.pg.crash()
		m.soon()
	} else {
		w.trace("LAST host %s crashes", m.host.name)
		m.host.crash()
	}
	w.counts["last failure"]++
	w.follow(c, m)
	return true
}

// follow waits for the next primary, as long as was predicted, then lets the host come back.
func (w *World) follow(c *cluster, lost *supervisor) {
	deadline := w.now + platform.CountOut(c.lease) + slack + w.checkpoint
	was := c.state().Epoch
	served := func() bool { return was.Less(c.state().Epoch) && c.state().Opened }
	w.runUntil(deadline+10*time.Second, func() bool { return w.broken() || served() })
	took := w.now - c.last.at
	if c.last.bound != 0 && !w.broken() && served() {
		c.check.Within(w.now, took, c.last.bound+c.last.barred+slack+w.checkpoint)
	} else if c.last.bound != 0 && !w.broken() {
		c.check.Within(w.now, took, 0)
	}
	if !lost.host.up {
		lost.host.start()
	}
}

// blackout ends all controllers of a platform that is well, mostly, for a few leases: its primaries continue (S6).
func (w *World) blackout() bool {
	if w.ill() || w.ordered() || w.rand.IntN(5) > 0 {
		return false
	}
	w.trace("LAST all controllers end")
	w.counts["blackout"]++
	for _, k := range w.controllers {
		k.crash()
	}
	longest := time.Duration(0)
	for _, c := range w.clusters {
		longest = max(longest, c.lease)
		for _, k := range c.clients {
			k.idle, k.target, k.failed = 0, slices.Index(c.members, c.primary()), -100 // it knows the primary, and keeps asking it
		}
	}
	w.runUntil(w.now+3*longest, w.broken)
	for _, c := range w.clusters {
		c.check.Unattended(w.now, c.stopped())
	}
	for _, k := range w.controllers {
		k.restart()
	}
	return true
}

// ordered tells whether a host's power is about to be switched: an order that was sent is carried out without any controller.
func (w *World) ordered() bool {
	return slices.ContainsFunc(w.hosts, func(h *host) bool { return h.power != nil && h.power.orders > 0 })
}

// stopped says what keeps clients from writing, "" for nothing.
func (c *cluster) stopped() string {
	m := c.primary()
	switch {
	case !m.pg.running || !m.pg.primary:
		return m.name + " does not run: " + c.String()
	case c.w.now-c.check.Last() > 2*time.Second:
		return "nothing is acknowledged: " + c.String()
	}
	return ""
}

func (c *cluster) barred() time.Duration {
	var longest time.Duration
	for _, m := range c.members {
		longest = max(longest, max(m.promised.Until, m.promised.Since+platform.CountOut(m.goal.Lease))-m.host.now())
	}
	return longest
}
