package state

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"mainstay/controller/platform"
)

const (
	// mostBackups is how many records of each cluster are kept that no target holds: of backups that are bad, unfinished or removed.
	mostBackups = 100
	// mostEngine is the largest Backup.Engine that the log takes, in bytes.
	mostEngine = 64 << 10
)

// Backups is the catalogue of one cluster's backups. It outlives the cluster's removal, as the backups do. It is replaced, never edited.
type Backups struct {
	// Version grows with every change; a command names the version it was decided on.
	Version uint64 `json:"version"`
	// Job is the work that runs, nil for none.
	Job *platform.BackupJob `json:"job,omitempty"`
	// Records are the backups, the oldest first.
	Records []platform.Backup `json:"records,omitempty"`
	// High is the highest number that a backup was given.
	High uint64 `json:"high,omitempty"`
	// Last is the last work that has ended, with its outcome; Tried is when the last one of each kind ended (RFC 3339): a wall clock, because
	// it must outlive leaders and hosts. A clock that was set back makes the next one due at once.
	Last  *EndedBackupJob                `json:"last,omitempty"`
	Tried map[platform.BackupWork]string `json:"tried,omitempty"`
	// Failed has the member whose agent did the last work of a kind, for those kinds whose last work failed.
	Failed map[platform.BackupWork]string `json:"failed,omitempty"`
}

// EndedBackupJob is how a piece of work ended.
type EndedBackupJob struct {
	Job     platform.BackupJob `json:"job"`
	Done    bool               `json:"done"`
	Outcome string             `json:"outcome"` // one sentence
	At      string             `json:"at"`      // RFC 3339
}

// BackupsOf is a cluster's catalogue; never nil.
func (s *State) BackupsOf(cluster string) *Backups {
	if b := s.Backups[cluster]; b != nil {
		return b
	}
	return &Backups{}
}

// Record returns the backup of that id, or nil.
func (b *Backups) Record(id string) *platform.Backup {
	for i := range b.Records {
		if b.Records[i].ID == id {
			return &b.Records[i]
		}
	}
	return nil
}

// Newest is the newest backup that may be restored, or nil.
func (b *Backups) Newest() *platform.Backup {
	for i := len(b.Records) - 1; i >= 0; i-- {
		if b.Records[i].Restorable() {
			return &b.Records[i]
		}
	}
	return nil
}

// Candidate is the newest backup that is at hand for a plan and not known to be bad: what a restore test is about. It is nil for none.
func (b *Backups) Candidate(p *platform.BackupPlan) *platform.Backup {
	for i := len(b.Records) - 1; i >= 0; i-- {
		r := &b.Records[i]
		if r.Held() && (r.Verdict == platform.BackupGood || r.Verdict == platform.BackupUnverified) && madeBy(r, p.With) {
			return r
		}
	}
	return nil
}

// madeBy tells whether a backup is of that other program's repository; nil is Mainstay.
func madeBy(r *platform.Backup, with *platform.BackupWith) bool {
	if r.Foreign == nil || with == nil {
		return r.Foreign == nil && with == nil
	}
	return r.Foreign.BackupWith == *with
}

// Labels are the backups of another program's repository that the catalogue has, the newest MostListed, by their labels.
func (b *Backups) Labels(with platform.BackupWith) map[string]*platform.Backup {
	all := map[string]*platform.Backup{}
	for i := len(b.Records) - 1; i >= 0 && len(all) < platform.MostListed; i-- {
		if r := &b.Records[i]; r.Held() && madeBy(r, &with) {
			all[r.Foreign.Label] = r
		}
	}
	return all
}

// Reaching is the newest backup that may be restored and had ended before a point, nil for none; oldest is the oldest that may be restored.
// A time that is not RFC 3339 is reached by none.
func (b *Backups) Reaching(until platform.RestorePoint) (newest, oldest *platform.Backup) {
	for i := len(b.Records) - 1; i >= 0 && newest == nil; i-- {
		r := &b.Records[i]
		if !r.Restorable() {
			continue
		}
		oldest = r
		if until.LSN != 0 && r.End > until.LSN {
			continue
		}
		if until.Time != "" {
			at, err := time.Parse(time.RFC3339, until.Time)
			ended, wrong := time.Parse(time.RFC3339, r.Ended)
			if err != nil || wrong != nil || ended.After(at) {
				continue
			}
		}
		newest = r
	}
	return newest, oldest
}

