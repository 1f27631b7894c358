package backups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/health/backup"
	"mainstay/health/backup/foreign"
)

const (
	// listEvery is how often a repository of another program is listed, and listAgain how soon after that has failed.
	listEvery = 5 * time.Minute
	listAgain = 30 * time.Second
	listBound = 2 * time.Minute
	// takeBound is how long another program may take to make a backup.
	takeBound = 24 * time.Hour
)

// adapter is another program of the agent's file. Host.mu guards version and trouble.
type adapter struct {
	program string
	conf    config.BackupProgram
	version string
	trouble string // why it cannot be used now
}

// listed is what the repository of another program holds. It is replaced, never edited.
type listed struct {
	with    platform.BackupWith
	order   string    // the leader's digest when it was listed
	tried   time.Time // by the monotonic clock
	at      time.Time // by the wall clock, of the last success
	digest  string
	backups []platform.Backup
	trouble string // of the last attempt
}

// adaptersOf are the programs of the agent's file.
func adaptersOf(c config.Backup) (all []*adapter) {
	for _, a := range []struct {
		program string
		conf    *config.BackupProgram
	}{{platform.PgBackRest, c.PgBackRest}, {platform.Barman, c.Barman}} {
		if a.conf != nil {
			all = append(all, &adapter{program: a.program, conf: *a.conf, trouble: "it was not asked yet"})
		}
	}
	return all
}

// open returns a repository. The program is asked nothing.
func (a *adapter) open(name string) (foreign.Repository, error) {
	c := foreign.Config{Program: a.conf.Program, File: a.conf.Config, Name: name}
	if os.Geteuid() == 0 { // another user can run it only as itself
		c.User = a.conf.User
	}
	if a.program == platform.Barman {
		return foreign.OpenBarman(c)
	}
	return foreign.OpenPgBackRest(c)
}

// ask has the program tell its version.
func (a *adapter) ask(ctx context.Context) (version, trouble string) {
	repo, err := a.open("")
	if err == nil {
		version, err = repo.Version(ctx)
	}
	if err != nil {
		trouble = err.Error()
	}
	return version, trouble
}

// repository is the one that a plan or a record names.
func (h *Host) repository(with platform.BackupWith) (foreign.Repository, error) {
	for _, a := range h.adapters {
		if a.program == with.Program {
			return a.open(with.Name)
		}
	}
	return nil, fmt.Errorf("this agent's file does not define %s (backup.%[1]s)", with.Program)
}

