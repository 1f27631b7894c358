package world

import "time"

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
	id := w.lastWrite
	w.net.stream(c.node, m.host.node, func() {
		m.pg.write(id, func() { w.net.stream(m.host.node, c.node, func() { c.failed = 0 }) })
	})
}
