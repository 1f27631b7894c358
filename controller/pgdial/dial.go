package pgdial

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dialer is lib/pq's Dialer. With once set it makes a single connection that ends with that context: lib/pq's later cancel request is
// refused, and the server ends the statement by statement_timeout instead. Where TLS is only preferred, the server may have none, and
// lib/pq dials again without it.
type dialer struct {
	cfg  Config
	once context.Context // nil for a pool
	used atomic.Int32
}

var errOnce = errors.New("a one-shot connection dials once")

// Dial and DialTimeout complete pq.Dialer; lib/pq prefers DialContext.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, DefaultOnce)
}

// DialTimeout is Dial with a bound on the connect.
func (d *dialer) DialTimeout(network, address string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext connects and wraps the connection in its deadlines.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.once != nil {
		dials := int32(1)
		if d.cfg.SocketDir == "" && d.cfg.Secure == nil && d.cfg.TLS.CA == "" {
			dials = 2
		}
		if d.used.Add(1) > dials {
			return nil, errOnce
		}
		ctx = d.once
	}
	ctx, cancel := context.WithTimeout(ctx, d.io())
	defer cancel()
	raw, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &boundedConn{Conn: raw, io: d.io()}
	if d.once != nil {
		c.until, _ = d.once.Deadline()
		c.io = 0
		c.stop = context.AfterFunc(d.once, func() { raw.Close() })
	}
	if d.cfg.Secure == nil {
		return c, nil
	}
	over, err := secured(ctx, c, d.cfg.Secure)
	if err != nil {
		c.Close()
		return nil, err
	}
	return over, nil
}

func (d *dialer) io() time.Duration {
	if d.cfg.IO > 0 {
		return d.cfg.IO
	}
	if d.once != nil {
		if end, ok := d.once.Deadline(); ok {
			return max(time.Until(end), time.Millisecond)
		}
	}
	return DefaultIO
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		return dialUnix(ctx, address, d.cfg.OSUser)
	}
	limit := d.io()
	nd := net.Dialer{KeepAlive: limit, Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		cerr := rc.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
		})
		return errors.Join(cerr, err)
	}}
	return nd.DialContext(ctx, network, address)
}
