// Package api is the controllers' HTTP API under /v1: the requests and answers of controller/wire, over mutual TLS.
//
// A handler checks the caller's role, reads the request strictly, and passes it on: reports and commands to controller/loop,
// changes of the controllers' own list to its Controllers port. It computes answers on a copy of the leader's knowledge, outside
// the loop. It must never decide anything itself, never change state but through the log, and never answer from a state that may
// be old: a controller that does not lead says so (421) and names the leader. Every handler has a deadline.
//
// Flow enters from agents, operators, viewers and other controllers; it leaves to loop, and back as JSON.
package api

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/delta"
	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Loop is the part of the leader's loop that the handlers use.
type Loop interface {
	Report(ctx context.Context, r health.Report) (*wire.ReportAnswer, error)
	Submit(ctx context.Context, cmd state.Command) error
	Observations(ctx context.Context, v health.Observations) error
	Snapshot(ctx context.Context) (loop.Snapshot, error)
}

// States gives the applied state of this controller.
type States interface {
	State() *state.State
	// Changed is closed after the next change of State or leadership. Call it before State; otherwise a change may be missed.
	Changed() <-chan struct{}
}

// Controllers is the controllers' own list and this controller's role in it.
type Controllers interface {
	// Leading tells whether this controller believes that it leads; Leader names the leader that it knows, "" for none.
	Leading() bool
	Leader() (name, address string)
	Identity() wire.Identity
	// List asks every controller for its identity; those that do not answer are in the list, not reached.
	List(ctx context.Context) (wire.Controllers, error)
	// Init begins the platform. forwarded means that another controller asks on behalf of an operator.
	Init(ctx context.Context, addresses []string, forwarded bool) error
	Add(ctx context.Context, address string) error
	Remove(ctx context.Context, nameOrID string) error
	Transfer(ctx context.Context, to string) error
}

// Confirmed is this controller's knowledge of other controllers' logs: the highest entry of each, by process (S3).
type Confirmed interface {
	Note(log, process string, entry uint64)
	// Before is the highest entry of earlier processes; 0 if it is not known.
	Before(log, process string) uint64
}

// Log gives /metrics the figures of the replicated log.
type Log interface {
	Term() uint64
	Applied() uint64
}

// Options are the dependencies of the API; all fields are required.
type Options struct {
	Name        string // of this controller
	Loop        Loop
	States      States
	Controllers Controllers
	Log         Log
	Confirmed   Confirmed
	// Identify returns the identity of a request's peer, or an error if that peer may no longer connect.
	Identify func(*http.Request) (identity.ID, error)
	// Certificates are the certificates that this process uses, with their ends.
	Certificates func() []identity.End
	Logger       *zap.Logger
}

// API holds the handlers. It owns no goroutine.
type API struct {
	Options
	metrics   http.Handler
	exchanges delta.Exchanges // of repeated requests, by certificate and path
}

// New returns the API.
func New(o Options) *API {
	a := &API{Options: o}
	a.metrics = a.metricsHandler()
	return a
}

// Deadlines of the handlers. A held request returns before its deadline.
const (
	short    = 5 * time.Second
	admin    = 45 * time.Second // waits for elections, or for a new controller to catch up
	wakeHold = 20 * time.Second // GET /v1/wake
	waitHold = 30 * time.Second // ?wait=1
	held     = 35 * time.Second
)

var (
	everyRole = []string{identity.RoleController, identity.RoleAgent, identity.RoleOperator, identity.RoleViewer}
	agents    = []string{identity.RoleAgent}
	peers     = []string{identity.RoleController}
	operators = []string{identity.RoleOperator}
	viewers   = []string{identity.RoleViewer, identity.RoleOperator}
	starters  = []string{identity.RoleOperator, identity.RoleController}
)

// route is one line of the API: the request, the roles that may make it, and how long it may take.
type route struct {
	pattern string
	roles   []string
	limit   time.Duration
	do      func(context.Context, *request) (any, error)
}

