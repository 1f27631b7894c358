package decide

import (
	"slices"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

func switching(t *testing.T, to string) *stage {
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{By: "ann", Begin: &state.Begin{Kind: state.Switchover, To: to, Reason: "asked"}}))
	return st
}

func TestSwitchover(t *testing.T) {
	st := switching(t, "m3")
	st.waits(checkpointAwaited)
	st.members["m1"].Checkpointed = ep(2)
	st.later(0)
	if a := st.commits().Advance; a == nil || a.Phase != state.PhaseStop {
		t.Fatalf("advance %+v", a)
	}
	st.waits(cleanStopRuns)
	st.crash()
	st.members["m1"].Clean, st.members["m1"].Shutdown = true, 1100
	st.members["m3"].Replayed = 1100
	st.later(0)
	st.waits(replayAwaited)
	st.members["m3"].Replayed = 1198 // past the record, not only at it
	st.later(0)
	p := st.commits().Promote
	if p == nil || p.Member != "m3" || !p.Clean || p.Proof.Kind != fencing.Stopped || p.Timeline != 2 {
		t.Fatalf("promote %+v", p)
	}
	if !slices.Equal(st.c().Set().Names, []string{"m1_1", "m2_2"}) {
		t.Errorf("a cleanly stopped primary stays in the set: %v", st.c().Set().Names)
	}
}

func TestSwitchoverThatFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stage)
		after  time.Duration
		want   func(*state.Command) bool
	}{
		{"silent before the stop: nothing was taken", func(st *stage) { st.members["m1"] = nil }, 2 * time.Second,
			func(c *state.Command) bool { return c.Abandon != nil }},
		{"crashed before the stop", func(st *stage) { st.crash() }, 0,
			func(c *state.Command) bool { return c.Advance != nil && c.Advance.Phase == state.PhaseSeal }},
		{"the target is lost before the stop", func(st *stage) { st.members["m3"] = nil; st.members["m1"].Checkpointed = ep(2) },
			2 * time.Second, func(c *state.Command) bool { return c.Abandon != nil }},
	} {
		st := switching(t, "m3")
		c.change(st)
		st.later(c.after)
		if cmd := st.commits(); !c.want(cmd) {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
	}
}

func stopping(t *testing.T, to string) *stage {
	st := switching(t, to)
	st.members["m1"].Checkpointed = ep(2)
	st.later(0)
	st.commits()
	return st
}

func TestStopThatFailsIsForced(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stage)
		within time.Duration
	}{
		{"silent", func(st *stage) { st.members["m1"] = nil }, 2 * time.Second},
		{"too slow", func(st *stage) {}, stopBound + time.Second},
		{"killed", func(st *stage) { st.crash() }, time.Second},
		{"nobody catches up", func(st *stage) { st.crash(); st.members["m1"].Clean, st.members["m1"].Shutdown = true, 9000 },
			catchUpBound + time.Second},
	} {
		st := stopping(t, "")
		c.change(st)
		cmd := st.step(c.within)
		if cmd == nil || cmd.Advance == nil || cmd.Advance.Phase != state.PhaseSeal || !cmd.Advance.StopOld {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
	}
}

// The member that the plan has named is waited for, for a moment: another one that is ready sooner may be on another site.
func TestPreferredTargetMayCatchUp(t *testing.T) {
	for late, c := range map[string]struct {
		after time.Duration
		want  string
	}{"caught up in time": {preferredBound / 2, "m2"}, "never": {time.Hour, "m3"}} {
		st := stopping(t, "")
		st.crash()
		m1, m2, m3 := st.members["m1"], st.members["m2"], st.members["m3"]
		m1.Clean, m1.Shutdown, m2.Replayed, m3.Replayed = true, 9000, 8000, 9100 // m2 would come first
		st.later(0)
		if cmd, _, _ := st.next(); cmd != nil {
			t.Fatalf("%s: at once %s", late, body(cmd))
		}
		st.later(min(c.after, preferredBound/2))
		if c.after < preferredBound {
			m2.Replayed = 9100
		} else if cmd := st.step(preferredBound); cmd == nil || cmd.Promote == nil || cmd.Promote.Member != c.want {
			t.Errorf("%s: %s", late, body(cmd))
			continue
		} else {
			continue
		}
		st.later(0)
		if p := st.commits().Promote; p == nil || p.Member != c.want {
			t.Errorf("%s: %+v", late, p)
		}
	}
}

