package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

const (
	// backupRetry is the longest pause after work for backups that has failed.
	backupRetry = 10 * time.Minute
	// backupSilence is how long an agent with such work may be silent: it may continue without being heard.
	backupSilence = 10 * time.Minute
	// archiveLate is how long WAL may wait for the archive before that is a problem.
	archiveLate = 5 * time.Minute
)

// backupView is one cluster's backups as the leader sees them. No decision about the primary depends on them.
type backupView struct {
	clusterView
	plan *platform.BackupPlan // nil if the platform file asks for none
	b    *state.Backups
}

func viewBackups(in Input, cluster string, d *Decision) *backupView {
	conf, c := in.State.ClusterConfig(cluster), in.State.Clusters[cluster]
	if conf == nil || c == nil {
		return nil
	}
	return &backupView{clusterView: clusterView{Input: in, c: c, conf: conf, decision: d}, plan: conf.Backup, b: in.State.BackupsOf(cluster)}
}

// backups decides about the backups of every cluster, one command each.
func backups(in Input, d *Decision) {
	for i := range in.State.Platform.Clusters {
		conf := &in.State.Platform.Clusters[i]
		if conf.Backup == nil && in.State.BackupsOf(conf.Name).Job == nil { // the common case
			continue
		}
		v := viewBackups(in, conf.Name, d)
		if v == nil {
			continue
		}
		if in.Survey && v.plan != nil {
			v.backupProblems()
		}
		if change := v.next(); change != nil {
			d.Commands = append(d.Commands, state.Command{By: byMainstay, At: in.At(), Cluster: conf.Name, Version: v.b.Version, Backups: change})
		}
	}
}

func (v *backupView) next() *state.ChangeBackups {
	if change := v.listed(); change != nil {
		return change
	}
	if j := v.b.Job; j != nil {
		return v.endJob(j)
	}
	if v.heldBackups() != "" || v.Now-v.View.Since < checksSettle {
		return nil
	}
	member, _ := v.backupMember()
	if member == "" {
		return nil
	}
	begin := func(j platform.BackupJob) *state.ChangeBackups {
		j.Member = member
		return &state.ChangeBackups{Begin: &j}
	}
	if id := v.expired(); id != "" && v.pauseAfter(platform.BackupRemove, 0) == 0 {
		return begin(platform.BackupJob{Work: platform.BackupRemove, Backup: id})
	}
	if v.plan.Every > 0 && v.due() == 0 && (v.plan.With == nil || v.listing() != nil && v.listing().Same) {
		return begin(platform.BackupJob{Work: platform.BackupMake, Base: v.base()})
	}
	if newest := v.b.Candidate(v.plan); newest != nil && v.plan.TestEvery > 0 && v.pauseAfter(platform.BackupTest, v.plan.TestEvery) == 0 {
		return begin(platform.BackupJob{Work: platform.BackupTest, Backup: newest.ID, Target: v.testTarget(newest)})
	}
	return nil
}

// due is how long until a backup is due. Those that another program made on its own count too.
func (v *backupView) due() time.Duration {
	pause := v.pauseAfter(platform.BackupMake, v.plan.Every)
	if newest := v.b.Candidate(v.plan); newest != nil && v.plan.With != nil {
		if ended, ok := instant(newest.Ended); ok && !v.Wall.Before(ended) {
			pause = max(pause, v.plan.Every-v.Wall.Sub(ended))
		}
	}
	return pause
}

