package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/fencing/process"
	"mainstay/health"
)

// maxUncaught is how far behind a sender may be at a planned stop; the shutdown waits for the senders that stay.
const maxUncaught = 16 << 20

// outsideBound is how long a planned stop waits for receivers that belong to no member, such as pg_receivewal: their user's
// wal_sender_timeout may be longer than the whole stop may take.
const outsideBound = 3 * time.Second

// stopClean requests a fast shutdown and waits for the last process. Senders that would delay it are ended; outsiders' senders only
// once it takes long. Past the bound the tree is killed, and the stop is not clean.
func (m *actor) stopClean(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	m.end()
	asked, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	var outside []int
	if s, err := pg.Status(asked); err == nil && !s.InRecovery {
		var late []int
		for _, w := range s.Senders {
			switch {
			case w.Logical || s.Flush > w.Flush && s.Flush-w.Flush > maxUncaught:
				late = append(late, w.PID)
			case !ofMember(goal, w.Name):
				outside = append(outside, w.PID)
			}
		}
		if len(late) > 0 {
			if err := pg.EndSenders(asked, late); err != nil {
				m.log.Warn("senders that are behind could not be ended", zap.Error(err))
			}
		}
	}
	if err := pg.StopFast(asked); err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(ctx, stopBound)
	defer cancel()
	first, cancel := context.WithTimeout(bound, outsideBound)
	defer cancel()
	if m.gone(first) {
		return nil
	}
	if err := pg.EndChildren(bound, outside); err != nil {
		m.log.Warn("receivers that belong to no member delay the stop", zap.Error(err))
	}
	if m.gone(bound) {
		return nil
	}
	return m.kill()
}

// ofMember tells whether a sender has the incarnation of another member.
func ofMember(goal platform.Goal, application string) bool {
	return slices.Contains(goal.OtherMembers, memberOf(application))
}

// gone waits for the postmaster's end, then for the rest of the tree; false at the bound.
func (m *actor) gone(ctx context.Context) bool {
	tree, _, h := m.held()
	if h != nil {
		select {
		case <-h.Done():
		case <-ctx.Done():
			return false
		}
	}
	for {
		if tree == nil {
			return true
		}
		if left, err := tree.Pids(); err == nil && len(left) == 0 {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// rewind keeps the WAL that only this member has (S9), then takes the data back to the primary's history.
func (m *actor) rewind(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	discarded, err := m.o.Quarantine.KeepWAL(ctx, pg, m.repairs(goal, d))
	if err != nil {
		if quarantine.BeyondRewind(err) {
			m.recall(func(r *member.Memory) { r.RewindFailures++ })
		}
		return fmt.Errorf("keep the WAL that a rewind would discard: %w", err)
	}
	if err := m.disarm(); err != nil {
		return err
	}
	fd, done, err := m.cgroupFD()
	if err != nil {
		return err
	}
	defer done()
	if err := pg.WriteSettings(ctx, postgres.Settings{Sealed: true, SyncNames: member.SyncNames(member.ReplicaSet())}); err != nil {
		return err
	}
	if err := pg.Rewind(ctx, source(goal), postgres.StartOptions{CgroupFD: fd}); err != nil {
		if elsewhere := (*postgres.ElsewhereError)(nil); !errors.As(err, &elsewhere) {
			m.recall(func(r *member.Memory) { r.RewindFailures++ })
		}
		return err
	}
	m.again()
	m.recall(func(r *member.Memory) { *r = r.Renewed(false) })
	d.SystemID, d.Discarded = goal.SystemID, discarded
	d.Rename(goal.Incarnation)
	return m.keepDurable(d)
}

// repairs is what the quarantine must know of a repair of the data as it is now.
func (m *actor) repairs(goal platform.Goal, d member.Durable) quarantine.Repair {
	m.mu.Lock()
	defer m.mu.Unlock()
	return quarantine.Repair{Member: m.o.Name, Goal: goal, Incarnation: d.Incarnation, Seen: m.view.seen, Doubted: func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.memory.Doubted()
	}}
}

// cgroupFD opens the member's cgroup for a process to start in. The cgroup is created again for each start: some kernels (seen on 6.18)
// immediately kill any process cloned into a cgroup on which cgroup.kill was ever used. The guards know it by its path, which stays the
// same.
func (m *actor) cgroupFD() (fd int, done func(), err error) {
	_, cgroup, _ := m.held()
	if cgroup == nil {
		return 0, func() {}, nil
	}
	if err := cgroup.Remove(); err != nil {
		return 0, nil, err
	}
	if cgroup, err = process.Create(filepath.Base(cgroup.Path())); err != nil {
		return 0, nil, err
	}
	f, err := cgroup.OpenFD()
	if err != nil {
		return 0, nil, err
	}
	return int(f.Fd()), func() { f.Close() }, nil
}

// clone copies the primary. Existing data is set aside whole, never removed (S9).
func (m *actor) clone(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	data, err := pg.InspectData(ctx)
	var discarded *health.Discard
	var aside func(context.Context) error // nil where there is nothing to set aside
	switch {
	case data.State == postgres.DataPresent:
		aside = func(ctx context.Context) (err error) {
			discarded, err = m.o.Quarantine.SetAside(ctx, pg, m.repairs(goal, d))
			return err
		}
		err = m.o.Quarantine.RoomFor(ctx, pg, m.repairs(goal, d)) // a refusal must come before the copy is made
	case err == nil:
		discarded, err = m.o.Quarantine.SetAsideBefore(ctx, pg, m.repairs(goal, d))
	}
	if err != nil {
		return err
	}
	if err := m.disarm(); err != nil {
		return err
	}
	err = pg.Clone(ctx, source(goal), postgres.SlotName(m.o.Name), m.progress, aside)
	if err != nil && discarded == nil {
		err = pg.Clone(ctx, source(goal), "", m.progress, aside) // its own slot may not be there yet, or still be in use
	}
	m.again()
	if err != nil {
		return err
	}
	d.SystemID, d.AlterSystem, d.Discarded = goal.SystemID, false, discarded
	d.Replace(goal.Incarnation)
	m.recall(func(r *member.Memory) { *r = r.Renewed(true) })
	return m.keepDurable(d)
}

func (m *actor) progress(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if total > 0 {
		m.activity.doing = fmt.Sprintf("clone: %d of %d MB", done>>20, total>>20)
	}
}
