package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/health"
)

// TestRequiredWatchdog: who would get no lease is not chosen, neither by a failover nor by a switchover.
func TestRequiredWatchdog(t *testing.T) {
	bare := func(st *stage) {
		st.members["m3"].Guard.Watchdog = &health.Watchdog{Mode: platform.WatchdogRequired, Missing: "there is none"}
		st.members["m2"].Guard.Watchdog = &health.Watchdog{Mode: platform.WatchdogAutomatic, Missing: "there is none"}
		st.report()
	}
	st := well(t, 1, nil)
	bare(st)
	if _, bad := CheckSwitchover(st.input(), "feed", "m3"); len(bad) != 1 || !bad[0].has(noWatchdog) {
		t.Errorf("a switchover to m3: %v", bad)
	}
	if to, bad := CheckSwitchover(st.input(), "feed", ""); to != "m2" {
		t.Errorf("a switchover goes to %q, %v", to, bad)
	}
	st.crash()
	st.later(0)
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m2" || p.NotChosen["m3"] != st.members["m3"].Guard.Watchdog.Lacks() {
		t.Errorf("promote %+v", p)
	}
}

func TestNewLeaderIsPatient(t *testing.T) { // L4
	st := well(t, 1, nil)
	st.vanish()
	st.view.Since = st.now
	st.waits()
	st.later(1600 * time.Millisecond)
	if cmd, why, _ := st.next(); cmd == nil {
		t.Errorf("after its own three heartbeats it must act: %s", why)
	}
}

func TestUnguardedEpochsNeverExpire(t *testing.T) { // L2
	st := well(t, 0, nil)
	st.c().Guarded = false
	st.vanish()
	st.commits()
	st.seal("m2", "m3")
	if cmd := st.step(time.Minute); cmd != nil {
		t.Errorf("decided %s", body(cmd))
	}
	st.waits(neverGuarded)
}

// A primary that never took up its epoch answers again and is needed: it is stopped, then restarted in place.
func TestNeededPrimaryIsStopped(t *testing.T) { // S8
	st := begun(t, 1, nil)
	st.members["m3"] = nil
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7",
		Epoch: platform.Epoch{}, Timeline: 1, Guard: health.Guard{Complete: true}}
	st.seal("m2")
	cmd := st.step(30 * time.Second)
	if cmd == nil || cmd.Advance == nil || !cmd.Advance.StopOld {
		t.Fatalf("decided %s", body(cmd))
	}
	st.apply(*cmd)
	st.members["m1"].Closed = ep(1)
	st.later(0)
	cmd = st.step(10 * time.Second)
	if cmd == nil || cmd.Promote == nil || cmd.Promote.Member != "m1" {
		t.Errorf("then %s", body(cmd))
	}
}

func TestPrimaryWithoutItsDisk(t *testing.T) { // S8
	st := well(t, 1, nil)
	st.crash()
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataEmpty, Process: health.ProcessEnded, Epoch: ep(1),
		Guard: health.Guard{Complete: true}}
	st.later(0)
	if b := st.commits().Begin; b == nil || !b.StopOld {
		t.Errorf("begin %+v", b)
	}
	st.members["m1"].Closed = ep(1)
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member == "m1" {
		t.Errorf("promote %+v", p)
	}
}

func TestCandidates(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy func(*platform.Platform)
		change func(map[string]*health.Member)
		best   string
		other  Code // m2's reason, where it is not the best
	}{
		{name: "the primary's site", best: "m2"},
		{name: "the most advanced, wherever", change: func(m map[string]*health.Member) { m["m3"].Position = 1001 }, best: "m3", other: behind},
		{name: "across sites never", policy: func(p *platform.Platform) { p.Clusters[0].Failover.AcrossSites = "never" }, best: "m2"},
		{name: "S5: another system", change: func(m map[string]*health.Member) { m["m2"].SystemID = "8" }, best: "m3", other: otherSystem},
		{name: "S5: diverged", change: func(m map[string]*health.Member) { m["m2"].Timeline = 9 }, other: diverged},
		{name: "unknown end", change: func(m map[string]*health.Member) { m["m2"].PositionKnown = false }, other: endOfWALUnknown},
		{name: "may not lead", policy: func(p *platform.Platform) { p.Clusters[0].Members[1].MayLead = false }, best: "m3", other: mayNotLead},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := well(t, 1, c.policy)
			st.vanish()
			st.commits()
			if c.change != nil {
				c.change(st.members)
			}
			st.seal("m2", "m3")
			ch := st.look().choose()
			if c.best != "" && ch.best != c.best || ch.notChosen["m2"].Code != c.other {
				t.Errorf("best %q, m2: %s; want %q, %s", ch.best, ch.notChosen["m2"], c.best, c.other)
			}
		})
	}
}

