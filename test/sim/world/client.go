package world

import (
	"time"

	"mainstay/controller/platform"
)

// client writes a commit now and then to the member that it believes to be the primary.
type client struct {
	cluster *cluster
	node    node
	target  int
	failed  int
	idle    time.Duration // until when it writes nothing
}

func (c *client) happen() { c.run() }

func (c *client) run() {
	w := c.cluster.w
	w.lets(w.span(50*time.Millisecond, 250*time.Millisecond), c)
	if c.idle > w.now {
		return
	}
	if c.failed > 3 {
		c.failed, c.target = 0, w.rand.IntN(len(c.cluster.members))
	}
	c.failed++
	m := c.cluster.members[c.target]
	w.lastWrite++
	w.net.streams(c.node, m.host.node, &commit{by: c, on: m.pg, id: w.lastWrite})
}

// reply is the acknowledgement on its way to the client.
func (c *client) reply(w *commit) { w.on.w.net.streams(w.on.m.host.node, c.node, (*replied)(c)) }

type replied client

func (c *replied) happen() { c.failed = 0 }

// commit is a write, on its way to the server and there.
type commit struct {
	by  writer
	on  *postgres
	id  uint64
	lsn platform.LSN
}

// writer is who is told that a commit is acknowledged.
type writer interface{ reply(w *commit) }

func (w *commit) happen() { w.on.write(w) }

// Holds implements invariant.Evidence: the receiver of that name has said that it flushed the commit, of this WAL.
func (w *commit) Holds(name string) bool { return w.on.holds(name, w.lsn) }

// Kept implements invariant.Evidence.
func (w *commit) Kept() bool { return w.on.m.cluster.keeps(w.id) }
