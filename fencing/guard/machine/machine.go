// Package machine is a guard without its clock, sockets and signals: its answers, and when it kills. It is pure. The guards of
// fencing/guard and those of the simulator run it, so that the model is as strict as they are.
package machine

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
)

// State is the state of a guard.
type State string

const (
	Idle    State = "idle"    // enforces no lease: PostgreSQL is stopped, a standby, or its cluster is paused (L7)
	Armed   State = "armed"   // kills at End
	Killing State = "killing" // the end has passed or the peer has died, and not all of the tree has ended
	Killed  State = "killed"  // the tree has ended; until disarmed, or armed for a higher epoch
)

// Code is the reason of a refusal.
type Code string

const (
	Expired    Code = "expired"     // the lease has ended: the tree is being killed or was
	StaleEpoch Code = "stale-epoch" // it was armed for a higher epoch (S3)
	NoPeer     Code = "no-twin"     // it does not arm without the other guard
	StillArmed Code = "still-armed" // it does not exit while armed
	StillKeeps Code = "still-keeps" // it does not exit because PostgreSQL would end with it
	NotYours   Code = "not-yours"   // another agent has attached since
	BadRequest Code = "bad-request"
)

// Guard moves from Idle to Armed, Killing and Killed. The zero Guard has no state: New makes one. Its end never moves backwards,
// except for a higher epoch.
type Guard struct {
	State State
	Epoch platform.Epoch // the highest it was armed for; it outlives disarming
	End   time.Duration  // CLOCK_BOOTTIME
	Peer  bool           // it watches another guard, without which it does not arm
	Why   string         // why it kills
}

// New returns an idle guard without a peer.
func New() Guard { return Guard{State: Idle} }

// Refusal is a code and its reason; nil means done.
type Refusal struct {
	Code   Code
	Reason string
}

// Refuse makes a Refusal.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// Extend arms the guard, or moves the end. The caller checks Due afterwards, whatever the answer.
func (m *Guard) Extend(epoch platform.Epoch, end, now time.Duration) *Refusal {
	m.Due(now)
	switch {
	case epoch.IsZero():
		return Refuse(BadRequest, "a lease needs an epoch")
	case epoch.Less(m.Epoch):
		return Refuse(StaleEpoch, "the lease is for epoch %v, but the guard was armed for %v", epoch, m.Epoch)
	case m.State == Killing:
		return Refuse(Expired, "the tree is being killed: %s", m.Why)
	case m.State == Killed && epoch == m.Epoch:
		return Refuse(Expired, "the tree was killed: %s; disarm before another lease of epoch %v", m.Why, epoch)
	case end <= now:
		return Refuse(Expired, "the lease ended %v ago", now-end)
	case end > now+platform.MaxLease:
		return Refuse(BadRequest, "the lease ends in %v, but no lease is longer than %v", end-now, platform.MaxLease)
	case !m.Peer:
		return Refuse(NoPeer, "the other guard is missing; start both guards again")
	}
	if m.State == Armed && epoch == m.Epoch {
		end = max(end, m.End)
	}
	m.State, m.Epoch, m.End = Armed, epoch, end
	return nil
}

// Disarm makes it idle. It is refused from the moment at which the guard must kill until no process is left.
func (m *Guard) Disarm(now time.Duration) *Refusal {
	if m.Due(now) {
		return Refuse(Expired, "the tree is being killed: %s", m.Why)
	}
	m.State = Idle
	return nil
}

// Exit refuses while the guard is armed or kills.
func (m *Guard) Exit(now time.Duration) *Refusal {
	m.Due(now)
	if m.State == Armed || m.State == Killing {
		return Refuse(StillArmed, "it is %s for epoch %v; disarm it first", m.State, m.Epoch)
	}
	return nil
}

// Due changes Armed to Killing once the end has passed, and tells whether the guard must kill.
func (m *Guard) Due(now time.Duration) bool {
	if m.State == Armed && now >= m.End {
		m.State, m.Why = Killing, "the lease ended"
	}
	return m.State == Killing
}

// PeerLost records the death of the other guard. An armed guard then kills at once, because its own death would leave a primary
// unguarded.
func (m *Guard) PeerLost() {
	m.Peer = false
	if m.State == Armed {
		m.State, m.Why = Killing, "the other guard died"
	}
}

// Killed records that no process of the tree is left.
func (m *Guard) Killed() { m.State = Killed }
