package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

const (
	// listBound, whereBound and readBound bound the work for one question of another agent's comparison. A read takes as long as the rate
	// of scans needs.
	listBound  = 25 * time.Second
	whereBound = 10 * time.Second
	readBound  = 25 * time.Second
	// checkBound bounds an operator's request; what it begins runs on.
	checkBound = time.Second
	// maxCheckRequest bounds a request's body.
	maxCheckRequest = 1 << 20
	// statusBytes is about how long the status of a page of pg_xact is in JSON, without its bits.
	statusBytes = 44
	// longestWait bounds how long a comparison looks again.
	longestWait = 24 * time.Hour
)

// integrityAPI adds the questions of other agents' comparisons, and operators' requests for checks. Both have desks of their own: neither
// must wait for the other, nor for requests about quarantined data.
func (a *api) integrityAPI(mux *http.ServeMux) {
	agents, people := []string{identity.RoleAgent}, []string{identity.RoleOperator, identity.RoleViewer}
	questions, checks := make(desk, 4), make(desk, 4)
	mux.HandleFunc("POST /v1/integrity/{member}/list", a.handleAt(questions, agents, listBound, a.compareList))
	mux.HandleFunc("POST /v1/integrity/{member}/where", a.handleAt(questions, agents, whereBound, a.compareWhere))
	mux.HandleFunc("POST /v1/integrity/{member}/read", a.handleAt(questions, agents, readBound, a.compareRead))
	mux.HandleFunc("POST /v1/integrity/{member}/transactions", a.handleAt(questions, agents, readBound, a.compareTransactions))
	mux.HandleFunc("POST /v1/integrity/{member}/page", a.handleAt(questions, agents, whereBound, a.readPage))
	mux.HandleFunc("POST /v1/integrity/{member}/mend", a.handleAt(checks, people[:1], readBound, a.planMend))
	mux.HandleFunc("GET /v1/integrity/{member}", a.handleAt(checks, people, checkBound, a.integrity))
	mux.HandleFunc("POST /v1/integrity/{member}/compare", a.handleAt(checks, people[:1], checkBound, a.beginComparison))
	mux.HandleFunc("POST /v1/integrity/{member}/scan", a.handleAt(checks, people[:1], checkBound, a.beginScan))
	mux.HandleFunc("POST /v1/integrity/{member}/cancel", a.handleAt(checks, people[:1], checkBound, a.cancelComparison))
}

// comparedFiles are a member's files to the comparisons of other agents. A Supervisor has them.
type comparedFiles interface {
	Peers() map[string]platform.Peer
	CompareList(ctx context.Context, by string) (compare.Listing, error)
	CompareMended(of, page string)
	CompareWhere(ctx context.Context, by string) (compare.Where, error)
	CompareRead(ctx context.Context, by string, rate int, extents []integrity.Extent) ([][]page.Summary, compare.Where, error)
	CompareTransactions(ctx context.Context, by string, rate int, want compare.Transactions) ([]compare.Status, compare.Where, error)
	CompareEnd(by string)
	ComparePage(ctx context.Context, b integrity.Block) (compare.PageAnswer, error)
}

// filesOf are those of the host's members; nil for none of that name.
func (a *Agent) filesOf(member string) comparedFiles {
	if m := a.lookUp(member); m != nil {
		return m
	}
	return nil
}

func decodeCheck(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxCheckRequest))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return refuse(http.StatusBadRequest, "bad-request", "the request cannot be read: %v", err)
	}
	return nil
}

func (a *api) noMember(name string) error {
	return refuse(http.StatusNotFound, "bad-request", "host %s has no member %s", a.cfg.Host, name)
}

// asked is the member that an operator's request is about.
func (a *api) asked(r *http.Request) (*supervisor.Supervisor, error) {
	m := a.lookUp(r.PathValue("member"))
	if m == nil {
		return nil, a.noMember(r.PathValue("member"))
	}
	return m, nil
}

// askedByPeer reads a request of another agent, which may ask for its own members, and only about members of the same cluster.
func (a *api) askedByPeer(who identity.ID, r *http.Request, into any, from func() string) (comparedFiles, error) {
	if err := decodeCheck(r, into); err != nil {
		return nil, err
	}
	m := a.files(r.PathValue("member"))
	if m == nil {
		return nil, a.noMember(r.PathValue("member"))
	}
	if peer, known := m.Peers()[from()]; !known || peer.Host != who.Name {
		return nil, refuse(http.StatusForbidden, "forbidden", "agent %s may not ask for %q: that is no member of the same cluster on its host",
			who.Name, from())
	}
	return m, nil
}

