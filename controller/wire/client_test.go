package wire

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/test/kit"
	"mainstay/test/kit/certs"
)

// authority issues certificates for one test.
type authority struct {
	t *testing.T
	certs.Authority
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	return authority{t, certs.New(t, "social")}
}

// controller serves a handler as controller name, and returns its address.
func (a authority) controller(name string, h http.HandlerFunc) string {
	a.t.Helper()
	mux, err := identity.Listen("127.0.0.1:0", a.Store(identity.RoleController, name))
	if err != nil {
		a.t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(mux.HTTP())
	}()
	a.t.Cleanup(func() {
		s.Close()
		mux.Close()
		<-done
	})
	return mux.Addr().String()
}

func (a authority) client(addresses ...string) *Client {
	c := NewClient(addresses, a.Store(identity.RoleOperator, "jane").ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	a.t.Cleanup(c.Close)
	return c
}

func say(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// silent is an address where the kernel accepts but no process ever answers, as with a frozen process.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestDoFindsTheLeaderAndRemembersIt(t *testing.T) {
	a := newAuthority(t)
	var asked atomic.Int32
	leader := a.controller("c2", func(w http.ResponseWriter, r *http.Request) { say(w, 200, Wake{Version: r.Method + r.URL.Path}) })
	follower := a.controller("c1", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		say(w, http.StatusMisdirectedRequest, Error{Message: "c2 leads", Code: "not-leader", Leader: leader})
	})
	// The leader is not even among the addresses.
	c := a.client(kit.FreeAddress(t), silent(t), follower)
	for range 2 {
		var out Wake
		if err := c.Do(deadline(t), "GET", "/v1/wake", nil, &out); err != nil || out.Version != "GET/v1/wake" {
			t.Fatal(out, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the follower was asked %d times, want once: the leader is remembered", asked.Load())
	}
}

func TestDoWithoutALeader(t *testing.T) {
	a := newAuthority(t)
	none := func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusMisdirectedRequest, Error{Message: "electing", Code: "not-leader"})
	}
	gone := kit.FreeAddress(t)
	stale := a.controller("c1", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusMisdirectedRequest, Error{Message: "c9 leads", Code: "not-leader", Leader: gone})
	})
	loopA := ""
	one := a.controller("c2", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusMisdirectedRequest, Error{Message: "that one", Leader: loopA})
	})
	loopA = one // names itself
	for name, addresses := range map[string][]string{
		"nobody knows": {a.controller("c3", none), a.controller("c4", none)},
		"a dead one":   {stale},
		"itself":       {one},
	} {
		err := a.client(addresses...).Do(deadline(t), "GET", "/v1/status", nil, nil)
		if !errors.Is(err, ErrNoLeader) {
			t.Errorf("%s: %v, want ErrNoLeader", name, err)
		}
	}
}

// Each cause is said once: the operator reads it at three in the morning.
func TestNothingIsSaidTwice(t *testing.T) {
	a := newAuthority(t)
	one := a.controller("c1", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusMisdirectedRequest, Error{Message: "controller c1 knows no leader", Code: "not-leader"})
	})
	two, three := kit.FreeAddress(t), kit.FreeAddress(t)
	err := a.client(one, two, three).Do(deadline(t), "GET", "/v1/status", nil, nil)
	want := "no controller knows a leader: " + one + ": controller c1 knows no leader; " + two + ", " + three +
		": connection refused: nothing listens there"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	err = a.client().DoAt(deadline(t), two, "GET", "/", nil, nil)
	if why := "connection refused: nothing listens there"; Why(err) != why || err.Error() != two+": "+why {
		t.Errorf("%s, %v", Why(err), err)
	}
	if err := errors.New("another"); Why(err) != "another" {
		t.Error(Why(err))
	}
	foreign := newAuthority(t).client(one)
	err = foreign.Do(deadline(t), "GET", "/", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "is not the CA that this platform's peers have") ||
		Why(err) != strings.TrimPrefix(err.Error(), one+": ") {
		t.Errorf("%v\n%s", err, Why(err))
	}
}

