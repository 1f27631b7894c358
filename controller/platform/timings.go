package platform

import "time"

// The one table of timings. All others are derived from a cluster's lease. controller/config refuses unsafe settings and
// never changes them silently.
const (
	DefaultLease = 5 * time.Second
	MinLease     = 1 * time.Second
	MaxLease     = 60 * time.Second

	// ClockRatePercent (ρ) bounds how much faster one host's clock may run than another's.
	ClockRatePercent = 20
	// GuardKill (K) bounds the time from a lease's end to the death of the member's last process.
	GuardKill = 250 * time.Millisecond

	// Raft's timeouts on a quiet machine; RaftTimeout raises the first two on a busy one. A leader that no majority has
	// answered for RaftLease steps down; another can lead only after a follower's timeout, so that may be the longer of the two.
	RaftHeartbeat = 500 * time.Millisecond
	RaftElection  = 500 * time.Millisecond
	RaftLease     = 500 * time.Millisecond
)

const (
	// firstBarrier is allowed for the first barrier of a new leader.
	firstBarrier = 250 * time.Millisecond
	// raftStep is the unit that RaftTimeout is rounded down to, so that small changes in load do not change it.
	raftStep = 50 * time.Millisecond
)

// RaftTimeout is the heartbeat and the election timeout of a controller that waits up to late for the CPU: the timeout of a quiet machine
// plus four such waits, at most twice the former, and short enough that the loss of a leader costs no lease. A follower waits up to twice
// the timeout, an election takes one, and the first barrier is committed: all within half of the shortest lease. Leases below 3.5 s leave
// no room for that: the timeout is then that of a quiet machine, and never shorter.
func RaftTimeout(late, lease time.Duration) time.Duration {
	most := min(2*RaftHeartbeat, (lease/2-firstBarrier)/3)
	return max(RaftHeartbeat, min(RaftHeartbeat+4*late, most).Truncate(raftStep))
}

// Heartbeat is how often an agent reports, and the leader commits a barrier: a tenth of the lease (500 ms for 5 s).
func Heartbeat(lease time.Duration) time.Duration { return lease / 10 }

// Suspect is the silence after which a member's reports count as missing: three heartbeats.
func Suspect(lease time.Duration) time.Duration { return 3 * Heartbeat(lease) }

// Stuck is how long a primary may answer no new connection, or finish no small commit, of its own agent before it counts as
// stuck: four heartbeats, at least a second.
func Stuck(lease time.Duration) time.Duration { return max(4*Heartbeat(lease), time.Second) }

// RecoveryBlock is how long an automatic failover of a cluster bars the next one that rests on inference, unless an operator
// acknowledges it. It prevents flapping between hosts that cannot see each other.
const RecoveryBlock = time.Minute

// CountOut is how long another clock must count until a lease of that length has certainly ended and its guard has certainly
// killed: (L + K)·(1+ρ) (L3, L4). K runs on the guard's clock too, so it is counted like the lease.
func CountOut(lease time.Duration) time.Duration {
	return (lease + GuardKill) * (100 + ClockRatePercent) / 100
}

// WatchdogTimeout is the timeout of a host's watchdog for a lease of that length, in the whole seconds that drivers accept; 0 if the lease
// is too short. A host must never be reset while its leases are renewed: so the watchdog may be pinged as long as a renewal arrives within
// four heartbeats.
func WatchdogTimeout(lease time.Duration) time.Duration {
	return (lease - 4*Heartbeat(lease)).Truncate(time.Second)
}