func (a *API) routes() []route {
	return []route{
		{"POST /v1/report", agents, short, a.report},
		{"GET /v1/wake", agents, held, a.wake},
		{"POST /v1/votes", peers, short, a.observations},
		{"GET /v1/confirmed", peers, short, a.confirmed},
		{"GET /v1/status", viewers, short, a.status},
		{"GET /v1/platform", viewers, short, a.platform},
		{"PUT /v1/platform", operators, 2 * short, a.apply},
		{"POST /v1/clusters/{cluster}/switchover", operators, 2 * short, a.switchover},
		{"POST /v1/clusters/{cluster}/failover", operators, 2 * short, a.failover},
		{"POST /v1/clusters/{cluster}/pause", operators, 2 * short, a.pause},
		{"POST /v1/clusters/{cluster}/resume", operators, 2 * short, a.resume},
		{"POST /v1/clusters/{cluster}/ack", operators, 2 * short, a.ack},
		{"POST /v1/clusters/{cluster}/integrity/clear", operators, 2 * short, a.clearDamage},
		{"POST /v1/clusters/{cluster}/integrity/release", operators, 2 * short, a.release},
		{"POST /v1/clusters/{cluster}/integrity/repair", operators, 2 * short, a.repair},
		{"GET /v1/clusters/{cluster}/backups", viewers, short, a.backups},
		{"POST /v1/clusters/{cluster}/backups", operators, 2 * short, a.changeBackups},
		{"POST /v1/operations/{id}/approve", operators, 2 * short, a.approve},
		{"GET /v1/site-switchovers", viewers, short, a.siteSwitchovers},
		{"POST /v1/site-switchovers", operators, 2 * short, a.siteSwitchover},
		{"GET /v1/site-switchovers/{id}", viewers, held, a.siteSwitchoverOf},
		{"POST /v1/site-switchovers/{id}/word", operators, 2 * short, a.siteDecision},
		{"GET /v1/hosts/{host}/fence", operators, short, a.fenceState},
		{"POST /v1/hosts/{host}/fence", operators, 2 * short, a.fence},
		{"POST /v1/hosts/{host}/unfence", operators, 2 * short, a.unfence},
		{"GET /v1/clusters/{cluster}/history", viewers, short, a.history},
		{"GET /v1/clusters/{cluster}/operations/{id}", viewers, held, a.operation},
		{"GET /v1/clusters/{cluster}/explain", viewers, short, a.explain},
		{"GET /v1/controller", everyRole, short, a.identity},
		{"GET /v1/controllers", everyRole, short, a.controllers},
		{"POST /v1/controllers", operators, admin, a.addController},
		{"DELETE /v1/controllers/{name}", operators, admin, a.removeController},
		{"POST /v1/controllers/transfer", operators, admin, a.transfer},
		{"POST /v1/controllers/init", starters, admin, a.initialise},
	}
}

// Handler serves the API, and /livez, /readyz and /metrics, to verified peers.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		mux.Handle(r.pattern, a.handle(r))
	}
	mux.Handle("GET /livez", bounded(short, http.HandlerFunc(a.livez)))
	mux.Handle("GET /readyz", bounded(short, http.HandlerFunc(a.readyz)))
	mux.Handle("GET /metrics", a.guarded(viewers, bounded(short, a.metrics)))
	mux.HandleFunc("/", notFound)
	return mux
}

// Plain serves only harmless requests, without certificates, on the local address `metrics`: /livez, /readyz and /metrics.
func (a *API) Plain() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /livez", bounded(short, http.HandlerFunc(a.livez)))
	mux.Handle("GET /readyz", bounded(short, http.HandlerFunc(a.readyz)))
	mux.Handle("GET /metrics", bounded(short, a.metrics))
	mux.HandleFunc("/", notFound)
	return mux
}
