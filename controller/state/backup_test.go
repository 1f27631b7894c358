package state

import (
	"fmt"
	"strings"
	"testing"

	"mainstay/controller/platform"
)

// withBackups is the test cluster with a plan for backups.
func withBackups(t *testing.T) *State {
	t.Helper()
	s := bootstrapped(t, 1)
	p := testPlatform(1)
	p.Clusters[0].Backup = &platform.BackupPlan{Targets: []string{"vault", "cloud"}, Keep: 2}
	return run(t, s, Command{Platform: &SetPlatform{Platform: p}})
}

func beginBackup(j platform.BackupJob) Command {
	return onFeed(Command{Backups: &ChangeBackups{Begin: &j}})
}

func madeBackup(base string) Command {
	return beginBackup(platform.BackupJob{Work: platform.BackupMake, Member: "m2", Base: base})
}

func receipts(targets ...string) (all []platform.BackupReceipt) {
	for _, name := range targets {
		all = append(all, platform.BackupReceipt{Target: name, Object: "base", Bytes: 7, SHA256: "ab"})
	}
	return all
}

// backedUp makes a good backup that is built on base.
func backedUp(t *testing.T, s *State, base string) *State {
	t.Helper()
	s = run(t, s, madeBackup(base))
	j := s.BackupsOf("feed").Job
	return run(t, s, onFeed(Command{Backups: &ChangeBackups{Ended: j.Number, Done: true, Record: &platform.Backup{ID: j.Backup, Base: base,
		Verdict: platform.BackupGood, Receipts: receipts("vault", "cloud")}}}))
}

func TestBackups(t *testing.T) {
	s := withBackups(t)
	refused(t, bootstrapped(t, 1), madeBackup(""), "no backup section in the platform file")
	refused(t, s, beginBackup(platform.BackupJob{Work: platform.BackupMake, Member: "m9"}), "no member m9")
	refused(t, s, madeBackup("feed-b7"), "feed-b7 is not one that another can be built on")
	before := s.Clusters["feed"].Version
	s = backedUp(t, s, "")
	if v := s.Clusters["feed"].Version; v != before {
		t.Errorf("a backup changed the cluster's version from %d to %d: it would disturb a failover", before, v)
	}
	s = backedUp(t, s, "feed-b1")
	b, err := EncodeSnapshot(s)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = DecodeSnapshot(b); err != nil {
		t.Fatal(err)
	}
	c := s.BackupsOf("feed")
	if c.Newest().ID != "feed-b2" || len(c.Chain("feed-b2")) != 2 || c.Chain("feed-b2")[0].ID != "feed-b1" ||
		c.BuiltOn("feed-b1") != "feed-b2" {
		t.Errorf("the catalogue is %+v", c)
	}

	running := run(t, s, madeBackup(""))
	refused(t, running, madeBackup(""), "make of feed-b3 is running")
	refused(t, running, onFeed(Command{Backups: &ChangeBackups{Ended: 1}}), "work 1 for the backups of cluster feed is not running")
	refused(t, running, onFeed(Command{Backups: &ChangeBackups{Cancel: 1}}), "no such work")
	number := running.BackupsOf("feed").Job.Number
	refused(t, running, onFeed(Command{Backups: &ChangeBackups{Ended: number, Record: &platform.Backup{ID: "feed-b1"}}}),
		"the record is that of feed-b1, not of feed-b3")
	cancelled := run(t, running, onFeed(Command{Backups: &ChangeBackups{Cancel: number}}))
	if !cancelled.BackupsOf("feed").Job.Cancel || running.BackupsOf("feed").Job.Cancel {
		t.Error("the job is not cancelled, or the state before was edited")
	}
	failed := run(t, cancelled, onFeed(Command{Backups: &ChangeBackups{Ended: number, Outcome: "cancelled by ann"}})).BackupsOf("feed")
	if r := failed.Record("feed-b3"); r == nil || r.Verdict != platform.BackupUnfinished || r.Evidence != "cancelled by ann" ||
		failed.Job != nil || failed.Newest().ID != "feed-b2" || failed.Tried[platform.BackupMake] == "" {
		t.Errorf("after the cancelled one: %+v", failed)
	}
}

