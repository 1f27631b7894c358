package world

import (
	"time"

	"mainstay/test/invariant"
)

// Power is a host, a controller and the fence device between them: test/conform holds the model to fencing/device. A falter of the model
// is the real device's failing program; that it hangs for some time only, and may carry an order out later, is one thing of its own.
type Power struct {
	w      *World
	h      *host
	c      *controller
	answer string // of the last order: "" while there is none
}

// NewPower makes them; the host runs.
func NewPower(seed uint64) *Power {
	w := bare(seed)
	w.trouble = 24 * time.Hour // or it does not falter
	c := &controller{w: w, name: "c1", node: w.net.join("c1", "c1")}
	m := w.bareMember(&cluster{w: w, name: "conform", check: invariant.New()}, "a")
	m.host.power = &switchboard{h: m.host, apart: true}
	return &Power{w: w, h: m.host, c: c}
}

// Pass lets time go by.
func (s *Power) Pass(d time.Duration) { s.w.pass(d) }

// Tell orders the device to cut the power or to give it back.
func (s *Power) Tell(on bool) {
	s.answer = ""
	s.h.power.tell(s.c, on, func(done bool) {
		if s.answer = "unproven"; done {
			s.answer = "done"
		}
	})
}

// Answer is what came of the last order, "" for nothing yet.
func (s *Power) Answer() string { return s.answer }

// Runs tells whether the host does.
func (s *Power) Runs() bool { return s.h.up }

// Break makes it ill: "broken" does nothing and says so, "hangs" answers nothing and takes the order perhaps, "faltering" does what it
// was told perhaps and says perhaps that it has not, "unreachable" is with its host behind a cut; "" is well.
func (s *Power) Break(how string) {
	b, cuts := s.h.power, s.w.net.cuts
	b.broken, b.falters, b.apart, b.hangs = how == "broken", how == "faltering", how != "unreachable", 0
	if how == "hangs" {
		b.hangs = s.w.now + time.Hour
	}
	cuts[s.c.node][s.h.node], cuts[s.h.node][s.c.node] = how == "unreachable", how == "unreachable"
}
