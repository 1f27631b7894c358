package decide

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestOpenedAndSettled(t *testing.T) {
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Sets: &state.ChangeSet{Epoch: ep(1), Acks: 1, Names: []string{"m2_2", "m3_3"}}}))
	st.waits()
	st.members["m1"].Settled = 2
	st.later(0)
	if s := st.commits().Settled; s == nil || s.ID != 2 || len(st.c().Sets) != 1 {
		t.Errorf("settled %+v, sets %v", s, st.c().Sets)
	}
	st.waits()
}

func TestReplicaLeavesAndEntersTheSet(t *testing.T) {
	st := well(t, 1, nil)
	senders := st.members["m1"].Senders
	st.members["m1"].Senders = senders[:1]
	st.later(leaveAfter - 100*time.Millisecond)
	st.waits()
	st.later(200 * time.Millisecond)
	if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, []string{"m2_2"}) {
		t.Fatalf("sets %+v", c)
	}
	// The last one stays: with nobody in the set nothing could be promised.
	st.members["m1"].Senders = nil
	st.later(10 * time.Second)
	st.waits()
	lagging := senders[1]
	lagging.Flush, st.members["m1"].Position = 0, joinLag
	st.members["m1"].Senders = []health.Sender{senders[0], lagging}
	st.later(0)
	st.waits()
	st.members["m1"].Senders = senders
	st.later(0)
	if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, []string{"m2_2", "m3_3"}) {
		t.Errorf("sets %+v", c)
	}
}

// Paused, a crash of the primary is named and nothing is done; after the resume there is no guard to bind (L7).
func TestCrashWhilePaused(t *testing.T) {
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "alice", Reason: "firmware"}}}))
	st.crash()
	st.later(time.Minute)
	if why := st.waits(pausedBy); why.Other != "alice" || why.Detail != "firmware" {
		t.Errorf("it says: %s", why)
	}
	if !st.problem(health.PrimaryCrashed) {
		t.Error("the crash is not named")
	}
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Resume: true}}))
	if p := st.commits().Pause; p == nil || !p.EndResume || p.Guarded || st.c().Pause != nil {
		t.Fatalf("resumed: %+v, pause %+v", p, st.c().Pause)
	}
	if b := st.commits().Begin; b == nil || b.Kind != state.Failover {
		t.Errorf("then: %+v", b)
	}
}

// Started by hand during a pause it is a standby, and no member takes writes: that is named, with the command that ends it.
func TestStartedByHandWhilePaused(t *testing.T) {
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "alice", Reason: "firmware"}}}))
	st.members["m1"].Role, st.members["m1"].Closed = health.RoleStandby, ep(1)
	st.later(time.Second)
	if why := st.waits(pausedBy); !strings.Contains(why.String(), "mainstay resume feed") {
		t.Errorf("it says: %s", why)
	}
	if !st.problem(health.PrimaryCrashed) {
		t.Error("that no member takes writes is not named")
	}
}

func TestNewLeaderDoesNotShrinkTheSetAtOnce(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m1"].Senders = st.members["m1"].Senders[:1]
	st.now += time.Minute
	st.view.Since = st.now
	st.report()
	st.waits()
}

// Data that is to be discarded first leaves every set, and what takes its place is recorded (S2).
func TestReincarnationLeavesTheSet(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m3"].Needs = "rebuild"
	st.members["m1"].Senders = st.members["m1"].Senders[:1]
	st.later(0)
	if r := st.commits().Reincarnate; r == nil || r.Member != "m3" {
		t.Fatalf("reincarnate %+v", r)
	}
	if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, []string{"m2_2"}) {
		t.Fatalf("the old name leaves at once: %+v", c)
	}
	st.waits() // its need was answered
}

