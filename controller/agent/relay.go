package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

const (
	// relayIdle is how long a relayed connection may be silent; reports go over it at every heartbeat.
	relayIdle = time.Minute
	// maxRelays bounds the connections relayed at once.
	maxRelays = 32
	// relayProtocol names the upgrade.
	relayProtocol = "mainstay-relay"
)

// relay is a connection to a leader through another agent (L5). That agent only passes on bytes: TLS runs between this agent and the
// controller, so it can neither read nor forge a grant.
type relay struct {
	peer   platform.Peer
	leader string // host:port of the controller
}

// relayed tells the report loop that another agent reaches a leader.
func (a *Agent) relayed(r relay) {
	select {
	case a.relays <- r:
	default: // an earlier one is still in the channel; the next answer names it again
	}
}

// cutOff tells whether no controller has answered this agent directly for three heartbeats.
func (a *Agent) cutOff() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return boottime.Now()-a.direct > platform.Suspect(10*a.heartbeatEvery)
}

// dial connects to the controller through the other agent.
func (r relay) dial(own *identity.Store) wire.Dial {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := identity.Dial(ctx, r.peer.Address, own, "http/1.1", identity.RoleAgent, r.peer.Host)
		if err != nil {
			return nil, err
		}
		through, err := upgrade(ctx, conn, r.leader)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("through the agent of %s: %w", r.peer.Host, err)
		}
		return through, nil
	}
}

// upgrade asks the other agent to pass on the bytes that follow.
func upgrade(ctx context.Context, conn net.Conn, to string) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
		defer conn.SetDeadline(time.Time{})
	}
	_, err := fmt.Fprintf(conn, "GET /v1/relay?to=%s HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n",
		url.QueryEscape(to), relayProtocol)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s: %s", resp.Status, why)
	}
	return &readAhead{conn, in}, nil
}

// readAhead is a connection whose first bytes may already have been read.
type readAhead struct {
	net.Conn
	in *bufio.Reader
}

func (c *readAhead) Read(b []byte) (int, error) { return c.in.Read(b) }

// relay passes another agent's connection on to a controller, never to another address.
func (a *Agent) relay(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("to")
	id, err := identity.IDOf(r)
	switch {
	case err != nil || id.Role != identity.RoleAgent:
		http.Error(w, "only an agent may be relayed", http.StatusForbidden)
		return
	case !a.knowsController(to):
		http.Error(w, "this agent knows no controller "+to, http.StatusForbidden)
		return
	}
	select {
	case a.relaySlots <- struct{}{}:
		defer func() { <-a.relaySlots }()
	default:
		http.Error(w, "too many connections are relayed already", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	up, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	cancel()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer up.Close()
	down, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer down.Close()
	if _, err := io.WriteString(down, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+relayProtocol+
		"\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	a.group.Go(func() error { defer close(done); pass(a.ctx, &readAhead{down, buffered.Reader}, up); return nil })
	<-done
}

func (a *Agent) knowsController(address string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return address != "" && (address == a.leaderAddress || slices.Contains(a.cfg.Controllers, address))
}

// pass copies both ways until either side ends or falls silent, or ctx ends.
func pass(ctx context.Context, a, b net.Conn) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	oneWay := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		buf := make([]byte, 32<<10)
		for {
			from.SetReadDeadline(time.Now().Add(relayIdle))
			n, err := from.Read(buf)
			if n > 0 {
				to.SetWriteDeadline(time.Now().Add(5 * time.Second))
				if _, werr := to.Write(buf[:n]); werr != nil {
					err = errors.Join(err, werr)
				}
			}
			if err != nil {
				return
			}
		}
	}
	wg.Go(func() { oneWay(a, b) })
	wg.Go(func() { oneWay(b, a) })
}
