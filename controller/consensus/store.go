package consensus

import (
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"mainstay/controller/boottime"
)

// store is raft's log and stable store. Any failed write stops the log, because nothing tells whether it reached the disk.
type store struct {
	*raftboltdb.BoltStore
	path string
	fail func(error)
	// mayFail is set while a failed SetUint64 is handled by the caller: in NewRaft (which recovers) and in Bootstrap.
	mayFail atomic.Bool
	// since is when the running write began (CLOCK_BOOTTIME, ns); 0 without one. Raft writes one at a time.
	since  atomic.Int64
	lately *lately
}

// stalled is how long the running write has not returned.
func (s *store) stalled() time.Duration {
	if began := s.since.Load(); began != 0 {
		return boottime.Now() - time.Duration(began)
	}
	return 0
}

// timed records when a write begins and ends.
func (s *store) timed(write func() error) error {
	s.since.Store(int64(boottime.Now()))
	defer s.since.Store(0)
	return s.check(write())
}

// StoreLog implements raft.LogStore.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *store) StoreLogs(l []*raft.Log) error {
	return s.timed(func() error {
		err := s.BoltStore.StoreLogs(l)
		if err == nil && len(l) > 0 {
			s.lately.note(func(h *held) { h.index = l[len(l)-1].Index })
		}
		return err
	})
}

// DeleteRange implements raft.LogStore: raft removes its last entries, or drops the first ones.
func (s *store) DeleteRange(min, max uint64) error {
	return s.timed(func() error {
		s.lately.note(func(h *held) {
			if max >= h.index {
				h.index = min - 1
			}
		})
		return s.BoltStore.DeleteRange(min, max)
	})
}

// Set implements raft.StableStore.
func (s *store) Set(k, v []byte) error { return s.check(s.BoltStore.Set(k, v)) }

// SetUint64 implements raft.StableStore. Raft panics where a new term cannot be saved; ending its goroutine instead gives the log time to
// stop in order and to report the cause. Raft's deferred functions answer the calls that wait for it.
func (s *store) SetUint64(k []byte, v uint64) error {
	err := s.check(s.BoltStore.SetUint64(k, v))
	switch {
	case err != nil && !s.mayFail.Load():
		runtime.Goexit()
	case err != nil:
	case string(k) == termKey:
		s.lately.note(func(h *held) { h.term = v })
	case string(k) == voteKey:
		s.lately.note(func(h *held) { h.vote = v })
	}
	return err
}

// Close closes both.
func (s *store) Close() error { return errors.Join(s.BoltStore.Close(), s.lately.close()) }

func (s *store) check(err error) error {
	if err == nil {
		return nil
	}
	err = &WriteError{Path: s.path, Err: err}
	s.fail(err)
	return err
}

// snapshots reports a snapshot that could not be begun; raft would only log that.
type snapshots struct {
	*raft.FileSnapshotStore
	fsm *fsm
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64,
	t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(v, index, term, c, ci, t)
	if err != nil {
		s.fsm.noteSnapshot(err)
	}
	return sink, err
}
