package postgres

import (
	"database/sql"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"mainstay/controller/platform"
)

// TestSlotsOfRemovedMembers: a slot goes while its member streams through it, and only ours do; what nobody uses goes when a
// member is let go of.
func TestSlotsOfRemovedMembers(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	have := func() (names []string) {
		for _, s := range mustStatus(t, a).Slots {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return names
	}
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('mine', true)"))
	check(t, a.EnsureSlots(ctx, []string{SlotName("feed-w1")}, nil))
	check(t, a.DropIdleSlots(ctx))
	if got := have(); !slices.Equal(got, []string{SlotName("feed-e2"), "mine"}) {
		t.Fatalf("without the idle ones of ours: %v", got)
	}
	check(t, a.EnsureSlots(ctx, nil, []string{SlotName("feed-e2"), "mainstay_never_there"}))
	if got := have(); !slices.Equal(got, []string{"mine"}) {
		t.Fatalf("without the one that was used: %v", got)
	}
	for name, ours := range map[string]bool{SlotName("feed-e2"): true, SlotName("Feed_E2"): true, "mine": false, "mainstay": false} {
		if IsSlotName(name) != ours {
			t.Errorf("%s is ours: %v", name, !ours)
		}
	}
}

// TestWornSlots: a standby's slot that nobody uses holds back no rows for ever, nor does it keep less WAL than before; one in use, and one
// that keeps older WAL than a new one would, stay as they are. The feedback of b stands for that of b as a former primary.
func TestWornSlots(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	c, _ := newStandby(t, ca, "feed-w1", b)
	ctx, name := testContext(t), SlotName("feed-w1")
	check(t, c.exec(ctx, "ALTER SYSTEM SET hot_standby_feedback = on"))
	check(t, c.Reload(ctx))
	slot := func() (xmin bool, worn bool, restart platform.LSN) {
		check(t, b.with(ctx, func(s *sql.Conn) error {
			return s.QueryRowContext(ctx, "SELECT xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = $1", name).Scan(&xmin)
		}))
		for _, s := range mustStatus(t, b).Slots {
			if s.Name == name {
				worn, restart = s.Worn, s.Restart
			}
		}
		return xmin, worn, restart
	}
	eventually(t, "the feedback", func() bool { xmin, _, _ := slot(); return xmin })
	if _, worn, _ := slot(); worn {
		t.Error("a slot in use is to be made anew")
	}
	check(t, c.StopFast(ctx))
	eventually(t, "the end of its use", func() bool {
		return !slices.ContainsFunc(mustStatus(t, b).Slots, func(s Slot) bool { return s.Active })
	})
	insert(t, a, 2)
	check(t, a.exec(ctx, "CHECKPOINT"))
	eventually(t, "a restartpoint past it", func() bool {
		check(t, b.exec(ctx, "CHECKPOINT"))
		xmin, worn, _ := slot()
		return xmin && !worn
	})
	check(t, b.EnsureSlots(ctx, []string{name}, nil))
	if xmin, _, _ := slot(); !xmin {
		t.Error("a slot was made anew, and keeps less WAL than before")
	}
	s := mustStatus(t, b)
	check(t, b.exec(ctx, "SELECT pg_replication_slot_advance('"+name+"', '"+s.Replay.String()+"')"))
	_, worn, before := slot()
	if !worn {
		t.Fatalf("at %s of %s it is not worn", before, s.Replay)
	}
	check(t, b.EnsureSlots(ctx, []string{name}, nil))
	if xmin, worn, after := slot(); xmin || worn || after > before {
		t.Errorf("made anew: holds rows %v, worn %v, keeps WAL from %s, and kept it from %s", xmin, worn, after, before)
	}
}

// TestUserSlots: the slots of the user's are named with what they keep, those that hold most first where they are many; ours, and one
// that ends with its session, are none of them. A standby that was not always one may drop what it has kept.
func TestUserSlots(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	named := func(s Status) (names []string) {
		for _, u := range s.UserSlots {
			names = append(names, u.Name)
		}
		return names
	}
	if s := mustStatus(t, a); len(s.UserSlots) > 0 || s.MoreUserSlots != 0 {
		t.Fatalf("without any: %+v", s.UserSlots)
	}
	check(t, a.WriteSettings(ctx, Settings{WALLevel: "logical", MaxReplicationSlots: 40}))
	check(t, a.StopFast(ctx))
	eventually(t, "the end of the primary", func() bool { _, _, ok := a.Running(); return !ok })
	start(t, a, true)
	streams(t, b)
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('archive', true)"))
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('unused')"))
	check(t, a.exec(ctx, "SELECT pg_create_logical_replication_slot('sub', 'pgoutput')"))
	insert(t, a, 2)
	var s Status
	check(t, a.with(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "SELECT pg_create_physical_replication_slot('passing', true, true)")
		if err == nil {
			s, err = a.statusOn(ctx, c)
		}
		return err
	}))
	if got := named(s); !slices.Equal(got, []string{"archive", "sub", "unused"}) {
		t.Fatalf("named: %v", got)
	}
	archive, sub, unused := s.UserSlots[0], s.UserSlots[1], s.UserSlots[2]
	if archive.Logical || archive.Active || archive.Held <= 0 || archive.Held > 16<<20 || archive.CatalogXmin != 0 ||
		archive.WALStatus != "reserved" {
		t.Errorf("%+v", archive)
	}
	if !sub.Logical || sub.Held <= 0 || sub.CatalogXmin == 0 || sub.Failover || sub.Synced {
		t.Errorf("%+v", sub)
	}
	if unused.Held != -1 {
		t.Errorf("%+v", unused)
	}
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('later_' || n, true) FROM generate_series(1, 20) AS n"))
	if s = mustStatus(t, a); len(s.UserSlots) != maxUserSlots || s.MoreUserSlots != 23-maxUserSlots ||
		!slices.Contains(named(s), "archive") || slices.Contains(named(s), "unused") {
		t.Errorf("%d more than %v", s.MoreUserSlots, named(s))
	}

	check(t, b.exec(ctx, "SELECT pg_create_physical_replication_slot('cascade', true)"))
	insert(t, a, 3)
	eventually(t, "what the standby keeps", func() bool {
		s := mustStatus(t, b)
		return len(s.UserSlots) == 1 && s.UserSlots[0].Name == "cascade" && s.UserSlots[0].Held > 0
	})
}