// Before the new primary's history is known, WAL past its fork on the old timeline must not look like an advance (S2).
func TestDivergedStandbyOfAnUnopenedEpoch(t *testing.T) {
	st := begun(t, 1, nil)
	st.seal("m2", "m3")
	st.commits() // m2, timeline 2, not opened
	st.members["m2"] = nil
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning,
		Role: health.RoleStandby, SystemID: "7", Timeline: 1, Position: 5000, PositionKnown: true, Incarnation: "m1_1"}
	st.members["m3"].Timeline, st.members["m3"].Position = 2, 1100
	st.later(2 * time.Second)
	st.commits()
	st.seal("m1", "m3")
	if ch := st.look().choose(); ch.best != "m3" {
		t.Errorf("best is %q: m3 has timeline 2, m1 went past its fork on timeline 1", ch.best)
	}
}

// A seal counts for the data that is in place, not for the data that the state expects of the member: that may be gone, or not
// there yet, and what was acknowledged by it is not held by this (S2).
func TestASealCountsForTheDataInPlace(t *testing.T) {
	for incarnation, proven := range map[string]bool{"m3_3": true, "m3_1": false} {
		st := well(t, 1, nil)
		st.vanish()
		if b := st.commits().Begin; b == nil {
			t.Fatal("no attempt")
		}
		st.members["m3"].Incarnation = incarnation
		st.later(0)
		st.seal("m2", "m3")
		cmd, _, _ := st.next()
		if cmd != nil && cmd.Promote != nil && cmd.Promote.Proof.Kind == fencing.QuorumSealed &&
			cmd.Promote.Proof.Detail != "sealed: m2, m3; no further commit can gather its acknowledgements" {
			t.Errorf("the proof says %q", cmd.Promote.Proof.Detail)
		}
		if promotes := cmd != nil && cmd.Promote != nil && cmd.Promote.Proof.Kind == fencing.QuorumSealed; promotes != proven {
			t.Errorf("m3 holds %s: %s", incarnation, body(cmd))
		}
	}
}

// A replica that quotes why it does not stream, since its primary has been gone for a while, is sealed like any other: its seal is
// waited for, and the primary is not restarted in place at once.
func TestReplicaWithoutStreamIsSealed(t *testing.T) {
	for quoted, want := range map[string]bool{health.WithoutStream + "connection refused": true, "no space left on device": false} {
		st := well(t, 1, nil)
		st.crash()
		for _, m := range []string{"m2", "m3"} {
			st.members[m].Error = quoted
		}
		st.later(0)
		st.commits()
		cmd, _, _ := st.next()
		if waits := cmd == nil; waits != want {
			t.Errorf("%q: seals are awaited %v, decided %s", quoted, waits, body(cmd))
		}
	}
}

// TestRestartsMergeSets: a primary that ends again and again, and is all that is left, adds few durability sets; with few in force the
// command asks for no merge, which a controller of an earlier build does not know.
func TestRestartsMergeSets(t *testing.T) { // S2
	st := well(t, 1, nil)
	st.members["m2"], st.members["m3"] = nil, nil
	asked := 0
	for n := range 12 {
		st.members["m1"].Opened, st.members["m1"].Process, st.members["m1"].Role = true, health.ProcessRunning, health.RolePrimary
		st.crash()
		for range 20 {
			cmd := st.step(10 * time.Second)
			if cmd == nil {
				continue
			}
			if cmd.Promote != nil {
				if cmd.Promote.MergeSets {
					asked++
				} else if n >= 5 && asked == 0 {
					t.Fatalf("after %d restarts: %+v", n+1, st.c().Sets)
				}
				if n == 0 && cmd.Promote.MergeSets {
					t.Error("there is nothing to merge")
				}
			}
			st.apply(*cmd)
			if cmd.Promote != nil {
				break
			}
		}
		if got := len(st.c().Sets); got > mostSets || uint64(n+2) != st.c().Epoch.Number {
			t.Fatalf("after %d restarts epoch %s has %d sets", n+1, st.c().Epoch, got)
		}
	}
}