// TestBackupUse: what may be restored and removed. The last good one never goes, and a bad one is used only by an operator's word.
func TestBackupUse(t *testing.T) {
	s := backedUp(t, backedUp(t, withBackups(t), ""), "feed-b1")
	work := func(w platform.BackupWork, id, target, accepted string) Command {
		return beginBackup(platform.BackupJob{Work: w, Member: "m2", Backup: id, Target: target, Accepted: accepted})
	}
	refused(t, s, work(platform.BackupRemove, "feed-b2", "", ""), "feed-b2 is the newest good one")
	refused(t, s, work(platform.BackupRemove, "feed-b1", "", ""), "feed-b2 is built on feed-b1")
	refused(t, s, work(platform.BackupTest, "feed-b9", "", ""), "there is no backup feed-b9")
	refused(t, s, work(platform.BackupTest, "feed-b2", "tape", ""), "target tape does not hold backup feed-b1")
	refused(t, s, work("melt", "feed-b2", "", ""), `no work "melt"`)

	s = run(t, s, work(platform.BackupTest, "feed-b2", "vault", ""))
	ended := func(good bool) *State {
		return run(t, s, onFeed(Command{Backups: &ChangeBackups{Ended: s.BackupsOf("feed").Job.Number, Done: true,
			Test: &platform.RestoreTest{Target: "vault", Good: good, Detail: "the archive lacks a segment"}}}))
	}
	if r := ended(true).BackupsOf("feed").Record("feed-b2"); !r.Restorable() || len(r.Tests) != 1 {
		t.Errorf("after a good restore test: %+v", r)
	}
	s = ended(false)
	if r := s.BackupsOf("feed").Record("feed-b2"); r.Restorable() || !strings.Contains(r.Evidence, "vault") {
		t.Errorf("after a bad restore test: %+v", r)
	}
	if newest := s.BackupsOf("feed").Newest(); newest.ID != "feed-b1" {
		t.Errorf("the newest good one is %+v", newest)
	}
	again := run(t, s, work(platform.BackupTest, "feed-b2", "vault", ""))
	again = run(t, again, onFeed(Command{Backups: &ChangeBackups{Ended: again.BackupsOf("feed").Job.Number, Done: true,
		Test: &platform.RestoreTest{Target: "vault", Good: true}}}))
	if r := again.BackupsOf("feed").Record("feed-b2"); !r.Restorable() || r.Evidence != "" {
		t.Errorf("after a good restore test from the target that had lost it: %+v", r)
	}
	refused(t, s, work(platform.BackupRestore, "feed-b2", "", ""), "feed-b2 is bad (its restore test from vault failed")
	run(t, s, work(platform.BackupRestore, "feed-b2", "", "the archive is not needed"))
	gone := run(t, s, work(platform.BackupRemove, "feed-b2", "", ""))
	gone = run(t, gone, onFeed(Command{Backups: &ChangeBackups{Ended: gone.BackupsOf("feed").Job.Number, Done: true}}))
	refused(t, gone, work(platform.BackupRestore, "feed-b2", "", "I insist"), "feed-b2 was removed")
	if len(s.BackupsOf("feed").Record("feed-b2").Receipts) == 0 {
		t.Error("the state before was edited")
	}
}

// TestBackupsForgotten: records of backups that no target holds are bounded, those at a target are kept.
func TestBackupsForgotten(t *testing.T) {
	s := backedUp(t, withBackups(t), "")
	for range mostBackups + 5 {
		s = run(t, s, madeBackup(""))
		j := s.BackupsOf("feed").Job
		s = run(t, s, onFeed(Command{Backups: &ChangeBackups{Ended: j.Number, Outcome: "the disk is full", Record: &platform.Backup{
			ID: j.Backup, Verdict: platform.BackupUnfinished, Engine: []byte(`{"id": "x"}`)}}}))
	}
	c := s.BackupsOf("feed")
	if r := &c.Records[mostBackups]; r.Engine != nil {
		t.Errorf("%s keeps what only a backup that is built on it needs: %s", r.ID, r.Engine)
	}
	if len(c.Records) != mostBackups+1 || c.Records[0].ID != "feed-b1" || c.Records[1].ID != "feed-b7" ||
		c.Records[mostBackups].ID != fmt.Sprintf("feed-b%d", mostBackups+6) {
		t.Errorf("%d records, the first %s and %s", len(c.Records), c.Records[0].ID, c.Records[1].ID)
	}
}

