package conform

import (
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// link is the network from a standby to its upstream: a port of ours that passes everything on. While it is cut it holds everything
// back and closes nothing, so that neither end is told.
type link struct {
	port int

	mu    sync.Mutex
	open  chan struct{} // closed while it is not cut
	conns []net.Conn
	ended bool
}

func newLink(t *testing.T, to int) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{port: l.Addr().(*net.TCPAddr).Port, open: make(chan struct{})}
	close(k.open)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { k.serve(near, to) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		k.cut(false)
		k.end()
		all.Wait()
	})
	return k
}

// serve passes on what one connection carries, both ways.
func (k *link) serve(near net.Conn, to int) {
	defer near.Close()
	if !k.keep(near) {
		return
	}
	k.wait()
	far, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(to)))
	if err != nil || !k.keep(far) {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { k.pass(far, near) })
	both.Go(func() { k.pass(near, far) })
	both.Wait()
}

// pass ends both once one of them has ended, but not while they are cut.
func (k *link) pass(to, from net.Conn) {
	_, _ = io.Copy(writer{k, to}, from) // either end may go at any time
	k.wait()
	to.Close()
	from.Close()
}

type writer struct {
	*link
	to net.Conn
}

func (w writer) Write(b []byte) (int, error) {
	w.wait()
	return w.to.Write(b)
}

// wait returns while it is not cut.
func (k *link) wait() {
	k.mu.Lock()
	open := k.open
	k.mu.Unlock()
	<-open
}

func (k *link) cut(severed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.open:
		if severed {
			k.open = make(chan struct{})
		}
	default:
		if !severed {
			close(k.open)
		}
	}
}

// keep remembers a connection, and tells whether it is wanted any more.
func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns = append(k.conns, c)
	return !k.ended
}

func (k *link) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	for _, c := range k.conns {
		c.Close()
	}
}
