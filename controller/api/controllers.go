package api

import (
	"context"
	"net"
	"net/http"

	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/wire"
)

func (a *API) identity(context.Context, *request) (any, error) { return a.Controllers.Identity(), nil }

// controllers answers on every controller, also without a leader.
func (a *API) controllers(ctx context.Context, _ *request) (any, error) {
	return a.Controllers.List(ctx)
}

func (a *API) initialise(ctx context.Context, q *request) (any, error) {
	var req wire.InitRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if len(req.Addresses) == 0 {
		return nil, badRequest(`field "addresses" is missing: name every controller, including this one`)
	}
	for _, address := range req.Addresses {
		if err := checkAddress("addresses", address); err != nil {
			return nil, err
		}
	}
	if err := a.Controllers.Init(ctx, req.Addresses, q.who.Role == identity.RoleController); err != nil {
		return nil, err
	}
	return a.Controllers.List(ctx)
}

func (a *API) addController(ctx context.Context, q *request) (any, error) {
	var req wire.AddController
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if err := checkAddress("address", req.Address); err != nil {
		return nil, err
	}
	return a.changeList(ctx, func() error { return a.Controllers.Add(ctx, req.Address) })
}

func (a *API) removeController(ctx context.Context, q *request) (any, error) {
	return a.changeList(ctx, func() error { return a.Controllers.Remove(ctx, q.PathValue("name")) })
}

func (a *API) transfer(ctx context.Context, q *request) (any, error) {
	var req wire.TransferRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	return a.changeList(ctx, func() error { return a.Controllers.Transfer(ctx, req.To) })
}

// changeList changes the list of controllers, which only the leader can, and answers with the new one.
func (a *API) changeList(ctx context.Context, change func() error) (any, error) {
	if !a.Controllers.Leading() {
		return nil, loop.ErrNotLeader
	}
	if err := change(); err != nil {
		return nil, err
	}
	return a.Controllers.List(ctx)
}

func checkAddress(field, address string) error {
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return badRequest("field %q: %q is not an address; write host:port", field, address)
	}
	return nil
}

// livez answers that the process serves requests.
func (a *API) livez(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"controller": a.Name, "live": "yes"})
}

// readyz answers whether this controller knows a leader and has the platform's state.
func (a *API) readyz(w http.ResponseWriter, _ *http.Request) {
	status, why := http.StatusOK, "yes"
	if leader, _ := a.Controllers.Leader(); a.States.State().PlatformID == "" {
		status, why = http.StatusServiceUnavailable, "no: it has no state yet; run `mainstay controllers init`, or add it to the others"
	} else if leader == "" {
		status, why = http.StatusServiceUnavailable, "no: it knows no leader; run `mainstay controllers list`"
	}
	answer(w, status, map[string]string{"controller": a.Name, "ready": why})
}
