// Package health holds observations: the agents' reports, the leader's view of them with their ages, and the problems named from
// that view, each with its evidence.
//
// It is pure, and does not know the response to a problem: detection is separate from recovery. Reports enter from controller/agent
// by way of controller/wire; the view leaves to controller/decide.
package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
)

// Report is one agent's observation of its host. A later report replaces it completely.
type Report struct {
	Host string `json:"host"`
	// BootID and RunID name the host's boot and the agent's process: a lease is bound to both (L1, L8).
	BootID string `json:"bootID"`
	RunID  string `json:"runID"`
	// Runs are the last runs of agents with this agent's disk, RunID last, from a report that no leader has just answered. If they lack the
	// run that spoke for the host before, this is not the disk of that run. nil: not reported, or the agent has no record yet.
	Runs []string `json:"runs,omitempty"`
	// Number grows by one with each report of a run; the agent stores its clock under it (L1).
	Number uint64 `json:"number"`
	// Platform is the id of the platform that the agent has obeyed so far; "" for a new agent (S3).
	Platform string `json:"platform,omitempty"`
	// Generation is the highest generation of that platform that the agent knows, from the second on. A controller of a lower one was
	// given up and must no longer act (S3).
	Generation uint64 `json:"generation,omitempty"`
	// Mark identifies that generation: of two that were begun separately with the same number, an agent obeys one.
	Mark string `json:"mark,omitempty"`
	// Address is where other hosts reach this agent, host:port: for promises, relays (L5) and operators.
	Address string   `json:"address,omitempty"`
	Members []Member `json:"members"`
	// Unmanaged are members of this host that the agent cannot manage because its record of them is damaged, each with the reason.
	Unmanaged map[string]string `json:"unfit,omitempty"`
	// Instances are the app servers that this agent manages.
	Instances []Instance `json:"instances,omitempty"`
	// CertificateEnds is when the agent's certificate passes its date (RFC 3339), from 60 days before on; "" earlier.
	CertificateEnds string `json:"certificateEnds,omitempty"`
	// Pressure is how busy the host is; nil if the agent cannot tell.
	Pressure *Pressure `json:"pressure,omitempty"`
}

// OlderThan tells whether the agent's disk is an older copy of the disk of a run that spoke for the host before; run is "" if there was
// none.
func (r *Report) OlderThan(run string) bool {
	return run != "" && r.Platform != "" && len(r.Runs) > 0 && !slices.Contains(r.Runs, run)
}

// Member returns the report's part about one member, or nil.
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
	ProcessUnknown Process = ""        // not known yet
	ProcessRunning Process = "running" // the postmaster is alive
	ProcessEnded   Process = "ended"   // the last process of the member has ended
	ProcessEnding  Process = "ending"  // the postmaster has ended, but processes of its tree still run
)

// Role is the role that a running PostgreSQL reports on a new connection.
type Role string

const (
	RoleUnknown Role = ""
	RolePrimary Role = "primary"
	RoleStandby Role = "standby"
)

// DataState is the content of a member's data directory.
type DataState string

const (
	DataUnknown DataState = ""
	DataEmpty   DataState = "empty" // absent or empty
	DataForeign DataState = "foreign"
	DataPresent DataState = "present"
)