// Data is not replaced for want of WAL that the primary has: then it is not the data. After long it is replaced all the same.
func TestRebuildForWantOfWAL(t *testing.T) {
	for _, c := range []struct {
		name   string
		oldest platform.LSN
		at     platform.LSN // the replica's position
		still  time.Duration
		heard  time.Duration // for how long the leader hears that
		want   bool
	}{
		{"the primary has it no more", 60, 50, time.Minute, 0, true},
		{"the primary has it", 50, 50, time.Minute, time.Minute, false},
		{"the primary has not said", 0, 50, time.Minute, 0, true},
		{"it is ahead of the primary", 50, 150, time.Minute, 0, true},
		{"for long", 50, 50, time.Minute, stillBound + time.Second, true},
		{"for long, and its agent was away as well", 50, 50, stillBound + time.Hour, 0, false},
		{"it is not for want of WAL", 50, 50, 0, 0, true},
	} {
		st := well(t, 1, nil)
		m1, m3 := st.members["m1"], st.members["m3"]
		m1.Position, m1.OldestWAL, m1.Senders = 100, c.oldest, m1.Senders[:1]
		m3.Needs, m3.Still, m3.Position, m3.Receiver = "rebuild", c.still.Milliseconds(), c.at, nil
		st.later(0)
		cmd, _, _ := st.next()
		for end := st.now + c.heard; st.now < end; {
			if cmd != nil && cmd.Reincarnate != nil {
				t.Fatalf("%s: after %s: %s", c.name, c.heard-(end-st.now), body(cmd))
			}
			if cmd != nil {
				st.apply(*cmd)
			}
			st.later(30 * time.Second)
			cmd, _, _ = st.next()
		}
		if (cmd != nil && cmd.Reincarnate != nil) != c.want {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
		if said := st.problem(health.ReplicaNotStreaming); said == c.want {
			t.Errorf("%s: named as cut off: %v", c.name, said)
		}
	}
}

// TestRebuildOfARecovery: a replica whose recovery takes no sessions is copied anew at once only where its primary has no more the WAL
// that it asks for.
func TestRebuildOfARecovery(t *testing.T) {
	for _, c := range []struct {
		name         string
		asks, oldest platform.LSN
		heard        time.Duration
		want         bool
	}{
		{"the primary has it no more", 50, 60, 0, true},
		{"the primary has it", 60, 60, stillBound - time.Minute, false},
		{"it does not say what it asks for", 0, 60, stillBound - time.Minute, false},
		{"the primary has not said", 50, 0, stillBound - time.Minute, false},
		{"for long", 60, 60, stillBound + time.Second, true},
	} {
		st := well(t, 1, nil)
		m1, m3 := st.members["m1"], st.members["m3"]
		m1.Position, m1.OldestWAL, m1.Senders = 100, c.oldest, m1.Senders[:1]
		m3.Needs, m3.Still, m3.Asks, m3.Role, m3.Position, m3.Receiver = "rebuild", time.Minute.Milliseconds(), c.asks, health.RoleUnknown, 0, nil
		st.later(0)
		cmd, _, _ := st.next()
		for end := st.now + c.heard; st.now < end; {
			if cmd != nil && cmd.Reincarnate != nil {
				t.Fatalf("%s: %s before: %s", c.name, end-st.now, body(cmd))
			}
			if cmd != nil {
				st.apply(*cmd)
			}
			st.later(30 * time.Second)
			cmd, _, _ = st.next()
		}
		if (cmd != nil && cmd.Reincarnate != nil) != c.want {
			t.Errorf("%s: %s", c.name, body(cmd))
		}
		if said := st.problem(health.ReplicaNotStreaming); said == c.want {
			t.Errorf("%s: named as not getting on: %v", c.name, said)
		}
	}
}

// TestNoRebuildOfAll: where the replay of two replicas ends at one record neither is copied: the copies would meet it again, and what was
// sound would be set aside on every host at once.
func TestNoRebuildOfAll(t *testing.T) {
	for other, want := range map[platform.LSN]bool{77: false, 78: true, 0: true} {
		st := well(t, 1, nil)
		for name, at := range map[string]platform.LSN{"m2": other, "m3": 77} {
			m := st.members[name]
			m.Process, m.Role, m.Receiver, m.CrashedAt, m.Error = health.ProcessEnded, health.RoleUnknown, nil, at, "PostgreSQL ended unexpectedly"
		}
		st.members["m3"].Needs = "rebuild"
		var cmd *state.Command
		for range 5 { // sets may change before
			st.later(time.Second)
			if cmd, _, _ = st.next(); cmd == nil || cmd.Reincarnate != nil {
				break
			}
			st.apply(*cmd)
		}
		if (cmd != nil && cmd.Reincarnate != nil) != want {
			t.Errorf("the other at %s: %s", other, body(cmd))
		}
		if said := st.problem(health.ReplicaNotStreaming); !said {
			t.Errorf("the other at %s: not named", other)
		}
	}
}

// TestOneProblemForOneText: what keeps a replica from streaming is not said a second time as its agent's error.
func TestOneProblemForOneText(t *testing.T) {
	st := well(t, 1, nil)
	m3 := st.members["m3"]
	m3.Process, m3.Role, m3.Receiver, m3.Error = health.ProcessEnded, health.RoleUnknown, nil, "PostgreSQL did not start"
	st.later(0)
	st.next()
	if !st.problem(health.ReplicaNotStreaming) || st.problem(health.AgentError) {
		t.Errorf("not streaming %v, agent error %v", st.problem(health.ReplicaNotStreaming), st.problem(health.AgentError))
	}
	m3.Needs = "rebuild"
	st.later(0)
	st.next()
	if !st.problem(health.ReplicaDiverged) || !st.problem(health.AgentError) {
		t.Errorf("diverged %v, agent error %v", st.problem(health.ReplicaDiverged), st.problem(health.AgentError))
	}
}

func TestSetIsFilledWithDataYetToBeMade(t *testing.T) {
	st := well(t, 2, nil)
	st.members["m3"].Needs = "rebuild"
	st.members["m1"].Senders = st.members["m1"].Senders[:1]
	st.later(0)
	st.commits()
	for _, names := range [][]string{{"m2_2", "m3_3", "m3_4"}, {"m2_2", "m3_4"}} {
		if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, names) {
			t.Errorf("acks 2 of two replicas needs the rebuilt one: %+v", c)
		}
	}
}

