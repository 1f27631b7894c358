package world

import (
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/test/invariant"
)

// load puts another list in force. A new connection shows it at once; each sender obeys it when it gets to it; backends
// begin to wait only when the checkpointer says so, and stop waiting as late.
func (p *postgres) load(set platform.DurabilitySet) {
	p.show(set)
	life := p.life
	for _, c := range p.senders {
		c.fresh = false
		lag := p.w.span(0, 400*time.Millisecond)
		if p.w.rand.IntN(4) == 0 {
			lag = p.w.span(0, 4*time.Second) // it is busy with a socket that takes nothing
		}
		p.w.after(lag, func() {
			if p.life == life && !c.closed() {
				c.set = p.set
				p.releaseBy(c)
			}
		})
	}
	p.w.after(p.w.span(0, 1500*time.Millisecond), func() {
		if p.life == life {
			p.obey()
		}
	})
}

func (p *postgres) show(set platform.DurabilitySet) { p.set, p.shown = set, member.SyncNames(set) }

// closed: the receiver has ended, and the network does not keep that from the sender, which ends then, whatever it is busy with.
func (c *connection) closed() bool {
	return c.to.receiver != c && c.from.w.net.both(c.from.m.host.node, c.to.m.host.node)
}

// endStale ends the senders that may release by an older list; their receivers come back.
func (p *postgres) endStale() {
	p.senders = slices.DeleteFunc(p.senders, func(c *connection) bool { return !c.fresh })
}

// obey is the checkpointer taking notice of the list.
func (p *postgres) obey() {
	p.waiting = p.set.Acks > 0
	if !p.waiting {
		p.release(p.end(), false)
	}
}

// write is a client's commit: it is answered once enough of the list hold it.
func (p *postgres) write(w *commit) {
	if !p.running || !p.primary || p.stopping || p.m.host.stall() > 0 || p.m.host.full() {
		return
	}
	w.lsn = p.append(p.timeline(), w.id).lsn
	p.waits = append(p.waits, w)
	if !p.waiting {
		p.release(p.end(), false)
	}
	p.push()
}

// releaseBy is what a sender does once its receiver has acknowledged more: it counts by the list that it has loaded, all
// senders that have a place in theirs.
func (p *postgres) releaseBy(c *connection) {
	if len(p.waits) == 0 || !p.primary || c.set.Acks == 0 || !c.set.Has(c.name) {
		return
	}
	flushed := make([]platform.LSN, 0, 8)
	for _, s := range p.senders {
		if s.set.Has(s.name) {
			flushed = append(flushed, s.flush)
		}
	}
	if len(flushed) < c.set.Acks {
		return
	}
	slices.Sort(flushed)
	p.release(flushed[len(flushed)-c.set.Acks], true)
}

// release answers every commit up to a position.
func (p *postgres) release(to platform.LSN, waited bool) {
	n := 0
	for ; n < len(p.waits) && p.waits[n].lsn <= to; n++ {
		c := p.waits[n]
		if p.epoch.IsZero() {
			c.by.reply(c) // not under protection yet
			continue
		}
		p.m.cluster.check.Acknowledged(invariant.Ack{ID: c.id, At: p.w.now, Member: p.m.name, Epoch: p.epoch, Waited: waited, Evidence: c},
			p.m.cluster.state().Sets)
		c.by.reply(c)
	}
	p.waits = p.waits[n:]
}

// holds tells whether the receiver of that name has said that it flushed up to lsn, of this WAL.
func (p *postgres) holds(name string, lsn platform.LSN) bool {
	for _, s := range p.senders {
		if s.name == name && s.flush >= lsn && !s.refused {
			return true
		}
	}
	return false
}
