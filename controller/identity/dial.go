package identity

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// dialTimeout bounds a Dial, handshake included, whose context has no earlier deadline.
const dialTimeout = 5 * time.Second

// Dial connects to addr (host:port) with the ALPN protocol, and makes sure that the peer has that role and name ("" for any name). The
// connection has TCP_USER_TIMEOUT set, and ends with a Reload after which it would be refused. With TLS 1.3 the peer checks our
// certificate only after Dial has returned: its refusal is the error of the first read.
func Dial(ctx context.Context, addr string, s *Store, alpn, role, name string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	what := fmt.Sprintf("connect to %s %s", want{roles: []string{role}, name: name}, addr)
	d := net.Dialer{KeepAliveConfig: keepAlive}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := SetUserTimeout(raw, UserTimeout); err != nil {
		raw.Close()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	w := &watched{raw.(*net.TCPConn), &s.live}
	conn := tls.Client(w, s.ClientConfig(role, name, alpn))
	err = conn.HandshakeContext(ctx)
	if err == nil {
		err = s.watch(w, conn.ConnectionState(), want{roles: []string{role}, name: name})
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if got := conn.ConnectionState().NegotiatedProtocol; got != alpn {
		conn.Close()
		return nil, fmt.Errorf("%s: the peer does not speak %s (it chose %q); check that this is the address of a %s", what, alpn, got, role)
	}
	return conn, nil
}
