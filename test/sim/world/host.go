package world

import (
	"strconv"
	"time"

	"mainstay/controller/member"
	"mainstay/health"
)

const systemID = "7301"

// host is a machine with one agent, and a guard and data for each of its members.
type host struct {
	w       *World
	name    string
	node    node
	clock   clock
	up      bool
	boot    int
	runs    []string      // of agents, that its disk remembers
	bonded  bool          // its disk knows the platform
	stalled time.Duration // until when its disk hangs
	filled  time.Duration // until when there is no room on it
	slow    int           // how many times as long everything takes its agent; 0 for once
	agent   *agent
	power   *switchboard // nil for none
	twin    bool         // a copy of the machine of that name
	members []*supervisor
	apps    []*appSupervisor
}

// start boots the host, if it has power: the clock and the guards are new, PostgreSQL does not run.
func (h *host) start() {
	if h.dark() {
		return
	}
	h.up = true
	h.boot++
	h.clock = newClock(h.w.rand, h.w.now)
	for _, m := range h.members {
		m.guard = newGuard(m)
	}
	h.agent.start()
}

// crash ends everything on the host.
func (h *host) crash() {
	h.up = false
	h.boot++
	for _, m := range h.members {
		m.pg.crash()
		m.pg.abortClone()
	}
	for _, m := range h.apps {
		m.server.callOff()
		m.server.becomes(health.ProcessEnded)
		m.server.life++
	}
	h.agent.stop()
}

// destroy is a crash that takes the disks along.
func (h *host) destroy() {
	h.crash()
	h.wipe()
	h.runs, h.bonded = nil, false
	for _, m := range h.members {
		m.forget()
		m.aside = nil
		m.pg.wipe()
	}
}

// again runs f later if the host has not been rebooted since.
func (h *host) again(d time.Duration, f func()) {
	boot := h.boot
	h.w.after(d, func() {
		if h.boot == boot {
			f()
		}
	})
}

func (h *host) bootID() string { return strconv.Itoa(h.boot) }

func (h *host) now() time.Duration { return h.clock.read(h.w.now) }

// stall is for how long a write to the disk does not finish.
func (h *host) stall() time.Duration { return max(0, h.stalled-h.w.now) }

// forget loses the agent's promises.
func (m *supervisor) forget() {
	m.durable, m.kept, m.forgotten, m.leftOut = member.Durable{}, member.Kept{}, true, "" // its quarantine still tells
	m.keptUnder = ""
	m.settleMending() // else the half of a page would stay, which is a second fault
	m.cluster.check.Forgot(m.name)
}

// drift changes the rate of the host's clock; its guards hold local time.
func (h *host) drift() {
	h.clock = h.clock.drift(h.w.now, anyRate(h.w.rand))
	for _, m := range h.members {
		if m.guard.lease() != (member.Lease{}) {
			m.guard.arm()
		}
	}
	for _, m := range h.apps {
		h.agent.on(0, func() { m.wake(false) })
	}
}