// reportForeign adds what a member's agent says of other programs; called with Host.mu held.
func (h *Host) reportForeign(member string, r *health.Backups) {
	l, o := h.lists[member], h.orders[member]
	for _, a := range h.adapters {
		said := health.BackupAdapter{Program: a.program, Version: a.version, Trouble: a.trouble}
		if l != nil && l.with.Program == a.program {
			said.Trouble = cmp.Or(said.Trouble, l.trouble)
		}
		r.Adapters = append(r.Adapters, said)
	}
	if l == nil || l.trouble != "" || o.Listed == "" || o.Plan == nil || o.Plan.With == nil || *o.Plan.With != l.with {
		return
	}
	r.Listing = &health.BackupListing{With: l.with, At: stamp(l.at), Same: o.Listed == l.digest}
	if !r.Listing.Same {
		r.Listing.Backups = l.backups
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// listAll lists the repositories of the clusters whose leader asks this agent to.
func (h *Host) listAll(ctx context.Context) error {
	for {
		for member, o := range h.wanted() {
			h.mu.Lock()
			l := h.lists[member]
			h.mu.Unlock()
			switch {
			case o.Listed != "" && o.Plan != nil && o.Plan.With != nil:
				if with := *o.Plan.With; l == nil || l.due(with, o.Listed) {
					l = h.list(ctx, with, o.Listed, l)
				}
			case l != nil && time.Since(l.tried) > listAgain: // another agent lists it
				l = nil
			}
			if ctx.Err() != nil {
				return nil
			}
			h.mu.Lock()
			h.lists[member] = l
			h.mu.Unlock()
		}
		if wakeup.Pause(ctx, archiveEvery) != nil {
			return nil
		}
	}
}

// due tells whether to list again: after a while, and at once where the catalogue has changed and is not what the list has.
func (l *listed) due(with platform.BackupWith, digest string) bool {
	age := time.Since(l.tried)
	if l.trouble != "" {
		return l.with != with || age > listAgain
	}
	return l.with != with || age > listEvery || digest != l.order && digest != l.digest
}

// list asks the program. What it said before stays where it does not answer.
func (h *Host) list(ctx context.Context, with platform.BackupWith, order string, before *listed) *listed {
	ctx, cancel := context.WithTimeout(ctx, listBound)
	defer cancel()
	l := &listed{with: with, order: order, tried: time.Now()}
	if before != nil && before.with == with {
		l.at, l.digest, l.backups, l.trouble = before.at, before.digest, before.backups, before.trouble
	}
	at := time.Now()
	repo, err := h.repository(with)
	var all []foreign.Backup
	if err == nil {
		all, err = repo.List(ctx)
	}
	if err != nil {
		if l.trouble != err.Error() {
			h.o.Log.Warn("a repository of backups cannot be listed", zap.String("program", with.Program), zap.Error(err))
		}
		l.trouble = err.Error()
		return l
	}
	l.at, l.trouble, l.backups = at, "", nil
	var labels []string
	for _, b := range all {
		if b.State == foreign.Done {
			l.backups = append(l.backups, foreignRecord(with, b, all))
			labels = append(labels, b.ID)
		}
	}
	if over := len(l.backups) - platform.MostListed; over > 0 {
		l.backups, labels = l.backups[over:], labels[over:]
	}
	if l.digest = platform.ListedDigest(labels); before == nil || before.digest != l.digest || before.trouble != "" {
		h.o.News()
	}
	return l
}

// foreignRecord is the catalogue's record of a backup that another program made. Before a restore nothing is known of what it holds.
func foreignRecord(with platform.BackupWith, b foreign.Backup, all []foreign.Backup) platform.Backup {
	r := platform.Backup{SystemID: b.SystemID, Timeline: b.Timeline, Start: b.Start, End: b.Stop, Began: stamp(b.Began), Ended: stamp(b.Ended),
		Bytes: b.Size, Packed: b.Stored, FullSince: stamp(b.Began), Verdict: platform.BackupUnverified,
		Evidence: cmp.Or(b.Problem, "no restore has shown yet that it is good"),
		Foreign:  &platform.ForeignBackup{BackupWith: with, Label: b.ID, Kind: string(b.Kind)}}
	for _, other := range all {
		if other.Kind == foreign.Full && slices.Contains(b.Needs, other.ID) {
			r.FullSince = stamp(other.Began)
		}
	}
	return r
}

// makeForeign has another program make a backup, and proves it: that program restores it, as far as its own end, for the common checks.
func (h *Host) makeForeign(ctx context.Context, j *job, engine *backup.Engine, ended *health.BackupEnded) error {
	with := *j.Plan.With
	repo, err := h.repository(with)
	if err != nil {
		return err
	}
	began := time.Now()
	made, why, err := h.take(ctx, j, repo)
	if err != nil {
		return err
	}
	all, err := repo.List(ctx)
	if err != nil {
		return fmt.Errorf("%s has made %s: %w", with.Program, made.ID, err)
	}
	record := foreignRecord(with, made, all)
	record.ID, record.Member, record.Version, record.WhyFull = j.Job.Backup, j.member, engine.Server.Binaries.Version, why
	record.Steps = []platform.BackupStep{{Name: string(backup.StepTake), Took: time.Since(began)}}
	o := h.foreignRestoration(j, &record, repo, platform.RestorePoint{}, nil)
	t, err := engine.TestRestore(ctx, o, h.tell(j))
	if err != nil && ctx.Err() != nil {
		return err
	}
	record.Steps = append(record.Steps, stepsOf(t.Proof)...)
	record.Results, record.Evidence = resultsOf(t.Proof), t.Proof.Evidence
	switch t.Proof.Verdict {
	case backup.Good:
		record.Verdict, record.Evidence, ended.Done = platform.BackupGood, "", true
		ended.Outcome = fmt.Sprintf("%s is good: it is %s of %s %s", record.ID, made.ID, with.Program, with.Name)
	case backup.Bad:
		record.Verdict = platform.BackupBad
	}
	if !ended.Done {
		ended.Outcome = fmt.Sprintf("%s (%s of %s %s) is %s: %s", record.ID, made.ID, with.Program, with.Name, record.Verdict, record.Evidence)
	}
	ended.Record = &record
	return nil
}

// take has the program take a backup. Where it cannot make an incremental one it is a full one, and why says so.
func (h *Host) take(ctx context.Context, j *job, repo foreign.Repository) (made foreign.Backup, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, takeBound)
	defer cancel()
	told := h.tell(j)
	told(backup.Progress{Step: backup.StepTake})
	t := foreign.Take{Kind: foreign.Full, Progress: func(p foreign.Progress) {
		told(backup.Progress{Step: backup.StepTake, Percent: int(p.Fraction * 100)})
	}}
	if base := len(j.Backups); j.Job.Base != "" && base > 0 && j.Backups[base-1].Foreign != nil {
		part := t
		part.Kind = foreign.Incremental
		if j.Plan.With.Program == platform.Barman { // pgBackRest chooses the base itself
			part.Base = j.Backups[base-1].Foreign.Label
		}
		if made, err = repo.Take(ctx, part); !errors.Is(err, foreign.ErrUnsupported) {
			return made, "", err
		}
		why = err.Error()
	}
	made, err = repo.Take(ctx, t)
	return made, why, err
}

// foreignRestoration is the order to have another program restore a backup, and to check it up to a point: the zero value is the end of the
// backup itself. Where the archive is broken behind that end, broken says so and the copy ends there; nil makes that damage.
func (h *Host) foreignRestoration(j *job, b *platform.Backup, repo foreign.Repository, until platform.RestorePoint,
	broken *string) backup.Restoration {
	return backup.Restoration{Cluster: j.cluster, ID: b.ID, Checks: assertions(j.Plan), Depth: depth(j.Plan),
		Other: &backup.Other{Size: b.Bytes, Restore: func(ctx context.Context, into string) (backup.Copy, error) {
			o := foreign.Restore{ID: b.Foreign.Label, Into: into, Until: foreign.Until{LSN: until.LSN,
				Immediate: until == platform.RestorePoint{}}}
			if b.Foreign.Kind == string(foreign.Incremental) && b.Foreign.Program == platform.Barman {
				// Its restore combines, and the manifest of what comes out is made of what went in, rot of a base included.
				if e, err := repo.Verify(ctx, o.ID); err != nil {
					return backup.Copy{}, err
				} else if e.Verdict == foreign.Bad {
					return backup.Copy{Damage: strings.Join(e.Found, "; ")}, nil
				}
			}
			r, err := repo.Restore(ctx, o)
			gap := (*foreign.GapError)(nil)
			switch {
			case err == nil:
			case errors.As(err, &gap) && r.Data != "" && broken != nil: // the backup itself may be right
				*broken = err.Error()
			case errors.As(err, &gap), errors.Is(err, foreign.ErrDamaged), errors.Is(err, foreign.ErrNoBackup),
				errors.Is(err, foreign.ErrNotArchived) && until.LSN == 0:
				return backup.Copy{Damage: err.Error()}, nil
			default:
				return backup.Copy{}, err
			}
			c := backup.Copy{Data: r.Data, Spaces: r.Tablespaces, Manifest: r.Manifest, WAL: r.WAL, Start: r.Backup.Start, End: r.Backup.Stop,
				Until: backup.Until{Timeline: r.Timeline, LSN: until.LSN}}
			if until.Latest && gap == nil { // a damaged record would end the recovery before the last segment
				c.Until.LSN, c.Until.End = max(r.Reaches, r.Backup.Stop), true
			}
			return c, nil
		}}}
}

// restoreForeign is restoreOne for a backup in another program's repository.
func (h *Host) restoreForeign(ctx context.Context, j *job, engine *backup.Engine, b *platform.Backup, ended *health.BackupEnded) error {
	began := time.Now()
	repo, err := h.repository(b.Foreign.BackupWith)
	if err != nil {
		return err
	}
	until := j.Job.Until
	if until.Time != "" || until.Name != "" {
		return fmt.Errorf("%s is in a repository of %s, whose WAL is not searched for times and names: name an LSN, or latest", b.ID,
			b.Foreign.Program)
	}
	if j.Job.Work == platform.BackupTest {
		t := &test{told: " (the end of the archive)", from: b.Foreign.Program, began: began}
		return h.testOne(ctx, j, engine, h.foreignRestoration(j, b, repo, platform.RestorePoint{Latest: true}, &t.gap), t, ended)
	}
	into := h.folderOf(j)
	if err := os.MkdirAll(filepath.Dir(into), 0o711); err != nil {
		return err
	}
	return h.keepRestored(ctx, j, engine, h.foreignRestoration(j, b, repo, until, nil), restored{into: into, data: filepath.Join(into, "data"),
		began: began}, ended)
}
