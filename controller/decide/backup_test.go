package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

var backupTargets = []string{"vault", "cloud"}

// backedUp is a cluster with a plan whose agents have both targets. The wall clock of the stage's input is fixed.
func backedUp(t *testing.T, change func(*platform.BackupPlan)) *stage {
	st := well(t, 1, func(p *platform.Platform) {
		plan := &platform.BackupPlan{Every: 24 * time.Hour, Full: 168 * time.Hour, Keep: 2, Targets: backupTargets, TestEvery: 168 * time.Hour}
		if change != nil {
			change(plan)
		}
		p.Clusters[0].Backup = plan
	})
	for _, m := range st.members {
		m.Backups = &health.Backups{Targets: []health.BackupTarget{{Name: "vault", Kind: "directory"}, {Name: "cloud", Kind: "s3"}}}
	}
	return st
}

// ago is a record's wall clock, that long before now.
func (st *stage) ago(d time.Duration) string {
	return st.input().Wall.Add(-d).UTC().Format(time.RFC3339)
}

// backup is the change of backups that is decided now, nil for none.
func (st *stage) backup() *state.ChangeBackups {
	st.report()
	for _, cmd := range Next(st.input()).Commands {
		if cmd.Backups != nil {
			return cmd.Backups
		}
	}
	return nil
}

// commitBackup applies a change of backups at a wall clock.
func (st *stage) commitBackup(at string, c *state.ChangeBackups) {
	st.t.Helper()
	cmd := onFeed(state.Command{Backups: c})
	cmd.At = at
	st.apply(cmd)
}

// made makes a backup that ended that long ago.
func (st *stage) made(ago time.Duration, r platform.Backup) string {
	st.t.Helper()
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Begin: &platform.BackupJob{Work: platform.BackupMake, Member: "m2", Base: r.Base}})
	j := st.s.BackupsOf("feed").Job
	r.ID, r.Began = j.Backup, st.ago(ago)
	if r.Verdict == "" {
		r.Verdict = platform.BackupGood
		for _, name := range backupTargets {
			r.Receipts = append(r.Receipts, platform.BackupReceipt{Target: name, Object: "base"})
		}
	}
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Ended: j.Number, Done: r.Verdict == platform.BackupGood, Outcome: r.Evidence,
		Record: &r})
	return r.ID
}

// tested makes a restore test that ended that long ago.
func (st *stage) tested(ago time.Duration, id, target string, good bool) {
	st.t.Helper()
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Begin: &platform.BackupJob{Work: platform.BackupTest, Member: "m2", Backup: id,
		Target: target}})
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Ended: st.s.BackupsOf("feed").Job.Number, Done: true,
		Test: &platform.RestoreTest{Target: target, At: st.ago(ago), Good: good, Detail: "no rows"}})
}

const hour = time.Hour

