package supervisor

import (
	"errors"
	"fmt"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/health"
)

// extendLease arms the guards with a lease, unless the cluster is paused: then guards have no effect (L7).
func (m *shared) extendLease(epoch platform.Epoch, end time.Duration) error {
	m.arming.Lock()
	defer m.arming.Unlock()
	if m.paused() {
		return nil
	}
	if err := watchdogRefuses(m.watched(), boottime.Now(), end, !m.guards.armedFor(epoch)); err != nil {
		return err
	}
	return m.guards.extend(epoch, end)
}

// disarm makes the guards idle: their processes are, or were, no primary.
func (m *actor) disarm() error {
	if err := m.guards.disarm(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leasing.spent = platform.Epoch{}
	return nil
}

// disarmPaused disarms the guards while the cluster is paused. It reads goal and guards under one lock, so that an older goal never disarms
// guards that a resume has armed.
func (m *observer) disarmPaused() error {
	m.arming.Lock()
	defer m.arming.Unlock()
	if !m.paused() || !m.guards.isArmed() {
		return nil
	}
	return m.guards.disarm()
}

// watched is the state of the host's watchdog for the member, as its goal asks for it.
func (m *shared) watched() *health.Watchdog {
	m.mu.Lock()
	asked := m.told.goal.Watchdog
	m.mu.Unlock()
	return m.o.Host.Watchdog(asked, m.o.Name, m.guards.pids())
}

// underWatchdog adds the watchdog to the report of the guards. If a required watchdog is missing they are not complete.
func (m *observer) underWatchdog(g *health.Guard) {
	g.Watchdog = m.watched()
	if g.Watchdog.Lacks() != "" {
		g.Complete = false
		g.Missing = append(g.Missing, "watchdog: "+g.Watchdog.Missing)
	}
}

// watchdogRefuses says why a member may not take a lease that runs until end: the required watchdog is not armed, or the device was last
// pinged for longer than that. The second reason only concerns guards that were not armed for this epoch (fresh): the end of guards
// that were does not move back, and the holder pings no longer than it allows.
func watchdogRefuses(w *health.Watchdog, now, end time.Duration, fresh bool) error {
	switch {
	case w == nil:
	case w.Lacks() != "":
		return errors.New(w.Lacks())
	case w.Armed && fresh && now+w.Timeout > end+platform.GuardKill:
		return fmt.Errorf("the lease ends too soon for a watchdog of %s; the agent takes the next one", w.Timeout)
	}
	return nil
}
