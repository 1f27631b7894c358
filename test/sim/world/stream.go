package world

import (
	"slices"
	"time"

	"mainstay/controller/platform"
)

// A stream ends when nothing was heard over it for this long (wal_receiver_timeout, and the wal_sender_timeout of the stream).
const streamTimeout = 1500 * time.Millisecond

// connection is a replication stream, from both ends.
type connection struct {
	from, to *postgres
	life     int // of the receiving instance
	name     string
	set      platform.DurabilitySet // the list as the sender has loaded it
	fresh    bool                   // it began after a new connection had shown the newest list
	refused  bool
	flush    platform.LSN
	sent     time.Duration // when the receiver last heard, true time
	heard    time.Duration // when the sender last heard
}

// receive is a standby's startup process: it asks for a receiver, and ends one that it does not want any more, unless a
// query keeps it busy in a conflict; a receiver ends when its stream is silent.
func (p *postgres) receive() {
	if !p.running || p.primary {
		return
	}
	p.lets(100*time.Millisecond, (*receiving)(p))
	busy := p.conflict > p.w.now
	if c := p.receiver; c != nil {
		other := c.from != p.upstream || c.name != p.settings
		if p.w.now-c.sent > streamTimeout || !c.live() || other && !busy {
			p.receiver = nil
		}
	}
	if p.receiver == nil && p.upstream != nil && p.known && !busy && !p.frozen.paused {
		p.connect()
	}
}

// live tells whether the sender still knows of the connection; a severed network hides that until the timeout.
func (c *connection) live() bool {
	return !c.from.w.net.both(c.from.m.host.node, c.to.m.host.node) || slices.Contains(c.from.senders, c)
}

func (c *connection) state() string {
	if c.refused {
		return "catchup"
	}
	return "streaming"
}

// connect asks the upstream for a stream. A standby whose WAL is not part of the primary's is refused, but not before its
// flush position was heard. PostgreSQL tells by timeline and position alone. It asks from the beginning of its segment on, so a real
// standby that is past the fork, or ahead, within a segment shows as streaming at times, and adds nothing to what it has. One that is
// refused shows so too, from when it is connected until it is refused: here it never does.
func (p *postgres) connect() {
	up, n := p.upstream, len(p.wal)
	if n == 0 || !p.w.net.both(p.m.host.node, up.m.host.node) || !up.running || !up.hands(p) || up.stopping || up.hung > p.w.now {
		return
	}
	c := &connection{from: up, to: p, life: p.life, name: p.settings, set: up.set, fresh: true, flush: p.end(), sent: p.w.now, heard: p.w.now}
	up.senders = append(slices.DeleteFunc(up.senders, func(o *connection) bool { return o.to == p }), c)
	if n <= len(up.wal) && up.wal[n-1] == p.wal[n-1] {
		p.receiver, p.received = c, true
		up.pushTo(c)
		return
	}
	if p.timeline() == up.timeline() && p.end() <= up.end() {
		p.m.cluster.check.Foreign(p.w.now, p.m.name, up.m.name, p.timeline())
	}
	c.refused = true
	up.releaseBy(c)
	p.w.after(10*time.Millisecond, func() {
		up.senders = slices.DeleteFunc(up.senders, func(o *connection) bool { return o == c })
	})
}

// hands: a primary streams to every standby, and so does a standby that knows the end of its WAL; a sealed one only to the member that must
// receive its WAL. PostgreSQL's sealed standby streams to every standby; only the goals keep others from it.
func (p *postgres) hands(to *postgres) bool {
	return p.primary || p.known && (p.pointed != "" || to.fedBy(p))
}

// push sends what is new to every receiver.
func (p *postgres) push() {
	p.senders = slices.DeleteFunc(p.senders, func(c *connection) bool { return p.w.now-c.heard > streamTimeout })
	for _, c := range p.senders {
		if !c.refused {
			p.pushTo(c)
		}
	}
}

func (p *postgres) pushTo(c *connection) {
	wal, net := slices.Clip(p.wal), p.w.net
	from, to := p.m.host.node, c.to.m.host.node
	if lag := c.to.lag; lag > 0 {
		net.streams(from, to, &taking{connection: c}) // only the WAL is slow
		p.w.after(lag, func() { net.streams(from, to, &taking{connection: c, wal: wal}) })
		return
	}
	net.streams(from, to, &taking{connection: c, wal: wal})
}

// taking is WAL on its way to a standby. The same value then carries on what follows: the replay, and the acknowledgement.
type taking struct {
	*connection
	wal   []*record
	flush platform.LSN // what is acknowledged
}

func (t *taking) happen() { t.to.take(t) }

// take flushes WAL on the standby, and acknowledges it.
func (p *postgres) take(t *taking) {
	c, wal := t.connection, t.wal
	if p.receiver != c || p.life != c.life {
		return
	}
	c.sent, p.lastStream = p.w.now, p.w.now
	if stall := p.m.host.stall(); stall > 0 {
		p.w.after(stall, func() { p.take(t) })
		return
	}
	if len(wal) > len(p.wal) && p.m.host.full() {
		p.receiver = nil // it ends, and another is started
		return
	}
	p.idle++
	if len(wal) > len(p.wal) {
		p.wal, p.own, p.idle = wal, false, 0
		if p.fedBy(c.from) {
			p.caughtUp = p.m.durable.Sealed
		}
		p.lets(p.w.span(0, 20*time.Millisecond), (*replaying)(t))
	}
	// Who streams from this standby. Two that stream from each other, for as long as one of them does not know better, would hand nothing new
	// to and fro without end: PostgreSQL does that by the clock, not for each message.
	if len(p.senders) > 0 && (p.idle < 100 || p.w.now-p.pushed >= time.Millisecond) {
		p.pushed = p.w.now
		p.push()
	}
	t.flush = p.end()
	p.w.net.streams(p.m.host.node, c.from.m.host.node, (*acknowledging)(t))
}

// acknowledging is a standby's word on its way to the sender.
type acknowledging taking

func (a *acknowledging) happen() { a.from.acknowledged(a.connection, a.flush) }

// replaying reaches the end of what was taken, a moment later.
type replaying taking

func (r *replaying) happen() {
	if p := r.to; p.running && !p.primary && p.known && p.conflict <= p.w.now && !p.frozen.paused {
		p.replays(max(p.replayed, min(len(r.wal), len(p.wal))))
	}
}

func (p *postgres) acknowledged(c *connection, flush platform.LSN) {
	if !slices.Contains(p.senders, c) {
		return
	}
	c.heard = p.w.now
	if flush > c.flush {
		c.flush = flush
		p.releaseBy(c)
	}
}