// endJob ends work whose agent has told how it ended, or cannot tell any more.
func (v *backupView) endJob(j *platform.BackupJob) *state.ChangeBackups {
	failed := func(format string, args ...any) *state.ChangeBackups {
		return &state.ChangeBackups{Ended: j.Number, Outcome: fmt.Sprintf(format, args...)}
	}
	m := v.conf.Member(j.Member)
	if m == nil {
		return failed("member %s was removed from the platform", j.Member)
	}
	r := v.known(j.Member)
	if r != nil && r.Backups != nil && r.Backups.Ended != nil && r.Backups.Ended.Number == j.Number {
		e := r.Backups.Ended
		return &state.ChangeBackups{Ended: j.Number, Done: e.Done, Outcome: e.Outcome, Record: e.Record, Test: e.Test}
	}
	silence := min(v.View.Silence(m.Host, v.Now), v.Now-v.View.Since)
	switch {
	case silence > backupSilence:
		return failed("the agent of %s has been silent for %s", j.Member, silence.Round(time.Second))
	case r != nil && r.Backups == nil:
		return failed("the agent of %s has no target, and no other program, any more", j.Member)
	case v.plan == nil && !j.Cancel:
		return &state.ChangeBackups{Cancel: j.Number}
	}
	return nil
}

// heldBackups is why no work for backups continues; "" for nothing.
func (v *backupView) heldBackups() string {
	return (&checkView{clusterView: v.clusterView}).held()
}

// backupMember is the member whose agent works for backups next: a replica whose files were found clean most recently, or the primary
// where no replica can. Where none can, it is "", with the reasons.
func (v *backupView) backupMember() (name string, why []string) {
	if v.plan.With != nil {
		return v.foreignMember()
	}
	able, unable := []string{}, map[string][]string{} // by the reason, which is often the same for all
	for _, name := range v.replicas() {
		against := v.cannotBackUp(name)
		if against == "" {
			able = append(able, name)
		}
		unable[against] = append(unable[against], name)
	}
	slices.SortStableFunc(able, func(a, b string) int {
		return cmp.Or(falseFirst(v.failedOn(a), v.failedOn(b)), falseFirst(v.doubted(a), v.doubted(b)), v.cleaner(a, b), cmp.Compare(a, b))
	})
	if len(able) > 0 {
		return able[0], nil
	}
	against := v.cannotBackUp(v.c.Primary)
	if against == "" {
		return v.c.Primary, nil
	}
	unable[against] = append(unable[against], v.c.Primary)
	for against, names := range unable {
		why = append(why, strings.Join(names, ", ")+": "+against)
	}
	slices.Sort(why)
	return "", why
}

// failedOn tells whether the last backup failed on a member: the fault may be its host's, so another one comes first.
func (v *backupView) failedOn(name string) bool { return v.b.Failed[platform.BackupMake] == name }

// cannotBackUp is why a member's agent cannot work for backups; "" if it can.
func (v *backupView) cannotBackUp(name string) string {
	r, m := v.fresh(name), v.c.Members[name]
	conf := v.conf.Member(name)
	if conf == nil || m == nil {
		return "it is no member"
	}
	switch {
	case r == nil:
		return "its agent is silent"
	case conf.Leaving:
		return "it was removed from the platform"
	case r.Process != health.ProcessRunning:
		return "it does not run"
	case name != v.c.Primary && !r.Streams():
		return "it does not stream"
	case m.Older || m.Frozen() != nil:
		return "its data is not that of the cluster's present"
	case v.against(name, r) != "":
		return "its data is damaged: " + v.against(name, r)
	}
	return r.Backups.Cannot(v.plan)
}

// pauseAfter is how long until work of a kind is due that is done every so often; it is retried earlier where the last one failed. A wall
// clock that was set back makes it due.
func (v *backupView) pauseAfter(work platform.BackupWork, every time.Duration) time.Duration {
	tried, ok := instant(v.b.Tried[work])
	if !ok || v.Wall.Before(tried) {
		return 0
	}
	if v.b.Failed[work] != "" {
		every = backupRetry
		if v.plan.Every > 0 {
			every = min(every, v.plan.Every)
		}
	}
	return max(0, every-v.Wall.Sub(tried))
}

