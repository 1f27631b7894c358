package platform

import "time"

// The one table of timings. Everything else is derived from a cluster's lease; what cannot be safe is refused by
// controller/config, never silently changed.
const (
	DefaultLease = 5 * time.Second
	MinLease     = 1 * time.Second
	MaxLease     = 60 * time.Second

	// ClockRate (ρ) bounds how much faster one host's clock may run than another's, in percent.
	ClockRatePercent = 20
	// GuardKill (K) bounds the time from a lease's end to the death of the member's last process.
	GuardKill = 250 * time.Millisecond

	RaftHeartbeat = 500 * time.Millisecond
	RaftElection  = 500 * time.Millisecond
	RaftLease     = 250 * time.Millisecond
)

// Heartbeat is how often an agent reports, and the leader ticks: a tenth of the lease (500 ms for 5 s).
func Heartbeat(lease time.Duration) time.Duration { return lease / 10 }

// Suspect is the silence after which a member's reports count as missing: three heartbeats.
func Suspect(lease time.Duration) time.Duration { return 3 * Heartbeat(lease) }

// Stuck is for how long a primary that its own agent can see may answer no new connection, or finish no small commit, before
// it counts as stuck: four heartbeats, at least a second.
func Stuck(lease time.Duration) time.Duration { return max(4*Heartbeat(lease), time.Second) }

// RecoveryBlock is for how long one automatic failover of a cluster bars the next one that rests on inference, unless an
// operator acknowledges it: flapping between hosts that cannot see each other helps nobody.
const RecoveryBlock = time.Minute

// CountOut is how long, on another clock, a lease of that length must be counted before it has surely ended and the
// guard has surely killed: (L + K)·(1+ρ) (L3, L4). K runs on the guard's clock as well, so it is counted like the lease.
func CountOut(lease time.Duration) time.Duration {
	return (lease + GuardKill) * (100 + ClockRatePercent) / 100
}

// WatchdogTimeout is the timeout of a host's watchdog for a lease of that length, in the whole seconds that drivers know; 0
// for a lease too short for one. A host must never be reset while its leases are renewed: as long as one arrives with four
// heartbeats or fewer gone, the watchdog may be fed.
func WatchdogTimeout(lease time.Duration) time.Duration {
	return (lease - 4*Heartbeat(lease)).Truncate(time.Second)
}
