package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// revoke puts the certificate of f into the list that stores of this world read when they are loaded or reloaded.
func (w world) revoke(f Files) {
	w.t.Helper()
	block, _ := pem.Decode(read(w.t, f.Cert))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	rewrite(w.t, w.path("revoked"), []byte(c.SerialNumber.Text(16)+"\n"), 0o644)
}

// ended waits until a connection is closed by somebody.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("it is up: %v", err)
	}
}

// alive sees that a byte goes from one end to the other.
func alive(t *testing.T, from, to net.Conn) {
	t.Helper()
	to.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := from.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestRevocationEndsConnections: a certificate that is revoked while its holder is connected ends that connection and no other,
// whichever side learns of it, and whichever protocol is spoken.
func TestRevocationEndsConnections(t *testing.T) {
	w := newWorld(t, "social")
	files := map[string]Files{}
	load := func(role, name string) *Store {
		files[name] = w.issue(role, name, 0)
		s, err := Load(files[name])
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	c1 := load(RoleController, "c1")
	m, _ := listen(t, c1)
	type pair struct{ here, there net.Conn }
	connect := func(s *Store, alpn string) pair {
		t.Helper()
		there, err := Dial(t.Context(), m.Addr().String(), s, alpn, RoleController, "c1")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { there.Close() })
		l := m.HTTP()
		if alpn == ProtoRaft {
			l = m.Raft()
		}
		here, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { here.Close() })
		return pair{here, there}
	}
	reload := func(s *Store, want int) {
		t.Helper()
		if n, err := s.Reload(); err != nil || n != want {
			t.Errorf("reload: %d connections ended, %v; want %d", n, err, want)
		}
	}
	agent, c2, c3 := load(RoleAgent, "a"), load(RoleController, "c2"), load(RoleController, "c3")
	api, raft, other := connect(agent, ProtoHTTP), connect(c2, ProtoRaft), connect(c3, ProtoRaft)
	reload(c1, 0)
	for _, p := range []pair{api, raft, other} {
		alive(t, p.here, p.there)
	}
	w.revoke(files["a"])
	reload(c1, 1)
	ended(t, api.there)
	w.revoke(files["c2"])
	reload(c1, 1)
	ended(t, raft.there)
	alive(t, other.there, other.here)
	w.revoke(files["c1"])
	reload(c3, 1) // the side that dialled
	ended(t, other.here)
	for s, of := range map[*Store]int{c1: len(c1.live.conns), c3: len(c3.live.conns)} {
		if of > 1 { // of c1 the one whose end has not read yet
			t.Errorf("%s remembers %d connections", s.ID(), of)
		}
	}
}

// TestRevokedBetweenHandshakeAndWatch: a Reload at that moment has not seen the connection.
func TestRevokedBetweenHandshakeAndWatch(t *testing.T) {
	w := newWorld(t, "social")
	files := w.issue(RoleAgent, "a", 0)
	agent, err := Load(files)
	if err != nil {
		t.Fatal(err)
	}
	c1 := w.store(RoleController, "c1")
	m, _ := listen(t, c1)
	conn, err := Dial(t.Context(), m.Addr().String(), agent, ProtoHTTP, RoleController, "c1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	here, err := m.HTTP().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	raw := here.(*tls.Conn).NetConn().(*watched)
	w.revoke(files)
	m2, err := c1.read()
	if err != nil {
		t.Fatal(err)
	}
	c1.held.Store(m2)
	shown := here.(*tls.Conn).ConnectionState()
	var pe *PeerError
	if err := c1.watch(raw, shown, speaker(shown)); !errors.As(err, &pe) || c1.live.conns[raw].shown.HandshakeComplete {
		t.Errorf("it is kept: %v", err)
	}
	ended(t, conn)
}

// TestIDOfJudgesAgain: each request is judged by what is known at its moment: who is revoked, and, of people, the date.
func TestIDOfJudgesAgain(t *testing.T) {
	w := newWorld(t, "social")
	now := time.Now()
	server, err := load(w.issue(RoleController, "c1", 0), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]*http.Request{}
	for name, files := range map[string]Files{"jane": w.issue(RoleOperator, "jane", 30), "a": w.issue(RoleAgent, "a", 30)} {
		a, b := net.Pipe()
		client, err := Load(files)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		go tls.Client(b, client.ClientConfig(RoleController, "c1")).HandshakeContext(ctx)
		conn := tls.Server(a, server.ServerConfig(ProtoHTTP))
		if err := conn.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		cs := conn.ConnectionState()
		requests[name] = httptest.NewRequest(http.MethodGet, "/", nil)
		requests[name].TLS = &cs
		a.Close()
		b.Close()
	}
	for _, r := range requests {
		if _, err := server.IDOf(r); err != nil {
			t.Error(err)
		}
	}
	now = now.AddDate(0, 0, 31)
	if _, err := server.IDOf(requests["jane"]); err == nil {
		t.Error("an operator speaks on after the end of the certificate")
	}
	if _, err := server.IDOf(requests["a"]); err != nil {
		t.Errorf("a date never stops an agent: %v", err)
	}
	w.revoke(Files{Cert: w.path("agent-a.crt")})
	if _, err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.IDOf(requests["a"]); err == nil {
		t.Error("a revoked agent speaks on")
	}
	os.Remove(w.path("revoked"))
}