// A sender releases by the number it has loaded, and counts every sender that has a place in its own list (S2).
func TestOneAtATime(t *testing.T) {
	for _, c := range []struct {
		name       string
		was        platform.DurabilitySet
		acks, next int
		want, then []string
	}{
		{"names come before the number is raised", platform.DurabilitySet{Acks: 2, Names: []string{"a", "b"}}, 3, 2, []string{"a", "b", "c"},
			[]string{"a", "b", "c"}},
		{"then it is raised", platform.DurabilitySet{Acks: 2, Names: []string{"a", "b", "c"}}, 3, 3, []string{"a", "b", "c"},
			[]string{"a", "b", "c"}},
		{"it is lowered before names go", platform.DurabilitySet{Acks: 2, Names: []string{"a", "b"}}, 1, 1, []string{"b"}, []string{"a", "b"}},
		{"names come before others go", platform.DurabilitySet{Acks: 2, Names: []string{"b", "c"}}, 2, 2, []string{"a", "b"},
			[]string{"a", "b", "c"}},
		{"one ack is one name's", platform.DurabilitySet{Acks: 1, Names: []string{"b"}}, 1, 1, []string{"a"}, []string{"a"}},
		{"nobody counted", platform.DurabilitySet{}, 2, 2, []string{"a", "b"}, []string{"a", "b"}},
		{"nobody will", platform.DurabilitySet{Acks: 2, Names: []string{"a", "b"}}, 0, 0, nil, nil},
	} {
		if acks, names := onlyRecorded([]platform.DurabilitySet{c.was}, c.acks, c.want); acks != c.next || !slices.Equal(names, c.then) {
			t.Errorf("%s: %d of %v", c.name, acks, names)
		}
	}
}

