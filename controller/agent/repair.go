package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/fencing/process"
	"mainstay/health"
)

// keptQuarantines is how many quarantines of WAL a member keeps; the oldest goes when one more is needed.
const keptQuarantines = 10

// maxUncaught is how far behind a sender may be at a planned stop; the shutdown waits for those that stay.
const maxUncaught = 16 << 20

// stopClean asks for a fast shutdown and waits for the last process. Senders that would hold it up are ended first; past
// the bound the tree is killed, and the stop is not clean.
func (m *minder) stopClean(ctx context.Context, inst *postgres.Instance) error {
	asked, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if s, err := inst.Status(asked); err == nil && !s.InRecovery {
		var late []int
		for _, w := range s.Senders {
			if w.Logical || s.Flush > w.Flush && s.Flush-w.Flush > maxUncaught {
				late = append(late, w.PID)
			}
		}
		if len(late) > 0 {
			if err := inst.EndSenders(asked, late); err != nil {
				m.log.Warn("senders that are behind could not be ended")
			}
		}
	}
	if err := inst.StopFast(asked); err != nil {
		return err
	}
	bound, cancel := context.WithTimeout(ctx, stopBound)
	defer cancel()
	if m.gone(bound) {
		return nil
	}
	return m.kill()
}

// gone waits for the postmaster's end, then for the rest of the tree; false at the bound.
func (m *minder) gone(ctx context.Context) bool {
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
func (m *minder) rewind(ctx context.Context, inst *postgres.Instance, goal platform.Goal, d member.Durable) error {
	discarded, err := m.quarantine(ctx, inst, goal)
	if err != nil {
		return err
	}
	if err := m.guards.disarm(); err != nil {
		return err
	}
	fd, done, err := m.cgroupFD()
	if err != nil {
		return err
	}
	defer done()
	if err := inst.WriteSettings(ctx, postgres.Settings{Sealed: true, SyncNames: member.SyncNames(member.ReplicaSet(goal))}); err != nil {
		return err
	}
	if err := inst.Rewind(ctx, source(goal), postgres.StartOptions{CgroupFD: fd}); err != nil {
		m.recall(func(r *member.Memory) { r.RewindFailures++ })
		return err
	}
	m.again()
	d.Incarnation, d.SystemID, d.Discarded = goal.Incarnation, goal.SystemID, discarded
	return m.keepDurable(d)
}

// cgroupFD opens the member's cgroup for a process to be born in. The cgroup is made anew for each start: some kernels
// (seen on 6.18) kill at once whatever is cloned into a cgroup that cgroup.kill was ever used on. The guards know it by
// its path, which stays.
func (m *minder) cgroupFD() (fd int, done func(), err error) {
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

// quarantine counts and copies the WAL past the point where this data left the primary's history.
func (m *minder) quarantine(ctx context.Context, inst *postgres.Instance, goal platform.Goal) (*health.Discard, error) {
	m.mu.Lock()
	timeline := m.seen.Timeline
	m.mu.Unlock()
	from, err := forkPoint(ctx, inst, timeline, goal)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(memberDir(m.agent.cfg.Data, m.name), "quarantine")
	path, manifest, err := inst.KeepWAL(ctx, dir, timeline, from)
	if err != nil {
		return nil, fmt.Errorf("keep the WAL that a rewind would discard: %w", err)
	}
	if err := trim(dir); err != nil {
		return nil, err
	}
	if manifest.Bytes == 0 {
		return nil, nil
	}
	return &health.Discard{From: manifest.From, To: manifest.To, Timeline: timeline, Bytes: manifest.Bytes, Transactions: manifest.Transactions, Kept: path}, nil
}

// forkPoint is where data on a timeline left the history of the goal's: at that timeline's fork, or where the timeline
// itself began, if the history never passed through it.
func forkPoint(ctx context.Context, inst *postgres.Instance, timeline platform.Timeline, goal platform.Goal) (platform.LSN, error) {
	if end, ok := goal.History.ForkOf(timeline); ok {
		return end, nil
	}
	own, err := inst.ReadHistory(ctx, timeline)
	if err != nil {
		return 0, err
	}
	if len(own) == 0 {
		return 0, fmt.Errorf("timeline %d and timeline %d have no common history", timeline, goal.Timeline)
	}
	return own[len(own)-1].End, nil
}

// trim keeps the newest quarantines.
func trim(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	age := func(e os.DirEntry) time.Time {
		info, err := e.Info()
		if err != nil {
			return time.Time{}
		}
		return info.ModTime()
	}
	sort.Slice(entries, func(i, j int) bool { return age(entries[i]).After(age(entries[j])) })
	for _, e := range entries[min(len(entries), keptQuarantines):] {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// clone copies the primary. Data in the way is set aside whole, never removed; of such directories the latest is kept.
func (m *minder) clone(ctx context.Context, inst *postgres.Instance, goal platform.Goal, d member.Durable) error {
	var discarded *health.Discard
	data, err := inst.InspectData(ctx)
	if data.State == postgres.DataPresent {
		var aside string
		if aside, err = m.setAside(ctx, inst); err != nil {
			return err
		}
		discarded = &health.Discard{Timeline: data.Control.Timeline, From: data.Control.Checkpoint, Kept: aside}
	} else if err != nil {
		return err
	}
	if err := m.guards.disarm(); err != nil {
		return err
	}
	err = inst.Clone(ctx, source(goal), postgres.SlotName(m.name), m.progress)
	if err != nil {
		err = inst.Clone(ctx, source(goal), "", m.progress) // its own slot may not be there yet, or still be in use
	}
	m.again()
	if err != nil {
		return err
	}
	d.Incarnation, d.SystemID, d.AlterSystem, d.Discarded = goal.Incarnation, goal.SystemID, false, discarded
	m.recall(func(r *member.Memory) { r.RewindFailures, r.StartFailures, r.Restarted = 0, 0, false })
	return m.keepDurable(d)
}

func (m *minder) setAside(ctx context.Context, inst *postgres.Instance) (string, error) {
	if old, _ := filepath.Glob(inst.Data + ".mainstay-aside-*"); len(old) > 1 {
		sort.Strings(old)
		for _, path := range old[:len(old)-1] {
			if err := os.RemoveAll(path); err != nil {
				return "", err
			}
		}
	}
	return inst.SetAside(ctx, "mainstay-aside-"+time.Now().UTC().Format("20060102T150405"))
}

func (m *minder) progress(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if total > 0 {
		m.doing = fmt.Sprintf("clone: %d of %d MB", done>>20, total>>20)
	}
}
