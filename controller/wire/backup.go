package wire

import (
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// Backups is the answer to GET /v1/clusters/{cluster}/backups.
type Backups struct {
	Cluster string `json:"cluster"`
	// Plan is what the platform file asks for; nil for nothing.
	Plan *platform.BackupPlan `json:"plan,omitempty"`
	// Job is the work that runs, nil for none, and Progress how far it is, by its agent's last report.
	Job      *platform.BackupJob    `json:"job,omitempty"`
	Progress *health.BackupProgress `json:"progress,omitempty"`
	Last     *state.EndedBackupJob  `json:"last,omitempty"`
	// Archiver is the member whose agent archives WAL, "" for none, and Archive how far it is.
	Archiver string            `json:"archiver,omitempty"`
	Archive  *health.Archiving `json:"archive,omitempty"`
	// Due is for how many seconds no backup is due; 0: one is due, or none is scheduled. Waits is why none begins now; "" if one would.
	DueSeconds float64 `json:"dueSeconds,omitempty"`
	Waits      string  `json:"waits,omitempty"`
	// Backups are the oldest first.
	Backups  []platform.Backup `json:"backups"`
	Problems []health.Problem  `json:"problems,omitempty"`
}

// BackupRequest is the body of POST /v1/clusters/{cluster}/backups: an operator begins work for backups, or cancels it.
type BackupRequest struct {
	// Work is what to do, Cancel ends what is running. One of them is set.
	Work   platform.BackupWork `json:"work,omitempty"`
	Cancel bool                `json:"cancel,omitempty"`
	// Backup is the one to test, restore or remove; "" for the newest good one (of a restore: that reaches Until).
	Backup string `json:"backup,omitempty"`
	// Member is the one whose agent works; "" for the leader's choice.
	Member string `json:"member,omitempty"`
	// Full asks for a full backup where an incremental one would be made.
	Full bool `json:"full,omitempty"`
	// Target is where a restored copy comes from; "" for the first that has it.
	Target string                `json:"target,omitempty"`
	Until  platform.RestorePoint `json:"until,omitzero"`
	// Accept is the reason for restoring a backup that is not good.
	Accept string `json:"accept,omitempty"`
	DryRun bool   `json:"dryRun"`
}
