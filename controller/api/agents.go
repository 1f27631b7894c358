package api

import (
	"context"

	"mainstay/controller/loop"
	"mainstay/controller/wire"
)

// report takes in an agent's report. An agent speaks only for the host its certificate names. A controller that does not lead
// keeps the report, so that its view is warm, and answers 421.
func (a *API) report(ctx context.Context, q *request) (any, error) {
	var req wire.ReportRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	switch r := req.Report; {
	case req.Protocol < wire.ProtocolMin || req.Protocol > wire.ProtocolMax:
		return nil, badRequest("this controller speaks versions %d to %d of the API, the agent version %d; upgrade the older of the two",
			wire.ProtocolMin, wire.ProtocolMax, req.Protocol)
	case r.Host != q.who.Name:
		return nil, forbidden("the certificate is for host %s, the report for %q; an agent may report only on its own host: "+
			"correct host: in agent.yaml, or issue the right certificate",
			q.who.Name, r.Host)
	case r.RunID == "" || r.BootID == "" || r.Number == 0:
		return nil, badRequest("the report lacks its bootID, its runID or its number")
	}
	answer, err := a.Loop.Report(ctx, req.Report)
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// wake holds the request until the goals of the agent's host may have changed, at most wakeHold. It confirms nothing.
func (a *API) wake(ctx context.Context, q *request) (any, error) {
	version := q.URL.Query().Get("version")
	hold, cancel := context.WithTimeout(ctx, wakeHold)
	defer cancel()
	for {
		changed := a.States.Changed()
		if !a.Controllers.Leading() {
			return nil, loop.ErrNotLeader
		}
		if v := loop.WakeVersion(a.States.State(), q.who.Name); v != version {
			return wire.Wake{Version: v}, nil
		}
		select {
		case <-changed:
		case <-hold.Done():
			return wire.Wake{Version: version}, ctx.Err()
		}
	}
}
