package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// aheadMayNotLead is a fenced cluster in which m3 holds more than m2, and may not lead.
func aheadMayNotLead(t *testing.T, acks int) *stage {
	st := well(t, acks, func(p *platform.Platform) { p.Clusters[0].Members[2].MayLead = false })
	st.members["m3"].Position, st.members["m3"].Replayed = 1064, 1064
	st.crash()
	st.later(0)
	st.commits()
	st.seal("m2", "m3")
	return st
}

func TestWhoIsAheadHandsItsWALOver(t *testing.T) { // S2
	for _, acks := range []int{0, 1} {
		st := aheadMayNotLead(t, acks)
		st.members["m1"] = nil // nobody can be restarted in place
		st.later(2 * time.Second)
		cmd := st.step(time.Minute)
		if cmd == nil || cmd.Advance == nil || cmd.Advance.CatchUp == nil || *cmd.Advance.CatchUp != (state.CatchUp{From: "m3", To: "m2"}) {
			t.Fatalf("acks %d: %s", acks, body(cmd))
		}
		st.apply(*cmd)
		if g := st.s.GoalOf("feed", "m2"); g.Kind != platform.GoalSealed || g.Upstream == nil || g.Upstream.Member != "m3" {
			t.Errorf("m2's goal: %+v", g)
		}
		if g := st.s.GoalOf("feed", "m3"); g.Kind != platform.GoalSealed || g.Upstream != nil {
			t.Errorf("m3's goal: %+v", g)
		}
		st.members["m2"].Sealed = platform.Epoch{} // it receives
		st.later(0)
		st.waits(takesWAL)
		st.members["m2"].Position = 1064
		st.later(0)
		if a := st.commits().Advance; a == nil || a.CatchUp != nil {
			t.Fatalf("it holds everything: %+v", a)
		}
		st.seal("m2", "m3")
		cmd = st.step(time.Minute)
		if cmd == nil || cmd.Promote == nil || cmd.Promote.Member != "m2" || cmd.Promote.Positions["m2"] != 1064 {
			t.Errorf("acks %d: then %s", acks, body(cmd))
		}
	}
}

// A hand-over that does not end is given up, once.
func TestHandOverOfWALIsBounded(t *testing.T) {
	st := aheadMayNotLead(t, 1)
	st.members["m1"] = nil
	st.later(2 * time.Second)
	st.apply(*st.step(time.Minute))
	began := st.now
	cmd := st.step(2 * catchUpOfSealedBound)
	if cmd == nil || cmd.Advance == nil || cmd.Advance.CatchUp != nil || st.now-began < catchUpOfSealedBound {
		t.Fatalf("after %s: %s", st.now-began, body(cmd))
	}
	st.apply(*cmd)
	st.seal("m2", "m3")
	if cmd := st.step(time.Minute); cmd != nil {
		t.Errorf("then it waits for an operator: %s", body(cmd))
	}
}

// Where the candidate is complete without it, nobody waits for what was never acknowledged.
func TestNoHandOverWithoutNeed(t *testing.T) {
	st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Members[2].MayLead = false })
	st.members["m1"].Senders = st.members["m1"].Senders[:1]
	st.members["m3"].Receiver = nil
	st.step(2 * leaveAfter)
	st.apply(onFeed(state.Command{Sets: &state.ChangeSet{Epoch: ep(1), Acks: 1, Names: []string{"m2_2"}}}))
	st.apply(onFeed(state.Command{Settled: &state.Settled{Epoch: ep(1), ID: st.c().HighSet}}))
	st.members["m3"].Position = 1064
	st.crash()
	st.later(0)
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m2" {
		t.Errorf("promote %+v", p)
	}
}

// Whoever is sealed counts for the fence, who is ahead and may not lead too: without it nothing would ever be handed over
// where acks come from the other site, and nobody may leave the primary's.
func TestWhoIsAheadCountsForTheFence(t *testing.T) { // S4
	st := well(t, 1, func(p *platform.Platform) {
		p.Clusters[0].Durability.From, p.Clusters[0].Failover.AcrossSites = "other-site", "never"
	})
	st.members["m3"].Position, st.members["m3"].Replayed = 1064, 1064
	st.vanish()
	st.commits()
	st.seal("m2", "m3")
	if a := st.commits().Advance; a == nil || a.CatchUp == nil || *a.CatchUp != (state.CatchUp{From: "m3", To: "m2"}) {
		t.Fatalf("decided %+v", a)
	}
	st.members["m2"].Position, st.members["m2"].Replayed = 1064, 1064
	st.later(0)
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m2" {
		t.Errorf("promote %+v", p)
	}
}

// explain knows of the hand-over: a member of the primary's site takes over with what the other site holds.
func TestPredictionHandsWALOver(t *testing.T) {
	st := well(t, 1, func(p *platform.Platform) {
		p.Clusters[0].Durability.From, p.Clusters[0].Failover.AcrossSites = "other-site", "approval"
	})
	st.members["m3"].Position, st.members["m3"].Replayed = 1064, 1064
	st.later(0)
	if p := Predict(st.input(), "feed", HostLost); p.Promote != "m2" || p.Loss != "no acknowledged commit" {
		t.Errorf("predicted: %s; others %v", Sentence(p), p.Others)
	}
}
