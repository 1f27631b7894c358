package agent

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
)

// office is an agent that serves its quarantine, and nothing else.
type office struct {
	*api
	t       *testing.T
	ca      string
	address string
	logs    *observer.ObservedLogs
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, ca: filepath.Join(t.TempDir(), "ca")}
	if err := identity.InitCA(o.ca, "social"); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	o.logs = logs
	cfg := config.Agent{Host: "db-e1", Data: t.TempDir(), Quarantine: config.Quarantine{Limit: 1 << 30}}
	a := &Agent{cfg: cfg, log: zap.New(core), tls: o.store(identity.RoleAgent, "db-e1"),
		members: map[string]*supervisor.Supervisor{}}
	a.quarantine = quarantine.New(quarantine.Options{Config: cfg, Log: a.log, Server: a.serverOf})
	o.api = newAPI(a)
	mux, err := identity.Listen("127.0.0.1:0", o.tls)
	if err != nil {
		t.Fatal(err)
	}
	o.address = mux.Addr().String()
	paths := http.NewServeMux()
	o.quarantineAPI(paths)
	o.integrityAPI(paths)
	o.structureAPI(paths)
	s := o.server(paths)
	served, dropped := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(mux.HTTP()) }()
	go func() { dropped <- a.quarantine.Run(t.Context()) }()
	t.Cleanup(func() { s.Close(); mux.Close(); <-served; <-dropped })
	return o
}

func (o *office) store(role, name string) *identity.Store {
	o.t.Helper()
	req := identity.Request{Role: role, Name: name}
	if role == identity.RoleAgent {
		req.Addresses = []string{"127.0.0.1"}
	}
	if _, err := identity.Issue(o.ca, o.ca, req); err != nil && !errors.Is(err, os.ErrExist) {
		o.t.Fatal(err)
	}
	own := filepath.Join(o.ca, role+"-"+name)
	s, err := identity.Load(identity.Files{CA: filepath.Join(o.ca, "ca.crt"), Cert: own + ".crt", Key: own + ".key"})
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// ask asks as a person of a role; the status is 200 or that of the refusal.
func (o *office) ask(role, method, path string, in, out any) (int, string) {
	o.t.Helper()
	c := wire.NewClient([]string{o.address}, o.store(role, "p-"+role).ClientConfig(identity.RoleAgent, "db-e1", identity.ProtoHTTP))
	defer c.Close()
	err := c.DoAt(o.t.Context(), o.address, method, path, in, out)
	var no *wire.RefusalError
	if errors.As(err, &no) {
		return no.Status, no.Err.Message
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return http.StatusOK, ""
}

// keep puts a piece into the quarantine of feed-e1, as a rewind does.
func (o *office) keep() wire.Piece {
	o.t.Helper()
	p := wire.Piece{ID: "feed-e1_4-rewind", Cluster: "feed", Member: "feed-e1", When: "2026-11-22T20:58:24Z", How: wire.Rewound,
		Successor: "feed-e1_4", Timeline: 1, From: 0x3000148, To: 0x3004D58, Bytes: 0x4C10, Size: 100}
	p.Place = filepath.Join(o.cfg.MemberDir(p.Member), "quarantine", p.ID)
	record, err := json.Marshal(p)
	check(o.t, err)
	check(o.t, os.MkdirAll(filepath.Join(p.Place, "pg_wal"), 0o700))
	check(o.t, os.WriteFile(filepath.Join(p.Place, postgres.RecordFile), record, 0o600))
	return p
}

func TestQuarantineAPI(t *testing.T) {
	o := newOffice(t)
	p := o.keep()
	drop, reason := "/v1/quarantine/"+p.ID+"/drop", wire.DropRequest{Reason: "restored by hand"}
	var list wire.Quarantine
	for _, role := range []string{identity.RoleOperator, identity.RoleViewer} {
		if status, why := o.ask(role, http.MethodGet, "/v1/quarantine", nil, &list); status != 200 || len(list.Pieces) != 1 ||
			list.Pieces[0].ID != p.ID || list.Limit != 1<<30 {
			t.Errorf("%s: %d %s: %+v", role, status, why, list)
		}
	}
	var shown wire.PieceAnswer
	if status, why := o.ask(identity.RoleViewer, http.MethodGet, "/v1/quarantine/"+p.ID, nil, &shown); status != 200 ||
		shown.Piece.ID != p.ID || !strings.Contains(shown.Note, "no longer manages feed-e1") {
		t.Errorf("%d %s: %+v", status, why, shown)
	}
	for _, c := range []struct {
		role, method, path string
		in                 any
		status             int
		why                string
	}{
		{identity.RoleAgent, http.MethodGet, "/v1/quarantine", nil, 403, "operator or viewer"},
		{identity.RoleViewer, http.MethodPost, drop, reason, 403, "needs a certificate of role operator"},
		{identity.RoleOperator, http.MethodPost, drop, wire.DropRequest{}, 400, "needs a reason"},
		{identity.RoleOperator, http.MethodPost, "/v1/quarantine/other/drop", reason, 404, "has no piece other"},
		{identity.RoleOperator, http.MethodGet, "/v1/quarantine/..%2f..%2ffeed-e1", nil, 400, "not the ID of a piece"},
	} {
		if status, why := o.ask(c.role, c.method, c.path, c.in, nil); status != c.status || !strings.Contains(why, c.why) {
			t.Errorf("%s %s as %s: %d %s", c.method, c.path, c.role, status, why)
		}
	}
	if _, err := os.Stat(p.Place); err != nil {
		t.Fatal(err)
	}
	var gone wire.DropAnswer
	if status, why := o.ask(identity.RoleOperator, http.MethodPost, drop, reason, &gone); status != 200 || !gone.Gone ||
		gone.Piece.Dropped.By != "p-operator" {
		t.Errorf("%d %s: %+v", status, why, gone)
	}
	if _, err := os.Stat(p.Place); !os.IsNotExist(err) {
		t.Errorf("%s is still there", p.Place)
	}
	said := o.logs.FilterMessage("an operator drops quarantined data").All()
	if len(said) != 1 || said[0].ContextMap()["operator"] != "p-operator" || said[0].ContextMap()["reason"] != "restored by hand" {
		t.Errorf("the log: %v", said)
	}
}

// A disk that hangs must not gather requests.
func TestQuarantineBusy(t *testing.T) {
	o := newOffice(t)
	for range cap(o.desk) {
		o.desk <- struct{}{}
	}
	began := time.Now()
	if status, why := o.ask(identity.RoleOperator, http.MethodGet, "/v1/quarantine", nil, nil); status != 503 ||
		!strings.Contains(why, "busy") || time.Since(began) > 5*time.Second {
		t.Errorf("%d %s", status, why)
	}
}