// TestOnlyRecorded: senders that have loaded different sets make no rule that the log does not have (S2). For each next set, whichever
// number of one set meets the names of all, whoever acknowledges is among those that a promotion must ask.
func TestOnlyRecorded(t *testing.T) {
	set := func(acks int, names ...string) platform.DurabilitySet {
		return platform.DurabilitySet{Acks: acks, Names: names}
	}
	for _, c := range []struct {
		name    string
		inForce []platform.DurabilitySet
		next    platform.DurabilitySet
		want    platform.DurabilitySet
	}{
		{"a name is added", []platform.DurabilitySet{set(1, "a")}, set(1, "a", "b"), set(1, "a", "b")},
		{"the number is raised", []platform.DurabilitySet{set(1, "a", "b")}, set(2, "a", "b"), set(2, "a", "b")},
		{"a name is added while the lower number is in force", []platform.DurabilitySet{set(1, "a", "b"), set(2, "a", "b")},
			set(2, "a", "b", "c"), set(1, "a", "b", "c")},
		{"then the number is raised again", []platform.DurabilitySet{set(1, "a", "b"), set(2, "a", "b"), set(1, "a", "b", "c")},
			set(2, "a", "b", "c"), set(2, "a", "b", "c")},
		{"one ack: a name for another", []platform.DurabilitySet{set(1, "a")}, set(1, "b"), set(1, "b")},
		{"two acks: names come before others go", []platform.DurabilitySet{set(2, "a", "b"), set(2, "a", "b", "c")}, set(2, "a", "c"),
			set(2, "a", "c")},
		{"and not more names before those have gone", []platform.DurabilitySet{set(2, "a", "b"), set(2, "a", "b", "c"), set(2, "a", "c")},
			set(2, "a", "c", "d"), set(2, "a", "b", "c", "d")},
		{"an empty set releases nothing", []platform.DurabilitySet{set(0), set(2, "a", "b")}, set(2, "a", "b", "c"), set(2, "a", "b", "c")},
		{"none will be needed", []platform.DurabilitySet{set(1, "a"), set(2, "a", "b")}, set(0), set(0)},
	} {
		acks, names := onlyRecorded(c.inForce, c.next.Acks, c.next.Names)
		if acks != c.want.Acks || !slices.Equal(names, c.want.Names) {
			t.Errorf("%s: %d of %v, want %d of %v", c.name, acks, names, c.want.Acks, c.want.Names)
		}
	}
}

// TestSetsMakeNoNewRule plays changes of sets at random, none of which is ever settled: whichever number in force meets whichever names,
// every choice of members that it accepts meets those that a promotion must have sealed.
func TestSetsMakeNoNewRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d"}
	for range 3000 {
		inForce := []platform.DurabilitySet{{Acks: 1, Names: []string{"a"}}}
		for range 5 {
			var want []string
			for _, n := range names {
				if r.IntN(2) == 0 {
					want = append(want, n)
				}
			}
			acks := 1 + r.IntN(3)
			if len(want) < acks {
				continue
			}
			for range 4 { // as the leader does until it is there
				a, w := onlyRecorded(inForce, acks, want)
				inForce = append(inForce, platform.DurabilitySet{Acks: a, Names: w})
				if a == acks && slices.Equal(w, want) {
					break
				}
			}
		}
		for n := range inForce { // what is left once a set is settled, if the leader takes that
			left := inForce[n:]
			if _, missing := uncovered(left); n > 0 && len(missing) > 0 {
				continue
			}
			if bad := newRule(left, names); bad != "" {
				t.Fatalf("%s under %v", bad, left)
			}
		}
	}
}

// newRule finds members that may acknowledge a commit and that a promotion need not ask: with all other members sealed, every set is
// satisfied. A sender releases by the number of its own set, and counts whoever has a place in any.
func newRule(inForce []platform.DurabilitySet, names []string) string {
	for choice := range 1 << len(names) {
		var ackers, others []string
		for i, n := range names {
			if choice&(1<<i) != 0 {
				ackers = append(ackers, n)
			} else {
				others = append(others, n)
			}
		}
		named := 0
		for _, a := range ackers {
			if slices.ContainsFunc(inForce, func(s platform.DurabilitySet) bool { return s.Has(a) }) {
				named++
			}
		}
		accepted := slices.ContainsFunc(inForce, func(s platform.DurabilitySet) bool { return named >= s.Acks })
		enough := !slices.ContainsFunc(inForce, func(s platform.DurabilitySet) bool {
			n := 0
			for _, o := range others {
				if s.Has(o) {
					n++
				}
			}
			return n < s.SealedNeeded()
		})
		if accepted && enough {
			return fmt.Sprint(ackers)
		}
	}
	return ""
}

