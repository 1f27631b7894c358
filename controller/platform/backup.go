package platform

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// BackupPlan is how a cluster's backups are made, checked and released (backup). Targets are named here and defined in the files of the
// agents, whose hosts' paths and credentials they are.
type BackupPlan struct {
	// Every is the time from the end of one backup to the beginning of the next, 1 s to 8760 h; 0: only when an operator asks.
	Every time.Duration `json:"every,omitempty"`
	// Full is how old the last full backup may become: those before that are incremental, on PostgreSQL 17 or newer. 0: every one is full.
	Full time.Duration `json:"full,omitempty"`
	// Keep is how many good backups are kept, 1 to 1000, each with all that it is built on; default 7. The newest good one always stays.
	Keep int `json:"keep,omitempty"`
	// Rate is how many MB are read and sent in a second, at most, 1 to 1000; 0: no limit.
	Rate int `json:"rate,omitempty"`
	// Targets are the names of the targets, at least one unless With is set: a backup counts once each of them holds it.
	Targets []string `json:"targets"`
	// With is another program that makes the backups, into a repository of its own; nil for Mainstay itself. Then there are no targets, and
	// Keep, Rate and NoArchive say nothing: that program expires backups and archives WAL.
	With *BackupWith `json:"with,omitempty"`
	// NoArchive (archive: false): WAL is not archived, so that a restore reaches only the ends of backups.
	NoArchive bool `json:"noArchive,omitempty"`
	// TestEvery (restore-test) is the time between two restore tests, each of the newest good backup, from the targets in turn; 0: never.
	TestEvery time.Duration `json:"testEvery,omitempty"`
	// Structure: the meaning of the pages is checked too, by PostgreSQL's own functions (amcheck).
	Structure bool `json:"structure,omitempty"`
	// Checks are the operator's own checks of a restored copy.
	Checks []BackupCheck `json:"checks,omitempty"`
}

// Archives tells whether an agent archives the cluster's WAL.
func (p *BackupPlan) Archives() bool { return !p.NoArchive && p.With == nil }

// Places are where a backup that counts is: the targets, or the program that keeps it.
func (p *BackupPlan) Places() []string {
	if p.With != nil {
		return []string{p.With.Program}
	}
	return p.Targets
}

// BackupWith is another program that makes a cluster's backups, and its own name for the cluster.
type BackupWith struct {
	Program string `json:"program"` // PgBackRest or Barman
	Name    string `json:"name"`    // the stanza of pgBackRest, the server of Barman
}

// The programs that BackupWith knows.
const (
	PgBackRest = "pgbackrest"
	Barman     = "barman"
)

// Expire is the command by which an operator has the program remove one of its backups.
func (w BackupWith) Expire(label string) string {
	if w.Program == Barman {
		return "barman delete " + w.Name + " " + label
	}
	return "pgbackrest --stanza=" + w.Name + " expire --set=" + label
}

// ForeignBackup is which backup of another program's a record is about.
type ForeignBackup struct {
	BackupWith
	Label string `json:"label"` // the program's own id of it
	Kind  string `json:"kind"`  // full, diff or incr, as the program says
}

// ListedDigest stands for the backups of a repository, whatever the order of their labels.
func ListedDigest(labels []string) string {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(labels)), "\n")))
	return hex.EncodeToString(sum[:8])
}

// MostListed is how many backups of another program's repository the catalogue has: the newest.
const MostListed = 200

// DefaultKeep is BackupPlan.Keep where the platform file has none.
const DefaultKeep = 7

// BackupCheck is a statement that a restored copy must answer with true. It runs in a read-only transaction, by a role that may read all
// tables and is no superuser.
type BackupCheck struct {
	Name     string        `json:"name"`
	Database string        `json:"database"`
	SQL      string        `json:"sql"`               // one row with one boolean
	Timeout  time.Duration `json:"timeout,omitempty"` // 1 s to 24 h; 0 stands for DefaultBackupCheckTimeout
}

// DefaultBackupCheckTimeout is how long a BackupCheck may run.
const DefaultBackupCheckTimeout = 10 * time.Minute

// BackupWork is what an agent is asked to do for a cluster's backups.
type BackupWork string

// The kinds of work.
const (
	BackupMake    BackupWork = "make"    // copy, check, release
	BackupTest    BackupWork = "test"    // restore a released backup from a target, and check it
	BackupRemove  BackupWork = "remove"  // remove a backup from its targets
	BackupRestore BackupWork = "restore" // restore into a folder in the agent's staging, proven
)

// BackupJob is one piece of work, of one agent. It is replaced, never edited.
type BackupJob struct {
	Number uint64     `json:"number"` // the log index of its command: none is used twice
	Work   BackupWork `json:"work"`
	Member string     `json:"member"` // whose agent works
	Backup string     `json:"backup"`
	// Base is the backup that an incremental one is built on, "" for a full one.
	Base string `json:"base,omitempty"`
	// Target is where a restored copy comes from; "" for the first that has it.
	Target string `json:"target,omitempty"`
	// Until is the point at which a restore ends.
	Until RestorePoint `json:"until,omitzero"`
	By    string       `json:"by"`
	Since string       `json:"since"` // RFC 3339, for people
	// Accepted is an operator's reason for using a backup that is not good.
	Accepted string `json:"accepted,omitempty"`
	// Cancel: the work must end, and nothing is released.
	Cancel bool `json:"cancel,omitempty"`
}

// RestorePoint is where a restore ends; the zero value is the end of the backup itself. At most one of the others is set.
type RestorePoint struct {
	Latest bool   `json:"latest,omitempty"` // the end of the archive
	LSN    LSN    `json:"lsn,omitzero"`
	Time   string `json:"time,omitempty"` // RFC 3339
	Name   string `json:"name,omitempty"` // of a restore point
}

