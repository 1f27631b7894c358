package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// The metrics of backups, from the leader alone, of clusters that have a plan or a catalogue.
var (
	mBackupGood   = desc("backup_good", "1 if the cluster has a good backup.", "cluster")
	mBackupAge    = desc("backup_age_seconds", "Time since the newest good backup ended, by the wall clock.", "cluster")
	mBackupBytes  = desc("backup_bytes", "Size of the files of the newest good backup.", "cluster")
	mBackupPacked = desc("backup_packed_bytes", "Size of what a target holds of the newest good backup.", "cluster")
	mBackups      = desc("backups", "Backups in the catalogue that were not removed.", "cluster", "verdict")
	mBackupWork   = desc("backup_running", "1 while work of that kind runs.", "cluster", "work")

	mTestAge  = desc("restore_test_age_seconds", "Time since the last restore test from the target, by the wall clock.", "cluster", "target")
	mTestTook = desc("restore_test_seconds", "How long the last restore test from the target took.", "cluster", "target")
	mTestGood = desc("restore_test_good", "1 if the last restore test from the target was good.", "cluster", "target")

	mArchiveBehind = desc("archive_behind_seconds", "Time since all targets held all WAL of the member that is archived; none while no agent "+
		"archives.", "cluster")
	mArchivePosition = desc("archive_position_bytes", "WAL position up to which all targets hold everything.", "cluster")
	mArchiveGaps     = desc("archive_gaps", "Ranges of WAL that a target lacks and no member has any more.", "cluster")

	backupMetrics = []*prometheus.Desc{mBackupGood, mBackupAge, mBackupBytes, mBackupPacked, mBackups, mBackupWork, mTestAge, mTestTook,
		mTestGood, mArchiveBehind, mArchivePosition, mArchiveGaps}
)

func (e emitter) backups(snapshot loop.Snapshot, conf *platform.Cluster) {
	in, name := snapshot.Input, conf.Name
	b := in.State.BackupsOf(name)
	if conf.Backup == nil && len(b.Records) == 0 && b.Job == nil {
		return
	}
	newest := b.Newest()
	e.Flag(mBackupGood, newest != nil, name)
	if newest != nil {
		if ended, ok := wall(newest.Ended); ok {
			e.Gauge(mBackupAge, in.Wall.Sub(ended).Seconds(), name)
		}
		e.Gauge(mBackupBytes, float64(newest.Bytes), name)
		e.Gauge(mBackupPacked, float64(newest.Packed), name)
	}
	count := map[platform.BackupVerdict]float64{platform.BackupGood: 0, platform.BackupBad: 0, platform.BackupUnfinished: 0}
	for i := range b.Records {
		if b.Records[i].Removed == "" {
			count[b.Records[i].Verdict]++
		}
	}
	for verdict, n := range count {
		e.Gauge(mBackups, n, name, string(verdict))
	}
	for _, work := range []platform.BackupWork{platform.BackupMake, platform.BackupTest, platform.BackupRemove, platform.BackupRestore} {
		e.Flag(mBackupWork, b.Job != nil && b.Job.Work == work, name, string(work))
	}
	for target, t := range lastTests(b) {
		if at, ok := wall(t.At); ok {
			e.Gauge(mTestAge, in.Wall.Sub(at).Seconds(), name, target)
		}
		e.Gauge(mTestTook, t.Took.Seconds(), name, target)
		e.Flag(mTestGood, t.Good, name, target)
	}
	e.archive(in, conf)
}

func (e emitter) archive(in decide.Input, conf *platform.Cluster) {
	m := conf.Member(decide.BackupStanding(in, conf.Name).Archiver)
	if m == nil {
		return
	}
	r := in.View.Member(m)
	if r == nil || r.Backups == nil || r.Backups.Archive == nil {
		return
	}
	a := r.Backups.Archive
	behind := time.Duration(a.BehindMS)*time.Millisecond + in.View.Silence(m.Host, in.Now)
	e.Gauge(mArchiveBehind, behind.Seconds(), conf.Name)
	e.Gauge(mArchivePosition, float64(max(a.Until, a.Partial)), conf.Name)
	e.Gauge(mArchiveGaps, float64(len(a.Gaps)), conf.Name)
}

// lastTests are the newest restore tests, by target.
func lastTests(b *state.Backups) map[string]platform.RestoreTest {
	last := map[string]platform.RestoreTest{}
	for i := range b.Records {
		for _, t := range b.Records[i].Tests {
			if t.At >= last[t.Target].At {
				last[t.Target] = t
			}
		}
	}
	return last
}

// wall reads a record's wall clock.
func wall(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}
