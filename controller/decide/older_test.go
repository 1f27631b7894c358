package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// restored binds another run to a member's host, whose disk does not know the former run.
func (st *stage) restored(host string) {
	st.apply(state.Command{AgentRun: &state.AgentRun{Host: host, Run: "r", Older: true}})
}

// The host of the primary comes back with an older disk. Its data may lack commits, so it does not lead again by itself, and a replica that
// holds everything is promoted. What was sealed by an older copy of a replica shows nothing (S2).
func TestOlderDiskOfThePrimary(t *testing.T) { // L8
	st := well(t, 1, nil)
	st.restored("h1")
	if g := st.s.GoalOf("feed", "m1"); g.Kind != "stopped" || g.Epoch != ep(1) {
		t.Fatalf("its goal is %s of %s", g.Kind, g.Epoch)
	}
	if !st.problem(health.OlderDisk) {
		t.Error("nobody is told")
	}
	st.crash()
	st.members["m1"].Clean, st.members["m1"].Shutdown = true, 1
	st.later(0)
	if b := st.commits().Begin; b == nil || !b.StopOld {
		t.Fatalf("begin %+v", b)
	}
	st.seal("m2", "m3")
	p := st.commits().Promote
	if p == nil || p.Member == "m1" || p.Clean {
		t.Fatalf("promote %+v", p)
	}
	if m := st.c().Members["m1"]; !m.Older {
		t.Error("its data counts again, before it has followed the new primary")
	}
}

func TestOlderDiskOfTheOnlyData(t *testing.T) { // L8
	st := well(t, 1, nil)
	st.restored("h1")
	st.members["m2"], st.members["m3"] = nil, nil
	st.crash()
	st.later(3 * time.Second)
	if st.commits().Begin == nil {
		t.Fatal("no attempt")
	}
	if cmd := st.step(30 * time.Second); cmd != nil {
		t.Fatalf("decided %s", body(cmd))
	}
	st.waits(olderPrimary)
	st.apply(onFeed(state.Command{Advance: &state.Advance{Attempt: st.c().Attempt.Number, Phase: state.PhaseSeal, StopOld: true,
		Accepted: &state.Acceptance{By: "ann", Reason: "restored from the backup of Monday", Completeness: true}}}))
	if p := st.commits().Promote; p == nil || p.Member != "m1" || p.Timeline != 2 { // others may hold more of timeline 1
		t.Fatalf("accepted: %+v", p)
	}
	if m := st.c().Members["m1"]; m.Older || m.Incarnation == "m1_1" {
		t.Errorf("%+v", m)
	}
}

func TestOlderDiskOfAReplica(t *testing.T) { // L8
	for _, older := range []bool{false, true} {
		st := well(t, 2, nil)
		st.vanish()
		if st.commits().Begin == nil {
			t.Fatal("no attempt")
		}
		if older {
			st.restored("h2")
		}
		st.members["m3"] = nil // each of the two has acknowledged every commit, with the disk that it had then
		st.later(0)
		st.seal("m2")
		if cmd := st.step(30 * time.Second); (cmd == nil) != older {
			t.Fatalf("older %v: decided %s", older, body(cmd))
		}
	}
}

// A switchover under way does not take the stop of an older copy for the primary's: the clean stop of its disk is an old one.
func TestOlderDiskDuringASwitchover(t *testing.T) { // L8
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Begin: &state.Begin{Kind: state.Switchover}}))
	st.apply(onFeed(state.Command{Advance: &state.Advance{Attempt: st.c().Attempt.Number, Phase: state.PhaseStop, StopOld: true}}))
	st.restored("h1")
	st.crash()
	st.members["m1"].Clean, st.members["m1"].Shutdown = true, 1
	st.later(0)
	a := st.commits().Advance
	if a == nil || a.Phase != state.PhaseSeal || !strings.Contains(a.Note, "older copy of its disk") {
		t.Fatalf("%+v", a)
	}
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Clean || p.Member == "m1" {
		t.Fatalf("%+v", p)
	}
}

// The log takes no seal of an older copy, whoever proposes it.
func TestSealOfAnOlderDiskIsRefused(t *testing.T) { // L8
	st := begun(t, 2, nil)
	st.restored("h2")
	seal := state.Sealed{Member: "m2", Incarnation: "m2_2", Timeline: 1, Position: 1000, Known: true}
	_, err := state.Apply(st.s, st.s.Index+1, onFeed(state.Command{Version: st.c().Version, Promote: &state.Promote{
		Attempt: st.c().Attempt.Number, Member: "m3", Timeline: 2, Sealed: []state.Sealed{seal},
		Proof: fencing.Proof{Kind: fencing.LeaseExpired, Epoch: ep(1)}}}))
	if err == nil || !strings.Contains(err.Error(), "older copy") {
		t.Errorf("%v", err)
	}
}

func TestOlderReplicaCountsAgainOnceItStreams(t *testing.T) { // L8
	st := well(t, 1, nil)
	st.restored("h2")
	m := st.c().Members["m2"]
	if m.Incarnation == "m2_2" || m.HasStreamed || !m.Older {
		t.Fatalf("%+v", m)
	}
	st.members["m2"].Incarnation = m.Incarnation
	st.members["m1"].Senders[0].Name = m.Incarnation
	st.later(0)
	if r := st.commits().Rejoined; r == nil || r.Member != "m2" {
		t.Fatalf("%+v", r)
	}
	if st.c().Members["m2"].Older {
		t.Error("it is still called older")
	}
}
