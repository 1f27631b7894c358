package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/identity"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

const (
	// showBound is how long reading the transactions of a piece may take; those found by then are shown.
	showBound = 7 * time.Second
	// shownTransactions bounds the list of them.
	shownTransactions = 1000
	// dropWait is how long an answer waits until the files are removed.
	dropWait = 3 * time.Second
	// maxDropRequest bounds a request's body.
	maxDropRequest = 16 << 10
)

// desk limits the number of requests that read the disk at a time: they must not pile up at a frozen one (L6).
type desk chan struct{}

// removal is a dropped piece that dropLoop must remove; done has room for the result.
type removal struct {
	from  quarantine
	piece wire.Piece
	done  chan error
}

// refusal is an answer that is not 2xx.
type refusal struct {
	status int
	code   string
	text   string
}

func (r *refusal) Error() string { return r.text }

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

// quarantineAPI adds the operators' requests for quarantined data. Viewers may read, but not drop.
func (a *Agent) quarantineAPI(mux *http.ServeMux) {
	look := []string{identity.RoleOperator, identity.RoleViewer}
	mux.HandleFunc("GET /v1/quarantine", a.handle(look, time.Second, a.pieces))
	mux.HandleFunc("GET /v1/quarantine/{id}", a.handle(look, showBound, a.showPiece))
	mux.HandleFunc("POST /v1/quarantine/{id}/drop", a.handle(look[:1], dropWait, a.dropPiece))
}

type pieceHandler func(ctx context.Context, who identity.ID, r *http.Request) (any, error)

// handle checks the caller's role and bounds the work.
func (a *Agent) handle(roles []string, bound time.Duration, do pieceHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.handled(w, r, roles, bound, do)
		respond(w, answer, err)
	}
}

// respond sends an answer or a refusal.
func respond(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		why := &refusal{http.StatusInternalServerError, "failed", err.Error()}
		errors.As(err, &why)
		status, answer = why.status, wire.Error{Message: why.text, Code: why.code}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a client that has left needs no answer
}

func (a *Agent) handled(w http.ResponseWriter, r *http.Request, roles []string, bound time.Duration, do pieceHandler) (any, error) {
	who, err := identity.IDOf(r)
	if err != nil || !slices.Contains(roles, who.Role) {
		return nil, refuse(http.StatusForbidden, "forbidden", "%s %s may not do this: it needs a certificate of role %s", who.Role, who.Name,
			strings.Join(roles, " or "))
	}
	select {
	case a.desk <- struct{}{}:
		defer func() { <-a.desk }()
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

// pieces lists the host's pieces, including those of members that it no longer has.
func (a *Agent) pieces(context.Context, identity.ID, *http.Request) (any, error) {
	out := wire.Quarantine{Host: a.cfg.Host, Limit: a.cfg.Quarantine.Limit, Pieces: []wire.Piece{}}
	dirs, err := filepath.Glob(a.quarantineOf("*").dir)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		found, err := quarantine{dir: dir}.list()
		if err != nil {
			return nil, err
		}
		out.Pieces = append(out.Pieces, found...)
	}
	return out, nil
}

// find reads the record of one piece. An ID is a name, never a path.
func (a *Agent) find(id string) (wire.Piece, quarantine, error) {
	dirs, err := filepath.Glob(a.quarantineOf("*").dir)
	if err != nil || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return wire.Piece{}, quarantine{}, refuse(http.StatusBadRequest, "bad-request", "%q is not the ID of a piece", id)
	}
	for _, dir := range dirs {
		q := quarantine{dir: dir}
		if p, err := q.read(id); !errors.Is(err, fs.ErrNotExist) {
			return p, q, err
		}
	}
	return wire.Piece{}, quarantine{}, refuse(http.StatusNotFound, "bad-request",
		"%s has no piece %s; run `mainstay member quarantine list` to see its pieces", a.cfg.Host, id)
}

func (a *Agent) showPiece(ctx context.Context, _ identity.ID, r *http.Request) (any, error) {
	p, _, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := wire.PieceAnswer{Host: a.cfg.Host, Piece: p}
	out.List, out.Note = a.transactions(ctx, p)
	return out, nil
}

