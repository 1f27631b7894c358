package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	handshakeTimeout = 5 * time.Second
	// Handshakes at once: in all, and from one address, so that a single broken or hostile host cannot keep the reports of
	// the others out (L6: an agent's lease waits for them).
	maxHandshakes    = 256
	maxHandshakesPer = 64
)

// ErrBusy is reported to OnRefused when a connection was dropped because too many were waiting.
var ErrBusy = errors.New("too many connections at once")

// Mux is one TLS 1.3 listener shared by the API and raft, told apart by ALPN. Whatever it hands out has completed its
// handshake, and its peer is verified.
type Mux struct {
	tcp     net.Listener
	config  *tls.Config
	refused func(net.Addr, error) // never nil
	timeout time.Duration         // of one handshake
	http    *queue
	raft    *queue
	ctx     context.Context // ends at Close, and with it all handshakes
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the accept loop and all handshakes

	mu      sync.Mutex
	shaking map[string]int // handshakes under way, by IP address; sums to total
	total   int
}

// Option changes a Mux.
type Option func(*Mux)

// OnRefused has f told of each connection that was turned away and why. f is called from several goroutines and must not
// block. A *PeerError's message says what to do.
func OnRefused(f func(remote net.Addr, err error)) Option { return func(m *Mux) { m.refused = f } }

// Listen listens on addr (host:port) as the store's identity.
func Listen(addr string, s *Store, opts ...Option) (*Mux, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	tcp, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; check the address in the local configuration file, and who else uses the port", addr, err)
	}
	m := &Mux{
		tcp: tcp, config: s.ServerConfig(ProtoRaft, ProtoHTTP), refused: func(net.Addr, error) {}, timeout: handshakeTimeout,
		http: newQueue(tcp.Addr()), raft: newQueue(tcp.Addr()), shaking: map[string]int{},
	}
	for _, o := range opts {
		o(m)
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.wg.Go(m.accept)
	return m, nil
}

// HTTP yields connections that speak HTTP/1.1: *tls.Conn, so that http.Request.TLS is set. Closing it closes only the HTTP
// side.
func (m *Mux) HTTP() net.Listener { return m.http }

// Raft yields connections of controllers that speak raft.
func (m *Mux) Raft() net.Listener { return m.raft }

// Addr is the address listened on.
func (m *Mux) Addr() net.Addr { return m.tcp.Addr() }

// Close stops listening, ends the handshakes under way and the connections nobody has accepted yet, and waits for its
// goroutines. Connections already accepted belong to those who accepted them.
func (m *Mux) Close() error {
	err := m.tcp.Close()
	m.cancel()
	m.wg.Wait()
	m.http.Close()
	m.raft.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (m *Mux) accept() {
	for {
		raw, err := m.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, or the peer gave up: neither is a reason to stop
			m.refused(m.tcp.Addr(), fmt.Errorf("accept: %w", err))
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		host := hostOf(raw.RemoteAddr())
		if !m.begin(host) {
			m.refused(raw.RemoteAddr(), ErrBusy)
			raw.Close()
			continue
		}
		m.wg.Go(func() {
			defer m.end(host)
			m.handshake(raw)
		})
	}
}

func (m *Mux) handshake(raw net.Conn) {
	conn := tls.Server(raw, m.config)
	err := SetUserTimeout(raw, UserTimeout)
	if err == nil {
		ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
		err = conn.HandshakeContext(ctx)
		cancel()
	}
	if err != nil {
		raw.Close()
		m.refused(raw.RemoteAddr(), fmt.Errorf("handshake: %w", err))
		return
	}
	q := m.http
	if conn.ConnectionState().NegotiatedProtocol == ProtoRaft {
		q = m.raft
	}
	if err := q.put(conn); err != nil {
		raw.Close()
		m.refused(raw.RemoteAddr(), err)
	}
}

// begin takes a place for a handshake; end gives it back.
func (m *Mux) begin(host string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.total >= maxHandshakes || m.shaking[host] >= maxHandshakesPer {
		return false
	}
	m.total++
	m.shaking[host]++
	return true
}

func (m *Mux) end(host string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total--
	if m.shaking[host]--; m.shaking[host] == 0 {
		delete(m.shaking, host)
	}
}

func hostOf(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.IP.String()
	}
	return a.String()
}