func TestPauseBarsFailover(t *testing.T) { // L7
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "ann", Until: "2025-06-15T15:06:41Z"}}}))
	st.vanish()
	if cmd, _, _ := st.next(); cmd != nil {
		t.Errorf("decided %s while paused", body(cmd))
	}
	st = well(t, 1, nil)
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "ann", Until: "2025-06-15T15:06:40Z"}}}))
	if p := st.commits().Pause; p == nil || !p.Resume { // the wall clock of the stage is 2025-06-15T15:06:40Z
		t.Fatalf("an expired pause: %+v", p)
	}
	// That it is armed says a report from before the pause, too; seed 34234 of the simulator, where the primary was cut off.
	resumed := st.c().Pause.Resumed
	for _, g := range []health.Guard{{Complete: true, Told: resumed}, {Complete: true, Told: resumed - 1, Armed: st.c().Epoch},
		{Complete: true, Armed: st.c().Epoch}} {
		st.members["m1"].Guard = g
		st.later(0)
		if cmd, _, _ := st.next(); cmd != nil && cmd.Pause != nil {
			t.Errorf("resumed before the guard was bound: %s, %+v", body(cmd), g)
		}
	}
	st.members["m1"].Guard = health.Guard{Complete: true, Told: resumed, Armed: st.c().Epoch}
	st.later(0)
	if p := st.commits().Pause; p == nil || !p.EndResume || !p.Guarded || st.c().Pause != nil {
		t.Errorf("bound: %+v", p)
	}
}

func TestResumeWithTheGuardOutOfReach(t *testing.T) { // L7
	st := well(t, 1, nil)
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "ann"}}}))
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Resume: true}}))
	st.vanish()
	if p := st.commits().Pause; p == nil || !p.EndResume || p.Guarded {
		t.Errorf("pause %+v: an end of its lease must not count as a proof", p)
	}
}

func TestShorterLeaseIsCountedOut(t *testing.T) { // L4
	st := well(t, 1, nil)
	st.configure(func(c *platform.Cluster) { c.Lease = 2 * time.Second })
	began := st.now
	cmd := st.step(time.Minute)
	if cmd == nil || cmd.LeaseCounted == nil || st.now-began <= platform.CountOut(lease) {
		t.Errorf("after %s: %s", st.now-began, body(cmd))
	}
}

func TestConditions(t *testing.T) {
	w := NewConditions()
	round := func(now time.Duration, keys ...condition) (held []time.Duration) {
		w.begin(now)
		defer w.end()
		for _, k := range keys {
			held = append(held, w.heldFor(k))
		}
		return held
	}
	round(1, "a", "b")
	if got := round(5, "a"); got[0] != 4 {
		t.Errorf("a has held for %d", got[0])
	}
	if got := round(9, "a", "b"); got[0] != 8 || got[1] != 0 {
		t.Errorf("a break in b must begin it anew: %v", got)
	}
	c := w.Clone()
	c.begin(20)
	c.heldFor("c")
	if got := round(10, "c"); got[0] != 0 {
		t.Error("the clone's conditions reached the original")
	}
}

// TestRemovedAtStart: where a restart applies nothing, none is advised.
func TestRemovedAtStart(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m1"].RemovedAtStart = []string{"port = 1, which ALTER SYSTEM has set"}
	st.later(1600 * time.Millisecond)
	for _, want := range []string{"", "it needs a restart for max_connections; "} {
		want = "m1: " + want + "the next start removes port = 1, which ALTER SYSTEM has set"
		if got := st.evidence(health.PendingRestart); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		st.members["m1"].PendingRestart = []string{"max_connections"}
		st.later(1600 * time.Millisecond)
	}
}