// Chain are the backup of that id and all that it is built on, the full one first; nil if one of them is not there.
func (b *Backups) Chain(id string) []platform.Backup {
	var chain []platform.Backup
	for id != "" {
		r := b.Record(id)
		if r == nil || len(chain) == len(b.Records) {
			return nil
		}
		chain = append(chain, *r)
		id = r.Base
	}
	slices.Reverse(chain)
	return chain
}

// BuiltOn is a backup at a target that is built on the one of that id, "" for none.
func (b *Backups) BuiltOn(id string) string {
	for i := range b.Records {
		if r := &b.Records[i]; r.Base == id && r.Held() {
			return r.ID
		}
	}
	return ""
}

// ChangeBackups begins a piece of work for backups, ends it, or cancels it.
type ChangeBackups struct {
	// Begin is the work. Its number and, where a backup is made, the id are given by Apply.
	Begin *platform.BackupJob `json:"begin,omitempty"`
	// Ended is the number of the one that has ended, Done whether it did what it was for, and Outcome one sentence about it. Record is the
	// backup that was made, or that a part of was, and Test what a restore test has shown.
	Ended   uint64                `json:"ended,omitempty"`
	Done    bool                  `json:"done,omitempty"`
	Outcome string                `json:"outcome,omitempty"`
	Record  *platform.Backup      `json:"record,omitempty"`
	Test    *platform.RestoreTest `json:"test,omitempty"`
	// Cancel is the number of the one to cancel.
	Cancel uint64 `json:"cancel,omitempty"`
	// Listed is what has changed in another program's repository.
	Listed *ListedBackups `json:"listed,omitempty"`
}

// ListedBackups is what an agent found in another program's repository that the catalogue did not know.
type ListedBackups struct {
	With platform.BackupWith `json:"with"`
	New  []platform.Backup   `json:"new,omitempty"`  // that the program made on its own; Apply gives the ids
	Gone []string            `json:"gone,omitempty"` // ids of records whose backups are not there any more
}

// CheckBackups says why a change of backups would be refused; nil if it would not.
func CheckBackups(s *State, cmd Command) error {
	_, err := Apply(s, s.Index+1, cmd)
	return err
}

func (s *State) applyBackups(cmd Command) error {
	if s.PlatformID == "" {
		return errors.New("the controllers are not initialised; run `mainstay controllers init`")
	}
	old := s.BackupsOf(cmd.Cluster)
	if cmd.Version != 0 && cmd.Version != old.Version {
		return fmt.Errorf("%w (backups of %s: version %d, now %d)", ErrMoved, cmd.Cluster, cmd.Version, old.Version)
	}
	next := *old
	next.Records = slices.Clone(old.Records)
	var err error
	switch c := cmd.Backups; {
	case c.Begin != nil:
		err = next.begin(s, cmd)
	case c.Ended != 0:
		err = next.ended(cmd)
	case c.Cancel != 0:
		err = next.cancel(cmd)
	case c.Listed != nil:
		err = next.listed(cmd)
	default:
		err = errors.New("a change of backups begins, ends or cancels work, or lists what another program made")
	}
	if err != nil {
		return err
	}
	next.Version++
	all := make(map[string]*Backups, len(s.Backups)+1)
	for name, b := range s.Backups {
		all[name] = b
	}
	all[cmd.Cluster] = &next
	s.Backups = all
	return nil
}

func (b *Backups) begin(s *State, cmd Command) error {
	j := *cmd.Backups.Begin
	conf := s.ClusterConfig(cmd.Cluster)
	switch {
	case conf == nil:
		return fmt.Errorf("there is no cluster %q; `mainstay status` lists them", cmd.Cluster)
	case conf.Backup == nil:
		return fmt.Errorf("cluster %s has no backup section in the platform file: it names the targets", cmd.Cluster)
	case conf.Member(j.Member) == nil:
		return fmt.Errorf("cluster %s has no member %s", cmd.Cluster, j.Member)
	case b.Job != nil:
		return fmt.Errorf("%s of %s is running for cluster %s (by %s): wait for its end, or cancel it with `mainstay backup cancel %[3]s`",
			b.Job.Work, b.Job.Backup, cmd.Cluster, b.Job.By)
	}
	j.Number, j.By, j.Since, j.Cancel = s.Index, cmd.By, cmd.At, false
	if j.Work == platform.BackupMake {
		b.High++
		j.Backup = fmt.Sprintf("%s-b%d", cmd.Cluster, b.High)
		if base := b.Record(j.Base); j.Base != "" && (base == nil || !base.Restorable()) {
			return fmt.Errorf("backup %s is not one that another can be built on", j.Base)
		}
		b.Job = &j
		return nil
	}
	if err := b.mayUse(&j); err != nil {
		return err
	}
	b.Job = &j
	return nil
}

