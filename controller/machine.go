package controller

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"mainstay/controller/api"
	"mainstay/controller/consensus"
	"mainstay/controller/loop"
	"mainstay/controller/state"
)

// machine applies the log's commands to the state and publishes the result in the process. It does no I/O and never waits.
type machine struct {
	applied func(*state.State) // loop.Applied
	current atomic.Pointer[state.State]

	mu      sync.Mutex
	changed chan struct{} // closed and replaced by each change
}

func newMachine() *machine {
	m := &machine{changed: make(chan struct{})}
	m.current.Store(state.New())
	return m
}

// State is the state after the last applied entry. It is never changed in place.
func (m *machine) State() *state.State { return m.current.Load() }

// Changed is closed after the next change of State or of leadership.
func (m *machine) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// wake wakes all waiters of Changed.
func (m *machine) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *machine) take(s *state.State) {
	m.current.Store(s)
	m.applied(s)
	m.wake()
}

// Apply implements consensus.Machine. A command that this version does not know stops the log: it is never skipped.
func (m *machine) Apply(index uint64, b []byte) (any, error) {
	cmd, err := state.DecodeCommand(b)
	if err != nil {
		return nil, &consensus.FatalError{Err: err}
	}
	next, err := state.Apply(m.State(), index, cmd)
	if errors.Is(err, state.ErrUnknownCommand) {
		return nil, &consensus.FatalError{Err: err}
	}
	m.take(next)
	if err != nil {
		return nil, &api.RefusedError{Err: err}
	}
	return nil, nil
}

// Snapshot implements consensus.Machine.
func (m *machine) Snapshot() func() ([]byte, error) {
	s := m.State()
	return func() ([]byte, error) { return state.EncodeSnapshot(s) }
}

// Restore implements consensus.Machine.
func (m *machine) Restore(b []byte) error {
	s, err := state.DecodeSnapshot(b)
	if err != nil {
		return err
	}
	m.take(s)
	return nil
}

// proposer is the log as the loop sees it. log is set before the loop runs.
type proposer struct {
	log   *consensus.Log
	asked chan struct{} // of handover
}

// Propose implements loop.Log.
func (p *proposer) Propose(cmd []byte, timeout time.Duration) loop.Pending {
	return pending{p.log.Propose(cmd, timeout)}
}

// Stalled implements loop.Log.
func (p *proposer) Stalled() time.Duration { return p.log.Stalled() }

type pending struct{ consensus.Pending }

// Result tells a refusal of the state from a failure of the log.
func (p pending) Result() (refused bool, err error) {
	_, _, err = p.Pending.Result()
	if errors.Is(err, consensus.ErrNotLeader) {
		return false, fmt.Errorf("%w: nothing was committed", loop.ErrNotLeader)
	}
	r := (*api.RefusedError)(nil)
	return errors.As(err, &r) || errors.Is(err, consensus.ErrBusy), err // busy: surely not committed
}
