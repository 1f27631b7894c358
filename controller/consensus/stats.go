package consensus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
)

// Stats are the figures of a Log at one moment.
type Stats struct {
	ID            string    `json:"id"`
	State         string    `json:"state"` // Follower, Candidate, Leader or Shutdown
	Term          uint64    `json:"term"`
	LastIndex     uint64    `json:"lastIndex"`     // in the store
	CommitIndex   uint64    `json:"commitIndex"`   // known to be committed
	Applied       uint64    `json:"applied"`       // last command applied
	SnapshotIndex uint64    `json:"snapshotIndex"` // of the latest snapshot, 0 for none
	Pending       int       `json:"pending"`       // pending proposals
	LastContact   time.Time `json:"lastContact"`   // with the leader; zero for never
	// SnapshotProblem says why the latest snapshot failed: the log grows until one succeeds. "" for no problem.
	SnapshotProblem string `json:"snapshotProblem,omitempty"`
	// Problem says why the log has stopped. "" for no problem.
	Problem string `json:"problem,omitempty"`
}

// Stats never blocks.
func (l *Log) Stats() Stats {
	s := Stats{
		ID: l.id, State: l.raft.State().String(), Term: l.raft.CurrentTerm(), LastIndex: l.raft.LastIndex(),
		CommitIndex: l.raft.CommitIndex(), Applied: l.Applied(), LastContact: l.raft.LastContact(),
	}
	s.SnapshotIndex, _ = strconv.ParseUint(l.raft.Stats()["last_snapshot_index"], 10, 64)
	if err := l.fsm.snapshotErr.Load(); err != nil {
		s.SnapshotProblem = (*err).Error()
	}
	if err := l.Err(); err != nil {
		s.Problem = err.Error()
	}
	l.mu.Lock()
	s.Pending = len(l.pending)
	l.mu.Unlock()
	return s
}

// Snapshot takes a snapshot now, for example before an upgrade. It is no error if there is nothing new to capture.
func (l *Log) Snapshot(ctx context.Context) error {
	return l.wait(ctx, "take a snapshot", func() error {
		err := l.raft.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			return nil
		}
		return err
	})
}
