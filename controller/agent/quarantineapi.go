package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/controller/wire"
)

const (
	// dropWait is how long an answer waits until the files are removed.
	dropWait = 3 * time.Second
	// maxDropRequest bounds a request's body.
	maxDropRequest = 16 << 10
)

// desk limits the number of requests that read the disk at a time: they must not pile up at a frozen one (L6).
type desk chan struct{}

// refusal is an answer that is not 2xx.
type refusal struct {
	status int
	code   string
	text   string
	by     string // see wire.Error.By
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

// quarantineAPI adds the operators' requests for quarantined data. Viewers may read, but not drop.
func (a *api) quarantineAPI(mux *http.ServeMux) {
	look := []string{identity.RoleOperator, identity.RoleViewer}
	mux.HandleFunc("GET /v1/quarantine", a.handle(look, time.Second, a.pieces))
	mux.HandleFunc("GET /v1/quarantine/{id}", a.handle(look, quarantine.ShowBound, a.showPiece))
	mux.HandleFunc("POST /v1/quarantine/{id}/drop", a.handle(look[:1], dropWait, a.dropPiece))
}

type handler func(ctx context.Context, who identity.ID, r *http.Request) (any, error)

// handle checks the caller's role and bounds the work.
func (a *api) handle(roles []string, bound time.Duration, do handler) http.HandlerFunc {
	return a.handleAt(a.desk, roles, bound, do)
}

// handleAt is handle with requests of one kind only at a desk.
func (a *api) handleAt(at desk, roles []string, bound time.Duration, do handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.handled(w, r, at, roles, bound, do)
		respond(w, answer, err)
	}
}

// respond sends an answer or a refusal.
func respond(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		why := &refusal{status: http.StatusInternalServerError, code: "failed", text: err.Error()}
		errors.As(err, &why)
		status, answer = why.status, wire.Error{Message: why.text, Code: why.code, By: why.by}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that has left needs no answer
}

func (a *api) handled(w http.ResponseWriter, r *http.Request, at desk, roles []string, bound time.Duration, do handler) (any, error) {
	who, err := identity.IDOf(r)
	if err != nil || !slices.Contains(roles, who.Role) {
		return nil, refuse(http.StatusForbidden, "forbidden", "%s %s may not do this: it needs a certificate of role %s", who.Role, who.Name,
			strings.Join(roles, " or "))
	}
	select {
	case at <- struct{}{}:
		defer func() { <-at }()
	default:
		return nil, refuse(http.StatusServiceUnavailable, "failed",
			"the agent of %s is busy with earlier requests; if they never end, check its disk", a.cfg.Host)
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bound + 2*time.Second)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), bound)
	defer cancel()
	return do(ctx, who, r)
}

// refused makes refusals of the quarantine's errors about the request.
func refused(err error) error {
	if e := (*quarantine.NotIDError)(nil); errors.As(err, &e) {
		return refuse(http.StatusBadRequest, "bad-request", "%v", err)
	}
	if e := (*quarantine.NoPieceError)(nil); errors.As(err, &e) {
		return refuse(http.StatusNotFound, "bad-request", "%v", err)
	}
	return err
}

// pieces lists the host's pieces, including those of members that it no longer has.
func (a *api) pieces(context.Context, identity.ID, *http.Request) (any, error) {
	all, err := a.quarantine.List()
	return wire.Quarantine{Host: a.cfg.Host, Limit: a.cfg.Quarantine.Limit, Pieces: all}, err
}

func (a *api) showPiece(ctx context.Context, _ identity.ID, r *http.Request) (any, error) {
	p, list, note, err := a.quarantine.Show(ctx, r.PathValue("id"))
	return wire.PieceAnswer{Host: a.cfg.Host, Piece: p, List: list, Note: note}, refused(err)
}

// dropPiece destroys a piece on an operator's request.
func (a *api) dropPiece(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req wire.DropRequest
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxDropRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil || strings.TrimSpace(req.Reason) == "" {
		return nil, refuse(http.StatusBadRequest, "bad-request", "a drop needs a reason")
	}
	p, gone, err := a.quarantine.Drop(ctx, r.PathValue("id"),
		wire.Drop{By: who.Name, Reason: req.Reason, When: time.Now().UTC().Format(time.RFC3339)})
	return wire.DropAnswer{Piece: p, Gone: gone}, refused(err)
}

// serverOf is a member's PostgreSQL; nil for one that this agent does not manage, or whose address it does not know.
func (a *Agent) serverOf(member string) *postgres.Server {
	m := a.lookUp(member)
	if m == nil {
		return nil
	}
	return m.Server()
}
