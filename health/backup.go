package health

import "mainstay/controller/platform"

// Backups is what a member's agent does for its cluster's backups.
type Backups struct {
	// Targets are those that the agent's file defines.
	Targets []BackupTarget `json:"targets,omitempty"`
	// Adapters are the other programs that the agent's file defines.
	Adapters []BackupAdapter `json:"adapters,omitempty"`
	// Listing is what the repository of another program holds, nil where the leader has not asked, or where it could not be listed yet.
	Listing *BackupListing `json:"listing,omitempty"`
	// Job is the work that runs, nil for none; Ended the last that has ended, until the leader has recorded that.
	Job   *BackupProgress `json:"job,omitempty"`
	Ended *BackupEnded    `json:"ended,omitempty"`
	// Archive is nil unless this agent archives the cluster's WAL.
	Archive *Archiving `json:"archive,omitempty"`
}

// BackupTarget is where an agent can release backups to.
type BackupTarget struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // directory, s3 or exec
	// Trouble is why it cannot be used now; "" if nothing is known against it.
	Trouble string `json:"trouble,omitempty"`
}

// BackupAdapter is another program with which an agent can make and restore backups.
type BackupAdapter struct {
	Program string `json:"program"`           // platform.PgBackRest or platform.Barman
	Version string `json:"version,omitempty"` // such as 2.45; "" if it has not told it
	// Trouble is why it cannot be used now; "" if nothing is known against it.
	Trouble string `json:"trouble,omitempty"`
}

// BackupListing is what the repository of another program holds.
type BackupListing struct {
	With platform.BackupWith `json:"with"`
	At   string              `json:"at"` // when it was listed, RFC 3339
	// Same: the catalogue has all of it and nothing else. Else Backups are the newest platform.MostListed, the oldest first, without ids.
	Same    bool              `json:"same,omitempty"`
	Backups []platform.Backup `json:"backups,omitempty"`
}

// BackupProgress is how far a piece of work is.
type BackupProgress struct {
	Number  uint64 `json:"number"` // of the job
	Step    string `json:"step"`
	Percent int    `json:"percent,omitempty"` // of that step; 0 if that is not known
	// LeftSeconds is how long the step will take, 0 if that is not known.
	LeftSeconds float64 `json:"leftSeconds,omitempty"`
	// Waiting is why it does nothing at the moment.
	Waiting string `json:"waiting,omitempty"`
}

// BackupEnded is how a piece of work ended.
type BackupEnded struct {
	Number  uint64 `json:"number"`
	Done    bool   `json:"done"`
	Outcome string `json:"outcome"` // one sentence
	// Record is the backup that was made, Test what a restore test has shown.
	Record *platform.Backup      `json:"record,omitempty"`
	Test   *platform.RestoreTest `json:"test,omitempty"`
}

// Archiving is how far a cluster's WAL is archived, by the agent that does it.
type Archiving struct {
	Timeline platform.Timeline `json:"timeline"`
	// Until is the end of what every target holds in complete segments, on the way to Timeline; Partial the end of what they hold with the
	// last segment's part.
	Until   platform.LSN `json:"until"`
	Partial platform.LSN `json:"partial,omitempty"`
	// BehindMS is how long ago the targets held all WAL of the member, in milliseconds.
	BehindMS int64 `json:"behindMS,omitempty"`
	// Trouble is why the last attempt failed; "" if it did not. Gaps are ranges of WAL that no target holds and no member has any more, each
	// for people.
	Trouble string   `json:"trouble,omitempty"`
	Gaps    []string `json:"gaps,omitempty"`
}

// Cannot is why the agent cannot work for a plan; "" if it can.
func (b *Backups) Cannot(p *platform.BackupPlan) string {
	if p.With == nil {
		if missing, why := b.Has(p.Targets); missing != "" {
			return "target " + missing + ": " + why
		}
		return ""
	}
	if a := b.adapter(p.With.Program); a != nil {
		if a.Trouble != "" {
			return a.Program + ": " + a.Trouble
		}
		return ""
	}
	return p.With.Program + ": its agent's file does not define it (backup." + p.With.Program + "), or it is of an earlier version"
}

// Defines tells whether the agent's file defines another program, whatever its trouble.
func (b *Backups) Defines(program string) bool { return b.adapter(program) != nil }

func (b *Backups) adapter(program string) *BackupAdapter {
	if b == nil {
		return nil
	}
	for i := range b.Adapters {
		if b.Adapters[i].Program == program {
			return &b.Adapters[i]
		}
	}
	return nil
}

// Has tells whether the agent can use all these targets; it names the first that it cannot, and why.
func (b *Backups) Has(targets []string) (missing, why string) {
	if b == nil {
		if len(targets) == 0 {
			return "", ""
		}
		return targets[0], "its agent's file defines no target (backup.targets), or it is of an earlier version"
	}
	for _, name := range targets {
		found := false
		for _, t := range b.Targets {
			if t.Name != name {
				continue
			}
			if t.Trouble != "" {
				return name, t.Trouble
			}
			found = true
		}
		if !found {
			return name, "its agent's file does not define it (backup.targets)"
		}
	}
	return "", ""
}