// saying is a log with an entry of a kind, and internal errors.
func saying(kind string) *health.ServerLog {
	return &health.ServerLog{Signs: []health.LogSign{{Kind: health.SignOfInternal, Count: 9}, {Kind: kind, Count: 1, Text: "ERROR: x"}}}
}

// TestSuspected: what the log says and what the catalog says is one problem; evidence that excludes the member says more.
func TestSuspected(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m2"].Log, st.members["m2"].ShortFiles = saying(health.SignOfDamage), []string{"base/5/7 is not there"}
	st.later(1600 * time.Millisecond)
	var found []string
	_, _, d := st.next()
	for _, p := range d.Problems {
		if p.Kind == health.DamageReported {
			found = append(found, p.Evidence)
		}
	}
	if len(found) != 1 || !strings.Contains(found[0], "ERROR: x; files contradict the catalog: base/5/7 is not there") {
		t.Errorf("%q", found)
	}
	st.members["m2"].Log, st.members["m2"].ShortFiles = saying(health.SignOfWAL), nil
	st.later(1600 * time.Millisecond)
	if !st.problem(health.DamageReported) {
		t.Error("lost WAL is no problem")
	}
	st.members["m2"].Damage = "bad pages"
	st.later(1600 * time.Millisecond)
	if st.problem(health.DamageReported) || !st.problem(health.ReplicaCorrupt) {
		t.Error("damage is only suspected")
	}
}

func TestProblemsAreNamed(t *testing.T) {
	for kind, change := range map[health.Kind]func(*stage){
		health.ReplicaMissing:    func(st *stage) { st.members["m2"] = nil },
		health.AgentError:        func(st *stage) { st.members["m2"].Error = "disk full" },
		health.NotProtected:      func(st *stage) { st.members["m1"].Guard.Complete = false },
		health.SettingsTooLow:    func(st *stage) { st.members["m2"].Raised = []string{"max_connections"} },
		health.PendingRestart:    func(st *stage) { st.members["m1"].PendingRestart = []string{"max_connections"} },
		health.ReplayPaused:      func(st *stage) { st.members["m2"].ReplayPaused = true },
		health.SlotLeftBehind:    func(st *stage) { st.members["m2"].Slots = []health.Slot{{Name: "sub", Held: 1}} },
		health.DiskFull:          func(st *stage) { st.members["m2"].Full = []string{"/data (0 MB free)"} },
		health.TablespaceMissing: func(st *stage) { st.members["m2"].NoFolder = []string{"/fast (it does not exist)"} },
		health.SettingOverridden: func(st *stage) {
			st.members["m2"].Overridden = []health.Override{{Name: "wal_receiver_timeout", Value: "1min", Wanted: "3s", Mend: "reset it"}}
		},
		health.HostFilesReplaced: func(st *stage) {
			st.members["m2"].Replaced = &health.ReplacedFiles{Names: []string{"pg_hba.conf"}}
		},
		health.IOWorkersStuck:      func(st *stage) { st.members["m1"].StuckWorkers = []string{"12"} },
		health.DamageReported:      func(st *stage) { st.members["m2"].Log = saying(health.SignOfDamage) },
		health.StorageErrors:       func(st *stage) { st.members["m1"].Log = saying(health.SignOfStorage) },
		health.CollationsDiffer:    func(st *stage) { st.members["m2"].Collations = []health.Collation{{Database: "app"}} },
		health.PrimaryStuck:        func(st *stage) { st.members["m1"].Stale = 2001 },
		health.TwoPrimaries:        func(st *stage) { st.members["m2"].Role = health.RolePrimary },
		health.ReplicaDiverged:     func(st *stage) { st.members["m2"].Needs = "rewind" },
		health.ReplicaNotStreaming: func(st *stage) { st.members["m2"].Receiver = nil },
		health.PrimaryAgentSilent:  func(st *stage) { st.members["m1"] = nil },
	} {
		st := well(t, 1, nil)
		if st.problem(kind) {
			t.Errorf("%s is named where all is well", kind)
		}
		change(st)
		st.later(1600 * time.Millisecond)
		if !st.problem(kind) {
			t.Errorf("%s is not named", kind)
		}
	}
}

