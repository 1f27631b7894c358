package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestPrimaryThatAnswersGoesOnAfterARecovery(t *testing.T) {
	st := recovered(t)
	if r := st.commits().Reaffirm; r == nil || st.c().Epoch.Generation != 2 || st.c().Guarded {
		t.Fatalf("%+v, epoch %s, guarded %v", r, st.c().Epoch, st.c().Guarded)
	}
	m := st.members["m1"]
	m.Epoch = st.c().Epoch // it has taken it up, and its guards hold a lease of the epoch before
	st.later(0)
	if cmd := st.step(0); cmd != nil && cmd.Reaffirm != nil {
		t.Fatalf("guards that are bound to %s", m.Guard.Armed)
	}
	m.Guard.Armed = m.Epoch
	st.later(0)
	if r := st.commits().Reaffirm; r == nil || !r.GuardsArmed || !st.c().Guarded {
		t.Fatalf("%+v, guarded %v", r, st.c().Guarded)
	}
}

// TestNoPolicyAcceptsALossAfterARecovery: nothing bounds it, though a proof is there.
func TestNoPolicyAcceptsALossAfterARecovery(t *testing.T) {
	st := recovered(t)
	st.configure(func(c *platform.Cluster) {
		c.Failover.WhenIncomplete, c.Failover.AcceptAfter = platform.AcceptWhenIncomplete, 10*time.Second
	})
	st.crash()
	st.members["m1"].Corrupt = "its control file does not match its checksum" // so it cannot be restarted in place
	st.later(0)
	st.commits()
	st.later(0)
	st.seal("m2", "m3")
	if cmd := st.step(time.Minute); cmd != nil {
		t.Fatalf("decided %s", body(cmd))
	}
	st.waits(noPromotion, controllersRecovered)
}

// TestOldPrimaryRestartsInPlaceAfterARecovery: what its own disk holds is all that it acknowledged.
func TestOldPrimaryRestartsInPlaceAfterARecovery(t *testing.T) {
	st := recovered(t)
	st.crash()
	st.later(0)
	st.commits()
	st.later(0)
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m1" || p.Timeline != platform.Timeline(1) {
		t.Fatalf("%+v", p)
	}
}

// TestNoMemberIsPromotedOverAnUnknownEpoch: where an agent tells of a primary that the lost controllers made since, neither the
// one that is known goes on by itself nor does anybody take over from it (S4).
func TestNoMemberIsPromotedOverAnUnknownEpoch(t *testing.T) {
	waits := func(st *stage) {
		t.Helper()
		if cmd := st.step(30 * time.Second); cmd != nil {
			t.Fatalf("decided %s", body(cmd))
		}
		if why := st.waits(operatorMustDecide, laterEpochElsewhere); why.Is != "1.2" {
			t.Errorf("it says: %s", why)
		}
		if !st.problem(health.FailoverWaits) {
			t.Error("and nobody is told")
		}
	}
	st := recovered(t)
	st.members["m3"].Epoch, st.members["m3"].Timeline = ep(2), 2
	st.report()
	waits(st) // m1 answers, as primary of the epoch before
	m1 := *st.members["m1"]
	st.members["m1"].Role, st.members["m1"].Epoch, st.members["m1"].Timeline, st.members["m1"].Opened = health.RoleStandby, ep(2), 2, false
	waits(st) // or as a standby of the one that came after it
	st.members["m1"] = &m1

	st.crash()
	st.later(0)
	if b := st.commits().Begin; b == nil {
		t.Fatal("no attempt")
	}
	st.later(0)
	st.seal("m2", "m3")
	waits(st) // its disk is there, and does not hold what m3 acknowledged

	st.members["m1"].Clean, st.members["m1"].Shutdown = true, 900
	st.later(0)
	waits(st) // nor does m2, which has replayed past the shutdown checkpoint

	a := st.c().Attempt
	st.apply(onFeed(state.Command{By: "alice", Advance: &state.Advance{Attempt: a.Number, Phase: state.PhaseSeal, To: "m2",
		Accepted: &state.Acceptance{By: "alice", Reason: "east is gone", Completeness: true}}}))
	if p := st.commits().Promote; p == nil || p.Member != "m2" {
		t.Fatalf("%+v", p)
	}
}

// A later epoch of the same primary is no other primary's.
func TestOldPrimaryOfAnUnknownEpochRestartsInPlace(t *testing.T) {
	st := recovered(t)
	for _, m := range st.members {
		m.Epoch = ep(2)
	}
	st.crash()
	st.members["m1"].Closed = ep(2)
	st.later(0)
	st.commits()
	st.later(0)
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m1" {
		t.Fatalf("%+v", p)
	}
}
