package fencing

import (
	"maps"
	"time"

	"mainstay/controller/platform"
)

// Leases is the leader's memory of how long each lease may be in force. It is volatile: a leader counts a lease that it did not
// grant from its own start (L4).
type Leases struct {
	start  time.Duration // this leader's clock, read after it has won
	leases map[leaseKey]granted
	told   map[leaseKey]told
}

type granted struct {
	end time.Duration
	at  time.Duration // when the last answer left
}

// told records the answers to one run of an agent about an app server.
type told struct {
	run  string
	ran  uint64 // the highest number of a report whose answer lets the app server run
	stop uint64 // an agent that follows the answer to this report, or a later one, is not allowed to run it; 0: not stopped yet
}

type leaseKey struct {
	cluster, member string
	epoch           platform.Epoch
}

// NewLeases begins the bookkeeping of a leader that won before start was read.
func NewLeases(start time.Duration) *Leases {
	return &Leases{start: start, leases: map[leaseKey]granted{}, told: map[leaseKey]told{}}
}

// Record notes a grant before its answer leaves (L3). now is the leader's clock at the answer.
func (l *Leases) Record(cluster, member string, epoch platform.Epoch, now, length time.Duration) {
	k := leaseKey{cluster, member, epoch}
	l.leases[k] = granted{max(l.leases[k].end, now+platform.CountOut(length)), now}
}

// End is when every lease of that member, of this epoch or an earlier one, has certainly ended and its guard has killed. Earlier epochs
// count because after an abandonment the member may not yet know its higher epoch and continue under the lease of the one before. longest
// is the longest lease that may be in force in the cluster (L4).
func (l *Leases) End(cluster, member string, epoch platform.Epoch, longest time.Duration) time.Duration {
	end := l.start + platform.CountOut(longest)
	for k, known := range l.leases {
		if k.cluster == cluster && k.member == member && !epoch.Less(k.epoch) {
			end = max(end, known.end)
		}
	}
	return end
}

// Granted is the latest time at which a lease of the cluster may have been granted to a member other than except. A leader counts
// a lease that it did not grant from its own start (L4).
func (l *Leases) Granted(cluster, except string) time.Duration {
	last := l.start
	for k, known := range l.leases {
		if k.cluster == cluster && k.member != except {
			last = max(last, known.at)
		}
	}
	return last
}

// Told records, before the answer to a report leaves, whether it lets an app server run.
func (l *Leases) Told(app, instance, run string, number uint64, runs bool) {
	k := leaseKey{cluster: app, member: instance}
	t := l.told[k]
	if t.run != run {
		t = told{run: run}
	}
	switch {
	case runs:
		t.ran, t.stop = max(t.ran, number), 0
	case t.stop == 0:
		t.stop = max(number, t.ran+1)
	}
	l.told[k] = t
}

// Obeys tells whether no answer of this leader, however late, can let an agent run its app server any more, if the agent follows
// the answer to report number from: it ignores older answers.
func (l *Leases) Obeys(app, instance, run string, from uint64) bool {
	t := l.told[leaseKey{cluster: app, member: instance}]
	return t.run == run && t.stop != 0 && from >= t.stop
}

// Start is when this leader began to count.
func (l *Leases) Start() time.Duration { return l.start }

// Clone copies the bookkeeping, for readers outside the loop.
func (l *Leases) Clone() *Leases {
	return &Leases{start: l.start, leases: maps.Clone(l.leases), told: maps.Clone(l.told)}
}