// transactions lists the commits in a piece, as far as they can be read.
func (a *Agent) transactions(ctx context.Context, p wire.Piece) (list []wire.Transaction, note string) {
	pg := a.serverOf(p.Member)
	switch {
	case p.Bytes == 0:
		return nil, ""
	case p.Problem != "" || p.Dropped != nil:
		return nil, "its files are incomplete"
	case pg == nil:
		return nil, "the agent no longer manages " + p.Member + ", so it has no pg_waldump for it"
	}
	dir := p.Place
	if p.How == wire.Rebuilt {
		dir = filepath.Join(dir, "pg_wal")
	}
	found, total, err := pg.Transactions(ctx, dir, postgres.Discard{Timeline: p.Timeline, From: p.From, To: p.To}, shownTransactions)
	for _, t := range found {
		list = append(list, wire.Transaction(t))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		note = fmt.Sprintf("reading stopped after %s; there may be more", showBound)
	case err != nil:
		note = err.Error()
	case total > len(list):
		note = fmt.Sprintf("the first %d of %d", len(list), total)
	case total < p.Transactions:
		note = fmt.Sprintf("%d more on later timelines", p.Transactions-total)
	}
	return list, note
}

func (a *Agent) serverOf(member string) *postgres.Server {
	a.mu.Lock()
	m := a.members[member]
	a.mu.Unlock()
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pg
}

// dropPiece destroys a piece on an operator's request, which is in the record and in the log before the first file is removed.
func (a *Agent) dropPiece(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req wire.DropRequest
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxDropRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil || strings.TrimSpace(req.Reason) == "" {
		return nil, refuse(http.StatusBadRequest, "bad-request", "a drop needs a reason")
	}
	p, q, err := a.find(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if p.Dropped == nil {
		drop := &wire.Drop{By: who.Name, Reason: req.Reason, When: time.Now().UTC().Format(time.RFC3339)}
		mark := func(p *wire.Piece) bool { p.Dropped = drop; return true }
		if err := a.amend(q, p.ID, mark); err != nil {
			return nil, err
		}
		p.Dropped = drop
	}
	a.log.Warn("an operator drops quarantined data", zap.String("id", p.ID), zap.String("member", p.Member), zap.String("operator", who.Name),
		zap.String("reason", req.Reason),
		zap.Uint32("timeline", uint32(p.Timeline)), zap.Stringer("from", p.From), zap.Stringer("to", p.To), zap.Int64("bytes", p.Bytes),
		zap.Int("transactions", p.Transactions), zap.String("place", p.Place))
	job := removal{q, p, make(chan error, 1)}
	select {
	case a.drops <- job:
	case <-ctx.Done():
		return wire.DropAnswer{Piece: p}, nil // an earlier removal takes long; dropLoop gets to this one
	}
	select {
	case err = <-job.done:
		return wire.DropAnswer{Piece: p, Gone: err == nil}, err
	case <-ctx.Done():
		return wire.DropAnswer{Piece: p}, nil
	}
}

// dropLoop removes dropped pieces, and checks the pieces of members that have answered, one at a time. It starts with the removals that
// an earlier run did not finish (S7).
func (a *Agent) dropLoop(ctx context.Context) error {
	for {
		a.removeDropped(ctx)
		select {
		case <-ctx.Done():
			return nil
		case job := <-a.drops:
			job.done <- a.removePiece(ctx, job.from, job.piece)
		case member := <-a.rebuilt:
			a.prove(ctx, member)
		}
	}
}

// removeDropped completes the removal of dropped pieces, and interrupted reductions.
func (a *Agent) removeDropped(ctx context.Context) {
	dirs, _ := filepath.Glob(a.quarantineOf("*").dir) // the pattern is constant
	for _, dir := range dirs {
		q := quarantine{dir: dir}
		all, err := q.list()
		if err != nil {
			a.log.Error("the quarantine cannot be read", zap.String("folder", dir), zap.Error(err))
		}
		for _, p := range all {
			if p.Dropped != nil && ctx.Err() == nil {
				_ = a.removePiece(ctx, q, p) // logged there, and retried
			} else if p.Reduced != nil && !p.Reduced.Done && p.Problem == "" && ctx.Err() == nil {
				a.finishReduced(ctx, q, p)
			}
		}
	}
}

func (a *Agent) removePiece(ctx context.Context, q quarantine, p wire.Piece) error {
	err := q.remove(ctx, p)
	if err != nil {
		a.log.Error("files of a dropped piece could not be removed; drop it again",
			zap.String("id", p.ID), zap.String("member", p.Member), zap.Error(err))
		return err
	}
	a.log.Info("the files of a dropped piece were removed", zap.String("id", p.ID), zap.String("member", p.Member))
	return nil
}
