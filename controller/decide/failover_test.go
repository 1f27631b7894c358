package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/health"
)

func TestCrashIsActedOnAtOnce(t *testing.T) {
	st := well(t, 1, nil)
	st.waits()
	st.crash()
	st.later(0)
	if b := st.commits().Begin; b == nil || !b.StopOld || !strings.Contains(b.Reason, string(health.PrimaryCrashed)+": m1, "+Reason{Code: postmasterEnded}.String()) {
		t.Fatalf("begin %+v", b)
	}
	st.later(0)
	st.waits(sealsAwaited)
	st.members["m3"].Position = 1008
	st.seal("m2", "m3")
	p := st.commits().Promote
	if p == nil || p.Member != "m3" || p.Proof.Kind != fencing.Stopped || p.Proof.Epoch != ep(1) || p.Timeline != 2 || p.Loss != "" {
		t.Fatalf("promote %+v", p)
	}
	if why := p.NotChosen["m2"]; why != (Reason{Code: behind, Number: 8, Other: "m3"}).String() {
		t.Errorf("m2 was not chosen because: %q", why)
	}
}

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

func TestUnreachableNeedsVotes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stage)
		why    Code // zero for a failover
	}{
		{"both replicas receive nothing", func(st *stage) {}, none},
		{"one replica's agent is silent too", func(st *stage) { st.members["m3"] = nil }, none},
		{"nobody else answers", func(st *stage) { st.members["m2"], st.members["m3"] = nil, nil }, tooFewObservers},
		{"a replica still streams", func(st *stage) { st.members["m2"].Receiver = &health.Receiver{Streaming: true} }, epochAwaited},
	} {
		st := well(t, 1, nil)
		st.crash()
		st.members["m1"] = nil
		c.change(st)
		st.later(1500 * time.Millisecond)
		if cmd, _, _ := st.next(); cmd != nil {
			t.Errorf("%s: three heartbeats of silence are not enough, decided %s", c.name, body(cmd))
		}
		st.later(100 * time.Millisecond)
		if c.why != none {
			st.waits(c.why)
			continue
		}
		if b := st.commits().Begin; b == nil || b.StopOld {
			t.Errorf("%s: %+v", c.name, b)
		}
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

func begun(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	st := well(t, acks, change)
	st.vanish()
	st.commits()
	st.later(0)
	return st
}

func TestQuorumSealedBeforeTheLease(t *testing.T) {
	st := begun(t, 1, nil)
	st.leases.Record("feed", "m1", ep(1), st.now, lease)
	st.seal("m2")
	st.waits(proofAwaited)
	st.seal("m3")
	if p := st.commits().Promote; p == nil || p.Proof.Kind != fencing.QuorumSealed || p.Member != "m2" {
		t.Fatalf("promote %+v", p)
	}
}

func TestAsynchronousWaitsForTheLease(t *testing.T) { // L3
	st := begun(t, 0, nil)
	granted := st.now - 2*time.Second
	st.leases.Record("feed", "m1", ep(1), granted, lease)
	st.seal("m2", "m3")
	end := granted + platform.CountOut(lease)
	cmd := st.step(time.Minute)
	if cmd == nil || cmd.Promote == nil || cmd.Promote.Proof.Kind != fencing.LeaseExpired || st.now <= end {
		t.Fatalf("at %s, lease counted out at %s: %s", st.now, end, body(cmd))
	}
	if st.now > end+200*time.Millisecond {
		t.Errorf("promoted %s late", st.now-end)
	}
	if cmd.Promote.Loss != (Reason{Code: lossSinceReport, At: 1000}).String() {
		t.Errorf("the loss is reported as %q", cmd.Promote.Loss)
	}
}

func TestAsynchronousAsksEveryReplicaThatAnswers(t *testing.T) {
	st := begun(t, 0, nil)
	st.later(10 * time.Second) // the lease is over
	st.seal("m2")
	if why := st.waits(sealsAwaited); !slices.Equal(why.Names, []string{"m3"}) {
		t.Errorf("it waits for %v", why.Names)
	}
	if cmd := st.step(graceForSeals + time.Second); cmd == nil || cmd.Promote == nil || cmd.Promote.Member != "m2" {
		t.Errorf("past the grace: %s", body(cmd))
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

func TestUnreachableTurnsOutWell(t *testing.T) {
	st := well(t, 1, nil)
	back := *st.members["m1"]
	st.vanish()
	st.leases.Record("feed", "m1", ep(1), st.now, lease)
	st.commits()
	st.members["m1"] = &back
	st.later(0)
	if a := st.commits().Abandon; a == nil || st.c().Epoch != ep(3) {
		t.Fatalf("abandon %+v, epoch %s", a, st.c().Epoch)
	}
	if why := st.waits(epochAwaited); why.Want != "1.3" {
		t.Errorf("it waits for epoch %s", why.Want)
	}
}

func TestSealedQuorumIsNotGivenBack(t *testing.T) {
	st := well(t, 1, nil)
	back := *st.members["m1"]
	st.vanish()
	st.commits()
	st.members["m1"] = &back
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil {
		t.Error("with a proof in hand the promotion goes on")
	}
}

func TestIncompleteWaitsThenRestartsInPlace(t *testing.T) { // S2
	st := well(t, 1, nil)
	st.members["m3"] = nil
	st.later(2 * time.Second)
	st.crash()
	st.members["m1"].Process = health.ProcessEnded
	st.later(0)
	st.commits()
	st.seal("m2")
	cmd := st.step(10 * time.Second)
	if cmd == nil || cmd.Promote == nil || cmd.Promote.Member != "m1" || cmd.Promote.Timeline != 1 {
		t.Fatalf("the old primary holds everything: %s", body(cmd))
	}
	for name, why := range map[string]Reason{"m2": {Code: notShownComplete}, "m3": {Code: agentNotHeard, Other: "h3", For: st.view.Silence("h3", st.now)}} {
		if got := cmd.Promote.NotChosen[name]; !strings.HasPrefix(got, why.String()) {
			t.Errorf("%s is not chosen: %q, want %s", name, got, why)
		}
	}
	st.apply(*cmd)
	if st.c().Epoch != ep(2) || st.c().Primary != "m1" {
		t.Errorf("epoch %s of %s", st.c().Epoch, st.c().Primary)
	}
}

func TestIncompleteWithoutTheOldPrimary(t *testing.T) { // S2
	st := well(t, 1, nil)
	st.vanish()
	st.commits()
	st.members["m3"].PositionKnown = false
	st.seal("m2", "m3")
	if cmd := st.step(time.Minute); cmd != nil {
		t.Fatalf("decided %s", body(cmd))
	}
	if why := st.waits(noPromotion, notComplete); !strings.Contains(why.Detail, "needs the final position of 2 of its members, known of 1") {
		t.Errorf("it says: %s", why)
	}
	if !st.problem(health.FailoverWaits) {
		t.Error("the operator is not told")
	}
}

// A replica that is out of reach together with the primary may vouch for it: the end of the granted leases proves nothing.
func TestUnsealedReplicaMayVouch(t *testing.T) { // L5
	st := well(t, 1, nil)
	st.members["m3"] = nil
	st.vanish()
	st.commits()
	st.seal("m2")
	if cmd := st.step(time.Minute); cmd != nil {
		t.Fatalf("decided %s", body(cmd))
	}
	st.waits(othersMayVouch)
	if !st.problem(health.FailoverWaits) {
		t.Error("the operator is not told")
	}
}

func TestPolicyMayAcceptTheLoss(t *testing.T) {
	st := well(t, 1, func(p *platform.Platform) {
		p.Clusters[0].Failover.WhenIncomplete, p.Clusters[0].Failover.AcceptAfter = "accept", 30*time.Second
	})
	st.vanish()
	st.commits()
	st.members["m3"].PositionKnown = false
	st.seal("m2", "m3")
	began := st.now
	cmd := st.step(2 * time.Minute)
	if cmd == nil || cmd.Advance == nil || cmd.Advance.Accepted == nil || st.now-began < 30*time.Second {
		t.Fatalf("after %s: %s", st.now-began, body(cmd))
	}
	st.apply(*cmd)
	if p := st.commits().Promote; p == nil || p.Member != "m2" || !strings.HasPrefix(p.Loss, Reason{Code: lossAccepted, Other: byPolicy, Detail: "failover.when-incomplete: accept"}.String()) {
		t.Errorf("promote %+v", p)
	}
}

// A primary that never took up its epoch answers again and is needed: it is stopped, then restarted in place.
func TestNeededPrimaryIsStopped(t *testing.T) { // S8
	st := begun(t, 1, nil)
	st.members["m3"] = nil
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Epoch: platform.Epoch{}, Timeline: 1, Guard: health.Guard{Complete: true}}
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
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataEmpty, Process: health.ProcessEnded, Epoch: ep(1), Guard: health.Guard{Complete: true}}
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
			st.watch.begin(st.now)
			ch := (&look{Input: st.input(), c: st.c(), conf: st.s.ClusterConfig("feed"), decision: &Decision{}}).choose()
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
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7", Timeline: 1, Position: 5000, PositionKnown: true, Incarnation: "m1_1"}
	st.members["m3"].Timeline, st.members["m3"].Position = 2, 1100
	st.later(2 * time.Second)
	st.commits()
	st.seal("m1", "m3")
	st.watch.begin(st.now)
	if ch := (&look{Input: st.input(), c: st.c(), conf: st.s.ClusterConfig("feed"), decision: &Decision{}}).choose(); ch.best != "m3" {
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
		if promotes := cmd != nil && cmd.Promote != nil && cmd.Promote.Proof.Kind == fencing.QuorumSealed; promotes != proven {
			t.Errorf("m3 holds %s: %s", incarnation, body(cmd))
		}
	}
}