// Member is an agent's report of one member.
type Member struct {
	Name    string    `json:"name"`
	Data    DataState `json:"data"`
	Process Process   `json:"process"`
	Role    Role      `json:"role,omitempty"`
	// Stale is how long the last observation of PostgreSQL has not finished, in milliseconds: a hang is evidence.
	Stale int64 `json:"stale,omitempty"`
	// WriteStale is how long the small local commit on an open primary has neither finished nor been refused for lack of a connection
	// slot, in milliseconds: the write path hangs or fails. WriteError is PostgreSQL's error, if it gave one.
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
	// Clean: the last stop was a clean shutdown of a primary. Shutdown is then where its checkpoint record begins: a member that has
	// replayed past it has replayed everything.
	Clean    bool         `json:"clean,omitempty"`
	Shutdown platform.LSN `json:"shutdown,omitempty"`

	// Corrupt is the reason why the present data must not be started (S5).
	Corrupt string `json:"corrupt,omitempty"`
	// Damage is the evidence of damage in the present data: pages that do not match their checksums, as PostgreSQL has counted them, and pages
	// that a scan has found (see Scanned). "" for none.
	Damage string `json:"damage,omitempty"`
	// Scan is the progress of the agent's own scan of the present data's files; nil from an agent that has not begun one.
	Scan *Scan `json:"scan,omitempty"`
	// Comparison is this agent's last comparison of its member with others, or the running one; nil for none. It is about the data that its
	// Incarnations name. It lists the first pages that differ.
	Comparison *Comparison `json:"comparison,omitempty"`
	// Checks are the deep checks that this agent has made for the member; nil from an agent of a version that reports none.
	Checks *Checks `json:"checks,omitempty"`
	// Backups is what this agent does for the cluster's backups; nil from an agent whose file defines neither a target nor another program.
	Backups *Backups `json:"backups,omitempty"`

	// Log is what PostgreSQL's log has said against the present data or its disk; nil from an agent that has not read it.
	Log *ServerLog `json:"log,omitempty"`
	// ShortFiles are files of the present data that are missing, or have fewer pages than the catalog counted. An interrupted VACUUM may leave
	// such a file.
	ShortFiles []string `json:"shortFiles,omitempty"`
	// Mended is how the last mending of a page of the present data has ended; nil for none.
	Mended *Mended `json:"mended,omitempty"`
	// Frozen is nil unless the replay of the present data is paused for its controllers.
	Frozen *Frozen `json:"frozen,omitempty"`

	Timeline platform.Timeline `json:"timeline,omitempty"`
	History  platform.History  `json:"history,omitempty"` // of Timeline; a primary's only
	// Position is the end of valid WAL; it is valid only if PositionKnown.
	Position      platform.LSN `json:"position,omitempty"`
	PositionKnown bool         `json:"positionKnown,omitempty"`
	Replayed      platform.LSN `json:"replayed,omitempty"`
	// ReplayAgeMS is, while a standby has WAL that it has not replayed, the age of the last transaction that it has replayed, in milliseconds:
	// by its own clock, and the primary's at the commit. 0 if all is replayed, or if it has replayed none since its start.
	ReplayAgeMS int64 `json:"replayAgeMS,omitempty"`
	// CrashedAt is the record at which replay has crashed it; 0 for none.
	CrashedAt platform.LSN `json:"crashedAt,omitempty"`
	// OldestWAL is where the oldest WAL begins that it can still send to a replica.
	OldestWAL platform.LSN `json:"oldestWAL,omitempty"`

	Receiver    *Receiver `json:"receiver,omitempty"`
	Senders     []Sender  `json:"senders,omitempty"`
	Incarnation string    `json:"incarnation,omitempty"` // of the present data
	// Lineage are the names that its pages had before, separated by spaces, the newest last: a rewind keeps damage.
	Lineage string `json:"lineage,omitempty"`
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
	// LeaseLeft is the rest of the lease when the report was made, in milliseconds.
	LeaseLeft int64 `json:"leaseLeft,omitempty"`
	// MembersVersion is the version of the member list in the goal it has (L5).
	MembersVersion uint64 `json:"list,omitempty"`
	// Promised is how much longer the member has promised a primary to be neither sealed nor promoted, in milliseconds (L5).
	Promised int64 `json:"promised,omitempty"`
	// PromisedBy are the members whose promises extend this primary's lease while no leader answers; empty while one does.
	PromisedBy []string `json:"vouched,omitempty"`
	// PendingRestart lists the settings that a restart of PostgreSQL would apply.
	PendingRestart []string `json:"pendingRestart,omitempty"`
	// RemovedAtStart lists start-time settings whose value from ALTER SYSTEM the next start removes, each with what to do.
	RemovedAtStart []string `json:"removedAtStart,omitempty"`
	// Unusable are lines of its configuration files, at most three, that PostgreSQL cannot use: it would not start again.
	Unusable []string `json:"unusable,omitempty"`
	// Short names the settings that are lower than on the primary, so that replay has stopped: a promotion would end the replica.
	Short []string `json:"short,omitempty"`
	// Raised lists the settings that are too low in its own configuration: the agent started it with the primary's values.
	Raised []string `json:"raised,omitempty"`
	// Slots are the user's replication slots, by name, at most MaxSlots; MoreSlots counts the others. A stopped member reports those
	// it had.
	Slots     []Slot `json:"slots,omitempty"`
	MoreSlots int    `json:"moreSlots,omitempty"`
	// ReplayPaused: replay is paused on a standby (pg_wal_replay_pause).
	ReplayPaused bool `json:"replayPaused,omitempty"`
	// Archiver is nil where the member archives nothing. Collations lists the databases' default collations whose version on its host differs
	// from the recorded one.
	Archiver   *Archiver   `json:"archiver,omitempty"`
	Collations []Collation `json:"collations,omitempty"`
	// MaxSenders is the primary's max_wal_senders while that many run; 0 while one is free.
	MaxSenders int `json:"maxSenders,omitempty"`
	// Overridden are the managed settings to which the user's files, as they are now, give another value.
	Overridden []Override `json:"overridden,omitempty"`
	// Replaced are files of its host's user that the present data lacks; nil for none.
	Replaced *ReplacedFiles `json:"replacedFiles,omitempty"`
	// Full names the folders of the member whose disks have no room left, each with what is free.
	Full []string `json:"full,omitempty"`
	// Tablespaces lists the newest tablespaces outside of the data directory; for a replica it includes those that its replay has yet to
	// create. NoFolder lists the tablespace folders of the primary that a replica's host lacks, each with the reason.
	Tablespaces []Tablespace `json:"tablespaces,omitempty"`
	NoFolder    []string     `json:"noFolder,omitempty"`
	// StuckWorkers names the I/O workers of PostgreSQL that do nothing, so that reads from disk hang.
	StuckWorkers []string `json:"stuckWorkers,omitempty"`
	Adoptable    bool     `json:"adoptable,omitempty"` // there is no reason against adopting this running server
	Refusals     []string `json:"refusals,omitempty"`  // the reasons against it

	// Doing is the agent's current act or wait; Error is the last failure with the next step, or the error with which PostgreSQL
	// refuses the agent.
	Doing string `json:"doing,omitempty"`
	Error string `json:"error,omitempty"`
	// Needs asks for a new incarnation because the present data must be discarded: "rewind" or "rebuild".
	Needs string `json:"needs,omitempty"`
	// Still is how long a replica whose Needs is "rebuild" for lack of WAL has received none, in milliseconds: the cause may be its connection
	// instead of its data. For a replica that takes no sessions yet, it is how long its recovery has made no progress.
	Still int64 `json:"still,omitempty"`
	// Asks is the start of the WAL that the recovery of a replica without sessions asks for; 0 if that is not known.
	Asks platform.LSN `json:"asks,omitempty"`
	// CatchUp is the progress of a replica that gets its WAL from another source than its stream, or is far behind its stream; nil otherwise.
	CatchUp *CatchUp `json:"catchUp,omitempty"`
	// Discarded records the WAL that the last rewind or rebuild discarded, kept in quarantine (S9).
	Discarded *Discard `json:"discarded,omitempty"`
}

