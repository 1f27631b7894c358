package world

import (
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// asking is the requests to one other member: at most two are under way, and the latest waits for its turn.
type asking struct {
	underWay int
	next     *platform.PromiseRequest
	number   uint64 // of the report that next belongs to
}

// askForPromises sends the requests that belong to the report of that number.
func (m *supervisor) askForPromises(number uint64) {
	if m.goal.Kind != platform.GoalPrimary {
		return // most members, most of the time
	}
	in := m.input(&m.seen)
	requests, alone := m.promises.Ask(&in, number)
	if alone {
		m.renewed(number, m.goal.Epoch, m.promises.Length)
	}
	for _, r := range requests {
		if m.asking == nil {
			m.asking = map[string]*asking{}
		}
		if m.asking[r.To] == nil {
			m.asking[r.To] = &asking{}
		}
		m.asking[r.To].next, m.asking[r.To].number = &r, number
		m.askNext(r.To)
	}
}

// askNext sends the request that waits for a member, unless two are under way.
func (m *supervisor) askNext(name string) {
	waits := m.asking[name]
	if waits.next == nil || waits.underWay >= 2 {
		return
	}
	r, number, peer, h := *waits.next, waits.number, m.cluster.member(name), m.host
	waits.next = nil
	waits.underWay++
	over := false
	end := func() {
		if !over {
			over = true
			waits.underWay--
			m.askNext(name)
		}
	}
	life := h.agent.life
	m.w.after(r.Length/5+time.Second, func() { // a timer is on time, however slow the host
		if h.agent.life == life {
			end()
		}
	})
	m.w.net.send(h.node, peer.host.node, func() {
		peer.host.agent.asked(peer, r, func(a platform.PromiseAnswer, leader bool) {
			m.w.net.send(peer.host.node, h.node, func() {
				if h.agent.life == life {
					m.promisedBy(number, r, a, leader)
					end()
				}
			})
		})
	})
}

// asked looks for a leader first: only if none answers this agent either is anything promised.
func (a *agent) asked(m *supervisor, r platform.PromiseRequest, answer func(platform.PromiseAnswer, bool)) {
	if !a.up {
		return
	}
	asked := a.clocks.Last()
	a.send()
	a.on(member.LookFor(r.Length, a.host.now()-a.heard), func() {
		if a.answered > asked {
			answer(platform.PromiseAnswer{Reason: "a leader answers here"}, true)
			return
		}
		seen := m.pg.see()
		kept, said := member.Promise(m.input(&seen), r)
		if m.promised = kept; said.Given {
			m.w.counts["promises"]++
		}
		answer(said, false)
	})
}

// promisedBy renews the lease once enough have promised; an agent that reaches a leader becomes a way to it.
func (m *supervisor) promisedBy(number uint64, r platform.PromiseRequest, said platform.PromiseAnswer, leader bool) {
	a := m.host.agent
	if leader {
		a.relay = m.cluster.member(r.To).host
	}
	if length, enough := m.promises.Take(&m.goal, number, r, said); enough {
		m.renewed(number, r.Epoch, length)
	}
}

// renewed renews the lease by promises, from the clock of the report of that number.
func (m *supervisor) renewed(number uint64, epoch platform.Epoch, length time.Duration) {
	if end, ours := m.host.agent.clocks.End(m.host.agent.run, number, length); ours && end > m.host.now() {
		m.w.counts["renewed by promises"]++
		m.granted(epoch, end, length)
	}
}

// way is how a report gets from an agent to a controller: straight, or passed on by another agent.
func (a *agent) way(c *controller, over *host, what happening) {
	if over == nil {
		a.w.net.sends(a.host.node, c.node, what)
		return
	}
	a.w.net.send(a.host.node, over.node, func() { a.w.net.sends(over.node, c.node, what) })
}

func (a *agent) wayBack(c *controller, over *host, what happening) {
	if over == nil {
		a.w.net.sends(c.node, a.host.node, what)
		return
	}
	a.w.net.send(c.node, over.node, func() { a.w.net.sends(over.node, a.host.node, what) })
}

func (r *run) String() string {
	return fmt.Sprintf("goal %s %s needs %s", r.goal.Kind, r.goal.Epoch, r.needs)
}
