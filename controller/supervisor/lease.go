package supervisor

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
)

// Leased applies a leader's grant of a lease that runs until end on CLOCK_BOOTTIME (L1). It is on the lease path: it touches memory and
// the guards only.
func (m *Supervisor) Leased(g wire.Grant, end time.Duration) {
	m.mu.Lock()
	m.leasing.promises.Grant(boottime.Now(), g.Length)
	m.mu.Unlock()
	m.granted(g.Epoch, end, g.Length)
}

// granted hands a lease to the guards first; the member has it only if both accepted it (L2).
func (m *Supervisor) granted(epoch platform.Epoch, end, length time.Duration) {
	if end <= boottime.Now() {
		return
	}
	if err := m.extendLease(epoch, end); err != nil {
		m.log.Warn("the guards did not take the lease", zap.Error(err))
		m.mu.Lock()
		if refused := (*guard.RefusedError)(nil); errors.As(err, &refused) && refused.Code == machine.Expired && m.leasing.spent != epoch {
			m.leasing.spent = epoch
			wakeup.Signal(m.kick)
		}
		m.mu.Unlock()
		return
	}
	m.mu.Lock()
	fresh := m.leasing.lease.Epoch != epoch
	m.leasing.lease = m.leasing.lease.Renew(epoch, end-length, length)
	m.mu.Unlock()
	if fresh {
		wakeup.Signal(m.kick)
	}
}

// renewed renews the lease from the clock of the report of that number.
func (m *Supervisor) renewed(number uint64, epoch platform.Epoch, length time.Duration) {
	if end, ours := m.o.Host.LeaseEnd(number, length); ours {
		m.granted(epoch, end, length)
	}
}

// GoodFor is the epoch of the member's lease, and for how long after now, on CLOCK_BOOTTIME, that supports an app server's permit: 0 unless
// the member may act as primary of that epoch. It reads memory only.
func (m *Supervisor) GoodFor(now time.Duration) (platform.Epoch, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.input(now)
	return in.Permits(m.leasing.promises.Length)
}
