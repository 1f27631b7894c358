// Package member is the agent's pure core for one member. From the promises on disk, the last observation of PostgreSQL, the
// confirmed goal and the lease, Next returns the one act to do now. The agent (controller/supervisor) is the shell that observes, does
// it, and asks again; so an act interrupted by a crash needs no special case.
//
// It reads no clock, file or socket, and never trusts its memory over an observation.
package member

import (
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Durable is the agent's record of a member on disk: its promises (S3). It is written and synced before the act that it allows.
type Durable struct {
	// Epoch is the highest epoch obeyed. Goals of lower ones are ignored.
	Epoch platform.Epoch `json:"epoch"`
	// Ran is the epoch under which a primary was last started, promoted or adopted here.
	Ran platform.Epoch `json:"ran"`
	// Closed is the highest epoch for which no primary will ever be started here again.
	Closed platform.Epoch `json:"closed"`
	// Sealed is the attempt the member is sealed for; zero for none. It outlives restarts of agent and PostgreSQL.
	Sealed platform.Epoch `json:"sealed"`
	// Incarnation names the data in place, Former what the data here was named before; none is any more.
	Incarnation string `json:"incarnation"`
	Former      string `json:"former,omitempty"`
	// Lineage are the names that the pages of the data in place had before, separated by spaces: a rewind keeps every page that it need not
	// replace, and so its damage; a whole copy keeps none.
	Lineage string `json:"lineage,omitempty"`
	// Peers are the other members of the cluster, by name, separated by spaces, and Longest the longest lease that may be in
	// force. A promise may be given only to these, and only for so long (L5).
	Peers   string        `json:"peers,omitempty"`
	Longest time.Duration `json:"longest,omitempty"`
	// SystemID is that of the data managed here; other data is foreign.
	SystemID string `json:"systemID,omitempty"`
	// Listen and Port are the member's own address, as the controllers last gave it.
	Listen string `json:"listen,omitempty"`
	Port   int    `json:"port,omitempty"`
	// AlterSystem: adopted and not yet restarted by the agent, so Mainstay's settings are in postgresql.auto.conf.
	AlterSystem bool `json:"alterSystem,omitempty"`
	// Frozen is the incarnation of the data whose replay the agent has paused, or may have; "" for none. An operator's own pause is not ended.
	Frozen string `json:"frozen,omitempty"`
	// Mended is how the last mending of a page of the data has ended; nil for none.
	Mended *health.Mended `json:"mended,omitempty"`
	// Discarded records the data that the last rewind or rebuild discarded (S9).
	Discarded *health.Discard `json:"discarded,omitempty"`
}

// mostNames bounds a lineage. Each name stands for a change of primary or a repair.
const mostNames = 16

// Rename gives the data in place another incarnation.
func (d *Durable) Rename(incarnation string) {
	if d.Incarnation != "" && d.Incarnation != incarnation {
		d.Former = d.Incarnation
		names := append(strings.Fields(d.Lineage), d.Incarnation)
		d.Lineage = strings.Join(names[max(0, len(names)-mostNames):], " ")
	}
	d.Incarnation = incarnation
}

// Replace gives a whole copy, which has taken the place of the data, its incarnation.
func (d *Durable) Replace(incarnation string) {
	d.Rename(incarnation)
	d.Lineage, d.Mended = "", nil
}

// Seen is the last observation of the member.
type Seen struct {
	Data    health.DataState
	Process health.Process
	Corrupt string // why the data must not be started; "" if no reason is known (S5)
	// Of the data directory, while PostgreSQL is stopped.
	SystemID  string
	Timeline  platform.Timeline
	Clean     bool         // it was shut down cleanly, as primary or standby
	AsPrimary bool         // it last ran as a primary
	Copied    bool         // a base backup that was never started: its WAL is its source's
	Shutdown  platform.LSN // its latest checkpoint record begins here
	End       platform.LSN // the end of its valid WAL; 0 if unknown
	// Of the running instance.
	Outside     bool // the guards do not cover some of its processes: the agent did not start it
	Role        health.Role
	Position    platform.LSN // primary: flushed; standby: the larger of received and replayed
	Known       bool         // standby: Position is the end of its WAL
	Short       bool         // a standby's replay has stopped because a setting is lower than the primary's; a promotion would end it
	Insert      platform.LSN // primary
	Starting    bool         // it takes no sessions yet, so it cannot be queried
	Segment     string       // of WAL, reached by its recovery while it starts; a later one shows progress
	Mark        string       // of its recovery while it starts; a change shows progress too
	Reached     platform.LSN // where that segment begins; 0 if unknown
	UpstreamAt  platform.LSN // the last known position of its upstream; 0 if unknown
	Streaming   bool         // a standby's receiver streams
	Receiver    bool         // a standby has a receiver process
	ReceiverPID int          // of that process; 0 for none
	Replayed    platform.LSN // standby
	Paused      bool         // standby: its replay has paused, and not only been asked to
	Held        bool         // standby: it was started with a position beyond which it does not replay; a resume would promote it
	Keeps       int64        // standby: bytes of WAL that it may receive while it is frozen; 0 for any number
	Recovery    Recovery     // standby
	Upstream    string       // the member its settings point to; "" for none
	Application string       // incarnation its settings name
	SyncNames   string       // synchronous_standby_names as a new connection shows it
	SyncOurs    bool         // and it comes from Mainstay's file
	Senders     []health.Sender
	Slots       []string // members that have a slot here
	Unwritten   bool     // the user's files ask for a higher value of a setting than Mainstay's file has
	Strays      []string // Mainstay's slots for members that the goal does not name
	Superseded  []string // standby: its own failover slots, from when it was primary, that the present primary has too
	Adoptable   bool     // there is no reason against adopting it
}

// Lease is the last grant.
type Lease struct {
	Epoch   platform.Epoch
	End     time.Duration // CLOCK_BOOTTIME
	Renewed time.Duration // the clock of the report or round of promises that last renewed it (L1); 0: an earlier process did
}

// Memory is the volatile memory of an agent's run about a member; losing it costs time, never safety.
type Memory struct {
	SealConfirmed platform.Epoch // attempt for which every step of the seal was completed in this run
	SealedAt      time.Duration  // when that was; CLOCK_BOOTTIME
	Quiet         platform.Epoch // attempt for which it was told to search for WAL less often
	Apart         platform.Epoch // epoch under which the receiver of its former upstream was ended
	Opened        platform.Epoch // epoch whose opening was completed
	Checkpointed  platform.Epoch // attempt for which a CHECKPOINT was done
	SetCheckpoint uint64         // durability set after whose loading a CHECKPOINT was begun and completed
	Settling      Settling
	// RewindFailures and StartFailures count failures in a row, which lead to the next step of the repair. A rewind after which the member
	// has not streamed yet counts too.
	RewindFailures int
	StartFailures  int
	// Crashes counts in a row how often a standby's replay has crashed it at the same position: crashedAt, else furthest.
	Crashes int
	// MovedAt is when the standby last received or replayed any WAL, or last began to try.
	MovedAt   time.Duration
	Restarted bool // the repair by a restart was tried since it last streamed
	Rebuilt   bool // so was a rebuild
	Replaced  bool // the data was cloned because it did not start or replay crashed it; the clone must serve for long before another
	// From the last observation of the standby.
	reached, replayed platform.LSN
	starting          struct{ segment, mark string }
	furthest          platform.LSN // replayed since the data was cloned or rewound
	crashedAt         platform.LSN
	receiver          int
	servesFrom        time.Duration // since when it has taken sessions without a break; 0 if it does not
	receiverFrom      time.Duration // since when it has been streaming
	pace              pace
}

// Input is everything the next act may depend on.
type Input struct {
	Now     time.Duration // CLOCK_BOOTTIME
	Goal    platform.Goal
	Durable Durable
	Seen    Seen
	Lease   Lease
	Memory  Memory
	// Promised is the member's promise to a primary (L5).
	Promised Promised
	// GuardComplete: both guards are alive and cover the member.
	GuardComplete bool
	// Spent is the epoch of which the guards accept no more leases, because they have killed under it.
	Spent platform.Epoch
	Name  string
}

// Kind names an act.
type Kind string

const (
	Nothing      Kind = ""
	Persist      Kind = "persist"       // write Durable
	Initialise   Kind = "initialise"    // create the data directory
	StartPrimary Kind = "start-primary" // after writing Durable; under lease
	StartStandby Kind = "start-standby" // with the upstream of Upstream, or none
	Promote      Kind = "promote"       // after writing Durable; under lease
	Open         Kind = "open"          // restore standby.signal, create roles, CHECKPOINT on the new timeline
	LoadSet      Kind = "load-set"      // load the last of Goal.Sets, and verify
	Settings     Kind = "settings"      // point a standby at the goal's upstream, by reload
	Checkpoint   Kind = "checkpoint"
	EndSenders   Kind = "end-senders" // those that release commits by an older k; their receivers reconnect at once
	Slots        Kind = "slots"
	DropSlots    Kind = "drop-slots" // those of Seen.Superseded
	Seal         Kind = "seal"
	Quieten      Kind = "quieten"       // let a sealed standby search for WAL less often
	StopReceiver Kind = "stop-receiver" // end a standby's receiver, as in a seal
	Kill         Kind = "kill"          // end the whole tree at once
	StopClean    Kind = "stop-clean"    // a bounded fast shutdown
	Rewind       Kind = "rewind"        // the discarded WAL is kept (S9)
	Clone        Kind = "clone"         // the replaced data is kept (S9)
	Freeze       Kind = "freeze"        // pause a standby's replay, and wait until it has paused
	Thaw         Kind = "thaw"          // resume it
	Mend         Kind = "mend"          // replace one page of a stopped replica
	Adopt        Kind = "adopt"         // apply Mainstay's settings to a running server without a restart
	Disarm       Kind = "disarm"        // disarm guards that killed a standby
	Release      Kind = "release"       // leave it running, without guards, and forget it
)

// Act is the one thing to do now. Durable is written first if it differs from the one on disk.
type Act struct {
	Kind    Kind
	Durable Durable
	Why     string
	// Needs asks the controllers for a new incarnation, because the data must be discarded.
	Needs string
	// Wait says what the member waits for, if Kind is Nothing.
	Wait string
}

// Blind tells whether a member that has promised d may do the act on an old observation: one from before the last act ended, or one
// that got no answer. Only a kill and a promise that needs no observation qualify. Closing an epoch does not: it states that the
// primary has ended, and an observation from before its start would seem to show that (S4).
func (a Act) Blind(d Durable) bool {
	return a.Kind == Kill || a.Kind == Persist && a.Durable.Closed == d.Closed && a.Durable.Incarnation == d.Incarnation
}

// rewindsFail is how many rewinds in a row may fail before the data is rebuilt.
const rewindsFail = 3

// startsFail is how many starts in a row may fail, or crash at the same position of replay, before the next step of the repair.
const startsFail = 3
