package api

import (
	"context"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// pause bars promotions in a cluster until it is resumed, or for a given time (L7).
func (a *API) pause(ctx context.Context, q *request) (any, error) {
	var req wire.PauseRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.Reason == "" {
		return nil, badRequest(`field "reason" is missing: give the reason, which status shows`)
	}
	if req.For < 0 {
		return nil, badRequest(`field "for" must not be negative`)
	}
	now := time.Now()
	p := &state.Pause{By: q.who.Name, Reason: req.Reason, Since: stamp(now)}
	plan := []string{"no failover and no switchover of " + q.PathValue("cluster"),
		"its guards do not enforce the lease: PostgreSQL keeps running after the lease ends"}
	if req.For > 0 {
		p.Until = stamp(now.Add(req.For))
		plan = append(plan, "until "+p.Until)
	}
	return a.setPause(ctx, q, &state.SetPause{Pause: p}, plan)
}

// resume ends a pause: first the guards enforce the lease again, then promotions are allowed (L7).
func (a *API) resume(ctx context.Context, q *request) (any, error) {
	return a.setPause(ctx, q, &state.SetPause{Resume: true}, []string{"the guards enforce the lease again, then failovers are allowed"})
}

func (a *API) setPause(ctx context.Context, q *request, change *state.SetPause, plan []string) (any, error) {
	return a.propose(ctx, q, false, func(s *subject) (planned, error) {
		return planned{cmd: state.Command{Pause: change}, answer: wire.OperationAnswer{Plan: plan}}, nil
	})
}