// Unreplayed is how much WAL, in bytes, a standby has received and not replayed; 0 for another role.
func (m *Member) Unreplayed() int64 {
	if m == nil || m.Role != RoleStandby {
		return 0
	}
	return max(0, int64(m.Position)-int64(m.Replayed))
}

// Scan is what the agent's scans of the present data's files have shown. A scan proves that the pages that it read matched their
// checksums, and nothing more. The counts are of the last complete scan, in pages, but for Findings.
type Scan struct {
	// Complete: a scan has read all files. AgeMS is how long ago it ended, in milliseconds.
	Complete   bool  `json:"complete,omitempty"`
	AgeMS      int64 `json:"ageMS,omitempty"`
	Checksums  bool  `json:"checksums,omitempty"`  // the data has checksums
	Blocks     int64 `json:"blocks,omitempty"`     // that were read
	Verified   int64 `json:"verified,omitempty"`   // that match their checksums
	Unverified int64 `json:"unverified,omitempty"` // that were not read, never twice the same, or have no checksum
	Unsettled  int64 `json:"unsettled,omitempty"`  // that look damaged, but no checkpoint has passed since
	Changing   int64 `json:"changing,omitempty"`   // of the unverified ones, those that were never read twice the same
	// For names the damaged data of a primary because of which the controllers last asked for a scan (Goal.Verify), if the last complete scan
	// began after that.
	For string `json:"for,omitempty"`
	// Findings counts the damage that the last complete scan and the running one have found; Damage names the first of it.
	Findings int64 `json:"findings,omitempty"`
	// Running: a scan reads the data. Percent is the share that it has read, or had when it was interrupted.
	Running bool `json:"running,omitempty"`
	Percent int  `json:"percent,omitempty"`
	// NextMS is how long until the next scan may begin, in milliseconds, at least 1; 0 while one runs. Off: the agent's file turns scans off.
	NextMS int64 `json:"nextMS,omitempty"`
	Off    bool  `json:"off,omitempty"`
}