func TestUnreachableNamesEachAddress(t *testing.T) {
	a := newAuthority(t)
	gone, frozen := kit.FreeAddress(t), silent(t)
	start := time.Now()
	err := a.client(gone, frozen).Do(deadline(t), "POST", "/v1/x", struct{}{}, nil)
	var u *UnreachableError
	if !errors.As(err, &u) || len(u.Tried) != 2 {
		t.Fatalf("%v, want *UnreachableError of two", err)
	}
	for _, want := range []string{gone + ": ", "connection refused", frozen + ": ", "no answer in time"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := a.client().Do(deadline(t), "GET", "/", nil, nil); !errors.As(err, &u) {
		t.Errorf("no addresses: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	a := newAuthority(t)
	address := a.controller("c1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			http.Error(w, "no JSON", 500)
			return
		}
		say(w, 409, Error{Message: "feed is paused", Code: "refused"})
	})
	var r *RefusalError
	err := a.client(address).Do(deadline(t), "POST", "/v1/x", struct{}{}, nil)
	if !errors.As(err, &r) || r.Status != 409 || r.Err.Code != "refused" || err.Error() != "feed is paused" {
		t.Errorf("%v", err)
	}
	err = a.client(address).DoAt(deadline(t), address, "GET", "/plain", nil, nil)
	if !errors.As(err, &r) || r.Status != 500 || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("%v", err)
	}
	follower := a.controller("c2", func(w http.ResponseWriter, _ *http.Request) { say(w, 421, Error{Message: "no", Leader: address}) })
	if err := a.client().DoAt(deadline(t), follower, "GET", "/", nil, nil); !errors.As(err, &r) || r.Status != 421 {
		t.Errorf("DoAt followed: %v", err)
	}
}

// A change that was sent is never sent to a second controller: it may have been carried out.
func TestNothingIsSentTwice(t *testing.T) {
	a := newAuthority(t)
	var served atomic.Int32
	dies := a.controller("c1", func(http.ResponseWriter, *http.Request) {
		served.Add(1)
		panic(http.ErrAbortHandler)
	})
	other := a.controller("c2", func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		say(w, 200, Wake{})
	})
	c := a.client(dies, other)
	if err := c.Do(deadline(t), "POST", "/v1/x", struct{}{}, nil); !errors.Is(err, ErrUncertain) || served.Load() != 1 {
		t.Errorf("POST: %v, served %d times", err, served.Load())
	}
	if err := c.Do(deadline(t), "GET", "/v1/x", nil, nil); err != nil {
		t.Errorf("GET goes on to the next: %v", err)
	}
}

// A frozen controller on a connection that worked before: a read is sent to the next, on a new connection.
func TestReadIsCutShort(t *testing.T) {
	a := newAuthority(t)
	var frozen atomic.Bool
	first := a.controller("c1", func(w http.ResponseWriter, r *http.Request) {
		if frozen.Load() {
			<-r.Context().Done()
			return
		}
		say(w, 200, Wake{Version: "first"})
	})
	second := a.controller("c2", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, Wake{Version: "second"}) })
	c := a.client(first, second)
	var out Wake
	if err := c.Do(deadline(t), "GET", "/v1/status", nil, &out); err != nil || out.Version != "first" {
		t.Fatal(out, err)
	}
	frozen.Store(true)
	if err := c.Do(deadline(t), "GET", "/v1/status", nil, &out); err != nil || out.Version != "second" {
		t.Fatal(out, err)
	}
}