// mayUse says why a backup cannot be tested, restored or removed.
func (b *Backups) mayUse(j *platform.BackupJob) error {
	r := b.Record(j.Backup)
	switch {
	case r == nil:
		return fmt.Errorf("there is no backup %s; `mainstay backup list` lists them", j.Backup)
	case r.Removed != "":
		return fmt.Errorf("backup %s was removed at %s", j.Backup, r.Removed)
	case j.Work == platform.BackupRemove && r.Foreign != nil:
		return fmt.Errorf("backup %s is in a repository of %s, which expires its own: remove it with `%s`, and the catalogue follows", r.ID,
			r.Foreign.Program, r.Foreign.Expire(r.Foreign.Label))
	case j.Work == platform.BackupRemove:
		if newest := b.Newest(); newest != nil && newest.ID == j.Backup {
			return fmt.Errorf("backup %s is the newest good one: it is not removed before a newer one is good", j.Backup)
		}
		if other := b.BuiltOn(j.Backup); other != "" {
			return fmt.Errorf("backup %s is built on %s: remove that one first", other, j.Backup)
		}
		return nil
	case j.Work != platform.BackupTest && j.Work != platform.BackupRestore:
		return fmt.Errorf("there is no work %q for backups", j.Work)
	}
	for _, part := range b.Chain(j.Backup) {
		if !part.Restorable() && j.Accepted == "" && j.Work == platform.BackupRestore {
			return fmt.Errorf("backup %s is %s (%s): it is restored only by an operator's word that names that", part.ID, part.Verdict,
				part.Evidence)
		}
		if j.Target != "" && !part.At(j.Target) {
			return fmt.Errorf("target %s does not hold backup %s", j.Target, part.ID)
		}
	}
	if !r.Held() {
		return fmt.Errorf("no target holds backup %s (%s)", r.ID, r.Verdict)
	}
	return nil
}

func (b *Backups) cancel(cmd Command) error {
	if b.Job == nil || b.Job.Number != cmd.Backups.Cancel {
		return fmt.Errorf("no such work is running for the backups of cluster %s", cmd.Cluster)
	}
	j := *b.Job
	j.Cancel = true
	b.Job = &j
	return nil
}

func (b *Backups) ended(cmd Command) error {
	c, j := cmd.Backups, b.Job
	if j == nil || j.Number != c.Ended {
		return fmt.Errorf("work %d for the backups of cluster %s is not running", c.Ended, cmd.Cluster)
	}
	switch j.Work {
	case platform.BackupMake:
		if err := b.made(j, c, cmd.At); err != nil {
			return err
		}
	case platform.BackupTest:
		if c.Test != nil {
			b.edit(j.Backup, func(r *platform.Backup) { tested(r, *c.Test) })
		}
	case platform.BackupRemove:
		if c.Done {
			b.edit(j.Backup, func(r *platform.Backup) { r.Removed, r.Receipts, r.Engine = cmd.At, nil, nil })
		}
	}
	b.Last = &EndedBackupJob{Job: *j, Done: c.Done, Outcome: c.Outcome, At: cmd.At}
	b.Tried = with(b.Tried, j.Work, cmd.At)
	failed := ""
	if !c.Done {
		failed = j.Member
	}
	b.Failed = with(b.Failed, j.Work, failed)
	b.Job = nil
	b.forget()
	return nil
}

// with is a copy of m with another value for a kind of work; "" removes it.
func with(m map[platform.BackupWork]string, work platform.BackupWork, value string) map[platform.BackupWork]string {
	next := map[platform.BackupWork]string{}
	maps.Copy(next, m)
	if next[work] = value; value == "" {
		delete(next, work)
	}
	return next
}

