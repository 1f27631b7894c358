package pgclient

import (
	"context"
	"net"
	"time"
)

// dialer opens sockets on which every exchange has a deadline. lib/pq alone waits for ever for a server that is frozen,
// whatever the context says.
type dialer struct{ connect, exchange time.Duration }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	return d.DialTimeout(network, addr, d.connect)
}

func (d dialer) DialTimeout(network, addr string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return d.DialContext(ctx, network, addr)
}

func (d dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: d.connect}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &deadlineConn{Conn: c, exchange: d.exchange}, nil
}

// deadlineConn starts a new deadline with each request, the first write after a read, and lets no answer extend it: a
// server that trickles is given up like one that hangs. The first error closes the socket, so that nothing is read from
// it later. One goroutine uses it at a time, as lib/pq does.
type deadlineConn struct {
	net.Conn
	exchange time.Duration
	ceiling  time.Time // set by lib/pq while it signs in; zero: none
	writing  bool
}

func (c *deadlineConn) SetDeadline(t time.Time) error {
	c.ceiling = t
	c.writing = false
	return c.Conn.SetDeadline(t)
}

func (c *deadlineConn) Write(b []byte) (int, error) {
	if !c.writing {
		c.writing = true
		until := time.Now().Add(c.exchange)
		if !c.ceiling.IsZero() && c.ceiling.Before(until) {
			until = c.ceiling
		}
		if err := c.Conn.SetDeadline(until); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(b)
	return n, c.closeOn(err)
}

func (c *deadlineConn) Read(b []byte) (int, error) {
	c.writing = false
	n, err := c.Conn.Read(b)
	return n, c.closeOn(err)
}

func (c *deadlineConn) closeOn(err error) error {
	if err != nil {
		c.Conn.Close()
	}
	return err
}
