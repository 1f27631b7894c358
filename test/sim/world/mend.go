package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// mendedPage is the page that comparisons find, and operators have mended.
const mendedPage = "base/5/7 block 3"

// mending is what an agent keeps on its disk while it replaces a page: the page that takes the other's place.
type mending struct {
	number uint64 // of the operation
	new    string // as damage.lost
}

// planMends has pages of replicas mended in one scenario in six, from a source of its own.
func (w *World) planMends() {
	r := rand.New(rand.NewPCG(w.seed, 0x6d656e64))
	if r.IntN(6) != 0 {
		return
	}
	at := quiet + time.Duration(r.Int64N(int64(trouble-quiet)/2))
	w.faults = append(w.faults, &fault{number: len(w.faults) + 1, at: at, run: (*World).spoilReplica})
}

// spoilReplica leaves another content on a page of a replica, which only a majority of a comparison shows: it excludes nothing. An operator
// has the page mended, and what the mending rests on fails meanwhile.
func (w *World) spoilReplica() string {
	c := w.anyCluster()
	m := c.anyMember()
	if !m.pg.running || m.pg.primary || m.pg.damage != (damage{}) {
		return ""
	}
	m.pg.damage.lost = fmt.Sprintf("another content of %s since %d", m.name, w.now/time.Millisecond)
	w.later(w.span(100*time.Millisecond, 2*time.Second), func() { w.compareWith(c, m, "content") })
	for range 1 + w.rand.IntN(4) {
		w.later(w.span(500*time.Millisecond, 12*time.Second), func() {
			w.repairMember(c, m)
			w.later(w.span(10*time.Millisecond, 1500*time.Millisecond), func() { w.interrupt(m) })
		})
	}
	return "a page of " + m.name + " has another content"
}

// interrupt is what may happen to a mending.
func (w *World) interrupt(m *supervisor) {
	switch w.rand.IntN(8) {
	case 0, 1, 2:
		m.host.crashAgent(w.span(10*time.Millisecond, 3*time.Second))
	case 3:
		if m.host.up {
			m.host.crash()
			m.host.again(w.span(100*time.Millisecond, 3*time.Second), m.host.start)
		}
	case 4:
		m.cluster.primary().pg.crash()
	case 5:
		w.reelect()
	case 6:
		w.switchover()
	}
}

// repairPage is an operator who has a page of some replica mended.
func (w *World) repairPage(c *cluster) { w.repairMember(c, c.anyMember()) }

func (w *World) repairMember(c *cluster, m *supervisor) {
	own, from := c.state().Members[m.name], c.anyMember()
	if w.rand.IntN(2) == 0 {
		from = c.primary()
	}
	if own != nil && c.state().Primary != "" && m.name != c.state().Primary && from != m {
		w.ask(state.Command{Cluster: c.name, Mend: &state.MendPage{Member: m.name, Incarnation: own.Incarnation, Page: mendedPage,
			From: from.name, Reason: "asked"}})
	}
}

// mend replaces a page of a stopped replica in steps, between which its agent may end.
func (m *supervisor) mend(goal platform.Goal) {
	m.settleMending()
	if m.pg.running || goal.Mend == nil {
		m.finished(false)
		return
	}
	result := &health.Mended{Number: goal.Mend.Number, Page: goal.Mend.Page}
	end := func() {
		d := m.durable
		d.Mended = result
		m.keep(d)
		m.mending = nil
		m.finished(true)
	}
	page, why := m.donorsPage(goal.Mend.From)
	if why != "" {
		result.Detail = "nothing was changed: " + why
		end()
		return
	}
	j := &mending{number: goal.Mend.Number, new: page}
	m.mending = j
	step := func(f func()) {
		m.host.agent.onDisk(m.w.span(5*time.Millisecond, 150*time.Millisecond), func() {
			if m.mending == j { // else its disk was lost, or something has started
				f()
			}
		})
	}
	step(func() {
		m.pg.damage.torn = true
		step(func() {
			m.putPage()
			step(func() {
				result.Done, result.Detail = true, "mended"
				m.w.counts["mended"]++
				end()
			})
		})
	})
}

