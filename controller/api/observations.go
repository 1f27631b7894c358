package api

import (
	"context"
	"strconv"
	"strings"

	"mainstay/controller/wire"
	"mainstay/health"
)

// observations takes in another controller's observations of the members, and the last entry of its log. A controller speaks only for
// itself.
func (a *API) observations(ctx context.Context, q *request) (any, error) {
	var v health.Observations
	if err := q.body(&v); err != nil {
		return nil, err
	}
	switch {
	case v.Observer != q.who.Name:
		return nil, forbidden("the certificate is for controller %s, the observations are from %q; a controller sends only its own",
			q.who.Name, v.Observer)
	case v.Began == "" || v.Number == 0:
		return nil, badRequest("the observations lack their number, or the start of their process")
	}
	if log := q.URL.Query().Get("log"); log != "" {
		entry, err := strconv.ParseUint(q.URL.Query().Get("entry"), 10, 64)
		switch {
		case err != nil:
			return nil, badRequest("entry: %v", err)
		case log[:max(0, strings.LastIndexByte(log, '-'))] != q.who.Name:
			return nil, forbidden("the certificate is for controller %s, but %s is the log of another", q.who.Name, log)
		}
		a.Confirmed.Note(log, v.Began, entry)
	}
	return nil, a.Loop.Observations(ctx, v)
}

// confirmed answers another controller with the highest entry of its log that is known here.
func (a *API) confirmed(_ context.Context, q *request) (any, error) {
	query := q.URL.Query()
	if query.Get("log") == "" || query.Get("process") == "" {
		return nil, badRequest("log and process are required")
	}
	return wire.Confirmed{Entry: a.Confirmed.Before(query.Get("log"), query.Get("process"))}, nil
}
