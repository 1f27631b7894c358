package api

import (
	"context"
	"strconv"

	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

const defaultHistory = 20

// history lists the last operations of a cluster, oldest first.
func (a *API) history(ctx context.Context, q *request) (any, error) {
	limit := defaultHistory
	if text := q.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, badRequest("limit %q must be a positive number", text)
		}
		limit = n
	}
	s, err := a.subjectOf(ctx, q)
	if err != nil {
		return nil, err
	}
	ops := s.c.Operations
	ops = ops[max(0, len(ops)-limit):]
	return wire.HistoryAnswer{Operations: append([]state.Operation{}, ops...)}, nil
}

// operation shows one operation. With ?wait=1 it is held until the operation has ended, with ?wait=1&steps=N also only
// until it has more than N steps; at most waitHold.
func (a *API) operation(ctx context.Context, q *request) (any, error) {
	query := q.URL.Query()
	steps := -1
	if text := query.Get("steps"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, badRequest("steps %q must be a number", text)
		}
		steps = n
	}
	if _, err := a.subjectOf(ctx, q); err != nil {
		return nil, err
	}
	hold, cancel := context.WithTimeout(ctx, waitHold)
	defer cancel()
	for {
		changed := a.States.Changed()
		op := find(a.States.State().Clusters[q.PathValue("cluster")], q.PathValue("id"))
		if op == nil {
			return nil, notThere("cluster %s has no operation %s; `mainstay history %[1]s` lists them", q.PathValue("cluster"), q.PathValue("id"))
		}
		if query.Get("wait") != "1" || op.Result != state.Running || steps >= 0 && len(op.Steps) > steps {
			return wire.HistoryAnswer{Operations: []state.Operation{*op}}, nil
		}
		select {
		case <-changed:
		case <-hold.Done():
			return wire.HistoryAnswer{Operations: []state.Operation{*op}}, ctx.Err()
		}
		if !a.Controllers.Leading() {
			return nil, loop.ErrNotLeader // the new leader continues it
		}
	}
}

func find(c *state.Cluster, id string) *state.Operation {
	if c == nil {
		return nil
	}
	for i := range c.Operations {
		if c.Operations[i].ID == id {
			return &c.Operations[i]
		}
	}
	return nil
}
