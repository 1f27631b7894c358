// Package quarantine keeps the data that repairs of a host's members discard (S9), and reduces or removes it.
//
// A repair enters with KeepWAL, or with RoomFor and SetAside, each with a deadline; Answered says that a repaired member has answered.
// Operators' requests enter with List, Show and Drop. Removals and reductions run in Run's goroutine, one at a time, and continue what an
// earlier run of the agent left undone (S7). WAL is never removed without an operator's drop. Nothing here is on the lease path: all of
// it reads and writes disks. It never starts or stops PostgreSQL, and never changes a data directory in use.
package quarantine

import (
	"context"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

// Options are the agent's parameters for the quarantines.
type Options struct {
	Config config.Agent // the agent's file: its folder and the limit of each member's quarantine
	Log    *zap.Logger  // not nil
	// Server returns a member's PostgreSQL, nil for a member that the agent does not manage. It only touches memory.
	Server func(member string) *postgres.Server
}

// Host is the quarantines of one host's members. Its methods may be called from any goroutine. mu makes changes of records one at a
// time, and is held while the disk is written; the other fields never change.
type Host struct {
	o        Options
	mu       sync.Mutex
	drops    chan removal // to Run
	answered chan string  // to Run: members that have answered for the first time since their start
}

// New returns a host's quarantines. It touches no disk; Run must run for drops to end.
func New(o Options) *Host {
	return &Host{o: o, drops: make(chan removal), answered: make(chan string, 16)}
}

// of is a member's quarantine.
func (h *Host) of(member string) store {
	return store{filepath.Join(h.o.Config.MemberDir(member), "quarantine"), h.o.Config.Quarantine.Limit}
}

// stores are the quarantines on this host, including those of members that it no longer has.
func (h *Host) stores() (all []store, err error) {
	dirs, err := filepath.Glob(h.of("*").dir)
	for _, dir := range dirs {
		all = append(all, store{dir: dir})
	}
	return all, err
}

// Answered asks Run to check the pieces of a member that has answered for the first time since its start. It never blocks: if the queue is
// full, the pieces are kept whole until the member's next start.
func (h *Host) Answered(member string) {
	select {
	case h.answered <- member:
	default:
	}
}

// Run removes dropped pieces, and checks the pieces of members that have answered, one at a time, until ctx ends. It starts with the
// removals that an earlier run did not finish (S7).
func (h *Host) Run(ctx context.Context) error {
	for {
		h.removeDropped(ctx)
		select {
		case <-ctx.Done():
			return nil
		case job := <-h.drops:
			job.done <- h.remove(ctx, job.from, job.piece)
		case member := <-h.answered:
			h.prove(ctx, member)
		}
	}
}

// List returns the host's pieces, including those of members that it no longer has.
func (h *Host) List() ([]wire.Piece, error) {
	stores, err := h.stores()
	if err != nil {
		return nil, err
	}
	all := []wire.Piece{}
	for _, q := range stores {
		found, err := q.list()
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// amend changes a record unless its piece was dropped. It takes a lock, because an operator's drop may come at the same time. change tells
// whether the record must be written.
func (h *Host) amend(q store, id string, change func(*wire.Piece) bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, err := q.read(id)
	if err != nil || p.Dropped != nil || !change(&p) {
		return err
	}
	return q.record(p)
}
