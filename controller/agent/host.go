package agent

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

// host is what the agent is to the supervisors of its members.
type host struct{ *Agent }

func (a *Agent) newSupervisor(name string) (*supervisor.Supervisor, error) {
	return supervisor.New(supervisor.Options{Name: name, Config: a.cfg, Executable: a.opts.Executable, Run: a.clocks.Run(), Begun: a.begun,
		Log: a.log, Context: a.ctx, Group: a.group, Host: host{a}, Home: a.home, Quarantine: a.quarantine, ScanTurn: a.scanTurn})
}

func (h host) Report() { wakeup.Signal(h.kick) }

func (h host) Fair() time.Duration { return h.fair() }

func (h host) LeaseEnd(number uint64, length time.Duration) (time.Duration, bool) {
	return h.endOf(number, length)
}

func (h host) Hasten(heartbeat time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heartbeatEvery = min(h.heartbeatEvery, heartbeat)
}

func (h host) Watchdog(asked *platform.Watchdog, member string, guards [2]int) *health.Watchdog {
	return h.watchdog.of(asked, member, guards)
}
