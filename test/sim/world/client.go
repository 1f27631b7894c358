package world

import "time"

// client writes a commit every now and then to whoever it believes to be the primary.
type client struct {
	w      *World
	name   string
	target int
	failed int
}

func (c *client) run() {
	c.w.after(c.w.span(40*time.Millisecond, 160*time.Millisecond), c.run)
	if c.failed > 3 {
		c.failed, c.target = 0, c.w.rand.IntN(len(c.w.hosts))
	}
	c.failed++
	h := c.w.hosts[c.target]
	c.w.lastWrite++
	id := c.w.lastWrite
	c.w.net.stream(c.name, h.name, func() {
		h.pg.write(id, func() { c.w.net.stream(h.name, c.name, func() { c.failed = 0 }) })
	})
}