// TestListedBackups: what another program made on its own enters the catalogue, by its time, and a restore test alone makes it good.
func TestListedBackups(t *testing.T) {
	with := platform.BackupWith{Program: platform.Barman, Name: "main"}
	s := bootstrapped(t, 1)
	p := testPlatform(1)
	p.Clusters[0].Backup = &platform.BackupPlan{With: &with}
	s = run(t, s, Command{Platform: &SetPlatform{Platform: p}})
	of := func(label, began string) platform.Backup {
		return platform.Backup{Began: began, Ended: began, Verdict: platform.BackupGood,
			Foreign: &platform.ForeignBackup{BackupWith: with, Label: label, Kind: "full"}}
	}
	list := func(l ListedBackups) Command { return onFeed(Command{Backups: &ChangeBackups{Listed: &l}}) }
	refused(t, s, list(ListedBackups{With: with}), "nothing has changed")
	refused(t, s, list(ListedBackups{With: platform.BackupWith{Program: platform.Barman, Name: "other"},
		New: []platform.Backup{of("A", "2026-11-28T00:00:00Z")}}), "none of a backup of barman other")
	s = run(t, s, list(ListedBackups{With: with, New: []platform.Backup{of("B", "2026-11-28T00:00:00Z"), of("C", "2026-11-29T00:00:00Z")}}))
	s = run(t, s, list(ListedBackups{With: with, New: []platform.Backup{of("C", "2026-11-29T00:00:00Z"), of("A", "2026-11-27T00:00:00Z")}}))
	labels := func() (all []string) {
		for _, r := range s.BackupsOf("feed").Records {
			all = append(all, r.ID+" "+r.Foreign.Label+" "+string(r.Verdict))
		}
		return all
	}
	if got, want := fmt.Sprint(labels()), "[feed-b3 A unverified feed-b1 B unverified feed-b2 C unverified]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	work := func(w platform.BackupWork, id, target, accepted string) Command {
		return beginBackup(platform.BackupJob{Work: w, Member: "m2", Backup: id, Target: target, Accepted: accepted})
	}
	refused(t, s, work(platform.BackupRemove, "feed-b1", "", ""), "`barman delete main B`")
	refused(t, s, work(platform.BackupRestore, "feed-b1", "", ""), "feed-b1 is unverified")
	refused(t, s, work(platform.BackupTest, "feed-b1", "vault", ""), "target vault does not hold backup feed-b1")
	run(t, s, work(platform.BackupRestore, "feed-b1", "", "it is all there is"))
	refused(t, s, madeBackup("feed-b1"), "feed-b1 is not one that another can be built on")
	s = run(t, s, work(platform.BackupTest, "feed-b1", platform.Barman, ""))
	s = run(t, s, onFeed(Command{Backups: &ChangeBackups{Ended: s.BackupsOf("feed").Job.Number, Done: true,
		Test: &platform.RestoreTest{Target: platform.Barman, Good: true}}}))
	if newest := s.BackupsOf("feed").Newest(); newest == nil || newest.ID != "feed-b1" || newest.Evidence != "" {
		t.Errorf("the newest good one is %+v", newest)
	}
	// One that was made for us, and that the list had first, is one record.
	s = run(t, s, madeBackup(""))
	j := s.BackupsOf("feed").Job
	again := of("C", "2026-11-29T00:00:00Z")
	again.ID = j.Backup
	s = run(t, s, onFeed(Command{Backups: &ChangeBackups{Ended: j.Number, Done: true, Record: &again}}))
	s = run(t, s, list(ListedBackups{With: with, Gone: []string{"feed-b1"}}))
	if got, want := fmt.Sprint(labels()), "[feed-b3 A unverified feed-b1 B good feed-b4 C good]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r := s.BackupsOf("feed").Record("feed-b1"); r.Held() || s.BackupsOf("feed").Newest().ID != "feed-b4" ||
		len(s.BackupsOf("feed").Labels(with)) != 2 {
		t.Errorf("what is gone: %+v", r)
	}
}
