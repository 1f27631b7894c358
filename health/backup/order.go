package backup

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health/backup/target"
)

// Kind is what a backup holds.
type Kind string

// Kinds of backups.
const (
	Full        Kind = "full"
	Incremental Kind = "incremental" // PostgreSQL 17 and newer: what has changed since its base
)

// Depth is how much of a backup is checked beyond its manifest, its recovery, the assertions and the pages.
type Depth string

// Depths of checks.
const (
	Pages     Depth = ""          // nothing more
	Structure Depth = "structure" // tables and indexes too, by amcheck and pg_visibility; they are created in the scratch instance
)

// Verdict is what is known of a backup. The zero value is not valid in a Record.
type Verdict string

// Verdicts. Only a good backup is released.
const (
	Good       Verdict = "good"       // every check was made and found nothing
	Bad        Verdict = "bad"        // a check found damage, or an assertion does not hold
	Unverified Verdict = "unverified" // a check could not be made, which says nothing about the data
)

// Assertion is a question to a restored database whose answer must be true.
type Assertion struct {
	Name     string `json:"name"`
	Database string `json:"database"`
	// SQL is one statement that returns one row with one boolean column. It runs in a transaction that is read-only, as a role that may
	// read all tables and is no superuser. NULL, false and no row at all fail.
	SQL string `json:"sql"`
	// Timeout bounds the statement; 0 is Limits.Assertion.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// Order is what a backup shall be.
type Order struct {
	ID      string // letters, digits, '.', '_' and '-'; unique in the cluster
	Cluster string // the folder at each target
	Kind    Kind   // of an Incremental without Base, or where the server cannot, a full one is taken, and the record says why
	Base    *Record
	// Targets receive a good backup, in this order. An incremental's base is read from the first that has it, unless staging has kept it.
	Targets []target.Target
	Checks  []Assertion
	Depth   Depth
	Rate    int64 // bytes a second of each read, on average; 0: no bound. With a bound the checkpoint before the copy is spread as well
	// Keep has a good copy stay in staging, where there is room, as the base of the next incremental.
	Keep bool
}

// Restoration is what to restore, and how far.
type Restoration struct {
	Cluster string
	ID      string
	From    target.Target
	Other   *Other // in the place of From, WAL and Until: the backup is in another program's repository
	WAL     WAL    // the archive; nil: none, and Until must be zero
	Until   Until  // the zero value is the end of the backup itself
	Checks  []Assertion
	Depth   Depth
	Rate    int64 // bytes a second that are read from the target, on average; 0: no bound
	// Spaces are the places of tablespaces by their OIDs, for Restore; others are put into a folder beside Into, named INTO.tablespaces.
	Spaces map[uint32]string
}

// Until is how far WAL is replayed.
type Until struct {
	Timeline platform.Timeline // 0: the backup's own
	LSN      platform.LSN      // all records that begin before it are replayed, and none after; 0: the end of the backup
	// End says that the archive has no record behind LSN: all there is must be replayed, and it must reach LSN.
	End bool
}

// Limits bound the steps. Zero values have defaults.
type Limits struct {
	Stall     time.Duration // without any progress a step is given up; 0: 2 minutes
	Recovery  time.Duration // of a scratch instance, from its start to the end of recovery; 0: 12 hours
	Assertion time.Duration // of one assertion; 0: 5 minutes
	Stop      time.Duration // of the clean stop; 0: 10 minutes
	Structure time.Duration // of the structure checks together; 0: 12 hours
	// Nice is by how much the work leaves the CPUs to others, as nice(1) has it; 0: 10.
	Nice int
}

const (
	defaultStall     = 2 * time.Minute
	defaultRecovery  = 12 * time.Hour
	defaultAssertion = 5 * time.Minute
	defaultStop      = 10 * time.Minute
	defaultStructure = 12 * time.Hour
	defaultNice      = 10
)

func (l *Limits) fill() {
	if l.Nice <= 0 {
		l.Nice = defaultNice
	}
	for _, d := range []struct {
		v         *time.Duration
		otherwise time.Duration
	}{{&l.Stall, defaultStall}, {&l.Recovery, defaultRecovery}, {&l.Assertion, defaultAssertion}, {&l.Stop, defaultStop},
		{&l.Structure, defaultStructure}} {
		if *d.v <= 0 {
			*d.v = d.otherwise
		}
	}
}

// StepName names a part of the work, in records, progress and errors.
type StepName string

// Steps. A run has those that it needs, in about this order.
const (
	StepRoom      StepName = "room"      // what staging has, against what the copy needs
	StepBase      StepName = "base"      // fetching what an incremental needs of its chain
	StepTake      StepName = "take"      // pg_basebackup
	StepFetch     StepName = "fetch"     // from the target, unpacked and verified
	StepPack      StepName = "pack"      // the pass that verifies the manifest and packs
	StepManifest  StepName = "manifest"  // a part of pack: the time that reading and verifying took of it
	StepInputs    StepName = "inputs"    // the manifests of what is combined
	StepCombine   StepName = "combine"   // pg_combinebackup
	StepKeep      StepName = "keep"      // a copy stays in staging
	StepRecover   StepName = "recover"   // the scratch instance, until it has recovered
	StepAssert    StepName = "assert"    // the assertions
	StepStructure StepName = "structure" // amcheck and the like
	StepStop      StepName = "stop"      // the clean stop
	StepPages     StepName = "pages"     // the page checksums
	StepSync      StepName = "sync"      // a restored directory, to the disk
	StepUndo      StepName = "undo"      // removing what a restore that failed has written
	StepRelease   StepName = "release"   // to the targets, with receipts
)

// Progress is how far a run is.
type Progress struct {
	Step    StepName      `json:"step"`
	Percent int           `json:"percent"` // of the step, 0 to 100; -1: not known
	Bytes   int64         `json:"bytes,omitempty"`
	Total   int64         `json:"total,omitempty"` // bytes; 0: not known
	Left    time.Duration `json:"left,omitempty"`  // of the step, by its rate until now; 0: not known
}
