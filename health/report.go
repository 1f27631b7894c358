// Package health holds what is observed: the agents' reports, the leader's view of them with their ages, and the problems
// named from that view, each with its evidence.
//
// It is pure, and knows nothing of what will be done about a problem: detection is separate from recovery. Reports enter
// from controller/agent by way of controller/wire; the view leaves to controller/decide.
package health

import (
	"time"

	"mainstay/controller/platform"
)

// Report is what one agent saw on its host. It is a photograph: a later report replaces it whole.
type Report struct {
	Host string `json:"host"`
	// BootID and RunID name the host's boot and the agent's process: a lease is bound to both (L1, L8).
	BootID string `json:"bootID"`
	RunID  string `json:"runID"`
	// Number grows by one with each report of a run; the agent stores its clock under it (L1).
	Number uint64 `json:"number"`
	// Platform is the id of the platform the agent has obeyed so far, "" for a new agent (S3).
	Platform string `json:"platform,omitempty"`
	// Generation is the highest of that platform that it has heard of, from the second on: a controller of a lower one was
	// given up, and must act no more (S3).
	Generation uint64 `json:"generation,omitempty"`
	// Mark is that generation's own; of two that were begun by themselves with one number an agent obeys one.
	Mark string `json:"mark,omitempty"`
	// Address is where other hosts reach this agent, host:port: for promises, relays (L5) and operators.
	Address string   `json:"address,omitempty"`
	Members []Member `json:"members"`
	// Unfit are members of this host that the agent cannot look after, and why: what it keeps of them is damaged.
	Unfit map[string]string `json:"unfit,omitempty"`
	// Instances are the app servers that this agent looks after.
	Instances []Instance `json:"instances,omitempty"`
	// CertificateEnds is when the agent's certificate passes its date (RFC 3339), from 60 days before on; "" earlier.
	CertificateEnds string `json:"certificateEnds,omitempty"`
	// Pressure is how busy the host is; nil where the agent cannot tell.
	Pressure *Pressure `json:"pressure,omitempty"`
}

// Member is what the report says of one member, or nil.
func (r *Report) Member(name string) *Member {
	for i := range r.Members {
		if r.Members[i].Name == name {
			return &r.Members[i]
		}
	}
	return nil
}

// Process is whether a member's PostgreSQL runs.
type Process string

const (
	ProcessUnknown Process = ""        // the agent has not been able to tell
	ProcessRunning Process = "running" // the postmaster lives
	ProcessEnded   Process = "ended"   // the last process of the member has ended
	ProcessEnding  Process = "ending"  // the postmaster is gone, others of its tree still live
)

// Role is what a running PostgreSQL says of itself on a new connection.
type Role string

const (
	RoleUnknown Role = ""
	RolePrimary Role = "primary"
	RoleStandby Role = "standby"
)

// DataState is what lies in a member's data directory.
type DataState string

const (
	DataUnknown DataState = ""
	DataEmpty   DataState = "empty" // absent or empty
	DataForeign DataState = "foreign"
	DataPresent DataState = "present"
)

