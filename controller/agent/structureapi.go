package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/identity"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
)

const (
	// maxStructureRequest bounds a request's body, and highestRate the rate that it may ask for, in MB a second.
	maxStructureRequest = 4 << 10
	highestRate         = 1000
)

// structureAPI adds the operators' requests for checks of the structure of members' data. They touch memory only: the check itself is the
// supervisor's. Viewers may read.
func (a *api) structureAPI(mux *http.ServeMux) {
	look := []string{identity.RoleOperator, identity.RoleViewer}
	mux.HandleFunc("GET /v1/integrity/{member}/structure", a.handle(look, time.Second, a.structure))
	mux.HandleFunc("POST /v1/integrity/{member}/structure", a.handle(look[:1], time.Second, a.checkStructure))
}

func (a *api) structureOf(r *http.Request) (*supervisor.Supervisor, error) {
	if m := a.lookUp(r.PathValue("member")); m != nil {
		return m, nil
	}
	return nil, refuse(http.StatusNotFound, "bad-request", "the agent of %s has no member %s", a.cfg.Host, r.PathValue("member"))
}

func (a *api) structure(_ context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.structureOf(r)
	if err != nil {
		return nil, err
	}
	return wire.StructureAnswer{Host: a.cfg.Host, Member: m.Name(), Check: m.Structure.Last()}, nil
}

// checkStructure begins or ends a check on an operator's request.
func (a *api) checkStructure(_ context.Context, who identity.ID, r *http.Request) (any, error) {
	m, err := a.structureOf(r)
	if err != nil {
		return nil, err
	}
	var req wire.StructureRequest
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxStructureRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil || req.Rate < 0 || req.Rate > highestRate || req.Stop && (req.Install || req.Rate > 0) {
		return nil, refuse(http.StatusBadRequest, "bad-request",
			"a check of the structure has a rate of 1 to %d MB a second or none, and a stop has neither that nor install", highestRate)
	}
	a.log.Info("an operator asks for a check of the structure of the data", zap.String("member", m.Name()), zap.String("by", who.Name),
		zap.Bool("install", req.Install), zap.Int("rate", req.Rate), zap.Bool("stop", req.Stop))
	if req.Stop {
		m.Structure.Stop()
	} else if err := m.Structure.Begin(cmp.Or(req.Rate, a.cfg.Integrity.Rate), req.Install); errors.Is(err, supervisor.ErrChecking) {
		return nil, refuse(http.StatusConflict, "refused", "%s: %v; stop it first, or wait", m.Name(), err)
	}
	return wire.StructureAnswer{Host: a.cfg.Host, Member: m.Name(), Check: m.Structure.Last()}, nil
}
