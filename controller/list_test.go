package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

func TestUninitialised(t *testing.T) {
	b := newBed(t)
	n := b.start(b.config("c1"))
	jane := b.client(identity.RoleOperator, "jane")
	err := jane.Do(b.ctx(5*time.Second), "GET", "/v1/status", nil, nil)
	if !errors.Is(err, wire.ErrNoLeader) || !strings.Contains(err.Error(), "c1 is not initialised; run `mainstay controllers init`") {
		t.Errorf("status: %v", err)
	}
	var id wire.Identity
	b.get(jane, "/v1/controller", &id)
	if id.Name != "c1" || id.Initialised || id.PlatformID != "" || !strings.HasPrefix(id.RaftID, "c1-") || id.CertificateExpires == "" {
		t.Errorf("identity: %+v", id)
	}
	var l wire.Controllers
	b.get(jane, "/v1/controllers", &l)
	if len(l.Members) != 1 || l.Members[0].RaftID != n.log.ID() || l.Leader != "" {
		t.Errorf("list: %+v", l)
	}
}

func TestInitRefuses(t *testing.T) {
	b := newBed(t)
	c1, c2, other := b.start(b.config("c1")), b.start(b.config("c2")), b.start(b.config("c3"))
	b.initialise(other.cfg.Advertise)
	jane := b.client(identity.RoleOperator, "jane")
	at := func(n *node, addresses ...string) string {
		err := jane.DoAt(b.ctx(10*time.Second), n.cfg.Advertise, "POST", "/v1/controllers/init", wire.InitRequest{Addresses: addresses}, nil)
		r := refusal(t, err)
		if r.Status != 409 {
			t.Errorf("%v: status %d", addresses, r.Status)
		}
		return r.Error()
	}
	a1, a2, a3, nowhere := c1.cfg.Advertise, c2.cfg.Advertise, other.cfg.Advertise, b.config("c4").Advertise
	for _, c := range []struct{ got, want string }{
		{at(c1, a1, a2, a3), "controller c3 at " + a3 + " already belongs to platform"},
		{at(c1, a1, nowhere), "controller at " + nowhere + ": connection refused"},
		{at(c1, a1, a2, a1), "controller c1 is named twice"},
		{at(c1, a2), "the address of controller c1, which was asked, is missing"},
		{at(other, a3), "already initialised as platform"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s\nwant %s", c.got, c.want)
		}
	}
	// Nothing was begun by any of that.
	b.initialise(a1, a2)
	if id := c2.list.Identity(); !id.Initialised {
		t.Errorf("c2: %+v", id)
	}
}

// An initialisation that stopped after the log had begun is finished by asking again (S7), with the same list only.
func TestInitIsFinished(t *testing.T) {
	b := newBed(t)
	c1, c2, c3 := b.start(b.config("c1")), b.start(b.config("c2")), b.start(b.config("c3"))
	servers, err := c1.list.founders(b.ctx(5*time.Second), []string{c1.cfg.Advertise, c2.cfg.Advertise})
	if err != nil {
		t.Fatal(err)
	}
	if err := c1.log.Bootstrap(servers); err != nil {
		t.Fatal(err)
	}
	jane := b.client(identity.RoleOperator, "jane")
	err = jane.DoAt(b.ctx(5*time.Second), c1.cfg.Advertise, "POST", "/v1/controllers/init",
		wire.InitRequest{Addresses: []string{c1.cfg.Advertise, c3.cfg.Advertise}}, nil)
	if r := refusal(t, err); r.Status != 409 || !strings.Contains(r.Error(), "an initialisation with") {
		t.Errorf("another list: %v", r)
	}
	b.initialise(c1.cfg.Advertise, c2.cfg.Advertise)
}

func TestAddRemoveTransfer(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	jane := b.client(identity.RoleOperator, "jane")
	do := func(method, path string, in any) (l wire.Controllers, err error) {
		err = jane.Do(b.ctx(30*time.Second), method, path, in, &l)
		return l, err
	}
	// A fourth is added, and has the state.
	c4 := b.start(b.config("c4"))
	l, err := do("POST", "/v1/controllers", wire.AddController{Address: c4.cfg.Advertise})
	if err != nil || len(l.Members) != 4 {
		t.Fatal(l, err)
	}
	if c4.machine.State().PlatformID != nodes[0].machine.State().PlatformID {
		t.Error("c4 has no state")
	}
	if _, err := do("POST", "/v1/controllers", wire.AddController{Address: c4.cfg.Advertise}); !strings.Contains(refusal(t, err).Error(),
		"is already on the list") {
		t.Error(err)
	}
	stranger := b.start(b.config("c9"))
	b.initialise(stranger.cfg.Advertise)
	if _, err := do("POST", "/v1/controllers", wire.AddController{Address: stranger.cfg.Advertise}); !strings.Contains(refusal(t, err).Error(),
		"belongs to platform") {
		t.Error(err)
	}
	b.end(stranger)

	if _, err := do("POST", "/v1/controllers/transfer", wire.TransferRequest{To: "c4"}); err != nil {
		t.Fatal(err)
	}
	b.eventually("c4 leads", 10*time.Second, func() bool { return c4.list.Leading() })
	b.eventually("c4 is asked", 10*time.Second, func() bool {
		_, err = do("DELETE", "/v1/controllers/c4", nil)
		return err != nil && strings.Contains(err.Error(), "c4 is the leader; run `mainstay controllers transfer` first")
	})
	if _, err := do("POST", "/v1/controllers/transfer", wire.TransferRequest{To: "c8"}); !strings.Contains(refusal(t, err).Error(),
		"there is no controller c8") {
		t.Error(err)
	}
	// With c1 down, removing c2 would leave 3 of which 2 answer; with c3 down as well, nothing answers any more.
	b.crash(nodes[0])
	if l, err = do("DELETE", "/v1/controllers/c2", nil); err != nil || len(l.Members) != 3 {
		t.Fatal(l, err)
	}
	for _, m := range l.Members {
		if m.Reached != (m.Name != "c1") || !m.Reached && m.Error == "" {
			t.Errorf("%+v", m)
		}
	}
	if _, err := do("DELETE", "/v1/controllers/c3", nil); !strings.Contains(refusal(t, err).Error(),
		"of the 2 controllers that would remain, only 1 answer") {
		t.Error(err)
	}
	if l, err = do("DELETE", "/v1/controllers/c1", nil); err != nil || len(l.Members) != 2 {
		t.Fatal(l, err)
	}
}