// unready makes a refusal of what passes.
func unready(err error) error {
	if busy := (*compare.BusyError)(nil); errors.As(err, &busy) {
		return &refusal{status: http.StatusConflict, code: wire.CodeComparing, text: busy.Error(), by: busy.By}
	}
	if errors.Is(err, supervisor.ErrNotCalm) || errors.Is(err, compare.ErrOneMember) {
		return refuse(http.StatusConflict, "refused", "%v", err)
	}
	return err
}

func (a *api) compareList(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req compare.ListRequest
	m, err := a.askedByPeer(who, r, &req, func() string { return req.From })
	if err != nil {
		return nil, err
	}
	l, err := m.CompareList(ctx, req.From)
	return l, unready(err)
}

func (a *api) compareWhere(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req compare.ListRequest
	m, err := a.askedByPeer(who, r, &req, func() string { return req.From })
	if err != nil {
		return nil, err
	}
	if req.End {
		m.CompareEnd(req.From)
		return compare.Where{}, nil
	}
	if req.Mended != "" {
		m.CompareMended(req.From, req.Mended)
		return compare.Where{}, nil
	}
	at, err := m.CompareWhere(ctx, req.From)
	return at, unready(err)
}

func (a *api) compareRead(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req compare.Request
	m, err := a.askedByPeer(who, r, &req, func() string { return req.From })
	if err != nil {
		return nil, err
	}
	extents, err := req.Wanted()
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "bad-request", "%v", err)
	}
	all, at, err := m.CompareRead(ctx, req.From, req.Rate, extents)
	if err != nil {
		return nil, unready(err)
	}
	return compare.Answer{Where: at, Packed: compare.Pack(all)}, nil
}

func (a *api) compareTransactions(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req compare.StatusRequest
	m, err := a.askedByPeer(who, r, &req, func() string { return req.From })
	if err != nil {
		return nil, err
	}
	if err := req.Want.Valid(); err != nil {
		return nil, refuse(http.StatusBadRequest, "bad-request", "%v", err)
	}
	all, at, err := m.CompareTransactions(ctx, req.From, req.Rate, req.Want)
	return compare.StatusAnswer{Where: at, Pages: all}, unready(err)
}

func (a *api) readPage(ctx context.Context, who identity.ID, r *http.Request) (any, error) {
	var req compare.PageRequest
	m, err := a.askedByPeer(who, r, &req, func() string { return req.From })
	if err != nil {
		return nil, err
	}
	answer, err := m.ComparePage(ctx, req.Wanted())
	if errors.Is(err, integrity.ErrNoPage) {
		return nil, refuse(http.StatusNotFound, "refused", "%v", err)
	}
	return answer, unready(err)
}

// planMend says how a page of a member would be mended, and changes nothing.
func (a *api) planMend(ctx context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.asked(r)
	if err != nil {
		return nil, err
	}
	var req wire.MendRequest
	if err := decodeCheck(r, &req); err != nil {
		return nil, err
	}
	plan, err := supervisor.PlanMend(ctx, m, req)
	if no := (*supervisor.NotMendedError)(nil); errors.As(err, &no) {
		return nil, refuse(http.StatusConflict, "refused", "%v", err)
	}
	return plan, unready(err)
}

// integrity is what this agent knows of a member's data.
func (a *api) integrity(_ context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.asked(r)
	if err != nil {
		return nil, err
	}
	seen := m.Snapshot()
	return wire.IntegrityAnswer{Member: m.Name(), Damage: seen.Damage, Scan: seen.Scan, Comparison: m.Comparison()}, nil
}

// beginComparison compares a member with others of its cluster.
func (a *api) beginComparison(_ context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.asked(r)
	if err != nil {
		return nil, err
	}
	var req wire.CompareRequest
	if err := decodeCheck(r, &req); err != nil {
		return nil, err
	}
	if req.Wait < 0 || req.Wait > longestWait {
		return nil, refuse(http.StatusBadRequest, "bad-request", "a wait of %s is not between 0 and %s", req.Wait, longestWait)
	}
	others, done := a.Others(m.Name(), m.Peers(), req.Members, 0)
	if err := m.Compare(supervisor.Comparing{Others: others, Wait: req.Wait, Done: done, Incremental: req.Incremental}); err != nil {
		done()
		return nil, unready(fmt.Errorf("no comparison begins on %s: %w", m.Name(), err))
	}
	return struct{}{}, nil
}

