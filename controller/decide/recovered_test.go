package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
)

// recovered is well after the controllers were recovered.
func recovered(t *testing.T) *stage {
	st := well(t, 1, nil)
	st.s = state.Recovered(st.s, []string{"c1"}, "root", "fire", "now")
	for _, h := range []string{"h1", "h2", "h3"} {
		st.apply(state.Command{Bind: &state.Bind{Host: h, Run: "r"}})
	}
	return st
}

func TestPrimaryThatAnswersGoesOnAfterARecovery(t *testing.T) {
	st := recovered(t)
	if r := st.commits().Reaffirm; r == nil || !r.Guarded || st.c().Epoch.Generation != 2 {
		t.Fatalf("%+v, epoch %s", r, st.c().Epoch)
	}
}

// TestNoPromotionByItselfAfterARecovery: whatever is sealed, an operator's word is needed for a primary that is away.
func TestNoPromotionByItselfAfterARecovery(t *testing.T) {
	st := recovered(t)
	st.vanish()
	if b := st.commits().Begin; b == nil {
		t.Fatal("no attempt")
	}
	st.later(0)
	st.seal("m2", "m3")
	if cmd := st.step(30 * time.Second); cmd != nil {
		t.Fatalf("decided %s", body(cmd))
	}
	a := st.c().Attempt
	st.apply(feed(state.Command{By: "alice", Advance: &state.Advance{Attempt: a.Number, Phase: state.PhaseSeal, To: "m2",
		Accepted: &state.Acceptance{By: "alice", Reason: "east is gone", Fence: true, Completeness: true}}}))
	if p := st.commits().Promote; p == nil || p.Member != "m2" || p.Proof.Kind != fencing.Operator || p.Attempt.Generation != 2 || p.Loss == "" {
		t.Fatalf("%+v", p)
	}
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
