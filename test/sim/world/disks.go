package world

import (
	"time"

	"mainstay/controller/member"
)

// full tells whether nothing more can be written on the host's disk.
func (h *host) full() bool { return h.filled > h.w.now }

// needsRoom tells whether an act writes: to end processes takes no room.
func needsRoom(k member.Kind) bool {
	return k != member.Kill && k != member.StopClean && k != member.EndSenders
}

// fillDisk leaves no room on a host's disk for a while, neither for PostgreSQL nor for what the agent persists. A server that
// cannot write its WAL panics, mostly; one that does not has commits that fail.
func (w *World) fillDisk() string {
	h := w.someHost()
	h.filled = max(h.filled, w.now+w.span(300*time.Millisecond, 7*time.Second))
	for _, m := range h.members {
		if m.pg.running && w.rand.IntN(3) > 0 {
			w.later(w.span(0, 500*time.Millisecond), func() {
				if h.full() {
					m.pg.crash()
					m.soon()
				}
			})
		}
	}
	return "the disk of " + h.name + " is full"
}

// rot destroys the control file of one member, which ends with that. The agent keeps its promises, and reads why its data
// cannot be started (S5). It counts as a lost disk.
func (w *World) rot() string {
	m := w.someMember()
	if !m.pg.present || m.pg.busy || !m.cluster.mayLose() {
		return ""
	}
	m.cluster.destroyed = append(m.cluster.destroyed, m.name)
	m.pg.crash()
	m.pg.rotten, m.pg.rottenAt = "the control file does not match its checksum", w.now
	m.soon()
	return "the data of " + m.name + " is corrupt"
}

// mayLose: S2 promises to outlive the loss of the primary's data and that of k-1 others.
func (c *cluster) mayLose() bool {
	return len(c.destroyed) < c.acks && !(c.degrades && len(c.destroyed) > 0)
}

// slowHost lets the agent of a host, and what it does, take several times as long.
func (w *World) slowHost() string {
	h := w.someHost()
	h.slow = 2 + w.rand.IntN(5)
	w.later(w.span(time.Second, 6*time.Second), func() { h.slow = 0 })
	return "host " + h.name + " is slow"
}
