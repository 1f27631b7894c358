package agent

import (
	"context"
	"reflect"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

// tenure is a member's, with where the agents are that must be asked.
type tenure struct {
	member.Tenure
	Peers map[string]wire.Peer `json:"peers"`
}

// keepTenure writes down what a later process of this run needs, when an answer has changed it. It runs apart, because
// answers arrive on the lease path (L6). Nothing waits for a write that hangs: less is confirmed meanwhile.
func (m *minder) keepTenure(ctx context.Context) {
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.learned:
		}
		t := m.changed()
		if t == nil {
			continue
		}
		err := m.agent.home.keepTenure(m.name, *t)
		if err != nil && !failed {
			m.log.Warn("cannot keep what a restart of the agent needs while no leader answers", zap.Error(err))
		}
		if failed = err != nil; !failed {
			m.mu.Lock()
			m.kept, m.keeping = *t, nil
			m.mu.Unlock()
		}
	}
}

// changed is the tenure to write down: of an open primary, and another than the one on disk. One whose write has failed is
// written first: until it succeeds either may be there.
func (m *minder) changed() *tenure {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, v := m.goal, &m.vouching
	if m.keeping != nil || g.Kind != platform.GoalPrimary || m.memory.Opened != g.Epoch || v.length == 0 {
		return m.keeping
	}
	t := tenure{member.Tenure{Run: m.runID, Goal: g, Length: v.length}, v.peers}
	if !reflect.DeepEqual(t, m.kept) {
		m.keeping = &t
	}
	return m.keeping
}

// goOn takes up, once in the life of this process, the tenure that an earlier one kept: the lease that the guards still
// hold, and whom to ask for promises. It asks at once, because nobody knows for how long no leader has answered. It belongs
// to a look.
func (m *minder) goOn(ctx context.Context, inst *postgres.Instance) {
	m.mu.Lock()
	t, waits := m.kept, m.inherits
	m.mu.Unlock()
	if !waits || m.reach(inst) != nil {
		return
	}
	if err := m.guards.ensure(ctx, m.guardOptions(inst)); err != nil {
		m.note(err)
		return
	}
	held, err := m.guards.lease()
	if err != nil {
		m.note(err)
		return
	}
	now := boottime.Now()
	if !m.inherit(t, held, now) {
		return
	}
	m.log.Info("goes on as primary under the lease that its guards hold", zap.String("epoch", held.Epoch.String()), zap.Duration("left", held.End-now))
	m.agent.mu.Lock()
	m.agent.beat = min(m.agent.beat, platform.Heartbeat(t.Length))
	m.agent.mu.Unlock()
	poke(m.agent.kick)
}

// inherit is tried once. What a leader has said to this process comes first, and may be all there is to say for a while: then
// the tenure adds what the leader takes for granted.
func (m *minder) inherit(t tenure, held member.Lease, now time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inherits = false
	g, peers := t.Goal, t.Peers
	if m.goalFrom != (wire.Words{}) {
		g, peers = m.goal, m.vouching.peers
	}
	if !t.GoesOn(m.runID, m.durable, held, now) || g.Kind != platform.GoalPrimary || g.Epoch != t.Goal.Epoch {
		return false
	}
	m.goal, m.memory.Opened, m.lease = g, g.Epoch, m.lease.Extend(held.Epoch, held.End)
	m.vouching.peers = peers
	if v := &m.vouching; v.granted == 0 {
		v.length, v.granted = t.Length, max(1, now-platform.Suspect(t.Length))
	}
	return true
}

// behind: what may be on disk would ask fewer, or others, than goal (L5).
func (m *minder) behind(goal platform.Goal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept.Behind(m.runID, goal) || m.keeping != nil && m.keeping.Behind(m.runID, goal)
}

// listed is the version of the member list that the member confirms: that of its goal, if a restart would know it too (L5).
// Called with mu held.
func (m *minder) listed() uint64 {
	list := m.goal.List
	if m.kept.Behind(m.runID, m.goal) {
		list = min(list, m.kept.Goal.List)
	}
	if m.keeping != nil && m.keeping.Behind(m.runID, m.goal) {
		list = min(list, m.keeping.Goal.List)
	}
	return list
}
