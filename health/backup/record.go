package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"mainstay/controller/platform"
	"mainstay/health/backup/target"
)

// Record is what is known of a backup: at each target as backup.json, and in the catalogue. Fields are only ever added.
type Record struct {
	ID        string            `json:"id"`
	Cluster   string            `json:"cluster"`
	Member    string            `json:"member"` // that it was taken from
	Standby   bool              `json:"standby,omitempty"`
	Kind      Kind              `json:"kind"`
	Base      string            `json:"base,omitempty"`         // of an incremental: the id of what it builds on
	FullFor   string            `json:"full_for,omitempty"`     // why a full one was taken where an incremental was asked for
	SystemID  string            `json:"system_id,omitempty"`    // of the cluster, as pg_control has it
	Version   string            `json:"version,omitempty"`      // of the programs that took it, such as 15.18
	Superuser string            `json:"superuser,omitempty"`    // as which a scratch instance is asked
	Timeline  platform.Timeline `json:"timeline,omitempty"`     // at End
	Start     platform.LSN      `json:"start,omitempty"`        // replay begins here
	End       platform.LSN      `json:"end,omitempty"`          // it is consistent from here on
	Began     time.Time         `json:"began"`                  // by the host's wall clock, for people
	Ended     time.Time         `json:"ended"`                  // as Began
	Files     int64             `json:"files,omitempty"`        // of the manifest
	Size      int64             `json:"size,omitempty"`         // bytes of the copy
	Packed    int64             `json:"packed,omitempty"`       // bytes of base.tar.zst
	SHA256    string            `json:"sha256,omitempty"`       // of base.tar.zst
	Manifest  string            `json:"manifest,omitempty"`     // SHA-256 of the manifest
	Spaces    []Space           `json:"spaces,omitempty"`       // tablespaces outside the data directory
	Proof     Proof             `json:"proof"`                  // of this run
	Receipts  []target.Receipt  `json:"receipts,omitempty"`     // of base.tar.zst, one for each target
	Failed    map[string]string `json:"not_released,omitempty"` // targets that did not take it, and why
}

// Space is a tablespace outside the data directory.
type Space struct {
	OID      uint32 `json:"oid"`
	Location string `json:"location"` // where the server that was copied had it
}

// Proof is what was done to show that a copy is good, and what came of it.
type Proof struct {
	Verdict    Verdict           `json:"verdict"`
	Evidence   string            `json:"evidence"` // one sentence that says why
	Steps      []Step            `json:"steps,omitempty"`
	Checks     []Check           `json:"checks,omitempty"`
	Isolation  string            `json:"isolation,omitempty"` // of the scratch instance
	Reached    platform.LSN      `json:"reached,omitempty"`   // the end of the last record that was replayed
	Wanted     platform.LSN      `json:"wanted,omitempty"`    // Reached must not be before it
	Timeline   platform.Timeline `json:"timeline,omitempty"`  // after recovery
	LastCommit *time.Time        `json:"last_commit,omitempty"`
}

// Step is how long a part of the work took.
type Step struct {
	Name  StepName      `json:"name"`
	Took  time.Duration `json:"took"`            // nanoseconds, by a monotonic clock
	Bytes int64         `json:"bytes,omitempty"` // that were read, where that is known
}

// CheckKind is what a check is about.
type CheckKind string

// Kinds of checks.
const (
	CheckSource    CheckKind = "source"    // the pages as pg_basebackup read them
	CheckManifest  CheckKind = "manifest"  // each file's size and checksum, and the manifest's own
	CheckRecovery  CheckKind = "recovery"  // to the wanted position
	CheckAssertion CheckKind = "assertion" // the user's
	CheckStructure CheckKind = "structure" // of tables and indexes
	CheckStop      CheckKind = "stop"      // that the instance ends cleanly
	CheckPages     CheckKind = "pages"     // checksums, headers and segments of all relations
)

// Check is the result of one check.
type Check struct {
	Kind    CheckKind     `json:"kind"`
	Name    string        `json:"name,omitempty"` // of an assertion
	Verdict Verdict       `json:"verdict"`
	Detail  string        `json:"detail,omitempty"` // what was found, or what was read
	Took    time.Duration `json:"took,omitempty"`   // nanoseconds, where it is not a step's
}

// Tested is the result of a restore test or a restore.
type Tested struct {
	Backup  string    `json:"backup"`
	Cluster string    `json:"cluster"`
	Began   time.Time `json:"began"` // by the host's wall clock, for people
	Ended   time.Time `json:"ended"`
	Proof   Proof     `json:"proof"`
}

// Names of a backup's objects at a target.
const (
	objectPack     = "base.tar.zst"
	objectManifest = "manifest"
	objectRecord   = "backup.json"
)

// Folder is where a cluster's backups are at a target, with a slash at its end.
func Folder(cluster string) string { return cluster + "/backup/" }

// object names one of a backup's objects at a target.
func object(cluster, id, name string) string { return Folder(cluster) + id + "/" + name }

// Objects are the names of all objects of a backup at a target, in the order in which they must be removed: without backup.json the
// backup is not there.
func Objects(cluster, id string) []string {
	return []string{object(cluster, id, objectRecord), object(cluster, id, objectManifest), object(cluster, id, objectPack)}
}

// mostRecord bounds a record that is read, in bytes.
const mostRecord = 16 << 20

// ReadRecord reads a backup's record from a target. The error is target.ErrNotThere where there is no such backup.
func ReadRecord(ctx context.Context, t target.Target, cluster, id string) (*Record, error) {
	raw, err := readObject(ctx, t, object(cluster, id, objectRecord), mostRecord)
	if err != nil {
		return nil, fmt.Errorf("read the record of backup %s: %w", id, err)
	}
	r := &Record{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("read the record of backup %s: %w", id, err)
	}
	if r.ID != id || r.Cluster != cluster {
		return nil, fmt.Errorf("read the record of backup %s: it is that of backup %s of cluster %s", id, r.ID, r.Cluster)
	}
	return r, nil
}

// readObject reads a small object.
func readObject(ctx context.Context, t target.Target, name string, most int64) ([]byte, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err = errors.Join(err, r.Close()); err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s is larger than %d MB", name, most>>20)
	}
	return raw, err
}
