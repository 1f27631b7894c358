package agent

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/test/kit"
)

// TestRevokedWhileConnected: an agent that is revoked while it is relayed is cut off when this one is reloaded, and what is asked on a
// kept connection is answered no more.
func TestRevokedWhileConnected(t *testing.T) {
	o := newOffice(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.group, o.ctx = errgroup.WithContext(ctx)
	o.relaySlots, o.cfg.Listen = make(chan struct{}, 1), kit.FreeAddress(t)
	controller, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer controller.Close()
	o.cfg.Controllers = []string{controller.Addr().String()}
	served := make(chan error, 1)
	go func() { served <- o.serve(ctx) }()
	defer func() { cancel(); check(t, <-served); check(t, o.group.Wait()) }()

	other := o.store(identity.RoleAgent, "db-w1")
	client := wire.NewClient([]string{o.cfg.Listen}, other.ClientConfig(identity.RoleAgent, "db-e1"))
	defer client.Close()
	status := func() error { return client.DoAt(ctx, o.cfg.Listen, http.MethodGet, "/v1/status", nil, nil) }
	eventually(t, "an answer", func() bool { return status() == nil })
	conn, err := identity.Dial(ctx, o.cfg.Listen, other, identity.ProtoHTTP, identity.RoleAgent, "db-e1")
	check(t, err)
	defer conn.Close()
	through, err := upgrade(ctx, conn, o.cfg.Controllers[0])
	check(t, err)
	relayed, err := controller.Accept()
	check(t, err)
	defer relayed.Close()

	raw, err := os.ReadFile(filepath.Join(o.ca, "agent-db-w1.crt"))
	check(t, err)
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(o.ca, "revoked"), []byte(cert.SerialNumber.Text(16)+"\n"), 0o644))
	if n, err := o.tls.Reload(); err != nil || n != 2 {
		t.Errorf("%d connections ended, %v", n, err)
	}
	for name, c := range map[string]net.Conn{"the revoked agent's": through, "the relay's to the controller": relayed} {
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("%s connection is up: %v", name, err)
		}
	}
	if status() == nil {
		t.Error("a revoked agent is answered")
	}
}
