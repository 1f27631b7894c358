package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mainstay/controller/delta"
	"mainstay/controller/identity"
)

const (
	// dialTimeout bounds the connection and, separately, its handshake: the kernel of a frozen peer still accepts.
	dialTimeout = time.Second
	// readTimeout bounds the wait for an answer that the peer does not hold on purpose, where there is another address to try.
	readTimeout = 3 * time.Second
	// idleTimeout is how long an unused connection is kept.
	idleTimeout = 30 * time.Second
	// maxAnswer bounds the body of an answer.
	maxAnswer = 16 << 20
	// maxHops bounds how often one request follows an answer that names the leader.
	maxHops = 3
)

// Client connects to the controllers (or the agents) for operators' verbs, agents, controllers and tests. It is safe for
// concurrent use. A connection carries one request at a time, and is closed after a timeout, never used again.
type Client struct {
	addresses []string
	http      *http.Client
	transport *http.Transport

	mu     sync.Mutex
	leader string // the address that last answered as leader, "" if unknown

	exchanges delta.Exchanges // of Repeat, by address and path
}

// NewClient returns a client for these addresses (host:port). config comes from identity.Store.ClientConfig, which checks the peer's
// role.
func NewClient(addresses []string, config *tls.Config) *Client {
	return NewClientVia(addresses, config, dialDirect)
}

// Dial makes the connection below a client's TLS.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

func dialDirect(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := identity.SetUserTimeout(conn, identity.UserTimeout); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// NewClientVia is NewClient over connections that dial makes, such as through a relay.
func NewClientVia(addresses []string, config *tls.Config, dial Dial) *Client {
	t := &http.Transport{
		DialContext:     dial,
		TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout,
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only
		IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: 4,
		DisableCompression: true, // bodies are not compressed; repeated ones are sent as differences
	}
	return &Client{addresses: slices.Clone(addresses), transport: t, http: &http.Client{
		Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close closes the idle connections; running requests end with their contexts.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do sends a request to the leader: to the remembered one first, then to each address in turn, following answers that name the
// leader. in and out are JSON, or nil. The errors are *RefusalError, ErrNoLeader, ErrUncertain (each perhaps wrapped), *UnreachableError,
// or the context's. A request that changes something goes to the next address only if it surely was not sent to the one before.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	s := &search{c: c, method: method, path: path, body: body, out: out, queue: c.order()}
	return s.run(ctx)
}

// DoAt sends a request to one address, and does not follow it to the leader: 421 is a *RefusalError like any other.
func (c *Client) DoAt(ctx context.Context, address, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	return unreachable(address, c.send(ctx, address, message{method: method, path: path, body: body, out: out}))
}

// unreachable is the error of a request to one address, as DoAt returns it.
func unreachable(address string, err error) error {
	if refusal := (*RefusalError)(nil); err == nil || errors.As(err, &refusal) {
		return err
	}
	return &UnreachableError{Tried: []Attempt{{address, err}}}
}

// order lists the remembered leader, then the other addresses.
func (c *Client) order() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == "" {
		return slices.Clone(c.addresses)
	}
	queue := []string{c.leader}
	for _, a := range c.addresses {
		if a != c.leader {
			queue = append(queue, a)
		}
	}
	return queue
}

func (c *Client) remember(leader string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader = leader
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	return b, nil
}

// message is a request with its encoded body, and where its answer goes.
type message struct {
	method, path string
	body         []byte
	out          any
	repeated     *delta.Exchange // nil for one that is not repeated
}

// send makes one request. The error is a *RefusalError or a *sentError; any other error means that nothing was sent.
func (c *Client) send(ctx context.Context, address string, m message) error {
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !c.endRefused(i.Conn) {
			sent.Store(true)
		}
	}})
	body, title := shorten(m.repeated, m.body)
	req, err := http.NewRequestWithContext(ctx, m.method, "https://"+address+m.path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	req.Header.Set("User-Agent", "") // sends none
	if body != nil && title == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	announce(m.repeated, req.Header, title)
	resp, err := c.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		if err = c.judge(resp.TLS); err == nil {
			err = c.read(resp, address, m)
		}
	}
	if refusal := (*RefusalError)(nil); err == nil || errors.As(err, &refusal) {
		return err
	}
	if alert := refusedCertificate(err); alert != nil {
		return fmt.Errorf("%w (%w); check that it is of this platform, within its date, and not revoked", errCertificate, alert)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // without the URL: the caller names the address
	}
	if sent.Load() {
		return &sentError{err}
	}
	return err
}

// judge checks the peer of a connection again: its certificate may have been revoked since the handshake.
func (c *Client) judge(cs *tls.ConnectionState) error {
	verify := c.transport.TLSClientConfig.VerifyConnection
	if cs == nil || verify == nil {
		return nil
	}
	return verify(*cs)
}

// endRefused closes a kept connection whose peer is now refused, before anything is sent on it; the transport then makes a new
// connection, whose error gives the reason.
func (c *Client) endRefused(conn net.Conn) bool {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return false
	}
	cs := t.ConnectionState()
	if c.judge(&cs) == nil {
		return false
	}
	t.NetConn().Close()
	return true
}

// refusedCertificate is the peer's TLS alert about our certificate, or nil. With TLS 1.3 it arrives after the handshake, as an error
// of the first read; nothing was carried out then.
func refusedCertificate(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate") {
		return op.Err
	}
	return nil
}

// read takes the whole answer at once, because a slow reader would lose the connection (identity.UserTimeout).
func (c *Client) read(resp *http.Response, address string, m message) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil {
		data, err = answered(m.repeated, resp.Header, m.body, data)
	}
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		r := &RefusalError{Status: resp.StatusCode, Address: address}
		if json.Unmarshal(data, &r.Err) != nil {
			r.Err = Error{}
		}
		return r
	}
	if m.out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, m.out); err != nil {
		return fmt.Errorf("its answer cannot be read: %w; check that it is of the same version", err)
	}
	return nil
}
