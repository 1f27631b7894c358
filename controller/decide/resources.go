package decide

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"mainstay/health"
)

// Bounds of an archiver. PostgreSQL tries a file three times within seconds, then pauses for a minute: a failure that lasts longer than
// archiveFails has had a second round. archiveHangs is how long it may do nothing while files wait, and archiveBehind, with
// archiveBacklog files, how long a load may be ahead of it.
const (
	archiveFails   = 90 * time.Second
	archiveHangs   = 5 * time.Minute
	archiveBehind  = 10 * time.Minute
	archiveBacklog = 64
)

// archiverHeld is for how long a member's archiver has failed, done nothing, and been far behind.
func (v *clusterView) archiverHeld(name string, r *health.Member) (fails, hangs, behind time.Duration) {
	a := r.Archiver
	if a == nil || a.Waiting == 0 {
		return 0, 0, 0
	}
	if a.Failed != "" {
		fails = v.heldFor(archiverFails, name)
	}
	if a.Waiting >= archiveBacklog {
		behind = v.heldFor(archiverBehind, name)
	}
	return fails, v.heldFor(archiverHangs, name, a.Archived), behind
}

// archiving names a member whose archiver fails, hangs or falls behind.
func (v *clusterView) archiving(name string, r *health.Member) {
	fails, hangs, behind := v.archiverHeld(name, r)
	a, what := r.Archiver, ""
	switch {
	case fails > archiveFails:
		what = fmt.Sprintf("its archiver fails: %s is refused, and the last file archived is %s", a.Failed, cmp.Or(a.Archived, "none"))
	case hangs > archiveHangs:
		what = fmt.Sprintf("its archiver has finished no file for %s: the last one is %s", hangs.Round(time.Minute), cmp.Or(a.Archived, "none"))
	case behind > archiveBehind:
		what = "its archiver is slower than the load; the last file archived is " + a.Archived
	default:
		return
	}
	v.problem(health.ArchivingFails, name, fmt.Sprintf("%s. %d files (%d MB) wait, and pg_wal has grown to %d MB: none of them is removed "+
		"before it is archived. Run archive_command for one by hand on %s, and see its PostgreSQL's log",
		what, a.Waiting, int64(a.Waiting)*a.Segment>>20, a.Kept>>20, name), false)
}

// collations names a member whose host has other versions of libraries than its databases were made with.
func (v *clusterView) collations(name string, r *health.Member) {
	if len(r.Collations) == 0 {
		return
	}
	var all []string
	refresh := "ALTER DATABASE ... REFRESH COLLATION VERSION"
	for _, c := range r.Collations {
		of := c.Database
		if c.Of != "" {
			of += ", " + c.Of
			refresh = "ALTER DATABASE ... REFRESH COLLATION VERSION and ALTER COLLATION ... REFRESH VERSION"
		}
		all = append(all, fmt.Sprintf("%s (%s %s, here %s)", of, c.Provider, c.Recorded, cmp.Or(c.Offered, "none")))
	}
	text := "text is ordered otherwise on its host than these databases' indexes were made with: " + strings.Join(all, "; ")
	if name == v.c.Primary {
		text += ". In each of them run REINDEX DATABASE, then " + refresh
	} else {
		text += fmt.Sprintf(". Bring %s to the version of %s before it is promoted", name, v.c.Primary)
	}
	v.problem(health.CollationsDiffer, name, text, false)
}

// logSigns names what PostgreSQL's log and its catalog say against a member's data or disk. It excludes no member: a session can log
// anything.
func (v *clusterView) logSigns(name string, r *health.Member) {
	if s := r.Log.Sign(health.SignOfStorage); s != nil {
		v.problem(health.StorageErrors, name, "PostgreSQL's log reports errors of its disk, "+s.String(), false)
	}
	if v.against(name, r) != "" {
		return
	}
	if found := signs(r); len(found) > 0 {
		v.problem(health.DamageReported, name, strings.Join(found, "; ")+". `mainstay integrity check "+name+
			" --depth structure` tests it", false)
	}
}

// signs are what speaks against a member's data without a check of it.
func signs(r *health.Member) (found []string) {
	if s := r.Log.Sign(health.SignOfDamage); s != nil {
		found = append(found, "PostgreSQL's log reports damaged data, "+s.String())
	}
	if s := r.Log.Sign(health.SignOfWAL); s != nil {
		found = append(found, "WAL is lost, "+s.String())
	}
	if len(r.ShortFiles) > 0 {
		found = append(found, "files contradict the catalog: "+strings.Join(r.ShortFiles, ", "))
	}
	return found
}

// otherCollations tells whether a member's indexes on text may be wrong once it leads.
func (v *clusterView) otherCollations(name string) bool {
	r := v.fresh(name)
	return r != nil && len(r.Collations) > 0
}

