package identity

import (
	"net"
	"sync"
)

// backlog is the number of verified connections that may wait for Accept.
const backlog = 128

// queue is a net.Listener fed by Mux.
type queue struct {
	addr net.Addr
	done chan struct{} // closed by Close

	mu      sync.Mutex // guards closing against put
	closed  bool
	waiting chan net.Conn
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, done: make(chan struct{}), waiting: make(chan net.Conn, backlog)}
}

// put never blocks: it fails with ErrBusy if the queue is full, and with net.ErrClosed after Close.
func (q *queue) put(c net.Conn) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return net.ErrClosed
	}
	select {
	case q.waiting <- c:
		return nil
	default:
		return ErrBusy
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-q.waiting:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener; connections not yet accepted are closed.
func (q *queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	close(q.done)
	for {
		select {
		case c := <-q.waiting:
			closeRaw(c)
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr }

// closeRaw closes without TLS's closing message, which may block for seconds on a peer that does not read.
func closeRaw(c net.Conn) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = t.NetConn()
	}
	c.Close()
}
