package world

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// vouching is what a primary's minder knows of promises (L5).
type vouching struct {
	granted time.Duration // when a leader's last grant was taken, 0: never
	length  time.Duration // of that grant
	asked   time.Duration // when the last round began
	rounds  map[uint64]map[string]string
	asking  map[string]int                     // by member: requests under way, at most two
	next    map[string]platform.PromiseRequest // the latest that waits for it
	numbers map[string]uint64                  // of the report that it belongs to
	by      []string
}

// askForPromises asks the other members' agents to vouch for a primary that must ask. It belongs to the report of that number.
func (m *minder) askForPromises(number uint64) {
	if m.goal.Kind != platform.GoalPrimary {
		return // most members, most of the time
	}
	g, v, in := m.goal, &m.vouching, m.input(m.seen)
	now := in.Now
	if !in.Asks(v.granted, v.length) {
		return
	}
	if v.asked != 0 && now-v.asked < platform.Heartbeat(v.length) {
		return
	}
	v.asked = now
	if v.rounds == nil {
		v.rounds, v.asking = map[uint64]map[string]string{}, map[string]int{}
		v.next, v.numbers = map[string]platform.PromiseRequest{}, map[string]uint64{}
	}
	v.rounds[number] = map[string]string{}
	for len(v.rounds) > roundsKept {
		delete(v.rounds, slices.Min(slices.Collect(maps.Keys(v.rounds))))
	}
	for _, name := range g.Slots {
		v.next[name] = platform.PromiseRequest{Cluster: g.Cluster, From: m.name, To: name, Epoch: g.Epoch, List: g.List, Length: v.length}
		v.numbers[name] = number
		m.askNext(name)
	}
}

// roundsKept is how many rounds of requests may be unanswered.
const roundsKept = 8

// askNext sends the request that waits for a member, unless two are under way.
func (m *minder) askNext(name string) {
	v := &m.vouching
	r, ok := v.next[name]
	if !ok || v.asking[name] >= 2 {
		return
	}
	number, peer, h := v.numbers[name], m.cluster.member(name), m.host
	delete(v.next, name)
	v.asking[name]++
	over := false
	end := func() {
		if !over {
			over = true
			v.asking[name]--
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
func (a *agent) asked(m *minder, r platform.PromiseRequest, answer func(platform.PromiseAnswer, bool)) {
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
		kept, said := member.Promise(m.input(m.pg.see()), r)
		if m.promised = kept; said.Given {
			m.w.counts["promises"]++
		}
		answer(said, false)
	})
}

// promisedBy renews the lease once enough have promised; an agent that reaches a leader becomes a way to it.
func (m *minder) promisedBy(number uint64, r platform.PromiseRequest, said platform.PromiseAnswer, leader bool) {
	a := m.host.agent
	if leader {
		a.relay = m.cluster.member(r.To).host
	}
	round := m.vouching.rounds[number]
	if round == nil || !said.Given || m.goal.Epoch != r.Epoch {
		return
	}
	round[r.To] = said.Incarnation
	if !member.Vouched(m.goal, round) {
		return
	}
	m.vouching.by = m.vouching.by[:0:0]
	for name := range round {
		m.vouching.by = append(m.vouching.by, name)
	}
	slices.Sort(m.vouching.by)
	if end, ours := a.clocks.End(a.run, number, r.Length); ours && end > m.host.now() {
		m.w.counts["renewed by promises"]++
		m.granted(r.Epoch, end, r.Length)
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
