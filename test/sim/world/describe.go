package world

import (
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

// describe fills in the member's part of a report.
func (m *supervisor) describe(r *health.Member) {
	d, seen := &m.durable, &m.seen
	*r = health.Member{Name: m.name, Data: seen.Data, Process: seen.Process, Role: seen.Role, SystemID: seen.SystemID, Epoch: d.Epoch,
		Closed:   d.Closed,
		Timeline: seen.Timeline, Position: seen.Position, Incarnation: d.Incarnation, Lineage: d.Lineage, Mended: m.reportsMended(),
		Senders: seen.Senders, Needs: m.needs,
		Discarded: d.Discarded, Adoptable: seen.Adoptable,
		Error: m.failed, Corrupt: seen.Corrupt,
		Guard: health.Guard{Complete: true, Armed: m.guard.lease().Epoch, Told: m.goalFrom.Index}}
	if m.pg.running && m.pg.damage.counted {
		r.Damage = m.pg.damage.text
	}
	if m.scanned != "" && m.of == d.Incarnation {
		r.Scan = &health.Scan{Complete: true, Checksums: true, For: m.scanned}
	}
	if m.comparedOf == d.Incarnation {
		r.Comparison = m.compared
	}
	if left := m.lease.End - m.host.now(); left > 0 {
		r.LeaseLeft = left.Milliseconds()
	}
	r.MembersVersion, r.PromisedBy = m.kept.List(m.host.agent.run, &m.goal), m.promises.By
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
		m.describeStandby(r, seen)
	case seen.Role == health.RolePrimary:
		m.describePrimary(r, seen)
	}
}

func (m *supervisor) describeStandby(r *health.Member, seen *member.Seen) {
	p := m.pg
	r.PositionKnown, r.ReplayPaused = p.known, p.frozen.paused
	in := m.input(seen)
	r.Frozen = member.ReportFrozen(&in)
	if p.replayed > 0 {
		r.Replayed = p.wal[p.replayed-1].lsn
	}
	if seen.Receiver {
		r.Receiver = &health.Receiver{Streaming: seen.Streaming, AgeMS: (m.w.now - p.lastStream).Milliseconds()}
	}
	if m.durable.Sealed.IsZero() {
		return
	}
	if in.ConfirmsSeal() {
		r.Sealed = m.durable.Sealed
	}
}

func (m *supervisor) describePrimary(r *health.Member, seen *member.Seen) {
	r.PositionKnown, r.Replayed = true, seen.Position
	if m.goal.Kind == platform.GoalReplica {
		return
	}
	r.SyncWaits = len(m.pg.waits)
	if stuck := m.w.now - m.pg.writeProbed; m.memory.Opened == m.goal.Epoch && stuck > 750*time.Millisecond {
		r.WriteStale = stuck.Milliseconds()
		if m.host.full() {
			r.WriteError = "no space left on device"
		}
	}
	n := len(m.goal.Sets)
	loaded := n > 0 && (m.goal.Sets[n-1].ID == m.pg.set.ID || member.Shows(seen.SyncNames, m.goal.Sets[n-1]))
	in := m.input(seen)
	in.Confirm(r, loaded, m.kept.Behind(m.host.agent.run, &m.goal))
	if r.Opened || seen.Adoptable {
		r.History = m.pg.history()
	}
}
