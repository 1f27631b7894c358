package world

import (
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

// describe is the member's part of a report.
func (m *minder) describe(seen member.Seen) health.Member {
	d := &m.durable
	r := health.Member{Name: m.name, Data: seen.Data, Process: seen.Process, Role: seen.Role, SystemID: seen.SystemID, Epoch: d.Epoch, Closed: d.Closed,
		Timeline: seen.Timeline, Position: seen.Position, Incarnation: d.Incarnation, Senders: seen.Senders, Needs: m.needs, Discarded: d.Discarded, Adoptable: seen.Adoptable,
		Error: m.failed, Corrupt: seen.Corrupt,
		Guard: health.Guard{Complete: true, Armed: m.guard.lease().Epoch, Told: m.goalFrom.Index}}
	if left := m.lease.End - m.host.now(); left > 0 {
		r.LeaseLeft = left.Milliseconds()
	}
	r.List, r.Vouched = m.listed(), m.vouching.by
	if left := m.promised.Until - m.host.now(); left > 0 {
		r.Promised = left.Milliseconds()
	}
	switch {
	case seen.Process == health.ProcessEnded:
		r.Position, r.PositionKnown = seen.End, seen.End != 0
		if seen.Clean && seen.AsPrimary {
			r.Clean, r.Shutdown = true, seen.Shutdown
		}
	case seen.Role == health.RoleStandby:
		m.describeStandby(&r, seen)
	case seen.Role == health.RolePrimary:
		m.describePrimary(&r, seen)
	}
	return r
}

func (m *minder) describeStandby(r *health.Member, seen member.Seen) {
	p, d := m.pg, &m.durable
	r.PositionKnown = p.known
	if p.replayed > 0 {
		r.Replayed = p.wal[p.replayed-1].lsn
	}
	if seen.Receiver {
		r.Receiver = &health.Receiver{Streaming: seen.Streaming, AgeMS: (m.w.now - p.lastStream).Milliseconds()}
	}
	if d.Sealed == m.memory.SealConfirmed && !d.Sealed.IsZero() && !seen.Receiver && m.goal.Kind == platform.GoalSealed {
		r.Sealed = d.Sealed
	}
}

func (m *minder) describePrimary(r *health.Member, seen member.Seen) {
	d := &m.durable
	r.PositionKnown, r.Replayed = true, seen.Position
	if m.goal.Kind == platform.GoalReplica {
		return
	}
	r.SyncWaits = len(m.pg.waits)
	if stuck := m.w.now - m.pg.beaten; m.memory.Opened == m.goal.Epoch && stuck > 750*time.Millisecond {
		r.WriteStale = stuck.Milliseconds()
		if m.host.full() {
			r.WriteError = "no space left on device"
		}
	}
	r.Checkpointed = m.memory.Checkpointed
	r.Opened = m.memory.Opened == d.Epoch && d.Ran == d.Epoch
	if r.Opened || seen.Adoptable {
		r.History = m.pg.history()
	}
	if n := len(m.goal.Sets); n > 0 && (m.goal.Sets[n-1].ID == m.pg.set.ID || seen.SyncNames == member.SyncNames(m.goal.Sets[n-1])) {
		r.Loaded = m.goal.Sets[n-1].ID
		if m.memory.Settling.Done && m.memory.Settling.ID == r.Loaded && !m.behind() {
			r.Settled = r.Loaded
		}
	}
}