// putPage completes the writing of the page.
func (m *supervisor) putPage() {
	d := &m.pg.damage
	d.torn, d.lost, d.mended = false, m.mending.new, m.mending.number
}

// settleMending completes what an earlier run has left half written, before anything starts on it.
func (m *supervisor) settleMending() {
	if m.mending != nil && m.pg.damage.torn {
		m.putPage()
		m.w.counts["mending completed"]++
	}
	m.mending = nil
}

// donorsPage is another member's page, or why it cannot take the place of this one's: it must have all changes up to where a start of this
// one replays from, and none behind.
func (m *supervisor) donorsPage(from string) (page, why string) {
	up := m.cluster.member(from)
	if up == nil || !up.pg.running || !up.host.agent.up || !m.w.net.both(m.host.node, up.host.node) {
		return "", "the agent of " + from + " gives no page"
	}
	redo := max(1, len(m.pg.wal)-replaysAgain)
	if common(m.pg.wal, up.pg.wal) < redo || up.pg.replayed < redo ||
		slices.ContainsFunc(up.pg.wal[redo:up.pg.replayed], func(r *record) bool { return r.image != "" }) {
		return "", "the page of " + from + " is of another time"
	}
	return up.pg.damage.lost, ""
}

// compareMended compares a page that was mended with the primary's, once the replica streams again.
func (m *supervisor) compareMended() {
	d, g := m.durable.Mended, m.goal.Mend
	if d == nil || !d.Done || g == nil || g.Number != d.Number || m.rechecked != nil && m.recheckedOf == d.Number || m.rechecks ||
		m.pg.receiver == nil || m.host.twin {
		return
	}
	m.rechecks = true
	number := d.Number
	m.host.agent.on(m.w.span(50*time.Millisecond, 2*time.Second), func() {
		m.rechecks = false
		p := m.cluster.primary()
		if !p.pg.running || !p.pg.primary || !m.pg.running || !m.w.net.both(m.host.node, p.host.node) {
			return
		}
		same := m.pg.damage.lost == p.pg.damage.lost
		m.rechecked, m.recheckedOf = &health.FrozenPage{Page: mendedPage, Same: same, Differs: !same}, number
		if same {
			m.w.counts["mended and the same"]++
			m.cluster.dropEvidence(m)
		} else {
			m.w.counts["mended and another"]++
		}
	})
}

// dropEvidence: comparisons say nothing any more of a member's page that is the others'.
func (c *cluster) dropEvidence(m *supervisor) {
	for _, by := range c.members {
		if by.compared != nil && slices.Equal(by.compared.Damage[0].Suspects, []string{m.name}) {
			by.compared = nil
		}
	}
}

// reportsMended is how the last mending has ended.
func (m *supervisor) reportsMended() *health.Mended {
	d := m.durable.Mended
	if d == nil || m.rechecked == nil || m.recheckedOf != d.Number {
		return d
	}
	shown := *d
	shown.Compared = m.rechecked
	return &shown
}

// mendEnded checks what the history says of a mending that has ended.
func (w *World) mendEnded(c *cluster, was *state.Cluster, p *state.MendPage) {
	m, of := c.member(p.Member), was.Members[p.Member].Mend
	if !p.Done {
		w.counts["not mended"]++
		return
	}
	if m.durable.Incarnation != of.As || m.pg.restored || m.host.twin { // its data is another one by now
		return
	}
	why := ""
	switch damage := &m.pg.damage; {
	case damage.torn:
		why = "a part of the page was written"
	case damage.mended != of.Number:
		why = "nothing has replaced the page"
	case m.rechecked != nil && m.recheckedOf == of.Number && m.rechecked.Differs:
		why = "its agent has found another page than the primary's since"
	}
	c.check.Mended(w.now, p.Member, why)
}

// mends names a member of which a page is still being mended; "" for none.
func (c *cluster) mends() string {
	for _, m := range c.members {
		if own := c.state().Members[m.name]; own != nil && own.Mend != nil {
			return m.name
		}
	}
	return ""
}