// instant reads a record's wall clock.
func instant(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// base is the backup that the next one is built on, "" for a full one.
func (v *backupView) base() string {
	newest := v.b.Newest()
	if newest == nil || v.plan.Full == 0 || newest != v.b.Candidate(v.plan) && v.plan.With == nil {
		return ""
	}
	since, ok := instant(cmp.Or(newest.FullSince, newest.Began))
	if age := v.Wall.Sub(since); !ok || age < 0 || age >= v.plan.Full {
		return ""
	}
	for _, part := range v.b.Chain(newest.ID) {
		for _, target := range v.plan.Places() {
			if !part.At(target) { // the target was added since
				return ""
			}
		}
	}
	return newest.ID
}

// expired is a backup that is kept no longer; "" for none. The newest good ones stay, with all that they are built on.
func (v *backupView) expired() string {
	if v.plan.With != nil { // the other program expires its own
		return ""
	}
	good, kept, oldest, elsewhere := 0, map[string]bool{}, 0, ""
	for i := len(v.b.Records) - 1; i >= 0 && good < v.plan.Keep; i-- {
		if r := &v.b.Records[i]; r.Restorable() && r.Foreign == nil {
			good++
			oldest = i
			for _, part := range v.b.Chain(r.ID) {
				kept[part.ID] = true
			}
		}
	}
	if good < v.plan.Keep {
		return ""
	}
	for i := range oldest {
		if r := &v.b.Records[i]; len(r.Receipts) > 0 && !kept[r.ID] && v.b.BuiltOn(r.ID) == "" {
			if v.planned(r) {
				return r.ID
			}
			elsewhere = cmp.Or(elsewhere, r.ID)
		}
	}
	return elsewhere
}

// planned tells whether the plan names all targets that hold a backup. Agents may not know another one any more, and then its backups
// cannot be removed: they must not keep those behind them.
func (v *backupView) planned(r *platform.Backup) bool {
	return !slices.ContainsFunc(r.Receipts, func(at platform.BackupReceipt) bool { return !slices.Contains(v.plan.Targets, at.Target) })
}

// testTarget is the target from which a restore was tested least recently.
func (v *backupView) testTarget(newest *platform.Backup) string {
	best, tested := "", ""
	for _, name := range newest.Places(v.plan) {
		if _, last := v.lastTest(name); newest.At(name) && (best == "" || last.At < tested) {
			best, tested = name, last.At
		}
	}
	return best
}

// archiver is the member whose agent archives the cluster's WAL, "" for none. The one that does it continues, as long as it can; the
// primary only until a replica can.
func (v *backupView) archiver() string {
	if v.plan == nil || !v.plan.Archives() || v.c.Primary == "" || !v.c.Opened {
		return ""
	}
	for i := range v.conf.Members {
		name := v.conf.Members[i].Name
		r := v.fresh(name)
		if name != v.c.Primary && r != nil && r.Backups != nil && r.Backups.Archive != nil && v.cannotBackUp(name) == "" {
			return name
		}
	}
	name, _ := v.backupMember()
	return name
}

// BackupOrder says what the agent of a member does for its cluster's backups. It is sent with answers to reports.
// It is false for nothing.
func BackupOrder(in Input, cluster, member string) (order platform.BackupOrder, any bool) {
	conf := in.State.ClusterConfig(cluster)
	if conf == nil || conf.Backup == nil && in.State.BackupsOf(cluster).Job == nil { // the common case
		return order, false
	}
	v := viewBackups(in, cluster, &Decision{})
	if v == nil {
		return order, false
	}
	order = platform.BackupOrder{Hold: v.heldBackups() != ""}
	if j := v.b.Job; j != nil && j.Member == member {
		order.Job = j
		order.Backups = v.b.Chain(cmp.Or(j.Base, j.Backup))
		order.OldestWAL = v.oldestWAL(j)
	}
	order.Archive = v.archiver() == member
	order.Plan = v.plan
	if v.lister() == member && member != "" {
		order.Listed = platform.ListedDigest(slices.Collect(maps.Keys(v.b.Labels(*v.plan.With))))
	}
	return order, order.Job != nil || order.Archive || order.Listed != ""
}

// Standing is how a cluster's backups stand, for people.
type Standing struct {
	Archiver string        // the member whose agent archives WAL, "" for none
	Due      time.Duration // until a backup is due; 0: one is, or none is scheduled
	Waits    string        // why none begins now; "" if one would
}

// BackupStanding says how the backups of a cluster with a plan stand.
func BackupStanding(in Input, cluster string) (s Standing) {
	v := viewBackups(in, cluster, &Decision{})
	if v == nil || v.plan == nil {
		return s
	}
	s.Archiver, s.Waits = v.archiver(), v.heldBackups()
	if v.plan.Every > 0 {
		s.Due = v.due()
	}
	if _, why := v.backupMember(); len(why) > 0 && s.Waits == "" {
		s.Waits = "no member's agent can: " + strings.Join(why, "; ")
	}
	return s
}

// BackupsHeld is why no work for a cluster's backups begins now, whichever member would do it; "" for nothing.
func BackupsHeld(in Input, cluster string) string {
	if v := viewBackups(in, cluster, &Decision{}); v != nil {
		return v.heldBackups()
	}
	return ""
}

// ChooseBackupMember is the member whose agent does an operator's work: that one, if it is named and can; else as backupMember.
func ChooseBackupMember(in Input, cluster, named string) (member string, why []string) {
	v := viewBackups(in, cluster, &Decision{})
	switch {
	case v == nil || v.plan == nil:
		return "", []string{"the cluster has no plan for backups"}
	case named == "":
		return v.backupMember()
	}
	if against := v.cannotBackUp(named); against != "" {
		return "", []string{named + ": " + against}
	}
	return named, nil
}

// BackupBase is the backup that an incremental one would be built on, "" for a full one.
func BackupBase(in Input, cluster string) string { return viewBackups(in, cluster, &Decision{}).base() }

// BackupTestTarget is the target of that backup from which a restore was tested least recently.
func BackupTestTarget(in Input, cluster string, r *platform.Backup) string {
	return viewBackups(in, cluster, &Decision{}).testTarget(r)
}

// oldestWAL is where the WAL begins that a backup needs which stays once the work is done; 0 if none stays, or if no WAL may be removed.
func (v *backupView) oldestWAL(j *platform.BackupJob) platform.LSN {
	if j.Work != platform.BackupRemove {
		return 0
	}
	oldest, gone := platform.LSN(0), v.b.Record(j.Backup)
	for i := range v.b.Records {
		if r := &v.b.Records[i]; r.ID != j.Backup && shareTarget(r, gone) && (oldest == 0 || r.Start < oldest) {
			oldest = r.Start
		}
	}
	return oldest
}

// shareTarget tells whether a target holds both backups. WAL at a target is for the backups that are there.
func shareTarget(a, b *platform.Backup) bool {
	return b != nil && slices.ContainsFunc(a.Receipts, func(r platform.BackupReceipt) bool { return b.At(r.Target) })
}

// KeptFrom is where the WAL begins that every member of a cluster keeps for its archive: every target holds what is before. 0 if that is
// not known. What an agent has archived of a timeline that was left says nothing about the present one.
func KeptFrom(in Input, cluster string) platform.LSN {
	conf, c := in.State.ClusterConfig(cluster), in.State.Clusters[cluster]
	if conf == nil || conf.Backup == nil || c == nil {
		return 0
	}
	v := viewBackups(in, cluster, &Decision{})
	if name := v.archiver(); name != "" {
		if r := v.fresh(name); r != nil && r.Backups != nil && r.Backups.Archive != nil && r.Backups.Archive.Timeline == c.Timeline {
			return r.Backups.Archive.Until
		}
	}
	return 0
}
