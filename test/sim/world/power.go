package world

import (
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// switchboard cuts a host's power and gives it back. It may hang, fail, do what it was told and say that it failed, do it
// late, or be out of reach with its host; it never says that something was done which was not: a planted mistake does that.
type switchboard struct {
	h       *host
	apart   bool          // it has a network of its own
	hangs   time.Duration // until when it answers nothing
	falters bool          // it fails now and then
	broken  bool          // it does nothing, and says so
	dark    bool          // the power is cut: nothing starts
	orders  int           // on their way: it carries them out even if no controller wants them any more
}

// deviceTimeout bounds one try; again is the pause before the next.
const (
	deviceTimeout = 3 * time.Second
	deviceAgain   = time.Second
)

func (b *switchboard) declared() []platform.FenceDevice {
	if b == nil {
		return nil
	}
	return []platform.FenceDevice{{Agent: "fence_ipmilan"}}
}

func (h *host) dark() bool { return h.power != nil && h.power.dark }

// tell has the power switched, on behalf of a controller; answer is called at most once, with what status then shows.
func (b *switchboard) tell(c *controller, on bool, answer func(done bool)) {
	w := b.h.w
	late := w.span(50*time.Millisecond, 1500*time.Millisecond)
	switch {
	case !b.apart && !w.net.both(c.node, b.h.node):
		w.after(deviceTimeout, func() { answer(false) })
	case b.broken:
		w.after(late/4, func() { answer(false) })
	case b.hangs > w.now:
		if w.rand.IntN(3) == 0 { // it has accepted the order, and carries it out when no controller waits any more
			b.order(b.hangs-w.now+late, on, nil)
		}
		w.after(deviceTimeout, func() { answer(false) })
	case b.falters && w.now < w.trouble && w.rand.IntN(2) == 0:
		if w.rand.IntN(2) == 0 {
			b.order(late, on, nil)
		}
		w.after(late, func() { answer(false) })
	default:
		b.order(late, on, func() {
			w.after(w.span(20*time.Millisecond, 600*time.Millisecond), func() { answer(b.dark != on) })
		})
	}
}

// order makes it switch after a while; without done no controller waits for it, which is a fault that ends with all others.
func (b *switchboard) order(late time.Duration, on bool, done func()) {
	b.orders++
	b.h.w.after(late, func() {
		b.orders--
		if done == nil && b.h.w.now >= b.h.w.trouble {
			return
		}
		if b.turn(on); done != nil {
			done()
		}
	})
}

func (b *switchboard) turn(on bool) {
	switch b.h.w.trace("power of %s: on=%v", b.h.name, on); {
	case on:
		b.dark = false
		if !b.h.up {
			b.h.start()
		}
	case !b.dark:
		b.dark = true
		b.h.w.counts["power cut"]++
		b.h.crash()
	}
}

// want carries effects out, as operate.Runner does: one at a time on each host, a result proposed only while it is wanted.
func (c *controller) want() {
	var wanted []state.Effect
	if c.ready && c.term != 0 {
		wanted = c.w.raft.states[c.applied].Effects()
	}
	for e, t := range c.tries {
		if !slices.Contains(wanted, e) {
			t.unwanted = true
			if t.hangs {
				delete(c.tries, e)
			}
		}
	}
	for _, e := range wanted {
		if e.Change != "" {
			c.askFor(e)
			continue
		}
		if h := c.w.host(e.Host); h != nil && h.power != nil && !c.busy(e.Host) {
			c.try(e, h.power)
		}
	}
}

type try struct {
	unwanted bool
	hangs    bool // it never answers: it is given up once it is not wanted any more
}

func (c *controller) busy(host string) bool {
	for e := range c.tries {
		if e.Host == host {
			return true
		}
	}
	return false
}

func (c *controller) try(e state.Effect, b *switchboard) {
	t, life := &try{}, c.life
	c.tries[e] = t
	on := e.Kind == state.PowerOn
	b.tell(c, on, func(done bool) {
		c.w.net.awake(c.node, func() {
			if c.life != life {
				return
			}
			if t.unwanted {
				delete(c.tries, e)
				return
			}
			c.submit(c.result(e, done))
			if done {
				delete(c.tries, e)
			} else {
				c.w.after(deviceAgain, func() { delete(c.tries, e) })
			}
		})
	})
}

func (c *controller) result(e state.Effect, done bool) state.Command {
	if e.Kind == state.PowerOn {
		return state.Command{By: "mainstay", Unfenced: &state.HostUnfenced{Host: e.Host, Fence: e.Fence, On: done, Detail: "bmc"}}
	}
	return state.Command{By: "mainstay", Fenced: &state.HostFenced{Host: e.Host, Fence: e.Fence, Off: done, Detail: "bmc"}}
}

func (w *World) host(name string) *host {
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// Faults of power.

// fenceHost is an operator who has a host's power cut, and mostly gives it back in the middle.
func (w *World) fenceHost() string {
	h := w.someHost()
	if h.power == nil {
		return ""
	}
	h.power.falters = h.power.falters || w.rand.IntN(2) == 0
	w.ask(state.Command{Fence: &state.FenceHost{Host: h.name, Reason: "asked"}})
	if w.rand.IntN(4) > 0 {
		w.later(w.span(50*time.Millisecond, 5*time.Second), func() { w.unfence(h) })
	}
	return "an operator fences " + h.name
}

func (w *World) unfenceHost() string {
	h := w.someHost()
	if w.raft.top().Fences[h.name] == nil {
		return ""
	}
	w.unfence(h)
	return "an operator unfences " + h.name
}

func (w *World) unfence(h *host) {
	if f := w.raft.top().Fences[h.name]; f != nil && !f.Release {
		w.ask(state.Command{Unfence: &state.UnfenceHost{Host: h.name, Reason: "asked"}})
	}
}

// badPower makes a device hang for a while, and falter.
func (w *World) badPower() string {
	h := w.someHost()
	if h.power == nil {
		return ""
	}
	h.power.falters = true
	if w.rand.IntN(2) == 0 {
		h.power.hangs = w.now + w.span(time.Second, 7*time.Second)
	}
	return "the fence device of " + h.name + " hangs or falters"
}

// powerReturns is a board that switches on automatically, whatever the log says.
func (w *World) powerReturns() string {
	for _, h := range w.hosts {
		if h.dark() {
			h.power.turn(true)
			return h.name + " has power again without an order"
		}
	}
	return ""
}

// refenced cuts the primary off, so that its power is cut; then it switches on without an order, and an operator interferes.
func (w *World) refenced() string {
	h := w.anyCluster().primary().host
	if h.power == nil {
		return ""
	}
	h.power.apart = true
	w.cutOff(h, true)
	if h.power.falters = w.rand.IntN(4) > 0; w.rand.IntN(3) == 0 {
		h.power.hangs = w.now + w.span(0, 3*time.Second)
	}
	d := w.span(1500*time.Millisecond, 5*time.Second)
	w.later(d, func() {
		if h.power.turn(true); w.rand.IntN(2) == 0 {
			w.net.mend()
		}
		if w.rand.IntN(2) == 0 {
			w.unfence(h)
		}
	})
	w.later(d+w.span(time.Second, 3*time.Second), func() {
		w.net.mend()
		w.ask(state.Command{Fence: &state.FenceHost{Host: h.name, Reason: "again"}})
	})
	return h.name + " is cut off, its power is cut and returns"
}

// unconfirmed has a broken device cut the power of a primary that is well: whatever it answers is no proof (S4).
func (w *World) unconfirmed() string {
	c := w.anyCluster()
	h := c.primary().host
	if h.power == nil {
		return ""
	}
	h.power.broken, h.power.apart = true, true
	if w.rand.IntN(2) == 0 {
		w.cutOff(h, true)
	} else {
		w.ask(state.Command{Fence: &state.FenceHost{Host: h.name, Reason: "asked"}})
	}
	w.later(w.span(3*time.Second, 7*time.Second), func() {
		h.power.broken = false
		w.net.mend()
		w.unfence(h)
	})
	return "the fence device of " + h.name + " is broken, and wanted"
}

// pausedFence cuts the power of a paused cluster's primary, and lets it switch on without an order before the pause is over:
// the fence must still hold: nothing was served there (S4).
func (w *World) pausedFence() string {
	c := w.anyCluster()
	h := c.primary().host
	if h.power == nil {
		return ""
	}
	w.ask(state.Command{Cluster: c.name, Pause: &state.SetPause{Pause: &state.Pause{By: "operator", Reason: "work"}}})
	w.later(w.span(100*time.Millisecond, 600*time.Millisecond), func() {
		w.ask(state.Command{Fence: &state.FenceHost{Host: h.name, Reason: "work"}})
	})
	d := w.span(2*time.Second, 4*time.Second)
	w.later(d, func() {
		if h.dark() {
			h.power.turn(true)
		}
	})
	w.later(d+w.span(5*time.Second, 8*time.Second), func() { w.resume(c) })
	return c.name + " is paused and the host of its primary fenced; its power returns"
}

// powerHeals is the end of all trouble with devices.
func (w *World) powerHeals() {
	for _, h := range w.hosts {
		if h.power != nil {
			h.power.hangs, h.power.falters, h.power.broken, h.power.apart = 0, false, false, true
		}
	}
}

// patience is how long an operator waits, after the heal, before he ends fences that were not his own.
const patience = 15 * time.Second

// giveBack is an operator who ends the fences that were his own, and presses the button where no fence says otherwise: an
// order may have been carried out after it was no longer wanted.
func (w *World) giveBack() {
	for _, h := range w.hosts {
		if h.dark() && w.raft.top().Fences[h.name] == nil {
			h.power.turn(true)
		}
		if f := w.raft.top().Fences[h.name]; f != nil && (f.By == "operator" || w.now > w.trouble+patience) {
			w.unfence(h)
		}
	}
}