// Clean tells whether the last complete scan has read every page that has a checksum, and has found all of them right.
func (s *Scan) Clean() bool {
	return s != nil && s.Complete && s.Checksums && s.Findings == 0 && s.Unsettled == 0 && s.Changing == 0
}

// Receiver is a standby's WAL receiver.
type Receiver struct {
	Streaming bool   `json:"streaming"`
	From      string `json:"from"`  // host:port
	AgeMS     int64  `json:"ageMS"` // since its last message
}

// Sender is one of a primary's WAL senders.
type Sender struct {
	Name  string       `json:"name"` // application_name: an incarnation, if it is a member's
	State string       `json:"state"`
	Flush platform.LSN `json:"flush"`
	Sync  bool         `json:"sync"` // sync_priority > 0
	// Fresh: it was started after a new connection had shown the newest durability set, so it releases commits by that set.
	Fresh bool `json:"fresh,omitempty"`
	// Client is its process and its client's address, given only while all senders are taken.
	Client string `json:"client,omitempty"`
}

// Archiver is what the archiver of a member has done, and what waits for it.
type Archiver struct {
	Archived string `json:"archived,omitempty"` // the last file that was archived
	Failed   string `json:"failed,omitempty"`   // the last file that failed, if none was archived after that
	Waiting  int    `json:"waiting,omitempty"`  // files
	Kept     int64  `json:"kept,omitempty"`     // bytes of all WAL in pg_wal
	Segment  int64  `json:"segment,omitempty"`  // bytes of one file
	// Until is where the oldest WAL begins that a primary has not archived; 0 from a standby.
	Until platform.LSN `json:"until,omitempty"`
}

// Override is a managed setting to which the user's files give another value.
type Override struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // "" if it was reset
	Wanted string `json:"wanted"`
	Mend   string `json:"mend"` // the statements that give Mainstay's value back its force
}

// String names the setting with both values, and the mend.
func (o Override) String() string {
	value := o.Name + " is " + o.Value
	if o.Value == "" {
		value = o.Name + " is empty or was reset"
	}
	return fmt.Sprintf("%s and should be %s: %s", value, cmp.Or(o.Wanted, "empty"), o.Mend)
}

// ReplacedFiles are files of a host's user that could not be read when the data was copied anew: the primary's are in their place, or none.
type ReplacedFiles struct {
	Names  []string `json:"names"`
	Why    string   `json:"why"`
	Aside  string   `json:"aside"`  // the data that has them
	Record string   `json:"record"` // the file that an operator removes if the primary's are right
}

// String says what is missing and what to do.
func (f *ReplacedFiles) String() string {
	return fmt.Sprintf("its host's own %s could not be read when its data was copied anew, so it has the primary's, or none (%s). "+
		"Put this host's own there, or edit them: the former data is in %s. If they are right as they are, remove %s",
		strings.Join(f.Names, ", "), f.Why, f.Aside, f.Record)
}

// Tablespace is a tablespace of a member.
type Tablespace struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location"` // where its link leads
	// Folder identifies that folder among all folders of the host in its present boot (Report.BootID); "" if it does not exist.
	Folder string `json:"folder,omitempty"`
}

// Collation is a collation of a database for which two versions of its library are in use.
type Collation struct {
	Database string `json:"database"`
	Provider string `json:"provider"`          // "libc", "ICU" or "builtin"
	Recorded string `json:"recorded"`          // the version that the database's indexes were made with
	Offered  string `json:"offered,omitempty"` // that of the member's host; "" for none
	// Of is "" for the database's default; otherwise it names the collation of columns and indexes.
	Of string `json:"of,omitempty"`
}

