package platform

import "time"

// GoalKind names what the controllers want a member to be.
type GoalKind string

const (
	// GoalNone wants nothing: the member is left as it is, and nothing writable is ever started for it. It is also what
	// an unknown or silent controller amounts to.
	GoalNone GoalKind = ""
	// GoalObserve is GoalNone for a member of a cluster not yet under protection.
	GoalObserve GoalKind = "observe"
	// GoalPrimary wants a writable primary of Epoch on Timeline; an empty data directory is initialised if Create is set.
	GoalPrimary GoalKind = "primary"
	// GoalReplica wants a standby that streams from Upstream.
	GoalReplica GoalKind = "replica"
	// GoalSealed wants a standby that receives from nobody and reports its final position, for attempt Epoch.
	GoalSealed GoalKind = "sealed"
	// GoalStopped wants every process of the member ended and Epoch closed on the agent's disk.
	GoalStopped GoalKind = "stopped"
	// GoalReleased wants the member let go of: it was removed from the platform. What runs goes on, without guards; slots that
	// nobody uses are dropped; a standby goes on streaming from Upstream or, where that is nil, from nobody. Then the agent
	// forgets the member.
	GoalReleased GoalKind = "released"
)

// Goal is what the controllers want one member to be. It is computed from committed state (state.GoalOf), delivered only
// in answers that confirm a report (L1, L8), and converged on from whatever state the member is in.
type Goal struct {
	Kind    GoalKind `json:"kind"`
	Cluster string   `json:"cluster,omitempty"`
	// Epoch is the epoch in force (primary, replica), to be closed (stopped), or the attempt's number (sealed).
	Epoch Epoch `json:"epoch"`
	// Timeline is recorded for Epoch: the number a promotion must take, and a replica must end on; 0 while unknown.
	Timeline Timeline `json:"timeline,omitempty"`
	// History is the ancestry of Timeline; nil until the primary of Epoch has opened.
	History History `json:"history,omitempty"`
	// Fork is where the WAL of the member promoted to Timeline ended when it was chosen, nil where there was no other timeline
	// before: its timeline forks there or later, so a replica that may hold more must wait for History before it follows: it
	// would discard WAL unseen (S9), and what it has flushed would be taken for an acknowledgement (S2).
	Fork *Fork `json:"fork,omitempty"`
	// ForkFinal tells that the primary that wrote Fork's timeline was stopped cleanly: all of that timeline's WAL is in what the
	// promoted member has, so nobody is past the fork who is on that timeline.
	ForkFinal bool `json:"forkFinal,omitempty"`
	// Opened tells a replica that its primary is writable and has checkpointed on Timeline, so rewinds and clones may begin,
	// and the primary that this need not be done again.
	Opened bool `json:"opened,omitempty"`
	// Create lets a primary with an empty data directory initialise it, as long as no primary of the cluster has ever opened.
	Create bool `json:"create,omitempty"`
	// SystemID is the cluster's PostgreSQL system identifier; "" before it is known. Other data is foreign (S5).
	SystemID string `json:"systemID,omitempty"`
	// Listen and Port are the address of the member itself, from the platform file.
	Listen string `json:"listen,omitempty"`
	Port   int    `json:"port,omitempty"`
	// Upstream is whom a replica streams from, and whose WAL a sealed member takes: another sealed member, that is ahead.
	Upstream *Upstream `json:"upstream,omitempty"`
	// Incarnation is the application_name to stream under. Data of another incarnation may be rewound or rebuilt (and
	// then bears this one); data of this incarnation may not be discarded.
	Incarnation string `json:"incarnation,omitempty"`
	// Sets are the durability sets in force; the last is the one to load.
	Sets []Set `json:"sets,omitempty"`
	// List is the version of the member list that Slots was made from, and Lease the longest lease that may be in force:
	// promises are made for them (L5).
	List  uint64        `json:"list,omitempty"`
	Lease time.Duration `json:"lease,omitempty"`
	// Slots names the other members, each of which gets a physical slot here.
	Slots []string `json:"slots,omitempty"`
	// Checkpoint asks a primary for a CHECKPOINT tagged with this attempt, before a planned stop.
	Checkpoint Epoch `json:"checkpoint,omitzero"`
	// Clean asks for a bounded clean stop (a switchover) instead of an immediate one.
	Clean bool `json:"clean,omitempty"`
	// Paused says the operator has paused the cluster: the guard no longer counts (L7).
	Paused bool `json:"paused,omitempty"`
	// Watchdog is what the member asks of the watchdog of its host; nil for off.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
}

// Watchdog is what one member asks of its host's watchdog. Of several the strongest mode and the shortest timeout hold.
type Watchdog struct {
	Mode    WatchdogMode  `json:"mode"`              // WatchdogAutomatic or WatchdogRequired
	Timeout time.Duration `json:"timeout,omitempty"` // WatchdogTimeout of the cluster's lease; 0: that is too short
}

// Upstream is the address of a member to stream, clone or rewind from.
type Upstream struct {
	Member  string `json:"member"`
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// Set is one durability set (k, S) that may be in force: a commit was acknowledged only once Acks of Names held it.
// Acks 0 promises nothing.
type Set struct {
	ID    uint64   `json:"id"` // grows within a cluster
	Epoch Epoch    `json:"epoch"`
	Acks  int      `json:"acks"`
	Names []string `json:"names"` // incarnations, sorted
}

// SealedNeeded is how many members of the set must be sealed before nothing can be acknowledged under it, and among which
// one surely holds every commit that was: |S|-k+1. It is 0 for an asynchronous set, which proves nothing either way.
func (s Set) SealedNeeded() int {
	if s.Acks == 0 {
		return 0
	}
	return len(s.Names) - s.Acks + 1
}

// Has tells whether an incarnation belongs to the set.
func (s Set) Has(name string) bool {
	for _, n := range s.Names {
		if n == name {
			return true
		}
	}
	return false
}
