package world

import (
	"slices"
	"time"

	"mainstay/controller/platform"
)

// A stream ends when nothing was heard over it for this long (wal_receiver_timeout, wal_sender_timeout).
const streamTimeout = 1500 * time.Millisecond

// receive is a standby's receiver: it connects, and ends what is silent.
func (p *postgres) receive(life int) {
	if p.life != life || !p.running || p.primary {
		return
	}
	p.w.after(100*time.Millisecond, func() { p.receive(life) })
	if c := p.receiver; c != nil && (p.w.now-c.sent > streamTimeout || c.from.host.member != p.upstream || c.name != p.settings || !c.live()) {
		p.receiver = nil
	}
	if p.receiver == nil && p.upstream != "" {
		p.connect()
	}
}

// live tells whether the sender still knows of the connection; a severed network hides that until the timeout.
func (c *connection) live() bool {
	return !c.from.w.net.both(c.from.host.name, c.to.host.name) || slices.Contains(c.from.senders, c)
}

// connect asks the upstream for a stream. A standby whose WAL is not part of the primary's is refused.
func (p *postgres) connect() {
	up := p.w.host(p.upstream).pg
	n := len(p.wal)
	if !p.w.net.both(p.host.name, up.host.name) || !up.running || !up.primary || up.stopping {
		return
	}
	if n == 0 || n > len(up.wal) || up.wal[n-1] != p.wal[n-1] {
		return
	}
	c := &connection{from: up, to: p, life: p.life, name: p.settings, flush: p.end(), sent: p.w.now, heard: p.w.now}
	p.receiver = c
	up.senders = append(slices.DeleteFunc(up.senders, func(o *connection) bool { return o.to == p }), c)
	up.pushTo(c)
}

// push sends what is new to every receiver.
func (p *postgres) push() {
	p.senders = slices.DeleteFunc(p.senders, func(c *connection) bool { return p.w.now-c.heard > streamTimeout })
	for _, c := range p.senders {
		p.pushTo(c)
	}
}

func (p *postgres) pushTo(c *connection) {
	wal := slices.Clip(p.wal)
	deliver := func() { p.w.net.stream(p.host.name, c.to.host.name, func() { c.to.received(c, wal) }) }
	if lag := c.to.host.lag; lag > 0 {
		p.w.net.stream(p.host.name, c.to.host.name, func() { c.to.received(c, nil) }) // only the WAL is slow
		p.w.after(lag, deliver)
		return
	}
	deliver()
}

// received flushes WAL on the standby, and acknowledges it.
func (p *postgres) received(c *connection, wal []*record) {
	if p.receiver != c || p.life != c.life {
		return
	}
	c.sent, p.lastStream, p.known = p.w.now, p.w.now, true
	if len(wal) > len(p.wal) {
		p.wal, p.own = wal, false
	}
	life := p.life
	p.w.after(p.w.span(0, 20*time.Millisecond), func() {
		if p.life == life && !p.primary {
			p.replayed = max(p.replayed, min(len(wal), len(p.wal)))
		}
	})
	flush := p.end()
	p.w.net.stream(p.host.name, c.from.host.name, func() { c.from.acknowledged(c, flush) })
}

func (p *postgres) acknowledged(c *connection, flush platform.LSN) {
	if !slices.Contains(p.senders, c) {
		return
	}
	c.heard = p.w.now
	c.flush = max(c.flush, flush)
	p.release()
}