// TestLostSlot: a slot of ours that has lost its WAL, since its member was away for too long, is made anew, and its member streams through
// it after a copy. One of the user's is left to them.
func TestLostSlot(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	kill(t, b)
	check(t, a.exec(ctx, "SELECT pg_create_physical_replication_slot('mine', true)"))
	check(t, a.WriteSettings(ctx, Settings{MaxSlotWALKeepMB: 16, WALKeepMB: 16}))
	check(t, a.Reload(ctx))
	slot := func(name string) (status string, keeps bool) {
		t.Helper()
		check(t, a.with(ctx, func(c *sql.Conn) error {
			return c.QueryRowContext(ctx, "SELECT wal_status, restart_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = $1",
				name).Scan(&status, &keeps)
		}))
		return status, keeps
	}
	eventually(t, "the loss", func() bool {
		check(t, a.exec(ctx, "INSERT INTO public.t VALUES (2)"))
		check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
		check(t, a.exec(ctx, "CHECKPOINT"))
		ours, _ := slot(SlotName("feed-e2"))
		users, _ := slot("mine")
		return ours == "lost" && users == "lost"
	})
	check(t, a.EnsureSlots(ctx, []string{SlotName("feed-e2")}, nil))
	if status, keeps := slot(SlotName("feed-e2")); status != "reserved" || !keeps {
		t.Errorf("ours is %s, and keeps WAL: %t", status, keeps)
	}
	if status, _ := slot("mine"); status != "lost" {
		t.Errorf("the user's is %s", status)
	}
	aside, _, err := rebuild(t, b, a.source(), asideMark+"1")
	check(t, err)
	follow(t, b, a)
	start(t, b, false)
	streams(t, b)
	if s := mustStatus(t, b); s.Receiver.Slot != SlotName("feed-e2") {
		t.Errorf("beside %s it streams through %q", aside, s.Receiver.Slot)
	}
}

// TestBaseBackupIsSeen: a server says which base backups are being taken from it, by whom, and no longer once they have ended.
func TestBaseBackupIsSeen(t *testing.T) {
	a := newPrimary(t, newAuthority(t), "feed-e1")
	copied := filepath.Join(filepath.Dir(a.Data), "copy")
	check(t, a.Owner.makeDir(copied, 0o700))
	backups := func() (names []string) {
		for _, s := range mustStatus(t, a).Senders {
			if s.State == "backup" {
				names = append(names, s.Name)
			}
		}
		return names
	}
	cmd := exec.Command(filepath.Join(a.Binaries.Dir, "pg_basebackup"), "-D", copied, "-X", "stream",
		"--max-rate", "32", "-c", "fast", "-d", must(a.ConnInfo(a.source(), "nightly", "")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.Owner.Credential()}
	check(t, cmd.Start())
	end := func() { // again at the end: it was killed already then
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	eventually(t, "the base backup", func() bool { return slices.Equal(backups(), []string{"nightly"}) })
	end()
	eventually(t, "its end", func() bool { return len(backups()) == 0 })
}
