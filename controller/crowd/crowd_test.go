package crowd

import (
	"net"
	"testing"
)

// fake is a connection from an address.
type fake struct {
	net.Conn
	from   string
	closed bool
}

func (f *fake) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.from)} }
func (f *fake) Close() error         { f.closed = true; return nil }

// TestFair: a newcomer always gets in, at the cost of the address that has the most.
func TestFair(t *testing.T) {
	c := New(8, 4)
	come := func(from string, n int) (conns []*fake, guests []*Guest) {
		for range n {
			f := &fake{from: from}
			conns, guests = append(conns, f), append(guests, c.Enter(f))
		}
		return conns, guests
	}
	closed := func(conns []*fake) (n int) {
		for _, f := range conns {
			if f.closed {
				n++
			}
		}
		return n
	}
	a, _ := come("10.0.0.1", 6)
	if closed(a) != 2 || !a[0].closed || !a[1].closed {
		t.Errorf("of one address only four are held, the newest: %d closed", closed(a))
	}
	b, guests := come("10.0.0.2", 3)
	one, _ := come("10.0.0.3", 1)
	if closed(a) != 2 || closed(b)+closed(one) != 0 {
		t.Error("eight fit")
	}
	other, _ := come("10.0.0.4", 1)
	if closed(a) != 3 || !a[2].closed || closed(b)+closed(one)+closed(other) != 0 {
		t.Error("the oldest of the address with the most makes room")
	}
	come("10.0.0.5", 1)
	if closed(a) != 4 || closed(b) != 0 {
		t.Error("of two that have as many, the one with the oldest makes room")
	}
	if first, second := guests[0].Leave(), guests[0].Leave(); first || second {
		t.Error("it was not pushed out")
	}
	if g, _ := come("10.0.0.6", 1); closed(g)+closed(a)+closed(b) != 4 {
		t.Error("a place was given back")
	}
	many := New(3, 1)
	for _, from := range []string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"} {
		many.Enter(&fake{from: from})
	}
	if len(many.hosts) != 3 || many.total != 3 || many.hosts["10.1.0.1"] != nil {
		t.Errorf("the oldest of all makes room: %v", many.hosts)
	}
}

// TestPlain: a client that opens connections and says nothing keeps no other one out, and a closed one gives its place back.
func TestPlain(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Plain(tcp)
	defer l.Close()
	var last net.Conn
	for range plainEach + 10 {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if last, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last.Write([]byte("x")); err != nil {
		t.Errorf("the newest one: %v", err)
	}
	if n := l.(*listener).crowd.total; n != plainEach {
		t.Errorf("%d are held", n)
	}
	last.Close()
	last.Close()
	if n := l.(*listener).crowd.total; n != plainEach-1 {
		t.Errorf("%d are held after one was closed", n)
	}
}
