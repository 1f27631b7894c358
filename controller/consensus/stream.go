package consensus

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.uber.org/zap"
)

// stream is raft's transport to the other controllers: it accepts from the listener, dials through the option, and keeps every
// connection, so that Close ends all of them and raft's goroutines with them.
type stream struct {
	listener net.Listener
	address  string // the advertised one
	dial     func(context.Context, string) (net.Conn, error)
	admit    func(net.Conn) error
	logger   *zap.Logger
	ctx      context.Context // ends at Close
	cancel   context.CancelFunc

	mu    sync.Mutex
	conns map[*conn]bool
}

func newStream(o Options) *stream {
	s := &stream{listener: o.Listener, address: o.Address, dial: o.Dial, admit: o.Admit, logger: o.Logger, conns: map[*conn]bool{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return nil, err
		}
		if s.admit != nil {
			if err := s.admit(c); err != nil {
				s.logger.Warn("raft connection refused", zap.Stringer("remote", c.RemoteAddr()), zap.Error(err))
				c.Close()
				continue
			}
		}
		return s.keep(c)
	}
}

// Dial implements raft.StreamLayer.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	c, err := s.dial(ctx, string(address))
	if err != nil {
		return nil, err
	}
	return s.keep(c)
}

// Addr implements net.Listener: the advertised address of this controller, which raft compares with the configuration.
func (s *stream) Addr() net.Addr { return advertised(s.address) }

// Close implements net.Listener. It is safe to call twice.
func (s *stream) Close() error {
	s.cancel()
	err := s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		abandon(c.Conn)
	}
	clear(s.conns)
	return err
}

func (s *stream) keep(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		abandon(c)
		return nil, net.ErrClosed
	}
	k := &conn{c, s}
	s.conns[k] = true
	return k, nil
}

// conn removes itself from its stream when raft closes it.
type conn struct {
	net.Conn
	of *stream
}

func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// abandon closes a connection without TLS's closing message, which may block if the peer does not read.
func abandon(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	c.Close()
}

type advertised string

func (a advertised) Network() string { return "tcp" }
func (a advertised) String() string  { return string(a) }