func TestForeignCertificate(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	address := a.controller("c1", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, Wake{}) })
	err := foreign.client(address).Do(deadline(t), "GET", "/", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "not signed by a CA in") {
		t.Errorf("%v", err)
	}
	// The client trusts any peer, and the controller refuses; that outcome is certain.
	config := foreign.Store(identity.RoleOperator, "eve").ClientConfig(identity.RoleController, "", identity.ProtoHTTP)
	config.VerifyConnection = nil
	c := NewClient([]string{address}, config)
	defer c.Close()
	err = c.Do(deadline(t), "POST", "/", struct{}{}, nil)
	if err == nil {
		t.Fatal("a foreign certificate was let in")
	}
}

// Where everybody runs and certificates are the matter, that is what is said, and nothing of a missing leader.
func TestCertificatesAreTheMatter(t *testing.T) {
	a, foreign := newAuthority(t), newAuthority(t)
	answers := func(w http.ResponseWriter, _ *http.Request) { say(w, 200, Wake{}) }
	one, two := a.controller("c1", answers), a.controller("c2", answers)
	blind := foreign.Store(identity.RoleOperator, "eve").ClientConfig(identity.RoleController, "", identity.ProtoHTTP)
	blind.VerifyConnection = nil
	for _, c := range []struct {
		name      string
		client    *Client
		certs     bool
		want      []string
		unwelcome string
	}{
		{"they turn ours down", NewClient([]string{one, two}, blind), true, []string{one + ", " + two + ": it does not accept our certificate"},
			"no address answers"},
		{"we turn theirs down", foreign.client(one), true, []string{one + ": peer presented", "was not signed by a CA in"}, "x509"},
		{"not the right role", NewClient([]string{one}, a.Store(identity.RoleOperator, "jane").ClientConfig(identity.RoleAgent, "",
			identity.ProtoHTTP)), true,
			[]string{"presented mainstay://social/controller/c1", "wanted agent"}, "no address answers"},
		{"one is down", NewClient([]string{one, kit.FreeAddress(t)}, blind), false,
			[]string{"no address answers: ", "connection refused"}, "dial tcp"},
	} {
		err := c.client.Do(deadline(t), "GET", "/v1/status", nil, nil)
		c.client.Close()
		var u *UnreachableError
		if !errors.As(err, &u) || u.Certificates() != c.certs {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), c.unwelcome) {
				t.Errorf("%s: %q, want %q and nothing of %q", c.name, err, want, c.unwelcome)
			}
		}
	}
}

// TestRevokedPeer: a kept connection to a controller that is revoked meanwhile carries no further request, and what that controller
// answers to a running one is not believed.
func TestRevokedPeer(t *testing.T) {
	a := newAuthority(t)
	var asked atomic.Int32
	answering, answer := make(chan struct{}), make(chan struct{})
	address := a.controller("c1", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/held" {
			close(answering)
			<-answer
		}
		say(w, http.StatusOK, 1)
	})
	store := a.Store(identity.RoleAgent, "db-e1")
	c := NewClient([]string{address}, store.ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	get := func(path string) error { return c.DoAt(ctx, address, http.MethodGet, path, nil, nil) }
	if err := get("/"); err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() { held <- get("/held") }()
	<-answering
	if err := get("/"); err != nil { // a second connection, which is kept
		t.Fatal(err)
	}
	a.revoke("controller-c1")
	if _, err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	close(answer)
	var refused *identity.PeerError
	if err := <-held; !errors.As(err, &refused) {
		t.Errorf("a revoked controller's answer is believed: %v", err)
	}
	before := asked.Load()
	if err := get("/"); !errors.As(err, &refused) || asked.Load() != before {
		t.Errorf("a revoked controller was asked: %v", err)
	}
}

// revoke puts a certificate on the list that stores read when they are loaded or reloaded.
func (a authority) revoke(name string) {
	a.t.Helper()
	raw, err := os.ReadFile(filepath.Join(a.Dir, name+".crt"))
	if err != nil {
		a.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.Dir, "revoked"), []byte(c.SerialNumber.Text(16)+"\n"), 0o644); err != nil {
		a.t.Fatal(err)
	}
}