// A new member counts for nothing before the primary has confirmed a member list that contains it: until then the primary may renew
// its lease without that member's promise (L5).
func TestNewMemberIsKnownToThePrimaryFirst(t *testing.T) {
	st := well(t, 0, nil)
	p := platformOf(0)
	p.Hosts = append(p.Hosts, platform.Host{Name: "h4", Site: "west"})
	p.Clusters[0].Members = append(p.Clusters[0].Members, platform.Member{Name: "m4", Host: "h4", Port: 5432, MayLead: true})
	st.members["m1"].MembersVersion = st.s.PlatformVersion
	st.apply(state.Command{Platform: &state.SetPlatform{Platform: p}})
	st.apply(state.Command{AgentRun: &state.AgentRun{Host: "h4", Run: "r"}})
	m4 := *st.members["m3"]
	m4.Name, m4.Incarnation = "m4", st.c().Members["m4"].Incarnation
	st.members["m4"] = &m4
	st.members["m1"].Senders = append(st.members["m1"].Senders, health.Sender{Name: m4.Incarnation, State: "streaming", Flush: 1000})
	if cmd := st.step(5 * time.Second); cmd != nil {
		t.Fatalf("it streams, and the primary knows only the list before: %s", body(cmd))
	}
	st.members["m1"].MembersVersion = st.s.PlatformVersion
	st.later(0)
	if r := st.commits().Rejoined; r == nil || r.Member != "m4" || !st.c().Members["m4"].KnownToPrimary {
		t.Errorf("the primary has confirmed the list: %+v, %+v", r, st.c().Members["m4"])
	}
}

// The primary may say of any set in force that nothing is acknowledged any more by those before it.
func TestSetInBetweenSettles(t *testing.T) {
	st := well(t, 1, nil)
	c := st.c()
	first := c.Sets[len(c.Sets)-1]
	c.Sets = nil
	for i := range uint64(3) {
		set := first
		set.ID += i
		c.Sets = append(c.Sets, set)
	}
	c.HighSet = first.ID + 2
	st.members["m1"].Settled = first.ID + 1
	st.later(0)
	if s := st.commits().Settled; s == nil || len(st.c().Sets) != 2 || st.c().Sets[0].ID != first.ID+1 {
		t.Errorf("%+v, in force %+v", s, st.c().Sets)
	}
}

// A member that leaves is kept only as long as commits would wait for it: by what is loaded, and by what is wanted.
func TestLeavingMemberIsNeeded(t *testing.T) {
	st := removed(t, 1, nil)
	set := st.c().Sets[len(st.c().Sets)-1]
	for _, c := range []struct {
		loaded, wanted int
		want           string
	}{{1, 1, ""}, {2, 1, ""}, {1, 2, ""}, {2, 2, "m3"}} {
		set.Acks, st.s.ClusterConfig("feed").Durability.Acks = c.loaded, c.wanted
		if got := st.look().needed(st.members["m1"], &set); got != c.want {
			t.Errorf("acks %d loaded, %d wanted: %q", c.loaded, c.wanted, got)
		}
	}
}

// TestSettledNotBeforeItsCover: a set that a later one rests on stays until that one is settled itself.
func TestSettledNotBeforeItsCover(t *testing.T) {
	st := well(t, 1, nil)
	for _, s := range []state.ChangeSet{{Acks: 1, Names: []string{"m2_2"}}, {Acks: 2, Names: []string{"m2_2", "m3_3"}}} {
		s.Epoch = ep(1)
		st.apply(onFeed(state.Command{Sets: &s}))
	}
	first := st.c().Sets[0].ID
	for _, c := range []struct {
		id   uint64
		want bool
	}{{first + 1, false}, {first + 2, true}} {
		st.members["m1"].Settled = c.id
		st.later(time.Second)
		cmd, _, _ := st.next()
		if got := cmd != nil && cmd.Settled != nil; got != c.want {
			t.Errorf("settled %d of %v: %s", c.id, st.c().Sets, body(cmd))
		}
	}
}
