package decide

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// backupProblems names what is wrong with the cluster's backups.
func (v *backupView) backupProblems() {
	newest := v.b.Candidate(v.plan)
	v.overdue(newest)
	v.badBackups()
	if v.plan.TestEvery > 0 && newest != nil {
		v.untested()
	}
	v.archiveProblems()
}

// late is the age from which something that happens every so often is overdue.
func late(every time.Duration) time.Duration { return every + every/2 + time.Minute }

func (v *backupView) overdue(newest *platform.Backup) {
	if v.plan.Every == 0 {
		return
	}
	text, kind := "there is no good backup", "good backup"
	if v.plan.With != nil {
		text, kind = "there is no backup that is not bad", "backup that is not bad"
	}
	if newest != nil {
		ended, _ := instant(newest.Ended)
		age := v.Wall.Sub(ended)
		if age < late(v.plan.Every) {
			return
		}
		text = fmt.Sprintf("the newest %s, %s, ended %s ago, and one is due every %s", kind, newest.ID, age.Round(time.Second), v.plan.Every)
	}
	switch j := v.b.Job; {
	case j != nil:
		text += fmt.Sprintf("; %s of %s is running on %s", j.Work, j.Backup, j.Member)
	case v.b.Last != nil && !v.b.Last.Done:
		text += fmt.Sprintf("; the last attempt, on %s, failed: %s", v.b.Last.Job.Member, v.b.Last.Outcome)
	}
	if _, why := v.backupMember(); len(why) > 0 {
		text += "; no member can make one: " + strings.Join(why, "; ")
	} else if held := v.heldBackups(); held != "" {
		text += "; none begins, because " + held
	}
	v.problem(health.BackupOverdue, "", text, false)
}

// badBackups names the last backup if it is bad, and targets whose last restore test failed.
func (v *backupView) badBackups() {
	said := ""
	for i := len(v.b.Records) - 1; i >= 0; i-- {
		r := &v.b.Records[i]
		if r.Verdict == platform.BackupBad {
			v.problem(health.BackupBad, r.Member, r.ID+": "+r.Evidence, false)
			said = r.Evidence
		}
		if r.Verdict != platform.BackupUnfinished && r.Verdict != platform.BackupUnverified {
			break
		}
	}
	for _, name := range v.plan.Places() {
		of, last := v.lastTest(name)
		if of != "" && !last.Good && (said == "" || !strings.HasSuffix(said, last.Detail)) {
			v.problem(health.BackupBad, "", fmt.Sprintf("the restore test of %s from %s failed: %s", of, name, last.Detail), false)
		}
		if last.Archive != "" {
			v.problem(health.ArchiveGap, "", fmt.Sprintf("the restore test of %s from %s could not replay the archive: %s", of, name,
				last.Archive), false)
		}
	}
}

// lastTest is the newest restore test from a target, and of which backup it was; "" for none.
func (v *backupView) lastTest(target string) (of string, last platform.RestoreTest) {
	for i := range v.b.Records {
		for _, t := range v.b.Records[i].Tests {
			if t.Target == target && t.At >= last.At {
				last, of = t, v.b.Records[i].ID
			}
		}
	}
	return of, last
}

func (v *backupView) untested() {
	best := ""
	for i := range v.b.Records {
		for _, t := range v.b.Records[i].Tests {
			if t.Good {
				best = max(best, t.At)
			}
		}
	}
	at, ok := instant(best)
	switch age := v.Wall.Sub(at); {
	case !ok:
		v.problem(health.RestoreUntested, "", "no backup has been restored from a target yet", false)
	case age > late(v.plan.TestEvery):
		v.problem(health.RestoreUntested, "", fmt.Sprintf("the last restore from a target that succeeded was %s ago, and one is due every %s",
			age.Round(time.Second), v.plan.TestEvery), false)
	}
}

func (v *backupView) archiveProblems() {
	if !v.plan.Archives() || v.heldBackups() != "" {
		return
	}
	name := v.archiver()
	if name == "" {
		_, why := v.backupMember()
		v.problem(health.ArchiveBehind, "", "no member's agent can archive WAL: "+strings.Join(why, "; "), false)
		return
	}
	r := v.fresh(name)
	if r == nil || r.Backups == nil || r.Backups.Archive == nil {
		return // it has just been asked
	}
	a := r.Backups.Archive
	behind := time.Duration(a.BehindMS) * time.Millisecond
	switch {
	case len(a.Gaps) > 0:
		v.problem(health.ArchiveGap, name, strings.Join(a.Gaps, "; "), false)
	case behind > archiveLate:
		text := fmt.Sprintf("the targets hold WAL up to %s, the state of %s ago", max(a.Until, a.Partial), behind.Round(time.Second))
		if a.Trouble != "" {
			text += ": " + a.Trouble
		}
		v.problem(health.ArchiveBehind, name, text, false)
	}
}
