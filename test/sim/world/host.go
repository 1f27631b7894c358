package world

import (
	"fmt"
	"time"

	"mainstay/controller/member"
)

const systemID = "7301"

// host is a machine with one agent, one guard and one member.
type host struct {
	w            *World
	name, member string
	clock        clock
	up           bool
	boot         int
	lag          time.Duration // of the network to this standby, for a slow replica

	disk  disk // survives everything but destroy
	pg    *postgres
	guard *guard
	agent *agent
}

// disk is what the agent keeps.
type disk struct {
	durable   member.Durable
	number    uint64 // of the last report
	forgotten bool   // it was lost once: its promises too
}

func newHost(w *World, name, memberName string) *host {
	h := &host{w: w, name: name, member: memberName}
	h.pg = &postgres{w: w, host: h}
	h.agent = &agent{host: h}
	return h
}

// start boots the host: the clock and the guard are new, PostgreSQL does not run.
func (h *host) start() {
	h.up = true
	h.boot++
	h.clock = newClock(h.w.rand, h.w.now)
	h.guard = &guard{host: h}
	h.agent.start()
}

// crash ends everything on the host.
func (h *host) crash() {
	h.up = false
	h.boot++
	h.pg.crash()
	if h.pg.busy {
		h.pg.abortClone()
	}
	h.agent.stop()
}

// destroy is a crash that takes the disk along.
func (h *host) destroy() {
	h.crash()
	h.disk = disk{forgotten: true, number: h.disk.number}
	h.pg.wipe()
}

func (h *host) now() time.Duration { return h.clock.read(h.w.now) }

// keep writes the agent's promises.
func (h *host) keep(d member.Durable) {
	h.disk.durable = d
	h.w.check.Promised(h.w.now, h.member, d.Epoch, h.disk.forgotten)
	h.disk.forgotten = false
}

func (p *postgres) wipe() {
	p.crash()
	*p = postgres{w: p.w, host: p.host, life: p.life + 1}
}

func (p *postgres) abortClone() { p.wipe() }

func (h *host) String() string {
	role := "down"
	switch {
	case h.pg.running && h.pg.primary:
		role = fmt.Sprintf("primary of %s", h.pg.epoch)
	case h.pg.running:
		role = "standby"
	}
	return fmt.Sprintf("%s: %s, timeline %d at %s, named %s, promised %s ran %s closed %s sealed %s", h.member, role, h.pg.timeline(), h.pg.end(),
		h.disk.durable.Incarnation, h.disk.durable.Epoch, h.disk.durable.Ran, h.disk.durable.Closed, h.disk.durable.Sealed)
}
