package platform

import (
	"slices"
	"time"
)

// GoalKind names what the controllers want a member to be.
type GoalKind string

const (
	// GoalNone wants nothing: the member is left as it is, and no primary is started. A member without any controller has
	// this goal too.
	GoalNone GoalKind = ""
	// GoalObserve is GoalNone for a member of a cluster not yet under protection.
	GoalObserve GoalKind = "observe"
	// GoalPrimary wants a writable primary of Epoch on Timeline; an empty data directory is initialised if Create is set.
	GoalPrimary GoalKind = "primary"
	// GoalReplica wants a standby that streams from Upstream.
	GoalReplica GoalKind = "replica"
	// GoalSealed wants a standby that receives no WAL and reports its final position, for attempt Epoch.
	GoalSealed GoalKind = "sealed"
	// GoalStopped wants every process of the member ended and Epoch closed on the agent's disk.
	GoalStopped GoalKind = "stopped"
	// GoalReleased wants the member released: it was removed from the platform. Its PostgreSQL keeps running, without guards;
	// slots not in use are dropped; a standby continues to stream from Upstream, or stops streaming if that is nil. Then the
	// agent forgets the member.
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
	// Fork is where the WAL of the member promoted to Timeline ended when it was chosen; nil if Timeline is the first. The
	// timeline forks there or later, so a replica that may hold more must wait for History before it follows: otherwise it
	// would discard WAL unseen (S9), and its flush position would count as an acknowledgement (S2).
	Fork *Fork `json:"fork,omitempty"`
	// ForkFinal: the primary that wrote Fork's timeline was stopped cleanly, and the promoted member has all of that timeline's
	// WAL. So no member on that timeline is past the fork.
	ForkFinal bool `json:"forkFinal,omitempty"`
	// Opened tells a replica that its primary is writable and has checkpointed on Timeline, so rewinds and clones may begin.
	// It tells the primary that its opening is complete.
	Opened bool `json:"opened,omitempty"`
	// Create lets a primary initialise an empty data directory. It is set only until a primary of the cluster has opened.
	Create bool `json:"create,omitempty"`
	// SystemID is the cluster's PostgreSQL system identifier; "" before it is known. Other data is foreign (S5).
	SystemID string `json:"systemID,omitempty"`
	// Listen and Port are the address of the member itself, from the platform file.
	Listen string `json:"listen,omitempty"`
	Port   int    `json:"port,omitempty"`
	// Upstream is the member that a replica streams from. For a sealed member it is another sealed member, which is ahead and
	// hands over its WAL.
	Upstream *Upstream `json:"upstream,omitempty"`
	// Incarnation is the application_name to stream under. Data of another incarnation may be rewound or rebuilt, and then
	// has this one; data of this incarnation must not be discarded.
	Incarnation string `json:"incarnation,omitempty"`
	DamageGoal
	// Sets are the durability sets in force; the last is the one to load.
	Sets []DurabilitySet `json:"sets,omitempty"`
	// MembersVersion is the version of the member list from which OtherMembers was made, and Lease the longest lease that may be in force:
	// promises are made for them (L5).
	MembersVersion uint64        `json:"list,omitempty"`
	Lease          time.Duration `json:"lease,omitempty"`
	// OtherMembers names the other members, each of which gets a physical slot here.
	OtherMembers []string `json:"slots,omitempty"`
	// Archive: the cluster's WAL is archived from one of its members, so that each keeps what is not yet archived, by a slot of ArchiveOwner.
	Archive bool `json:"archive,omitempty"`
	// Checkpoint asks a primary for a CHECKPOINT tagged with this attempt, before a planned stop.
	Checkpoint Epoch `json:"checkpoint,omitzero"`
	// Clean asks for a bounded clean stop (a switchover) instead of an immediate one.
	Clean bool `json:"clean,omitempty"`
	// Paused: an operator has paused the cluster, so the guards do not enforce the lease (L7).
	Paused bool `json:"paused,omitempty"`
	// Watchdog is what the member asks of the watchdog of its host; nil for off.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
}