// Once the stop is forced, failover's rules apply: the one asked for is a wish among equals, and no reason to wait.
func TestForcedSwitchoverDoesNotInsist(t *testing.T) { // S8
	st := stopping(t, "m3")
	st.crash()
	st.later(0)
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m3" || p.NotChosen["m2"] != (Reason{Code: bestWasAsked, Other: "m3"}).String() {
		t.Errorf("equals: %+v", p)
	}
}

func TestBlockers(t *testing.T) {
	for _, c := range []struct {
		name, to string
		change   func(*stage)
		why      Code
	}{
		{"none", "", func(*stage) {}, none},
		{"itself", "m1", func(*stage) {}, isPrimaryAlready},
		{"a stranger", "m9", func(*stage) {}, notAMember},
		{"a sick primary", "", func(st *stage) { st.members["m1"].Role = health.RoleUnknown }, primaryNotWell},
		{"silent", "m2", func(st *stage) { st.members["m2"] = nil }, agentNotHeard},
		{"not a standby", "m2", func(st *stage) { st.members["m2"].Role = health.RolePrimary }, noRunningStandby},
		{"another timeline", "m2", func(st *stage) { st.members["m2"].Timeline = 9 }, otherTimeline},
		{"another system", "m2", func(st *stage) { st.members["m2"].SystemID = "8" }, dataOfAnotherCluster},
		{"short of a setting", "m2", func(st *stage) { st.members["m2"].Short = []string{"max_connections is 100"} }, settingsTooLow},
		{"not streaming", "m2", func(st *stage) { st.members["m2"].Receiver = nil }, doesNotStream},
		{"too far behind", "m2", func(st *stage) { st.members["m1"].Position = 1000 + maxLag + 1 }, tooFarBehind},
		{"S5", "m2", func(st *stage) { st.c().Members["m2"].Excluded = "checksum failures" }, excluded},
	} {
		st := well(t, 1, nil)
		c.change(st)
		st.later(2 * time.Second)
		target, bad := CheckSwitchover(st.input(), "feed", c.to)
		switch {
		case c.why == none && (target != "m2" || bad != nil):
			t.Errorf("%s: %q %v", c.name, target, bad)
		case c.why != none && (target != "" || len(bad) != 1 || !bad[0].has(c.why)):
			t.Errorf("%s: %q %v, want %s", c.name, target, bad, c.why)
		}
	}
	st := beforeBootstrap(t, 1, nil)
	for cluster, why := range map[string]Code{"feed": noPrimaryYet, "x": noSuchCluster} {
		if _, bad := CheckSwitchover(st.input(), cluster, ""); len(bad) != 1 || bad[0].Code != why {
			t.Errorf("%s: %v", cluster, bad)
		}
	}
}

func TestPredictions(t *testing.T) {
	st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Members[2].MayLead = false })
	before := body(&state.Command{Cluster: st.c().Name, Version: st.c().Version})
	p := Predict(st.input(), "feed", HostLost)
	if p.Promote != "m2" || p.Proof != fencing.QuorumSealed || p.Loss != "no acknowledged commit" ||
		p.Others["m3"] != (Reason{Code: mayNotLead}).String() {
		t.Errorf("host lost: %+v", p)
	}
	if p = Predict(st.input(), "feed", PrimaryCrashed); p.Promote != "m2" || p.Proof != fencing.Stopped {
		t.Errorf("crash: %+v", p)
	}
	if st.view.Member(&st.s.Platform.Clusters[0].Members[0]).Process != health.ProcessRunning ||
		body(&state.Command{Cluster: st.c().Name, Version: st.c().Version}) != before {
		t.Error("a prediction changed what it looked at")
	}
	st.members["m2"] = nil
	st.view.Forget("h2")
	if p = Predict(st.input(), "feed", HostLost); p.Promote != "" ||
		p.Why != (Reason{Code: othersMayPromise, Cluster: "feed", Member: "m1"}).String() || p.Others["m2"] == "" {
		t.Errorf("with one of two replicas: %+v", p)
	}
	st = well(t, 0, nil)
	st.leases.Record("feed", "m1", ep(1), st.now, lease)
	if p = Predict(st.input(), "feed", HostLost); p.Proof != fencing.LeaseExpired || p.About < platform.CountOut(lease) ||
		p.Loss != (Reason{Code: lossUnknown, At: 1000}).String() {
		t.Errorf("asynchronous: %+v", p)
	}
}

// What was predicted is what happens.
func TestPredictionComesTrue(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m3"].Position = 1001
	st.later(0)
	said := Predict(st.input(), "feed", HostLost)
	st.vanish()
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != said.Promote || p.Proof.Kind != said.Proof {
		t.Errorf("predicted %+v, happened %+v", said, p)
	}
}
