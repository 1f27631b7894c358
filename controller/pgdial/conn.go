package pgdial

import (
	"net"
	"time"
)

// boundedConn bounds every read and write by io, and all of them by until (zero: no bound).
type boundedConn struct {
	net.Conn
	io    time.Duration
	until time.Time
	// stop, if set, ends the watch that closes the connection when its context ends.
	stop func() bool
}

func (c *boundedConn) deadline() time.Time {
	if c.io <= 0 {
		return c.until
	}
	d := time.Now().Add(c.io)
	if !c.until.IsZero() && c.until.Before(d) {
		return c.until
	}
	return d
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(c.deadline()); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *boundedConn) Close() error {
	if c.stop != nil {
		c.stop()
	}
	return c.Conn.Close()
}