// ArchiveOwner owns the slot of a cluster's archive. It is no member's name.
const ArchiveOwner = "_archive"

// SlotOwners are the other members, and the archive: each has a physical slot on this member.
func (g *Goal) SlotOwners() []string {
	if !g.Archive {
		return g.OtherMembers
	}
	return append(slices.Clip(g.OtherMembers), ArchiveOwner)
}

// Watchdog is one member's requirement of its host's watchdog. Of several, the strongest mode and the shortest timeout apply.
type Watchdog struct {
	Mode    WatchdogMode  `json:"mode"`              // WatchdogAutomatic or WatchdogRequired
	Timeout time.Duration `json:"timeout,omitempty"` // WatchdogTimeout of the cluster's lease; 0 if the lease is too short
}

// Upstream is the address of a member to stream, clone or rewind from.
type Upstream struct {
	Member  string `json:"member"`
	Address string `json:"address"`
	Port    int    `json:"port"`
}

// DurabilitySet is one durability set (k, S) that may be in force: a commit was acknowledged only once Acks of Names held it.
// Acks 0 promises nothing.
type DurabilitySet struct {
	ID    uint64   `json:"id"` // grows within a cluster
	Epoch Epoch    `json:"epoch"`
	Acks  int      `json:"acks"`
	Names []string `json:"names"` // incarnations, sorted
}

// SealedNeeded is |S|-k+1: once that many members of the set are sealed, no commit can be acknowledged under it, and at least
// one of them holds every commit that was. It is 0 for an asynchronous set, which proves neither.
func (s DurabilitySet) SealedNeeded() int {
	if s.Acks == 0 {
		return 0
	}
	return len(s.Names) - s.Acks + 1
}

// Has tells whether an incarnation belongs to the set.
func (s DurabilitySet) Has(name string) bool {
	for _, n := range s.Names {
		if n == name {
			return true
		}
	}
	return false
}

// DamageGoal is what a replica must do about data that is known to be damaged.
type DamageGoal struct {
	// Damaged is the incarnation of data that is known to be damaged. A replica with that data replaces it by a whole copy of the primary's.
	// Damage is the evidence; it is "", and the data stays, while the primary's data is damaged too, since a copy would be no better.
	Damaged string `json:"damaged,omitempty"`
	Damage  string `json:"damage,omitempty"`
	// Verify asks a replica that may replace a damaged primary to read all its own files at once, from the beginning; it names that primary's
	// data. "" for none. See health.Scan.For.
	Verify string `json:"verify,omitempty"`
	// Mend wants one page of that data replaced; nil for none.
	Mend *Mend `json:"mend,omitempty"`
	// Freeze wants the replay of that data paused, though it continues receiving; nil: it may replay.
	Freeze *Freeze `json:"freeze,omitempty"`
}

// Freeze keeps a replica from replaying what may carry damage of its primary over: the next full-page image of a block.
type Freeze struct {
	// Incarnation is that of the data that must not replay. Other data of the member may.
	Incarnation string `json:"incarnation"`
	// Pages are those that are damaged on the primary, as comparisons name them, to be compared again once replay is paused.
	Pages []string `json:"pages,omitempty"`
}

// Frozen tells whether data of that name must not replay. Data of an unknown name ("", after the loss of an agent's state) may be the data
// that is meant, so that it must not either.
func (g *DamageGoal) Frozen(incarnation string) bool {
	return g.Freeze != nil && g.Freeze.Incarnation != "" && (incarnation == "" || g.Freeze.Incarnation == incarnation)
}

// Mend replaces one damaged page of a stopped replica by a member's good one.
type Mend struct {
	Number      uint64 `json:"number"` // of the operation; none is used twice
	Incarnation string `json:"incarnation"`
	Page        string `json:"page"` // as a comparison names it
	From        string `json:"from"` // the member whose page it gets; "" where the page is made anew
}

// Mends tells whether a page of data of that name must be replaced by an operation that is not the last one done.
func (g *DamageGoal) Mends(incarnation string, done uint64) bool {
	return g.Mend != nil && incarnation != "" && g.Mend.Incarnation == incarnation && g.Mend.Number != done
}
