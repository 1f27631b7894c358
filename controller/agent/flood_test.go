package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/test/kit"
)

// TestFlood: clients without a certificate open more connections to both addresses than are held, from many addresses and from one,
// say nothing, and never close them. Load balancers and other agents are answered all the same.
func TestFlood(t *testing.T) {
	o := newOffice(t)
	o.cfg.Listen, o.cfg.Health = kit.FreeAddress(t), kit.FreeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- o.serve(ctx) }()
	defer func() { cancel(); check(t, <-served) }()
	health := &http.Client{Timeout: 20 * time.Second}
	get := func() error {
		resp, err := health.Get("http://" + o.cfg.Health + "/livez")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s", resp.Status)
		}
		return nil
	}
	eventually(t, "the agent to serve", func() bool { return get() == nil })
	health.CloseIdleConnections()

	for _, to := range []string{o.cfg.Listen, o.cfg.Health} {
		for n := range 600 {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n%8))}, Timeout: 20 * time.Second}
			c, err := d.DialContext(ctx, "tcp", to)
			check(t, err)
			defer c.Close()
		}
		for range 100 {
			c, err := net.DialTimeout("tcp", to, 20*time.Second)
			check(t, err)
			defer c.Close()
		}
	}
	check(t, get())
	client := wire.NewClient([]string{o.cfg.Listen}, o.store(identity.RoleAgent, "db-w1").ClientConfig(identity.RoleAgent, "db-e1"))
	defer client.Close()
	var status wire.Status
	check(t, client.DoAt(ctx, o.cfg.Listen, http.MethodGet, "/v1/status", nil, &status))
	if status.Source != "agent db-e1" {
		t.Errorf("%+v", status)
	}
}

// freeAddress is one on loopback that was free a moment ago.
