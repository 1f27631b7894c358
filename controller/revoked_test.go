package controller

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// revoke puts certificates on the list that controllers read when they are reloaded.
func (b *bed) revoke(names ...string) {
	b.t.Helper()
	var list []byte
	for _, name := range names {
		raw, err := os.ReadFile(filepath.Join(b.ca.Dir, name+".crt"))
		if err != nil {
			b.t.Fatal(err)
		}
		block, _ := pem.Decode(raw)
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			b.t.Fatal(err)
		}
		list = append(list, c.SerialNumber.Text(16)+"\n"...)
	}
	if err := os.WriteFile(filepath.Join(b.ca.Dir, "revoked"), list, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// TestRevokedWhileConnected: a held request of a certificate that is revoked ends when the controllers are reloaded, and no other of it
// is answered; a controller that is revoked is cut off from the group at once, and the others keep running.
func TestRevokedWhileConnected(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	b.eventually("a leader", 20*time.Second, func() bool { return b.leader() != nil })
	n := b.leader()
	agent, jane := b.client(identity.RoleAgent, "db-e1"), b.client(identity.RoleOperator, "jane")
	var now wire.Wake
	b.get(agent, "/v1/wake", &now)
	held := make(chan error, 1)
	go func() {
		held <- agent.DoAt(b.ctx(20*time.Second), n.cfg.Advertise, "GET", "/v1/wake?version="+now.Version, nil, nil)
	}()
	select {
	case err := <-held:
		t.Fatal("not held: ", err)
	case <-time.After(200 * time.Millisecond):
	}
	gone := nodes[slices.IndexFunc(nodes, func(other *node) bool { return other != n })]
	b.revoke("agent-db-e1", "controller-"+gone.cfg.Name)
	begun := time.Now()
	for _, other := range nodes {
		if other == gone {
			continue
		}
		if err := other.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-held; err == nil || time.Since(begun) > 10*time.Second {
		t.Errorf("the held request ended after %s with %v", time.Since(begun), err)
	}
	if err := agent.DoAt(b.ctx(10*time.Second), n.cfg.Advertise, "GET", "/v1/wake", nil, nil); err == nil {
		t.Error("a revoked agent is answered")
	}
	b.eventually("the revoked controller to hear no leader", 20*time.Second,
		func() bool { leader, _ := gone.log.Leader(); return leader == "" })
	b.eventually("the others to continue", 20*time.Second, func() bool {
		return jane.Do(b.ctx(5*time.Second), "GET", "/v1/controllers", nil, new(wire.Controllers)) == nil && b.leader() != gone
	})
}
