package api

import (
	"context"

	"mainstay/health"
)

// votes takes in what another controller sees of the members. A controller speaks only for itself.
func (a *API) votes(ctx context.Context, q *request) (any, error) {
	var v health.Votes
	if err := q.body(&v); err != nil {
		return nil, err
	}
	switch {
	case v.Observer != q.who.Name:
		return nil, forbidden("the certificate is for controller %s, the votes are signed %q; a controller votes only for itself", q.who.Name, v.Observer)
	case v.Began == "" || v.Number == 0:
		return nil, badRequest("the votes lack their number, or when their process began")
	}
	return nil, a.Loop.Votes(ctx, v)
}
