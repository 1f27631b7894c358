package postgres

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestFailoverSlots: where the user asks for it a replica has copies of the failover slots, by no more than our settings and our
// account. They survive a switchover, and so does their synchronisation once the former primary's own ones are dropped.
func TestFailoverSlots(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	if a.Binaries.Major < 17 {
		t.Skipf("PostgreSQL %d has no failover slots", a.Binaries.Major)
	}
	ctx := testContext(t)
	user := filepath.Join(a.Data, "postgresql.conf")
	check(t, a.Owner.writeFile(user, []byte(content(t, user)+"wal_level = logical\nsync_replication_slots = on\nhot_standby_feedback = on\n"),
		0o600))
	b, sb := newStandby(t, ca, "feed-w1", a) // its copy of the user's file asks for the same
	for _, i := range []*Server{a, b} {
		if wanted := mustStatus(t, i).Wanted; wanted["wal_level"] != "logical" || len(wanted) != 1 {
			t.Fatalf("the user's files of %s want %v", i.Member, wanted)
		}
		i.Kept = i.Kept.Want(mustStatus(t, i).Wanted, nil)
	}
	restart := func(i *Server, s Settings, primary bool) {
		t.Helper()
		check(t, i.WriteSettings(ctx, s))
		check(t, i.StopFast(ctx))
		eventually(t, "the end of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
		start(t, i, primary)
	}
	restart(a, Settings{SyncSlots: SyncSlots([]string{"feed-w1"})}, true)
	restart(b, sb, false)
	streams(t, b)
	shows(t, a, map[string]string{"wal_level": "logical", "synchronized_standby_slots": SlotName("feed-w1")})
	shows(t, b, map[string]string{"wal_level": "logical", "synchronized_standby_slots": ""})
	check(t, a.exec(ctx, "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput', false, false, true)"))
	synced := func(on, primary *Server, want ...string) {
		t.Helper()
		eventually(t, "copies of slots on "+on.Member, func() bool {
			check(t, primary.exec(ctx, "SELECT pg_log_standby_snapshot()"))
			check(t,
				primary.exec(ctx,
					"SELECT pg_replication_slot_advance(slot_name, pg_current_wal_lsn()) FROM pg_replication_slots WHERE failover AND NOT active"))
			var have []string
			for _, s := range mustStatus(t, on).UserSlots {
				if s.Failover && s.Synced && s.WALStatus == "reserved" {
					have = append(have, s.Name)
				}
			}
			slices.Sort(have)
			return slices.Equal(have, want)
		})
	}
	synced(b, a, "cdc")

	check(t, a.StopFast(ctx))
	eventually(t, "the end of "+a.Member, func() bool { _, _, ok := a.Running(); return !ok })
	check(t, b.EnsureSlots(ctx, []string{SlotName(a.Member)}, nil))
	_, err := b.Promote(ctx, Promotion{Settings: Settings{SyncSlots: SyncSlots([]string{"feed-e1"})}, Timeline: 2,
		Arm: func() error { return nil }})
	check(t, err)
	check(t, b.WriteSettings(ctx, Settings{SyncSlots: SyncSlots([]string{"feed-e1"})}))
	follow(t, a, b)
	start(t, a, false)
	streams(t, a)
	check(t, b.exec(ctx, "SELECT pg_create_logical_replication_slot('bills', 'pgoutput', false, false, true)"))
	own := mustStatus(t, a).UserSlots
	if len(own) != 1 || own[0].Name != "cdc" || !own[0].Failover || own[0].Synced {
		t.Fatalf("the former primary has %+v", own)
	}
	check(t, a.DropSuperseded(ctx, []string{"cdc", "never_there"}))
	synced(a, b, "bills", "cdc")
	check(t, a.DropSuperseded(ctx, []string{"cdc"})) // a copy, no slot of its own
	check(t, b.DropSuperseded(ctx, []string{"cdc"})) // on the primary
	for _, i := range []*Server{a, b} {
		if n := len(mustStatus(t, i).UserSlots); n != 2 {
			t.Errorf("%s has %d slots", i.Member, n)
		}
	}
}