// Member is what an agent reports of one member.
type Member struct {
	Name    string    `json:"name"`
	Data    DataState `json:"data"`
	Process Process   `json:"process"`
	Role    Role      `json:"role,omitempty"`
	// Stale tells for how long the last look at PostgreSQL has not finished: a hang is evidence. In milliseconds.
	Stale int64 `json:"stale,omitempty"`
	// WriteStale tells for how long the small local commit on an open primary has neither finished nor been refused for
	// want of a connection slot: the write path hangs or fails. In milliseconds; WriteError is why, if it was told.
	WriteStale int64  `json:"writeStale,omitempty"`
	WriteError string `json:"writeError,omitempty"`
	// Saturated: the last new connection was refused because every slot is taken.
	Saturated bool   `json:"saturated,omitempty"`
	SystemID  string `json:"systemID,omitempty"`
	Version   string `json:"version,omitempty"` // PostgreSQL's

	// Epoch, Closed and Sealed are the agent's durable promises: the highest epoch it has obeyed, the highest it will never
	// again start a primary for, and the attempt it has sealed the member for (S3).
	Epoch  platform.Epoch `json:"epoch,omitzero"`
	Closed platform.Epoch `json:"closed,omitzero"`
	Sealed platform.Epoch `json:"sealed,omitzero"`
	// Clean says that the last stop was a clean shutdown of a primary; Shutdown is then where its checkpoint record begins:
	// who has replayed past it has replayed everything.
	Clean    bool         `json:"clean,omitempty"`
	Shutdown platform.LSN `json:"shutdown,omitempty"`

	// Corrupt says why the data in place cannot be started (S5).
	Corrupt string `json:"corrupt,omitempty"`

	Timeline platform.Timeline `json:"timeline,omitempty"`
	History  platform.History  `json:"history,omitempty"` // of Timeline; a primary's only
	// Position is the end of valid WAL; it is worth something only if PositionKnown.
	Position      platform.LSN `json:"position,omitempty"`
	PositionKnown bool         `json:"positionKnown,omitempty"`
	Replayed      platform.LSN `json:"replayed,omitempty"`
	// CrashedAt is the record at which its replay has ended it, 0 for none.
	CrashedAt platform.LSN `json:"crashedAt,omitempty"`
	// OldestWAL is where the oldest WAL begins that it could still give to a replica.
	OldestWAL platform.LSN `json:"oldestWAL,omitempty"`

	Receiver    *Receiver `json:"receiver,omitempty"`
	Senders     []Sender  `json:"senders,omitempty"`
	Incarnation string    `json:"incarnation,omitempty"` // of the data in place
	// Loaded is the id of the durability set PostgreSQL has loaded and shows on a new connection; Settled the newest id
	// for which the drop rule of earlier sets holds.
	Loaded  uint64 `json:"loaded,omitempty"`
	Settled uint64 `json:"settled,omitempty"`
	// Opened: writable under Epoch, on its timeline, checkpointed there, its durability set loaded.
	Opened bool `json:"opened,omitempty"`
	// Checkpointed answers Goal.Checkpoint.
	Checkpointed platform.Epoch `json:"checkpointed,omitzero"`
	SyncWaits    int            `json:"syncWaits,omitempty"` // backends waiting for an acknowledgement
	Connections  int            `json:"connections,omitempty"`

	Guard Guard `json:"guard"`
	// LeaseLeft is what was left of the lease when the report was made, in milliseconds.
	LeaseLeft int64 `json:"leaseLeft,omitempty"`
	// List is the version of the member list in the goal it has (L5).
	List uint64 `json:"list,omitempty"`
	// Promised is for how long the member has promised a primary to be neither sealed nor promoted, in milliseconds (L5).
	Promised int64 `json:"promised,omitempty"`
	// Vouched says who vouches for this primary while no leader answers; empty while one does.
	Vouched []string `json:"vouched,omitempty"`
	// PendingRestart lists the settings that wait for a restart of PostgreSQL.
	PendingRestart []string `json:"pendingRestart,omitempty"`
	// Short says of which settings a replica has less than its primary, so that it replays no further: a promotion would end it.
	Short []string `json:"short,omitempty"`
	// Raised lists the settings that its own configuration has too little of: it was started with as much as its primary had.
	Raised []string `json:"raised,omitempty"`
	// Slots are replication slots of its user's, by name, at most MaxSlots; MoreSlots counts those not named. Of a stopped member they
	// are those it had.
	Slots     []Slot `json:"slots,omitempty"`
	MoreSlots int    `json:"moreSlots,omitempty"`
	// ReplayPaused: somebody has paused replay on a standby (pg_wal_replay_pause).
	ReplayPaused bool     `json:"replayPaused,omitempty"`
	Adoptable    bool     `json:"adoptable,omitempty"` // no reason speaks against adopting this running instance
	Refusals     []string `json:"refusals,omitempty"`  // why not

	// Doing is what the agent is at (one word and its object), Error the last thing that failed and the next step, or what
	// PostgreSQL turns the agent away with.
	Doing string `json:"doing,omitempty"`
	Error string `json:"error,omitempty"`
	// Needs asks for a new incarnation because the data in place must be discarded: "rewind" or "rebuild".
	Needs string `json:"needs,omitempty"`
	// Still is for how long a replica that needs a rebuild has got no WAL, in milliseconds, where that is why: it may be its
	// connection that is at fault, and not its data. Of one that takes no sessions yet: for how long its recovery has not got on.
	Still int64 `json:"still,omitempty"`
	// Asks is where the WAL begins that the recovery of such a one asks for; 0 where it does not say.
	Asks platform.LSN `json:"asks,omitempty"`
	// Discarded tells what the last rewind or rebuild left behind in quarantine (S9).
	Discarded *Discard `json:"discarded,omitempty"`
}

// Receiver is a standby's WAL receiver.
type Receiver struct {
	Streaming bool   `json:"streaming"`
	From      string `json:"from"`  // host:port
	AgeMS     int64  `json:"ageMS"` // since its last message
}

// Sender is one of a primary's WAL senders.
type Sender struct {
	Name  string       `json:"name"` // application_name: an incarnation, if it is one of ours
	State string       `json:"state"`
	Flush platform.LSN `json:"flush"`
	Sync  bool         `json:"sync"` // sync_priority > 0
	// Fresh: it was started after a new connection had shown the newest durability set, so it releases commits by that.
	Fresh bool `json:"fresh,omitempty"`
}

