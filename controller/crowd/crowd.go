// Package crowd bounds connections so that a flood from some addresses keeps none from the others out.
//
// Before the handshake a peer is known only by its address. If no place is left, the oldest connection of the address with the most
// connections is closed; the connections of one address are bounded too. So a flood closes its own connections, and a new peer needs a
// place only for the time of a handshake. Nothing here waits.
package crowd

import (
	"container/list"
	"net"
	"sync"
)

// Crowd is a set of open connections. It is safe for concurrent use.
type Crowd struct {
	most, each int // bounds: in all, and of one address

	mu    sync.Mutex
	hosts map[string]*list.List // of *Guest, the oldest first; never an empty list
	total int
	count uint64 // of all connections so far
}

// New bounds connections to most in all, and to each of one address.
func New(most, each int) *Crowd {
	return &Crowd{most: most, each: each, hosts: map[string]*list.List{}}
}

// Guest is one connection's place.
type Guest struct {
	crowd  *Crowd
	host   string
	number uint64
	conn   net.Conn
	place  *list.Element // nil once it has left or was closed for another
	pushed bool
}

// Enter gives a connection a place. If none is free, it closes another connection at once.
func (c *Crowd) Enter(conn net.Conn) *Guest {
	g := &Guest{crowd: c, host: Host(conn.RemoteAddr()), conn: conn}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch own := c.hosts[g.host]; {
	case own != nil && own.Len() >= c.each:
		c.push(own.Front())
	case c.total >= c.most:
		c.push(c.victim())
	}
	if c.hosts[g.host] == nil {
		c.hosts[g.host] = list.New()
	}
	c.count++
	g.number, g.place = c.count, c.hosts[g.host].PushBack(g)
	c.total++
	return g
}

// victim is the oldest connection of the address with the most; of several such addresses, the oldest connection of all.
func (c *Crowd) victim() *list.Element {
	var found *list.List
	for _, of := range c.hosts {
		if found == nil || of.Len() > found.Len() || of.Len() == found.Len() && first(of).number < first(found).number {
			found = of
		}
	}
	return found.Front()
}

func first(l *list.List) *Guest { return l.Front().Value.(*Guest) }

func (c *Crowd) push(e *list.Element) {
	g := e.Value.(*Guest)
	g.pushed = true
	c.remove(g)
	g.conn.Close()
}

func (c *Crowd) remove(g *Guest) {
	of := c.hosts[g.host]
	of.Remove(g.place)
	if of.Len() == 0 {
		delete(c.hosts, g.host)
	}
	g.place = nil
	c.total--
}

// Leave gives the place back, and returns whether the connection was closed for another. It may be called again.
func (g *Guest) Leave() (pushed bool) {
	g.crowd.mu.Lock()
	defer g.crowd.mu.Unlock()
	if g.place != nil {
		g.crowd.remove(g)
	}
	return g.pushed
}

// Host is the IP address of a peer. For IPv6 it is the network of 64 bits, in which one host may have any number of addresses.
func Host(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	switch {
	case !ok:
		return a.String()
	case t.IP.To4() == nil && !t.IP.IsLoopback():
		return t.IP.Mask(net.CIDRMask(64, 128)).String()
	}
	return t.IP.String()
}

// Bounds of a listener that requires no certificate: scrapers and load balancers need a few connections each.
const (
	plainMost = 256
	plainEach = 64
)

// Plain bounds the connections that l accepts; each keeps its place until it is closed.
func Plain(l net.Listener) net.Listener { return &listener{l, New(plainMost, plainEach)} }

type listener struct {
	net.Listener
	crowd *Crowd
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &held{c, l.crowd.Enter(c)}, nil
}

// held gives its place back when it is closed.
type held struct {
	net.Conn
	guest *Guest
}

func (h *held) Close() error {
	h.guest.Leave()
	return h.Conn.Close()
}
