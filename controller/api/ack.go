package api

import (
	"context"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// ack lifts the block that follows an automatic failover: an operator has seen its reason.
func (a *API) ack(ctx context.Context, q *request) (any, error) {
	return a.propose(ctx, q, false, func(s *subject) (planned, error) {
		return planned{cmd: state.Command{Ack: &state.Ack{}}, answer: wire.OperationAnswer{
			Operation: s.c.Recovered, Plan: []string{"the next automatic failover of " + s.c.Name + " does not wait"}}}, nil
	})
}