// Guard says what protects a member right now (L2).
type Guard struct {
	// Complete affirms: both guards live, and every process of the member is in their reach.
	Complete bool           `json:"complete"`
	Armed    platform.Epoch `json:"armed,omitzero"` // the epoch they are armed for
	// Told is the entry of the log up to which the leader knew it whose goal the agent had before it asked them: a report that was
	// made under an older goal may say that they are armed when a pause has let them idle since (L7).
	Told    uint64   `json:"told,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// Watchdog is what covers the guards should they hang with the whole host; nil where it is off.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
}

// Watchdog is the hardware watchdog of a member's host.
type Watchdog struct {
	Mode     platform.WatchdogMode `json:"mode"`               // platform.WatchdogAutomatic or WatchdogRequired
	Armed    bool                  `json:"armed"`              // it resets the host once these guards are overdue
	Identity string                `json:"identity,omitempty"` // the driver's name
	Timeout  time.Duration         `json:"timeout,omitempty"`  // from the last feed to the reset
	Missing  string                `json:"missing,omitempty"`  // why it is not armed, or what it does not cover
	WasReset bool                  `json:"wasReset,omitempty"` // it caused the host's last boot
}

// Lacks says why a member may not lead: its host requires a watchdog, and none is armed; "" if it may.
func (w *Watchdog) Lacks() string {
	if w == nil || w.Armed || w.Mode != platform.WatchdogRequired {
		return ""
	}
	return "its host requires a watchdog, and none is armed: " + w.Missing
}

// String is its part of the line of protection.
func (w *Watchdog) String() string {
	if !w.Armed {
		return "none: " + w.Missing
	}
	s := "armed (" + w.Identity + ", " + w.Timeout.String() + ")"
	if w.Missing != "" {
		s += ", but " + w.Missing
	}
	if w.WasReset {
		s += ", it reset the host before this boot"
	}
	return s
}

// Discard counts WAL that a rewind or rebuild left out, kept in quarantine (S9).
type Discard struct {
	From         platform.LSN      `json:"from"`
	To           platform.LSN      `json:"to"`
	Timeline     platform.Timeline `json:"timeline"`
	Bytes        int64             `json:"bytes"`
	Transactions int               `json:"transactions"`
	Kept         string            `json:"kept"` // where
}

// StreamSilent is how long a stream may bring nothing: the agent on the primary commits twice in that time.
const StreamSilent = time.Second

// Streams tells whether the standby has received something of late.
func (m *Member) Streams() bool {
	return m.Receiver != nil && m.Receiver.Streaming && time.Duration(m.Receiver.AgeMS)*time.Millisecond <= StreamSilent
}

// Instance is what an agent reports of one app server of its host.
type Instance struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// Draining: it is out of routing and still runs, because it is to stop.
	Draining bool `json:"draining,omitempty"`
	// Stopped affirms that its last process has ended, and that the agent will not start it before a goal says so.
	Stopped bool `json:"stopped,omitempty"`
	// From is the number of the report whose answer brought the goal that it follows: its agent obeys no answer to an older one.
	// 0 before the first answer to this run of the agent.
	From uint64 `json:"from,omitempty"`
	// Restarts counts how often the agent has started it again after it ended, since the last goal that wanted it to run.
	Restarts int `json:"restarts,omitempty"`
	// Restarted is the last InstanceGoal.Restart that was obeyed.
	Restarted uint64 `json:"restarted,omitempty"`
	// PermitLeft is what was left of its permit, in milliseconds; Vouched: the primary's agent keeps it going, no leader.
	PermitLeft int64 `json:"permitLeft,omitempty"`
	Vouched    bool  `json:"vouched,omitempty"`
	// Error is the last thing that failed and the next step.
	Error string `json:"error,omitempty"`
}

// InstanceVote is what one controller's own checks say of one instance, after rise and fall counts.
type InstanceVote struct {
	App      string  `json:"app"`
	Instance string  `json:"instance"`
	Health   Working `json:"health"`
	// Reaches is what the witness check says, if the app is a witness of a cluster: whether the instance reaches the primary.
	Reaches Working `json:"reaches,omitempty"`
	// AgeMS is how long ago the last check that ended began, in milliseconds.
	AgeMS int64  `json:"ageMS"`
	Error string `json:"error,omitempty"` // why the last check failed
}

// Working is a verdict on an instance. The zero value knows nothing.
type Working string

const (
	WorkingUnknown Working = ""
	Well           Working = "well"
	Down           Working = "down"
)