// sendersTaken names who holds the primary's WAL senders while a replica may need one. It has no effect on them: a base backup
// or a subscriber may be worth more to its user than one replica.
func (v *clusterView) sendersTaken(p *health.Member) {
	if p.MaxSenders == 0 {
		return
	}
	streams := map[string]bool{}
	for _, s := range p.Senders {
		streams[s.Name] = true
	}
	var waits []string
	ours := map[string]bool{}
	for _, name := range v.replicas() {
		incarnation := v.c.Members[name].Incarnation
		ours[incarnation] = true
		if !streams[incarnation] && v.c.Upstreams[name] == "" {
			waits = append(waits, name)
		}
	}
	var others []string
	for _, s := range p.Senders {
		if !ours[s.Name] && !strings.HasPrefix(s.Name, "mainstay-") { // a clone of ours ends without help
			others = append(others, fmt.Sprintf("%q (%s, %s)", s.Name, s.State, s.Client))
		}
	}
	if len(waits) == 0 || len(others) == 0 {
		return
	}
	if more := len(others) - mostOutsiders; more > 0 {
		others = append(others[:mostOutsiders], fmt.Sprintf("%d more", more))
	}
	v.problem(health.WALSendersTaken, v.c.Primary, fmt.Sprintf("all %d WAL senders are taken, and %s cannot stream. "+
		"These are not members': %s. End one of them at its client or by SELECT pg_terminate_backend(PID), "+
		"or raise max_wal_senders, on replicas first", p.MaxSenders, strings.Join(waits, ", "), strings.Join(others, ", ")), false)
}

// overrides lists settings that the user's files override.
func overrides(all []health.Override) string {
	var texts []string
	for _, o := range all {
		texts = append(texts, o.String())
	}
	return strings.Join(texts, "; ")
}

// startTime is what the next start does with the start-time settings that differ from those in force; "" if there are none.
func startTime(r *health.Member) string {
	var texts []string
	if len(r.PendingRestart) > 0 {
		texts = append(texts, "it needs a restart for "+strings.Join(r.PendingRestart, ", "))
	}
	for _, s := range r.RemovedAtStart {
		texts = append(texts, "the next start removes "+s)
	}
	return strings.Join(texts, "; ")
}

// sharedSpaces names a member that has, or will have once its replay gets there, the folder of a tablespace in common with another member:
// a replay does not mind files that are there already. Of two members of a cluster, the replica is named.
func (v *clusterView) sharedSpaces(name string, r *health.Member) {
	own := v.View.Report(v.conf.Member(name).Host)
	for i := range v.State.Platform.Clusters {
		conf := &v.State.Platform.Clusters[i]
		for j := range conf.Members {
			m := &conf.Members[j]
			host := v.View.Report(m.Host)
			if m.Name == name || host == nil || host.BootID == "" || host.BootID != own.BootID ||
				conf.Name == v.conf.Name && (name == v.c.Primary || name < m.Name && m.Name != v.c.Primary) {
				continue
			}
			other := host.Member(m.Name)
			if other == nil {
				continue
			}
			if paths := sharedPaths(r.Tablespaces, other.Tablespaces); len(paths) > 0 {
				v.problem(health.TablespaceShared, name, sharedText(name, m.Name, v.c.Primary, conf.Name, paths), false)
			}
		}
	}
}

// sharedPaths are the locations of tablespaces whose folders others have too.
func sharedPaths(own, others []health.Tablespace) (paths []string) {
	for _, s := range own {
		for _, o := range others {
			if s.Folder == "" || s.Folder != o.Folder {
				continue
			}
			path := s.Location
			if o.Location != path {
				path += " (" + o.Location + ")"
			}
			paths = append(paths, path)
		}
	}
	return paths
}

// sharedText names the mend. Replay is paused for it: a replay that removes a file from the common folder before the primary has synced it
// ends the primary at its next checkpoint.
func sharedText(name, other, primary, cluster string, paths []string) string {
	return fmt.Sprintf("%s and %s are on one machine and have the folder of a tablespace in common: %s. Each overwrites the other's files "+
		"there. Run SELECT pg_wal_replay_pause() on every replica, or %[4]s may end at its next checkpoint. On %[4]s, move what is in the "+
		"tablespace elsewhere (ALTER TABLE ALL IN TABLESPACE ... SET TABLESPACE pg_default, and ALTER INDEX likewise, in each database), "+
		"then run CHECKPOINT and DROP TABLESPACE. Run SELECT pg_wal_replay_resume() on the replicas, then `mainstay integrity check %[5]s`. "+
		"Or move one of the two to another machine", name, other, strings.Join(paths, ", "), primary, cluster)
}