// Others implements supervisor.Host.
func (a *Agent) Others(member string, peers map[string]platform.Peer, names []string, rate int) (others []compare.Member, done func()) {
	var clients []*wire.Client
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		if peer := peers[name]; name != member && peer.Address != "" && (len(names) == 0 || slices.Contains(names, name)) {
			client := wire.NewClient([]string{peer.Address}, a.tls.ClientConfig(identity.RoleAgent, peer.Host))
			clients = append(clients, client)
			others = append(others, &peerFiles{client: client, address: peer.Address, name: name, from: member, rate: rate})
		}
	}
	return others, func() {
		for _, c := range clients {
			c.Close()
		}
	}
}

func (a *api) beginScan(_ context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.asked(r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, unready(m.ScanNow())
}

func (a *api) cancelComparison(_ context.Context, _ identity.ID, r *http.Request) (any, error) {
	m, err := a.asked(r)
	if err != nil {
		return nil, err
	}
	if !m.CancelComparison() {
		return nil, refuse(http.StatusConflict, "refused", "the agent of %s runs no comparison", m.Name())
	}
	return struct{}{}, nil
}

// peerFiles is a member of another host to a comparison: its agent reads the files.
type peerFiles struct {
	client  *wire.Client
	address string
	name    string
	from    string // the member that compares
	rate    int    // MB a second; 0: as the other agent's file says
}

func (p *peerFiles) Name() string { return p.name }

func (p *peerFiles) ask(ctx context.Context, what string, in, out any) error {
	err := p.client.DoAt(ctx, p.address, http.MethodPost, "/v1/integrity/"+p.name+"/"+what, in, out)
	if refusal := (*wire.RefusalError)(nil); errors.As(err, &refusal) && refusal.Err.Code == wire.CodeComparing {
		return &compare.BusyError{By: refusal.Err.By}
	}
	return err
}

func (p *peerFiles) List(ctx context.Context) (l compare.Listing, err error) {
	return l, p.ask(ctx, "list", compare.ListRequest{From: p.from}, &l)
}

func (p *peerFiles) Where(ctx context.Context) (at compare.Where, err error) {
	return at, p.ask(ctx, "where", compare.ListRequest{From: p.from}, &at)
}

// Page asks for one page.
func (p *peerFiles) Page(ctx context.Context, b integrity.Block) (answer compare.PageAnswer, err error) {
	return answer, p.ask(ctx, "page", compare.NewPageRequest(p.from, b), &answer)
}

func (p *peerFiles) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, int64, error) {
	var answer compare.Answer
	req := compare.NewRequest(p.from, extents)
	req.Rate = p.rate
	if err := p.ask(ctx, "read", req, &answer); err != nil {
		return nil, answer.Where, 0, err
	}
	all, err := compare.Unpack(answer.Packed, extents)
	return all, answer.Where, int64(base64.StdEncoding.EncodedLen(len(answer.Packed))), err
}

// Transactions estimates what was sent by the sizes of what came.
func (p *peerFiles) Transactions(ctx context.Context, want compare.Transactions) ([]compare.Status, compare.Where, int64, error) {
	var answer compare.StatusAnswer
	err := p.ask(ctx, "transactions", compare.StatusRequest{From: p.from, Want: want, Rate: p.rate}, &answer)
	sent := int64(0)
	for _, s := range answer.Pages {
		sent += int64(statusBytes + base64.StdEncoding.EncodedLen(len(s.Committed)))
	}
	return answer.Pages, answer.Where, sent, err
}

// End is not heard by an agent of an earlier version, which refuses it.
func (p *peerFiles) End(ctx context.Context) {
	_ = p.ask(ctx, "where", compare.ListRequest{From: p.from, End: true}, &compare.Where{})
}

// Mended is not heard by an agent of an earlier version: its next comparison finds the page mended.
func (p *peerFiles) Mended(ctx context.Context, page string) {
	_ = p.ask(ctx, "where", compare.ListRequest{From: p.from, Mended: page}, &compare.Where{})
}
