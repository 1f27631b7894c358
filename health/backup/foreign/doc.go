// Package foreign works with the backups that other programs made: pgBackRest (2.45 and newer) and Barman (3.4 and newer). It lists them,
// has them made, restores one into a scratch folder so that the common checks of health/backup can run on it, and asks the program's own
// check.
//
// Those programs run as their own user of the operating system, each within a deadline and in a process group of its own. The package must
// never believe an exit code alone: both programs exit 0 where their text says that a backup is damaged, and neither notices every WAL
// segment that is gone. It must never write outside of the scratch folder, and never ask a program to expire or delete anything.
//
// A Config enters by Open. Backups, a Restored folder, Evidence and errors of one line leave.
package foreign

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/osuser"
	"mainstay/controller/platform"
)

// Repository is a repository of one cluster's backups. Every call ends with its ctx, or at most StopGrace of fencing/program and two
// seconds later.
type Repository interface {
	// Version is the program's version, such as "2.45". The error is ErrTooOld for one that the package does not know.
	Version(ctx context.Context) (string, error)
	// List returns the backups, oldest first. None is an empty list.
	List(ctx context.Context) ([]Backup, error)
	// Take has a backup made, and returns it when its WAL is in the repository. At the end of ctx the program is asked to stop and tidy up.
	Take(ctx context.Context, t Take) (Backup, error)
	// Restore puts a backup and its WAL into a scratch folder. With a *GapError the Restored is good up to the gap; with any other error
	// there is nothing to use, and the caller removes the folder.
	Restore(ctx context.Context, r Restore) (Restored, error)
	// Verify asks the program's own check of a backup, and looks for the WAL that the program's check does not miss. An error means that it
	// could not be asked, and says nothing of the backup.
	Verify(ctx context.Context, id string) (Evidence, error)
}

// Config names a repository. It comes from this host's own file.
type Config struct {
	Program string // absolute path of pgbackrest or barman
	File    string // its configuration file, "" for the program's own default
	Name    string // the stanza of pgBackRest, or the server of Barman
	User    string // of the operating system, as whom the program runs; "" is the user of this process
}

// OpenPgBackRest returns a stanza of pgBackRest. It asks the program nothing.
func OpenPgBackRest(c Config) (Repository, error) {
	r, err := newRunner("pgBackRest, stanza "+c.Name, c)
	if err != nil {
		return nil, err
	}
	return &pgBackRest{runner: r, stanza: c.Name, file: c.File}, nil
}

// OpenBarman returns a server of Barman. It asks the program nothing.
func OpenBarman(c Config) (Repository, error) {
	r, err := newRunner("Barman, server "+c.Name, c)
	if err != nil {
		return nil, err
	}
	return &barman{runner: r, server: c.Name, file: c.File}, nil
}

func newRunner(of string, c Config) (runner, error) {
	r := runner{of: of, path: c.Program, name: c.User}
	if c.User == "" {
		r.user = ourselves()
		return r, nil
	}
	user, known, err := osuser.Lookup(c.User)
	if err != nil {
		return runner{}, fmt.Errorf("%s: %w", of, err)
	}
	r.user, r.name = user, known
	return r, nil
}

// Kind is what a backup holds.
type Kind string

// Full is complete in itself; a Differential needs the full one before it; an Incremental needs its base, which may be incremental too.
const (
	Full         Kind = "full"
	Differential Kind = "diff"
	Incremental  Kind = "incr"
)

// State is how far a backup has come, as its program says.
type State string

// Only a Done backup can be restored. One that Waits has all its files, and needs WAL that is not in the repository.
const (
	Done    State = "done"
	Running State = "running"
	Waits   State = "waiting for WAL"
	Failed  State = "failed"
)

// Backup is one backup of a repository. Of one that is not Done only ID, Kind, State and Problem are known.
type Backup struct {
	ID            string
	Kind          Kind
	Base          string   // the backup that it builds on, "" of a full one
	Needs         []string // all backups that hold files of it, without itself
	State         State
	Problem       string // what its program says is wrong with it, "" for nothing
	Start, Stop   platform.LSN
	Timeline      platform.Timeline // of Start
	First, Last   string            // WAL segments between which it becomes consistent
	Began, Ended  time.Time         // by the wall clock of the program's host
	Size, Stored  int64             // bytes: of the cluster, and of what this backup alone takes in the repository
	SystemID      string            // of the cluster, "" where the program does not say
	Repo          int               // pgBackRest's number of the repository, 0 for Barman
	archive       string            // pgBackRest's name of the archive that has its WAL
	damaged       []string          // files with bad pages, where the program says
	tablespaces   []tablespace
	segmentLength uint64
}

type tablespace struct {
	Name string
	OID  uint32
}

// Take is an order for a backup.
type Take struct {
	Kind     Kind   // Barman makes only Full ones, and from 3.11 on Incremental ones of a Base
	Base     string // Barman's only, for an Incremental one
	Progress func(Progress)
}

// Progress is how far a backup is. The function that is told must not block. Another goroutine calls it, which may still do so after Take
// has returned ErrStuck of fencing/program.
type Progress struct {
	Fraction float64 // 0 to 1; negative where the program does not say
	Says     string  // the program's own line
}

// Until is where the WAL that is restored with a backup must reach. The zero value is the end of the archive.
type Until struct {
	Immediate bool         // the backup's own end, no further
	LSN       platform.LSN // with the segment that holds it
}

// Restore is an order to restore. A target time, or a named restore point, is resolved by the caller from the WAL of the whole archive.
type Restore struct {
	ID       string
	Into     string // absolute; is made, or is an empty folder of the program's user
	Until    Until
	Timeline platform.Timeline // 0 is the newest that descends from the backup
}

// Restored is a scratch folder with a backup. Data has neither recovery.signal nor standby.signal, and the settings of the cluster, not
// those of the program: who starts it sets restore_command to copy from WAL. No link leads out of the folder.
type Restored struct {
	Backup      Backup
	Data        string
	WAL         string            // folder of segments and history files
	Manifest    string            // PostgreSQL's backup_manifest of Data, "" if there is none
	Tablespaces map[uint32]string // by oid, the folders in the scratch
	Timeline    platform.Timeline // that recovery must follow
	SegmentSize uint64            // bytes
	// Reaches is the start of the last segment in WAL: a recovery that ends before it has met a damaged record. It is 0 without WAL.
	Reaches platform.LSN
}

// Verdict is what a check said of a backup.
type Verdict string

// The zero value is no verdict. Unverified means that nothing wrong was found, and that the program checks no file's content.
const (
	Good       Verdict = "good"
	Bad        Verdict = "bad"
	Unverified Verdict = "unverified"
)

// Evidence is a verdict and its reasons. A Good one proves only that the repository holds what was copied: pages that were bad when they
// were copied are found by a check of the restored copy alone.
type Evidence struct {
	Verdict Verdict
	Found   []string // what is damaged or missing of the backup, one line each
	Later   []string // what is damaged or missing of the archive behind it: no restore goes past that
	Checked []string // what was checked, one line each
}

func (e *Evidence) found(format string, args ...any) {
	e.Verdict = Bad
	e.Found = append(e.Found, oneLine(fmt.Sprintf(format, args...)))
}

func (e *Evidence) later(format string, args ...any) {
	e.Later = append(e.Later, oneLine(fmt.Sprintf(format, args...)))
}

func (e *Evidence) checked(format string, args ...any) {
	e.Checked = append(e.Checked, oneLine(fmt.Sprintf(format, args...)))
}
