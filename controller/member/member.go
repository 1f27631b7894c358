// Package member is the agent's pure core for one member: given what is promised on disk, what was last seen of
// PostgreSQL, the confirmed goal and the lease, Next says the one thing to do now. The agent (controller/agent) is the
// shell that observes, does it, and asks again; so a step cut short by any crash needs no special case.
//
// It never looks at a clock, a file or a socket, and it never trusts its memory over what was seen.
package member

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Durable is what the agent keeps on disk for a member: its promises (S3). It is written and synced before the act that
// it allows.
type Durable struct {
	// Epoch is the highest epoch obeyed. Goals of lower ones are ignored.
	Epoch platform.Epoch `json:"epoch"`
	// Ran is the epoch under which a primary was last started, promoted or adopted here.
	Ran platform.Epoch `json:"ran"`
	// Closed is the highest epoch for which no primary will ever be started here again.
	Closed platform.Epoch `json:"closed"`
	// Sealed is the attempt the member is sealed for; zero for none. It outlives restarts of agent and PostgreSQL.
	Sealed platform.Epoch `json:"sealed"`
	// Incarnation names the data in place.
	Incarnation string `json:"incarnation"`
	// Peers are the other members of the cluster, by name, separated by spaces, and Longest the longest lease that may be in
	// force: to whom, and for how long, a promise may be given (L5).
	Peers   string        `json:"peers,omitempty"`
	Longest time.Duration `json:"longest,omitempty"`
	// SystemID is that of the data that was once ours; other data is foreign.
	SystemID string `json:"systemID,omitempty"`
	// Listen and Port are the member's own address, as the controllers said last.
	Listen string `json:"listen,omitempty"`
	Port   int    `json:"port,omitempty"`
	// AlterSystem: adopted and not restarted under us yet, so our settings are in postgresql.auto.conf.
	AlterSystem bool `json:"alterSystem,omitempty"`
	// Discarded tells what the last rewind or rebuild left behind (S9).
	Discarded *health.Discard `json:"discarded,omitempty"`
}

// Seen is the last look at the member.
type Seen struct {
	Data    health.DataState
	Process health.Process
	Corrupt string // why the data cannot be started, "" where nothing is known against it (S5)
	// Of the data directory, while PostgreSQL is stopped.
	SystemID  string
	Timeline  platform.Timeline
	Clean     bool         // it was shut down cleanly, as primary or standby
	AsPrimary bool         // it last ran as a primary
	Copied    bool         // a base backup that was never started: it holds what its source gave it
	Shutdown  platform.LSN // its latest checkpoint record begins here
	End       platform.LSN // the end of its valid WAL; 0 unknown
	// Of the running instance.
	Outside     bool // some of its processes are beyond the guards: somebody else started it
	Role        health.Role
	Position    platform.LSN // primary: flushed; standby: the larger of received and replayed
	Known       bool         // standby: that is the end of its WAL, not less
	Short       bool         // a standby replays no further, for it has less of a setting than its primary; a promotion would end it
	Insert      platform.LSN // primary
	Starting    bool         // it takes no sessions yet: nobody can ask it
	Segment     string       // of WAL, to which its recovery has come while it starts; a later one shows that it gets on
	Mark        string       // of its recovery while it starts; another one shows that too
	Streaming   bool         // a standby's receiver streams
	Receiver    bool         // a standby has a receiver process
	ReceiverPID int          // of that process, 0 for none
	Replayed    platform.LSN // standby
	Recovery    Recovery     // standby
	Upstream    string       // member its settings point to, "" for none
	Application string       // incarnation its settings name
	SyncNames   string       // synchronous_standby_names as a new connection shows it
	SyncOurs    bool         // and it comes from our file
	Senders     []health.Sender
	Slots       []string // members that have a slot here
	Unwritten   bool     // its user's files ask for more of a setting than ours say yet
	Strays      []string // slots of ours for nobody that the goal names
	Superseded  []string // standby: failover slots of its own, from when it was primary, that the present primary has
	Adoptable   bool     // no reason speaks against adopting it
}

// Lease is what was granted last.
type Lease struct {
	Epoch   platform.Epoch
	End     time.Duration // CLOCK_BOOTTIME
	Renewed time.Duration // the clock of the last report, or round of promises, that renewed it (L1); 0: an earlier process did
}

