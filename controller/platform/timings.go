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

	// Raft's timeouts on a quiet machine: RaftTimeout gives the first two room on a busy one. A leader that no majority has
	// answered for RaftLease steps down; only a follower's timeout lets another lead, so it need not be shorter than that.
	RaftHeartbeat = 500 * time.Millisecond
	RaftElection  = 500 * time.Millisecond
	RaftLease     = 500 * time.Millisecond
)

const (
	// firstTick is allowed for the first tick of a new leader.
	firstTick = 250 * time.Millisecond
	// raftStep is what RaftTimeout is rounded down to, so that it is not changed for a trifle.
	raftStep = 50 * time.Millisecond
)

// RaftTimeout is the heartbeat and the election timeout of a controller whose turns of the CPU come up to late too late: room for
// four such waits besides what a quiet machine needs, up to twice that, and as long as a leader's end costs no lease. A follower is
// silent for up to twice the timeout, an election takes one, and the first tick is committed: all within half of the shortest lease.
// With leases below 3.5 s there is no room: what a quiet machine needs is never shortened.
func RaftTimeout(late, lease time.Duration) time.Duration {
	most := min(2*RaftHeartbeat, (lease/2-firstTick)/3)
	return max(RaftHeartbeat, min(RaftHeartbeat+4*late, most).Truncate(raftStep))
}

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