// made records the backup. Of one that was not made nothing is known but that.
func (b *Backups) made(j *platform.BackupJob, c *ChangeBackups, at string) error {
	r := platform.Backup{ID: j.Backup, Member: j.Member, Base: j.Base, Began: j.Since, Verdict: platform.BackupUnfinished, Evidence: c.Outcome}
	if c.Record != nil {
		r = *c.Record
	}
	switch {
	case r.ID != j.Backup:
		return fmt.Errorf("the record is that of %s, not of %s", r.ID, j.Backup)
	case len(r.Engine) > mostEngine:
		return fmt.Errorf("the record of %s has %d bytes of its engine; at most %d are kept", r.ID, len(r.Engine), mostEngine)
	}
	if r.Ended = at; r.Verdict != platform.BackupGood {
		r.Engine = nil // no other one is built on it
	}
	if r.Foreign == nil {
		b.Records = append(b.Records, r)
		return nil
	}
	b.Records = slices.DeleteFunc(b.Records, func(old platform.Backup) bool { // the list had it first
		return old.Held() && madeBy(&old, &r.Foreign.BackupWith) && old.Foreign.Label == r.Foreign.Label
	})
	b.place(r)
	return nil
}

// place puts a record of another program's backup where it belongs by its time.
func (b *Backups) place(r platform.Backup) {
	at := len(b.Records)
	for at > 0 && b.Records[at-1].Began > r.Began {
		at--
	}
	b.Records = slices.Insert(b.Records, at, r)
}

// listed records what another program has made, and removed, on its own.
func (b *Backups) listed(cmd Command) error {
	l := cmd.Backups.Listed
	if len(l.New)+len(l.Gone) == 0 {
		return errors.New("nothing has changed in the repository")
	}
	known := b.Labels(l.With)
	for i := range b.Records {
		if r := &b.Records[i]; r.Held() && madeBy(r, &l.With) && slices.Contains(l.Gone, r.ID) {
			r.Removed = cmd.At
		}
	}
	for _, r := range l.New {
		switch {
		case !madeBy(&r, &l.With) || len(r.Engine) > 0 || len(r.Receipts) > 0:
			return fmt.Errorf("the record of %s is none of a backup of %s %s", r.ID, l.With.Program, l.With.Name)
		case known[r.Foreign.Label] != nil:
			continue
		}
		b.High++
		r.ID, r.Verdict = fmt.Sprintf("%s-b%d", cmd.Cluster, b.High), platform.BackupUnverified
		b.place(r)
	}
	b.forget()
	return nil
}

// tested keeps the newest restore test from each target. A copy at rest that does not restore is no good one, until it does: its target may
// have been unmounted. A backup at a target has been good; a check has refused none of those.
func tested(r *platform.Backup, t platform.RestoreTest) {
	tests := slices.DeleteFunc(slices.Clone(r.Tests), func(old platform.RestoreTest) bool { return old.Target == t.Target })
	r.Tests = append(tests, t)
	if t.Good && r.Verdict == platform.BackupUnverified {
		r.Verdict, r.Evidence = platform.BackupGood, ""
	}
	if !t.Good && (r.Verdict == platform.BackupGood || r.Verdict == platform.BackupUnverified) {
		r.Verdict, r.Evidence = platform.BackupBad, "its restore test from "+t.Target+" failed: "+t.Detail
	}
	failed := slices.ContainsFunc(r.Tests, func(t platform.RestoreTest) bool { return !t.Good })
	if t.Good && !failed && r.Verdict == platform.BackupBad && len(r.Receipts) > 0 {
		r.Verdict, r.Evidence = platform.BackupGood, ""
	}
}

// edit replaces a record by one that f has changed.
func (b *Backups) edit(id string, f func(*platform.Backup)) {
	if r := b.Record(id); r != nil {
		f(r)
	}
}

// forget drops the oldest records of backups that no target holds.
func (b *Backups) forget() {
	over := -mostBackups
	for i := range b.Records {
		if !b.Records[i].Held() {
			over++
		}
	}
	b.Records = slices.DeleteFunc(b.Records, func(r platform.Backup) bool {
		if r.Held() || over <= 0 {
			return false
		}
		over--
		return true
	})
}