// BackupOrder is what a member's agent does for backups now. The zero value is nothing.
type BackupOrder struct {
	Plan *BackupPlan `json:"plan,omitempty"`
	Job  *BackupJob  `json:"job,omitempty"`
	// Backups are those that the job is about: the one that is tested, restored or removed, and all that it, or a new one, is built on; the
	// oldest first.
	Backups []Backup `json:"backups,omitempty"`
	// OldestWAL is where the WAL begins that is needed once a backup is removed: targets need none before it. 0: none may be removed.
	OldestWAL LSN `json:"oldestWAL,omitzero"`
	// Archive: this member's agent archives the cluster's WAL.
	Archive bool `json:"archive,omitempty"`
	// Listed is the ListedDigest of what the catalogue has of the repository of Plan.With: this agent lists it, and reports what differs. ""
	// asks for no list.
	Listed string `json:"listed,omitempty"`
	// Hold: the work pauses, because the cluster is being changed.
	Hold bool `json:"hold,omitempty"`
}

// BackupVerdict says whether a backup may be restored.
type BackupVerdict string

// The verdicts.
const (
	BackupGood       BackupVerdict = "good"       // restored, checked, and held by every target
	BackupBad        BackupVerdict = "bad"        // damaged, or a check has failed; Backup.Evidence says which
	BackupUnfinished BackupVerdict = "unfinished" // it was not made, or not released to every target
	// BackupUnverified is a whole backup that another program made on its own: neither good nor bad before a restore test. It is not
	// unfinished, because a restore test may make it good.
	BackupUnverified BackupVerdict = "unverified"
)

// Backup is the record of one backup. It is replaced, never edited.
type Backup struct {
	ID       string   `json:"id"`
	Member   string   `json:"member"` // whose data it is a copy of
	Base     string   `json:"base,omitempty"`
	SystemID string   `json:"systemID,omitempty"`
	Version  string   `json:"version,omitempty"` // of PostgreSQL
	Timeline Timeline `json:"timeline,omitempty"`
	// Start and End are the positions between which the copy was made: it is consistent from End on.
	Start LSN `json:"start,omitzero"`
	End   LSN `json:"end,omitzero"`
	// Began and Ended are wall clocks, RFC 3339: for people, and for when the next is due.
	Began string `json:"began"`
	Ended string `json:"ended,omitempty"`
	// Bytes is the size of the copied files, Packed that of what a target holds.
	Bytes  int64 `json:"bytes,omitempty"`
	Packed int64 `json:"packed,omitempty"`
	// FullSince says since when every block was read: Began of the full backup that it is built on.
	FullSince string `json:"fullSince,omitempty"`
	// WhyFull says why a full backup was made where an incremental one was asked for.
	WhyFull  string        `json:"whyFull,omitempty"`
	Verdict  BackupVerdict `json:"verdict"`
	Evidence string        `json:"evidence,omitempty"`
	Steps    []BackupStep  `json:"steps,omitempty"`
	// Results are those of the checks.
	Results  []CheckResult   `json:"results,omitempty"`
	Receipts []BackupReceipt `json:"receipts,omitempty"`
	// Tests are the newest restore test from each target.
	Tests []RestoreTest `json:"tests,omitempty"`
	// Removed: it is gone from its targets, RFC 3339; the record stays for a while.
	Removed string `json:"removed,omitempty"`
	// Foreign is set for a backup in another program's repository. Such a backup has no receipts.
	Foreign *ForeignBackup `json:"foreign,omitempty"`
	// Engine is what the agent's engine keeps of it, in the engine's own form.
	Engine json.RawMessage `json:"engine,omitempty"`
}

// BackupStep is a step of the work and how long it took, by a monotonic clock.
type BackupStep struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took"`
}

// CheckResult is what a check of a restored copy has shown.
type CheckResult struct {
	Name   string `json:"name"`
	Good   bool   `json:"good"`
	Detail string `json:"detail,omitempty"`
}

// BackupReceipt shows that a target holds an object: it was read back whole.
type BackupReceipt struct {
	Target string `json:"target"`
	Object string `json:"object"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// RestoreTest is a restore of a backup from a target, with all checks.
type RestoreTest struct {
	Target string `json:"target"`
	At     string `json:"at"` // RFC 3339
	Good   bool   `json:"good"`
	Detail string `json:"detail,omitempty"`
	// Took is the time from the order to a server that answers: what a restore takes.
	Took time.Duration `json:"took,omitempty"`
	// Reached is the position of the end of recovery.
	Reached LSN `json:"reached,omitzero"`
	// Archive is why the target's WAL could not be replayed behind the backup; "" if it could, or if there is no archive.
	Archive string `json:"archive,omitempty"`
}

// Held tells whether the backup is somewhere: at a target, or in another program's repository.
func (b *Backup) Held() bool { return b.Removed == "" && (len(b.Receipts) > 0 || b.Foreign != nil) }

// At tells whether a target holds the backup, by its receipt; of another program's, target is that program.
func (b *Backup) At(target string) bool {
	if b.Foreign != nil {
		return b.Foreign.Program == target
	}
	for _, r := range b.Receipts {
		if r.Target == target {
			return true
		}
	}
	return false
}

// Places are where the backup may be, under a plan.
func (b *Backup) Places(p *BackupPlan) []string {
	if b.Foreign != nil {
		return []string{b.Foreign.Program}
	}
	return p.Targets
}

// Restorable tells whether the backup may be restored without an operator's word.
func (b *Backup) Restorable() bool { return b.Verdict == BackupGood && b.Removed == "" }
