package identity

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"mainstay/controller/crowd"
)

const (
	handshakeTimeout = 5 * time.Second
	// Concurrent handshakes: in all, and from one address, so that broken or hostile hosts cannot keep out the reports of others (L6: an
	// agent's lease waits for them). Addresses from which a verified peer has connected have the same number of places for themselves.
	maxHandshakes    = 256
	maxHandshakesPer = 64
	// maxMet bounds the addresses remembered.
	maxMet = 4096
)

// ErrBusy is passed to OnRefused when a connection was closed because there were too many others.
var ErrBusy = errors.New("too many connections at once")

// Mux is one TLS 1.3 listener shared by the API and raft, told apart by ALPN. Every connection that it returns has completed its handshake,
// and its peer is verified; it ends with a Reload of the store after which that peer would be refused.
type Mux struct {
	tcp     net.Listener
	store   *Store
	config  *tls.Config
	refused func(net.Addr, error) // never nil
	timeout time.Duration         // of one handshake
	http    *queue
	raft    *queue
	ctx     context.Context // ends at Close, and with it all handshakes
	cancel  context.CancelFunc
	wg      sync.WaitGroup // the accept loop and all handshakes

	newcomers, peers *crowd.Crowd // running handshakes, from addresses not in met, and from addresses in met

	mu  sync.Mutex
	met map[string]bool // addresses from which a verified peer has connected
}

// Option changes a Mux.
type Option func(*Mux)

// OnRefused makes the Mux call f for each refused connection. f is called from several goroutines and must not block. A *PeerError's
// message names the remedy.
func OnRefused(f func(remote net.Addr, err error)) Option { return func(m *Mux) { m.refused = f } }

// Listen listens on addr (host:port) as the store's identity.
func Listen(addr string, s *Store, opts ...Option) (*Mux, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	tcp, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; check the address in the local configuration file, and whether another program uses the port",
			addr, err)
	}
	m := &Mux{
		tcp: tcp, store: s, config: s.ServerConfig(ProtoRaft, ProtoHTTP), refused: func(net.Addr, error) {}, timeout: handshakeTimeout,
		http: newQueue(tcp.Addr()), raft: newQueue(tcp.Addr()),
		newcomers: crowd.New(maxHandshakes, maxHandshakesPer), peers: crowd.New(maxHandshakes, maxHandshakesPer), met: map[string]bool{},
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

// Close stops listening, closes the running handshakes and the connections that were not accepted yet, and waits for its goroutines.
// Accepted connections belong to the callers of Accept.
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
		if err != nil { // no file descriptor was free, or the peer gave up: the listener continues in both cases
			m.refused(m.tcp.Addr(), fmt.Errorf("accept: %w", err))
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		place := m.crowdOf(raw.RemoteAddr()).Enter(raw)
		m.wg.Go(func() {
			err := m.handshake(raw)
			if place.Leave() {
				err = ErrBusy
			}
			if err != nil {
				raw.Close()
				m.refused(raw.RemoteAddr(), err)
			}
		})
	}
}

// handshake returns the connection through a listener, or the reason why not.
func (m *Mux) handshake(raw net.Conn) error {
	w := &watched{raw.(*net.TCPConn), &m.store.live}
	conn := tls.Server(w, m.config)
	err := SetUserTimeout(raw, UserTimeout)
	if err == nil {
		ctx, cancel := context.WithTimeout(m.ctx, m.timeout)
		err = conn.HandshakeContext(ctx)
		cancel()
	}
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	shown := conn.ConnectionState()
	if err := m.store.watch(w, shown, speaker(shown)); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	m.remember(raw.RemoteAddr())
	q := m.http
	if shown.NegotiatedProtocol == ProtoRaft {
		q = m.raft
	}
	if err := q.put(conn); err != nil {
		w.Close()
		return err
	}
	return nil
}

// crowdOf is the crowd whose places a connection may take.
func (m *Mux) crowdOf(from net.Addr) *crowd.Crowd {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.met[crowd.Host(from)] {
		return m.peers
	}
	return m.newcomers
}

// remember records the address of a verified peer.
func (m *Mux) remember(from net.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.met) >= maxMet {
		clear(m.met)
	}
	m.met[crowd.Host(from)] = true
}