// Memory is what a run of the agent remembers of a member; losing it costs time, never safety.
type Memory struct {
	SealConfirmed platform.Epoch // attempt for which the seal's every step was seen through in this run
	SealedAt      time.Duration  // when that was; CLOCK_BOOTTIME
	Quiet         platform.Epoch // attempt for which it was told to look for WAL less often
	Apart         platform.Epoch // epoch under which the receiver of whatever upstream came before it was ended
	Opened        platform.Epoch // epoch whose opening was completed
	Checkpointed  platform.Epoch // attempt for which a CHECKPOINT was done
	SetCheckpoint uint64         // durability set after whose loading a CHECKPOINT was begun and completed
	Settling      Settling
	// RewindFailures and StartFailures count in a row; they move the repair on to its next rung.
	RewindFailures int
	StartFailures  int
	// Crashes counts in a row how often a standby's replay has ended it at the same place: furthest, or crashedAt where it said so.
	Crashes int
	// MovedAt is when the standby last got any WAL, replayed any, or last began to try.
	MovedAt   time.Duration
	Restarted bool // the repair by a restart was tried since it last streamed
	Rebuilt   bool // so was other data
	Replaced  bool // data was copied anew because it did not start, or its replay ended it: the copy has to serve for long before that is done again
	// What the last look at the standby has shown.
	reached, replayed platform.LSN
	segment, mark     string
	furthest          platform.LSN // replayed within the life of the data in place
	crashedAt         platform.LSN
	receiver          int
	servesFrom        time.Duration // since when it has taken sessions without a break, 0 where it does not
	receiverFrom      time.Duration // since when it is there, and streams
}

// Input is everything the next act may depend on.
type Input struct {
	Now     time.Duration // CLOCK_BOOTTIME
	Goal    platform.Goal
	Durable Durable
	Seen    Seen
	Lease   Lease
	Memory  Memory
	// Promised is what the member owes a primary (L5).
	Promised Promised
	// GuardComplete: both guards live and have the member in their reach.
	GuardComplete bool
	// Spent is the epoch of which the guards take no lease any more, because they have killed under it.
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
	Open         Kind = "open"          // standby.signal back, roles, CHECKPOINT on the new timeline
	LoadSet      Kind = "load-set"      // load the last of Goal.Sets, and verify
	Settings     Kind = "settings"      // point a standby at the goal's upstream, by reload
	Checkpoint   Kind = "checkpoint"
	EndSenders   Kind = "end-senders" // those that release commits by an older k; their receivers come back at once
	Slots        Kind = "slots"
	DropSlots    Kind = "drop-slots" // those of Seen.Superseded
	Seal         Kind = "seal"
	Quieten      Kind = "quieten"       // a sealed standby looks for WAL once in a while only
	StopReceiver Kind = "stop-receiver" // a standby receives from nobody, as in a seal
	Kill         Kind = "kill"          // end the whole tree at once
	StopClean    Kind = "stop-clean"    // a bounded fast shutdown
	Rewind       Kind = "rewind"        // keeping what it discards (S9)
	Clone        Kind = "clone"         // keeping what it replaces (S9)
	Adopt        Kind = "adopt"         // bring a running instance under our settings without a restart
	Disarm       Kind = "disarm"        // let guards idle that killed what never ran as a primary
	Release      Kind = "release"       // leave it as it runs, without guards, and forget it
)

// Act is the one thing to do now. Durable is written first if it differs from the one on disk.
type Act struct {
	Kind    Kind
	Durable Durable
	Why     string
	// Needs asks the controllers for a new incarnation, because the data must be discarded.
	Needs string
	// Wait says what is being waited for, if Kind is Nothing.
	Wait string
}

// Blind tells whether a member that has promised d may do the act on a sight that is old: one from before the last act ended, or of
// a look that is not answered. That is to end it, and to promise what no sight is needed for. To close an epoch is to say that its
// primary has ended, which a sight from before its start seems to show (S4).
func (a Act) Blind(d Durable) bool {
	return a.Kind == Kill || a.Kind == Persist && a.Durable.Closed == d.Closed && a.Durable.Incarnation == d.Incarnation
}

// rewindsFail is how many rewinds in a row may fail before the data is rebuilt.
const rewindsFail = 3

// startsFail is how many starts in a row may fail, or end at the same place of their replay, before the next rung of the repair.
const startsFail = 3
