package world

import (
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// keepResume writes down, after an answer, what a later process of this run of the agent needs. Goals of one version are
// the same.
func (m *supervisor) keepResume(version string) {
	length := m.promises.Length
	if m.goal.Kind != platform.GoalPrimary || m.kept.Pending != nil || m.keptUnder == version && m.kept.Written.Length == length {
		return
	}
	t := m.kept.Next(m.memory.Opened, member.Resume{Run: m.host.agent.run, Goal: m.goal, Length: length})
	if t == nil {
		if m.memory.Opened == m.goal.Epoch && length != 0 {
			m.keptUnder = version
		}
		return
	}
	m.host.agent.onDisk(15*time.Millisecond, func() { m.kept.Done(*t) })
}

// takeUpResume takes up the lease that the guard still holds, and asks for promises at once.
func (m *supervisor) takeUpResume() {
	now, held := m.host.now(), m.guard.lease()
	t := m.kept.Written
	if !t.MayResume(m.host.agent.run, m.durable, held, now) {
		return
	}
	m.w.counts["continued after a restart"]++
	m.goal, m.memory.Opened, m.lease = t.Goal, t.Goal.Epoch, held
	m.promises.Resume(now, t.Length)
}