// Guard is a member's current protection (L2).
type Guard struct {
	// Complete: both guards are alive and cover every process of the member.
	Complete bool           `json:"complete"`
	Armed    platform.Epoch `json:"armed,omitzero"` // the epoch they are armed for
	// Told is the log index of the goal that the agent had before it queried the guards. A report made under an older goal may say
	// that they are armed although a pause has disarmed them since (L7).
	Told    uint64   `json:"told,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// Watchdog protects against guards that hang with the whole host; nil if it is off.
	Watchdog *Watchdog `json:"watchdog,omitempty"`
}

// Watchdog is the hardware watchdog of a member's host.
type Watchdog struct {
	Mode     platform.WatchdogMode `json:"mode"`               // platform.WatchdogAutomatic or WatchdogRequired
	Armed    bool                  `json:"armed"`              // it resets the host once these guards are overdue
	Identity string                `json:"identity,omitempty"` // the driver's name
	Timeout  time.Duration         `json:"timeout,omitempty"`  // from the last ping to the reset
	Missing  string                `json:"missing,omitempty"`  // why it is not armed, or what it does not cover
	WasReset bool                  `json:"wasReset,omitempty"` // it caused the host's last boot
}

// Lacks says why a member may not lead: its host requires a watchdog, but none is armed; "" if it may.
func (w *Watchdog) Lacks() string {
	if w == nil || w.Armed || w.Mode != platform.WatchdogRequired {
		return ""
	}
	return "its host requires a watchdog, and none is armed: " + w.Missing
}

// String is its part of the line about protection.
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

// Discard counts the WAL that a rewind or rebuild discarded, kept in quarantine (S9).
type Discard struct {
	From         platform.LSN      `json:"from"`
	To           platform.LSN      `json:"to"`
	Timeline     platform.Timeline `json:"timeline"`
	Bytes        int64             `json:"bytes"`
	Transactions int               `json:"transactions"`
	Kept         string            `json:"kept"` // where
}

// Had tells whether pages of the present data were known by that name before: a whole copy has replaced none of them since.
func (m *Member) Had(incarnation string) bool {
	return incarnation != "" && slices.Contains(strings.Fields(m.Lineage), incarnation)
}

// StreamSilent is how long a stream may deliver nothing: the agent on the primary commits twice in that time.
const StreamSilent = time.Second

// Streams tells whether the standby has received something recently.
func (m *Member) Streams() bool {
	return m.Receiver != nil && m.Receiver.Streaming && time.Duration(m.Receiver.AgeMS)*time.Millisecond <= StreamSilent
}

// Instance is an agent's report of one app server of its host.
type Instance struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// Draining: it is out of routing and still runs before it is stopped.
	Draining bool `json:"draining,omitempty"`
	// Stopped: its last process has ended, and the agent will not start it until a goal says so.
	Stopped bool `json:"stopped,omitempty"`
	// From is the number of the report whose answer contained its goal: its agent obeys no answer to an older report. It is 0 before
	// the first answer to this run of the agent.
	From uint64 `json:"from,omitempty"`
	// Restarts counts how often the agent has started it again after it ended, since the last goal that wanted it to run.
	Restarts int `json:"restarts,omitempty"`
	// Restarted is the last InstanceGoal.Restart that was obeyed.
	Restarted uint64 `json:"restarted,omitempty"`
	// PermitLeft is the rest of its permit, in milliseconds; ByPrimary: the primary's agent extends it, not a leader.
	PermitLeft int64 `json:"permitLeft,omitempty"`
	ByPrimary  bool  `json:"vouched,omitempty"`
	// Error is the last failure, with the next step.
	Error string `json:"error,omitempty"`
}

// InstanceObservation is the verdict of one controller's checks on one instance, after rise and fall counts.
type InstanceObservation struct {
	App      string  `json:"app"`
	Instance string  `json:"instance"`
	Health   Working `json:"health"`
	// Reaches is the verdict of the app's reachability check, if a cluster has one: whether the instance reaches the primary.
	Reaches Working `json:"reaches,omitempty"`
	// AgeMS is how long ago the last finished check began, in milliseconds.
	AgeMS int64  `json:"ageMS"`
	Error string `json:"error,omitempty"` // why the last check failed
}

// Working is a verdict on an instance. The zero value is unknown.
type Working string

const (
	WorkingUnknown Working = ""
	Well           Working = "well"
	Down           Working = "down"
)

// WithoutStream begins the Error of a standby that receives nothing and quotes the reason. The fault is the primary's, so the member itself
// is well.
const WithoutStream = "it does not stream: "

// Fails tells whether an error of the member itself may keep it from what its goal asks.
func (m *Member) Fails() bool { return m.Error != "" && !strings.HasPrefix(m.Error, WithoutStream) }