// TestBackupsDue: what is begun, when, and by whose agent.
func TestBackupsDue(t *testing.T) {
	for _, c := range []struct {
		name   string
		plan   func(*platform.BackupPlan)
		change func(*stage)
		want   platform.BackupJob // the zero value for nothing
	}{
		{"the first", nil, func(*stage) {}, platform.BackupJob{Work: platform.BackupMake, Member: "m2"}},
		{"only when asked for", func(p *platform.BackupPlan) { p.Every, p.Full = 0, 0 }, func(*stage) {}, platform.BackupJob{}},
		{"from the replica that was found clean last", nil, func(st *stage) {
			st.members["m2"].Scan = &health.Scan{Complete: true, Checksums: true, AgeMS: 9}
			st.members["m3"].Scan = &health.Scan{Complete: true, Checksums: true, AgeMS: 2}
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not from a damaged one", nil, func(st *stage) { st.members["m2"].Damage = "3 bad pages" },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not where a target is missing", nil, func(st *stage) { st.members["m2"].Backups.Targets = st.members["m2"].Backups.Targets[:1] },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not where a target cannot be used", nil, func(st *stage) { st.members["m2"].Backups.Targets[1].Trouble = "is read-only" },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"from the primary where no replica can", nil, func(st *stage) {
			st.members["m2"].Receiver, st.members["m3"].Backups = nil, nil
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m1"}},
		{"by nobody", nil, func(st *stage) {
			for _, m := range st.members {
				m.Backups = nil
			}
		}, platform.BackupJob{}},
		{"not while the cluster is paused", nil, func(st *stage) {
			st.apply(onFeed(state.Command{By: "ann", Pause: &state.SetPause{Pause: &state.Pause{By: "ann", Reason: "work"}}}))
		}, platform.BackupJob{}},
		{"not yet", nil, func(st *stage) { st.tested(hour, st.made(2*hour, platform.Backup{}), "vault", true) }, platform.BackupJob{}},
		{"a day later, built on the last", nil, func(st *stage) { st.tested(hour, st.made(24*hour, platform.Backup{}), "vault", true) },
			platform.BackupJob{Work: platform.BackupMake, Member: "m2", Base: "feed-b1"}},
		{"a full one after a week", nil, func(st *stage) {
			id := st.made(169*hour, platform.Backup{})
			st.tested(hour, st.made(24*hour, platform.Backup{Base: id, FullSince: st.ago(169 * hour)}), "vault", true)
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m2"}},
		{"a full one where a target lacks the base", nil, func(st *stage) {
			st.tested(hour, st.made(24*hour, platform.Backup{Verdict: platform.BackupGood,
				Receipts: []platform.BackupReceipt{{Target: "vault"}}}), "vault", true)
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m2"}},
		{"not at once after a failure", nil, func(st *stage) { st.made(5*time.Minute, platform.Backup{Verdict: platform.BackupBad}) },
			platform.BackupJob{}},
		{"10 minutes after a failure", nil, func(st *stage) { st.made(11*time.Minute, platform.Backup{Verdict: platform.BackupBad}) },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}}, // the fault may be m2's
		{"10 minutes after a failure, whatever was done since", nil, func(st *stage) {
			id := st.made(2*hour, platform.Backup{})
			st.made(11*time.Minute, platform.Backup{Verdict: platform.BackupUnfinished})
			st.tested(5*time.Minute, id, "vault", true)
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m3", Base: "feed-b1"}},
		{"a clock that was set back", nil, func(st *stage) { st.made(-48*hour, platform.Backup{}) },
			platform.BackupJob{Work: platform.BackupMake, Member: "m2"}},
		{"a restore test", nil, func(st *stage) { st.made(hour, platform.Backup{}) },
			platform.BackupJob{Work: platform.BackupTest, Member: "m2", Backup: "feed-b1", Target: "vault"}},
		{"of the newest, from the targets in turn", nil, func(st *stage) {
			st.tested(200*hour, st.made(201*hour, platform.Backup{}), "vault", true)
			st.made(hour, platform.Backup{})
		}, platform.BackupJob{Work: platform.BackupTest, Member: "m2", Backup: "feed-b2", Target: "cloud"}},
		{"the oldest expires", nil, func(st *stage) {
			for n := range time.Duration(3) {
				st.tested(hour, st.made((3-n)*hour, platform.Backup{}), "vault", true)
			}
		}, platform.BackupJob{Work: platform.BackupRemove, Member: "m2", Backup: "feed-b1"}},
		{"before it one whose targets are all in the plan", nil, func(st *stage) {
			st.made(4*hour, platform.Backup{Verdict: platform.BackupGood, Receipts: []platform.BackupReceipt{{Target: "former"}}})
			for n := range time.Duration(3) {
				st.tested(hour, st.made((3-n)*hour, platform.Backup{}), "vault", true)
			}
		}, platform.BackupJob{Work: platform.BackupRemove, Member: "m2", Backup: "feed-b2"}},
		{"at last one at a former target", nil, func(st *stage) {
			st.made(4*hour, platform.Backup{Verdict: platform.BackupGood, Receipts: []platform.BackupReceipt{{Target: "former"}}})
			for n := range time.Duration(2) {
				st.tested(hour, st.made((3-n)*hour, platform.Backup{}), "vault", true)
			}
		}, platform.BackupJob{Work: platform.BackupRemove, Member: "m2", Backup: "feed-b1"}},
		{"not one that a kept one is built on", nil, func(st *stage) {
			id := st.made(4*hour, platform.Backup{})
			st.made(3*hour, platform.Backup{Base: id})
			st.made(2*hour, platform.Backup{Base: id})
			st.tested(hour, "feed-b3", "vault", true)
		}, platform.BackupJob{}},
		{"bad ones do not make good ones expire", nil, func(st *stage) {
			for n := range time.Duration(2) {
				st.tested(hour, st.made((20-n)*hour, platform.Backup{}), "vault", true)
			}
			for n := range time.Duration(3) {
				st.made((10-n)*time.Minute, platform.Backup{Verdict: platform.BackupBad})
			}
		}, platform.BackupJob{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := backedUp(t, c.plan)
			c.change(st)
			got := platform.BackupJob{}
			if b := st.backup(); b != nil && b.Begin != nil {
				got = *b.Begin
			} else if b != nil {
				t.Fatalf("got %+v", b)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestBackupJobEnds: by what its agent tells, by the agent's silence, and where nobody asks for backups any more.
func TestBackupJobEnds(t *testing.T) {
	begun := func(t *testing.T) (*stage, *platform.BackupJob) {
		st := backedUp(t, nil)
		st.commitBackup(st.ago(0), st.backup())
		return st, st.s.BackupsOf("feed").Job
	}
	st, j := begun(t)
	if c := st.backup(); c != nil {
		t.Fatalf("while it runs: %+v", c)
	}
	if order, any := BackupOrder(st.input(), "feed", "m2"); !any || order.Job.Number != j.Number || order.Plan == nil || !order.Archive ||
		order.Hold {
		t.Errorf("the order is %+v", order)
	}
	if _, any := BackupOrder(st.input(), "feed", "m3"); any {
		t.Error("the other replica has an order, too")
	}
	st.members["m2"].Backups.Ended = &health.BackupEnded{Number: j.Number - 1, Done: true}
	if c := st.backup(); c != nil {
		t.Fatalf("the end of another one ended it: %+v", c)
	}
	st.members["m2"].Backups.Ended = &health.BackupEnded{Number: j.Number, Outcome: "the disk is full", Record: &platform.Backup{ID: j.Backup}}
	if c := st.backup(); c == nil || c.Ended != j.Number || c.Done || c.Outcome != "the disk is full" || c.Record.ID != j.Backup {
		t.Errorf("got %+v", c)
	}

	st, j = begun(t)
	st.members["m2"] = nil
	st.later(backupSilence - time.Second)
	if c := st.backup(); c != nil {
		t.Fatalf("after a short silence: %+v", c)
	}
	st.later(3 * time.Second)
	if c := st.backup(); c == nil || c.Ended != j.Number || !strings.Contains(c.Outcome, "silent") {
		t.Errorf("after a long silence: %+v", c)
	}

	st, j = begun(t)
	st.configure(func(c *platform.Cluster) { c.Backup = nil })
	if c := st.backup(); c == nil || c.Cancel != j.Number {
		t.Errorf("without a plan: %+v", c)
	}
	st.commitBackup(st.ago(0), &state.ChangeBackups{Cancel: j.Number})
	if order, any := BackupOrder(st.input(), "feed", "m2"); !any || !order.Job.Cancel {
		t.Errorf("the order is %+v", order)
	}
}

// TestArchiver: one agent archives, it continues as long as it can, and what it has archived counts on the present timeline only.
func TestArchiver(t *testing.T) {
	st := backedUp(t, nil)
	archives := func() (names []string) {
		st.report()
		for _, name := range []string{"m1", "m2", "m3"} {
			if order, _ := BackupOrder(st.input(), "feed", name); order.Archive {
				names = append(names, name)
			}
		}
		return names
	}
	if got := archives(); !slices.Equal(got, []string{"m2"}) {
		t.Errorf("at first %v archive", got)
	}
	st.members["m3"].Backups.Archive = &health.Archiving{Timeline: 1, Until: 700}
	if got := archives(); !slices.Equal(got, []string{"m3"}) || KeptFrom(st.input(), "feed") != 700 {
		t.Errorf("once m3 does it, %v archive; WAL is kept from %s", got, KeptFrom(st.input(), "feed"))
	}
	st.members["m1"].Backups.Archive = &health.Archiving{Timeline: 1, Until: 900}
	if got := archives(); !slices.Equal(got, []string{"m3"}) {
		t.Errorf("while the primary does it, too, %v archive", got)
	}
	st.members["m3"].Backups.Archive.Timeline = 9
	st.report()
	if at := KeptFrom(st.input(), "feed"); at != 0 {
		t.Errorf("of another timeline: WAL is kept from %s", at)
	}
	st.members["m3"].Receiver = nil
	if got := archives(); !slices.Equal(got, []string{"m2"}) {
		t.Errorf("once m3 does not stream, %v archive", got)
	}
	st.configure(func(c *platform.Cluster) {
		c.Backup = &platform.BackupPlan{Targets: backupTargets, Keep: 1, NoArchive: true}
	})
	if got := archives(); len(got) > 0 {
		t.Errorf("without an archive, %v archive", got)
	}
	if g := st.s.GoalOf("feed", "m1"); g.Archive {
		t.Error("a slot is kept without an archive")
	}
}

func TestBackupProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stage)
		kind   health.Kind // "" for none
		says   string
	}{
		{"well", func(st *stage) { st.tested(hour, st.made(2*hour, platform.Backup{}), "vault", true) }, "", ""},
		{"none yet", func(*stage) {}, health.BackupOverdue, "there is no good backup"},
		{"a late one", func(st *stage) { st.tested(hour, st.made(37*hour, platform.Backup{}), "vault", true) }, health.BackupOverdue,
			"feed-b1, ended 37h0m0s ago, and one is due every 24h0m0s"},
		{"it failed", func(st *stage) {
			st.made(time.Minute, platform.Backup{Verdict: platform.BackupUnfinished, Evidence: "the disk is full"})
		}, health.BackupOverdue, "the last attempt, on m2, failed: the disk is full"},
		{"no member can", func(st *stage) {
			for _, m := range st.members {
				m.Backups.Targets = nil
			}
		}, health.BackupOverdue, "m2, m3, m1: target vault: its agent's file does not define it"},
		{"a bad one", func(st *stage) {
			st.made(2*hour, platform.Backup{})
			st.made(hour, platform.Backup{Verdict: platform.BackupBad, Evidence: "base/5/7 block 3: the checksum is wrong"})
		}, health.BackupBad, "feed-b2: base/5/7 block 3"},
		{"a bad copy at a target", func(st *stage) {
			st.tested(hour, st.made(2*hour, platform.Backup{}), "vault", false)
			st.tested(hour, st.made(hour, platform.Backup{}), "cloud", true)
		}, health.BackupBad, "the restore test of feed-b1 from vault failed: no rows"},
		{"a good one since", func(st *stage) {
			st.tested(hour, st.made(2*hour, platform.Backup{}), "vault", false)
			st.tested(time.Minute, st.made(hour, platform.Backup{}), "vault", true)
		}, "", ""},
		{"never tested", func(st *stage) { st.made(hour, platform.Backup{}) }, health.RestoreUntested, "no backup has been restored"},
		{"tested long ago", func(st *stage) {
			st.tested(260*hour, st.made(261*hour, platform.Backup{}), "vault", true)
			st.made(hour, platform.Backup{})
		}, health.RestoreUntested, "260h0m0s ago"},
		{"a gap", func(st *stage) {
			st.members["m2"].Backups.Archive = &health.Archiving{Timeline: 1, Gaps: []string{"segment 7 of timeline 1"}}
		}, health.ArchiveGap, "segment 7"},
		{"a gap that a test found", func(st *stage) {
			st.tested(hour, st.made(2*hour, platform.Backup{}), "vault", true)
			b := st.s.BackupsOf("feed").Record("feed-b1")
			b.Tests[0].Archive = "segment 8 is missing"
		}, health.ArchiveGap, "the restore test of feed-b1 from vault could not replay the archive: segment 8 is missing"},
		{"the archive is late", func(st *stage) {
			st.members["m2"].Backups.Archive = &health.Archiving{Timeline: 1, BehindMS: (6 * time.Minute).Milliseconds(), Trouble: "vault is full"}
		}, health.ArchiveBehind, "vault is full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := backedUp(t, nil)
			c.change(st)
			st.report()
			found := false
			for _, p := range Next(st.input()).Problems {
				switch {
				case p.Kind == c.kind && strings.Contains(p.Evidence, c.says):
					found = true
				case c.kind == "" && strings.Contains(string(p.Kind), "Backup"), c.kind == "" && p.Kind == health.RestoreUntested:
					t.Errorf("%s: %s", p.Kind, p.Evidence)
				case p.Kind == c.kind:
					t.Errorf("%s says %q", p.Kind, p.Evidence)
				}
			}
			if !found && c.kind != "" {
				t.Errorf("no %s with %q", c.kind, c.says)
			}
		})
	}
}

var restFeed = platform.BackupWith{Program: platform.PgBackRest, Name: "main"}

// foreignly is a cluster whose backups pgBackRest makes, and whose agents know it and have listed the repository.
func foreignly(t *testing.T) *stage {
	st := backedUp(t, func(p *platform.BackupPlan) { p.Targets, p.With = nil, &restFeed })
	for _, m := range st.members {
		m.Backups = &health.Backups{Adapters: []health.BackupAdapter{{Program: platform.PgBackRest, Version: "2.45"}}}
	}
	st.members["m1"].Backups.Listing = &health.BackupListing{With: restFeed, At: st.ago(0), Same: true}
	return st
}

// theirs is a backup that pgBackRest made on its own.
func (st *stage) theirs(label string, ago time.Duration) platform.Backup {
	return platform.Backup{Began: st.ago(ago + time.Minute), Ended: st.ago(ago), Verdict: platform.BackupUnverified,
		Foreign: &platform.ForeignBackup{BackupWith: restFeed, Label: label, Kind: "full"}}
}

// lists has the agent of m1 find what the catalogue does not know, and records it.
func (st *stage) lists(backups ...platform.Backup) *state.ListedBackups {
	st.t.Helper()
	l := st.members["m1"].Backups.Listing
	l.Same, l.Backups = false, backups
	c := st.backup()
	l.Same, l.Backups = true, nil
	if c == nil || c.Listed == nil {
		return nil
	}
	st.commitBackup(st.ago(0), c)
	return c.Listed
}

// TestBackupsOfAnotherProgram: which agent is chosen, when, and that those which the program makes on its own count.
func TestBackupsOfAnotherProgram(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stage)
		want   platform.BackupJob // the zero value for nothing
	}{
		{"the first", func(*stage) {}, platform.BackupJob{Work: platform.BackupMake, Member: "m2"}},
		{"not before the repository was listed", func(st *stage) { st.members["m1"].Backups.Listing = nil }, platform.BackupJob{}},
		{"not where the agent does not have the program", func(st *stage) { st.members["m2"].Backups.Adapters = nil },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not where it has another one", func(st *stage) { st.members["m2"].Backups.Adapters[0].Program = platform.Barman },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not where it cannot be used", func(st *stage) { st.members["m2"].Backups.Adapters[0].Trouble = "it is not installed" },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"not by an agent of an earlier version", func(st *stage) { st.members["m2"].Backups = nil },
			platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"each gets its turn where others have failed", func(st *stage) {
			st.failed(40*time.Minute, "m2")
			st.failed(20*time.Minute, "m3")
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m1"}},
		{"the one that failed least recently", func(st *stage) {
			st.failed(60*time.Minute, "m3")
			st.failed(40*time.Minute, "m1")
			st.failed(20*time.Minute, "m2")
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m3"}},
		{"the one that made the last, and built on it", func(st *stage) {
			r := st.theirs("A", 25*hour)
			r.Member, r.Verdict = "m1", platform.BackupGood
			st.tested(hour, st.made(25*hour, r), platform.PgBackRest, true)
		}, platform.BackupJob{Work: platform.BackupMake, Member: "m1", Base: "feed-b1"}},
		{"none where the program made one on its own, but a test", func(st *stage) { st.lists(st.theirs("A", hour)) },
			platform.BackupJob{Work: platform.BackupTest, Member: "m2", Backup: "feed-b1", Target: platform.PgBackRest}},
		{"of the newest", func(st *stage) { st.lists(st.theirs("A", 3*hour), st.theirs("B", hour)) },
			platform.BackupJob{Work: platform.BackupTest, Member: "m2", Backup: "feed-b2", Target: platform.PgBackRest}},
		{"none expires", func(st *stage) {
			st.lists(st.theirs("A", 4*hour), st.theirs("B", 3*hour), st.theirs("C", 2*hour), st.theirs("D", hour))
			for _, id := range []string{"feed-b1", "feed-b2", "feed-b3", "feed-b4"} {
				st.tested(time.Minute, id, platform.PgBackRest, true)
			}
		}, platform.BackupJob{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := foreignly(t)
			c.change(st)
			got := platform.BackupJob{}
			if b := st.backup(); b != nil && b.Begin != nil {
				got = *b.Begin
			} else if b != nil {
				t.Fatalf("got %+v", b)
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// failed makes an attempt of a member's agent that failed that long ago.
func (st *stage) failed(ago time.Duration, member string) {
	st.t.Helper()
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Begin: &platform.BackupJob{Work: platform.BackupMake, Member: member}})
	st.commitBackup(st.ago(ago), &state.ChangeBackups{Ended: st.s.BackupsOf("feed").Job.Number, Outcome: "it is no primary"})
}

// TestRepositoryListed: the catalogue follows another program's repository, and never loses what a list is too old for.
func TestRepositoryListed(t *testing.T) {
	st := foreignly(t)
	st.report()
	if order, any := BackupOrder(st.input(), "feed", "m1"); !any || order.Listed != platform.ListedDigest(nil) || order.Archive {
		t.Errorf("the order is %+v", order)
	}
	if order, any := BackupOrder(st.input(), "feed", "m2"); any {
		t.Errorf("a second agent lists: %+v", order)
	}
	a, b := st.theirs("A", 3*hour), st.theirs("B", 2*hour)
	if l := st.lists(a, b); l == nil || len(l.New) != 2 || len(l.Gone) != 0 {
		t.Fatalf("got %+v", l)
	}
	if order, _ := BackupOrder(st.input(), "feed", "m1"); order.Listed != platform.ListedDigest([]string{"B", "A"}) {
		t.Errorf("the order is %+v", order)
	}
	if l := st.lists(a, b); l != nil {
		t.Errorf("again: %+v", l)
	}
	if l := st.lists(b, st.theirs("C", hour)); l == nil || len(l.New) != 1 || !slices.Equal(l.Gone, []string{"feed-b1"}) {
		t.Errorf("once one was expired: %+v", l)
	}
	if r := st.s.BackupsOf("feed").Record("feed-b1"); r.Held() || r.Removed == "" {
		t.Errorf("got %+v", r)
	}
	c := st.theirs("D", 0)
	c.Verdict, c.Member = platform.BackupGood, "m2"
	st.made(0, c)
	if l := st.lists(b, st.theirs("C", hour)); l != nil {
		t.Errorf("a list that is not newer than the backup: %+v", l)
	}
	if got := st.s.BackupsOf("feed").Newest(); got == nil || got.Foreign.Label != "D" {
		t.Errorf("the newest is %+v", got)
	}
	st.configure(func(c *platform.Cluster) { c.Backup = &platform.BackupPlan{Targets: backupTargets, Keep: 1} })
	if l := st.lists(b); l != nil {
		t.Errorf("with another plan: %+v", l)
	}
}

// TestProblemsOfAnotherProgram: a backup that nobody has restored counts for when it was made, and not as restored.
func TestProblemsOfAnotherProgram(t *testing.T) {
	st := foreignly(t)
	st.lists(st.theirs("A", 30*hour))
	in := st.input()
	in.Survey = true
	kinds := map[health.Kind]string{}
	for _, p := range Next(in).Problems {
		kinds[p.Kind] = p.Evidence
	}
	if kinds[health.RestoreUntested] == "" || kinds[health.BackupOverdue] != "" || kinds[health.ArchiveBehind] != "" {
		t.Errorf("got %v", kinds)
	}
	st.tested(hour, "feed-b1", platform.PgBackRest, false)
	in = st.input()
	in.Survey = true
	kinds = map[health.Kind]string{}
	for _, p := range Next(in).Problems {
		kinds[p.Kind] = p.Evidence
	}
	if !strings.Contains(kinds[health.BackupBad], "no rows") || !strings.Contains(kinds[health.BackupOverdue], "no backup that is not bad") {
		t.Errorf("got %v", kinds)
	}
}

// TestListerInTrouble: where no agent can list, one tries again; another takes over where it can.
func TestListerInTrouble(t *testing.T) {
	st := foreignly(t)
	lists := func() (names []string) {
		st.report()
		for _, name := range []string{"m1", "m2", "m3"} {
			if order, _ := BackupOrder(st.input(), "feed", name); order.Listed != "" {
				names = append(names, name)
			}
		}
		return names
	}
	st.members["m1"].Backups.Adapters[0].Trouble = "the program does not know it"
	if got := lists(); !slices.Equal(got, []string{"m2"}) {
		t.Errorf("%v list", got)
	}
	for _, m := range st.members {
		m.Backups.Adapters[0].Trouble = "the program does not know it"
	}
	if got := lists(); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("with trouble everywhere %v list", got)
	}
}

// TestOldestWAL: WAL stays that a backup at the same target needs; one at a former target keeps none of it.
func TestOldestWAL(t *testing.T) {
	for _, c := range []struct {
		former string // the target of the oldest one
		want   platform.LSN
	}{{"former", 300}, {"vault", 100}} {
		st := backedUp(t, nil)
		st.made(4*hour, platform.Backup{Verdict: platform.BackupGood, Start: 100, Receipts: []platform.BackupReceipt{{Target: c.former}}})
		id := st.made(3*hour, platform.Backup{Start: 200})
		st.made(2*hour, platform.Backup{Start: 300})
		st.commitBackup(st.ago(0), &state.ChangeBackups{Begin: &platform.BackupJob{Work: platform.BackupRemove, Member: "m2", Backup: id}})
		st.report()
		if order, _ := BackupOrder(st.input(), "feed", "m2"); order.OldestWAL != c.want {
			t.Errorf("with one at %s, WAL is kept from %s, want %s", c.former, order.OldestWAL, c.want)
		}
	}
}