// Stopped and started again, a controller has its state, its id, and serves.
func TestRestart(t *testing.T) {
	b := newBed(t)
	n := b.one()
	b.apply(b.client(identity.RoleOperator, "jane"), social())
	id, platformID := n.log.ID(), n.machine.State().PlatformID
	b.end(n)
	n = b.start(n.cfg)
	var s wire.Status
	b.eventually("it leads again", 10*time.Second, func() bool {
		return b.client(identity.RoleOperator, "jane").Do(b.ctx(5*time.Second), "GET", "/v1/status", nil, &s) == nil
	})
	if s.PlatformID != platformID || n.log.ID() != id || s.Platform != "social" {
		t.Errorf("status: %+v", s)
	}
}

func TestOpenRefusesAnothersCertificate(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	cfg.Name = "c2"
	if _, err := Open(cfg, Options{}); err == nil || !strings.Contains(err.Error(),
		"is the certificate of controller c1, but this is controller c2") {
		t.Errorf("%v", err)
	}
}

// A controller of another platform, or of another CA of that name, is refused by TLS.
func TestForeignController(t *testing.T) {
	b, foreign := newBed(t), newBed(t)
	n, stranger := b.start(b.config("c1")), foreign.start(foreign.config("c2"))
	err := b.client(identity.RoleOperator, "jane").DoAt(b.ctx(10*time.Second), n.cfg.Advertise, "POST", "/v1/controllers/init",
		wire.InitRequest{Addresses: []string{n.cfg.Advertise, stranger.cfg.Advertise}}, nil)
	if r := refusal(t, err); r.Status != 409 || !strings.Contains(r.Error(), "not signed by a CA in") {
		t.Errorf("%v", r)
	}
}

func TestReload(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	n := b.start(cfg)
	before := n.store.Expiry()
	if _, err := identity.Issue(b.ca.Dir, b.ca.Dir, identity.Request{Role: identity.RoleController, Name: "c1", Days: 30}); err != nil {
		t.Fatal(err)
	}
	if err := n.Reload(); err != nil || !n.store.Expiry().Before(before) {
		t.Errorf("reload: %v, ends %s, before %s", err, n.store.Expiry(), before)
	}
}

// The machine never skips what it does not know, and tells a refusal from that.
func TestMachine(t *testing.T) {
	m := newMachine()
	var seen *state.State
	m.applied = func(s *state.State) { seen = s }
	fatal := (*consensus.FatalError)(nil)
	before := m.State()
	for _, cmd := range []string{`{"newer":{}}`, `nonsense`, `{}`} {
		if _, err := m.Apply(1, []byte(cmd)); !errors.As(err, &fatal) || m.State() != before {
			t.Errorf("%s: %v, want a FatalError and no change", cmd, err)
		}
	}
	changed := m.Changed()
	if _, err := m.Apply(2, []byte(`{"init":{"platformID":"p1"}}`)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("no listener was woken")
	}
	if _, err := m.Apply(3, []byte(`{"init":{"platformID":"p2"}}`)); err == nil || errors.As(err, &fatal) {
		t.Errorf("a second init: %v, want a refusal", err)
	}
	take := m.Snapshot()
	if _, err := m.Apply(4, []byte(`{"tick":{}}`)); err != nil {
		t.Fatal(err)
	}
	b, err := take()
	if err != nil {
		t.Fatal(err)
	}
	restored := newMachine()
	restored.applied = func(s *state.State) { seen = s }
	if err := restored.Restore(b); err != nil || seen.Index != 3 || restored.State().PlatformID != "p1" {
		t.Errorf("restored %+v: %v", seen, err)
	}
	if err := restored.Restore([]byte(`{"version":99}`)); err == nil {
		t.Error("a newer snapshot was read")
	}
}
