package world

import (
	"reflect"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// keepTenure writes down, after an answer, what a later process of this run of the agent needs. Goals of one version are
// the same.
func (m *minder) keepTenure(version string) {
	g, length := &m.goal, m.vouching.length
	if m.keeping != nil || g.Kind != platform.GoalPrimary || m.memory.Opened != g.Epoch || length == 0 {
		return
	}
	if m.keptUnder == version && m.kept.Length == length {
		return
	}
	t := &member.Tenure{Run: m.host.agent.run, Goal: *g, Length: length}
	if reflect.DeepEqual(t, &m.kept) {
		m.keptUnder = version
		return
	}
	m.keeping = t
	m.host.agent.onDisk(15*time.Millisecond, func() { m.kept, m.keeping = *t, nil })
}

// goOn takes up the lease that the guard still holds, and asks for promises at once.
func (m *minder) goOn() {
	now, held := m.host.now(), m.guard.lease()
	if !m.kept.GoesOn(m.host.agent.run, m.durable, held, now) {
		return
	}
	m.w.counts["went on after a restart"]++
	m.goal, m.memory.Opened, m.lease = m.kept.Goal, m.kept.Goal.Epoch, held
	m.vouching.length, m.vouching.granted = m.kept.Length, max(1, now-platform.Suspect(m.kept.Length))
}

// behind: what may be on disk would ask fewer, or others, than the goal wants asked.
func (m *minder) behind() bool {
	run := m.host.agent.run
	return m.kept.Behind(run, m.goal) || m.keeping != nil && m.keeping.Behind(run, m.goal)
}

// listed is the version of the member list that is confirmed: one that a restart would know too.
func (m *minder) listed() uint64 {
	list := m.goal.List
	if run := m.host.agent.run; m.kept.Behind(run, m.goal) {
		list = min(list, m.kept.Goal.List)
	} else if m.keeping != nil && m.keeping.Behind(run, m.goal) {
		list = min(list, m.keeping.Goal.List)
	}
	return list
}
