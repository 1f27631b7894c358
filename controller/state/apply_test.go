package state

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func TestAttemptNumbersAreNeverUsedTwice(t *testing.T) { // S3, seals
	s := run(t, bootstrapped(t, 1), failover(), onFeed(Command{Abandon: &Abandon{Attempt: ep(2)}}))
	c := s.Clusters["feed"]
	if c.Epoch != ep(3) || c.Attempt != nil || !c.Opened || c.Primary != "m1" {
		t.Fatalf("after an abandonment with seals the old primary continues under a higher epoch: %s", text(c))
	}
	refused(t, s, promote(nil), "attempt 1.2 is not running")
	s = run(t, s, failover())
	if n := s.Clusters["feed"].Attempt.Number; n != ep(4) {
		t.Errorf("next attempt %s, want 1.4", n)
	}
	refused(t, s, promote(func(p *Promote) { p.Attempt = ep(4) }), "the proof is for epoch 1.1")
	s = run(t, bootstrapped(t, 1), onFeed(Command{Begin: &Begin{Kind: Switchover}}), onFeed(Command{Abandon: &Abandon{Attempt: ep(2)}}))
	if got := s.Clusters["feed"].Epoch; got != ep(1) {
		t.Errorf("a switchover cancelled before anything was taken left epoch %s", got)
	}
}

func TestSetsAreFrozenWhileSealing(t *testing.T) { // S2
	s := run(t, bootstrapped(t, 1), onFeed(Command{Sets: &ChangeSet{Epoch: ep(1), Acks: 1, Names: []string{"m3_3"}}}), failover())
	for _, c := range []Command{
		onFeed(Command{Sets: &ChangeSet{Epoch: ep(1), Acks: 1, Names: []string{"m2_2"}}}),
		onFeed(Command{Settled: &Settled{Epoch: ep(1), ID: 2}}),
	} {
		refused(t, s, c, "frozen")
	}
	refused(t, s, onFeed(Command{Reincarnate: &Reincarnate{Member: "m2"}}), "may need the data of m2")
}

func TestSetsChange(t *testing.T) {
	s := bootstrapped(t, 1)
	names := []string{"m3_3", "m2_2"}
	s = run(t, s, onFeed(Command{Sets: &ChangeSet{Epoch: ep(1), Acks: 1, Names: names}}))
	if c := s.Clusters["feed"]; len(c.Sets) != 2 || !slices.Equal(c.Set().Names, []string{"m2_2", "m3_3"}) || names[0] != "m3_3" {
		t.Errorf("sets %v, command's names %v", c.Sets, names)
	}
	refused(t, s, onFeed(Command{Settled: &Settled{Epoch: ep(2), ID: 2}}), "is not in force")
	refused(t, s, onFeed(Command{Settled: &Settled{Epoch: ep(1), ID: 9}}), "durability set 9 is not in force")
	refused(t, s, onFeed(Command{Sets: &ChangeSet{Epoch: ep(1), Acks: 2, Names: []string{"m2_2"}}}), "cannot give 2 acknowledgements")
	s = run(t, s, onFeed(Command{Settled: &Settled{Epoch: ep(1), ID: 2}}))
	if c := s.Clusters["feed"]; len(c.Sets) != 1 || c.Sets[0].ID != 2 {
		t.Errorf("after settling: %v", c.Sets)
	}
}

func TestGates(t *testing.T) {
	s := bootstrapped(t, 1)
	fenced := run(t, s, failover())
	pause := onFeed(Command{Pause: &SetPause{Pause: &Pause{By: "ann", Reason: "disk"}}})
	paused := run(t, s, pause)
	for _, c := range []struct {
		s   *State
		cmd Command
		why string
	}{
		{New(), Command{Platform: &SetPlatform{Platform: testPlatform(1)}}, "not initialised"},
		{New(), failover(), "not initialised"},
		{s, Command{Init: &Init{PlatformID: "q"}}, "already initialised as platform p"},
		{s, Command{Cluster: "nope", Begin: &Begin{}}, `no cluster "nope"`},
		{s, onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m2"}}), "already exists"},
		{s, onFeed(Command{Begin: &Begin{To: "m9"}}), "no member m9"},
		{fenced, failover(), "is running"},
		{fenced, pause, "pause when it has ended"},
		{fenced, onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseStop}}), "past phase stop"},
		{fenced, onFeed(Command{Advance: &Advance{Attempt: ep(3), Phase: PhaseSeal}}), "not running"},
		{fenced, onFeed(Command{Abandon: &Abandon{Attempt: ep(3)}}), "not running"},
		{paused, failover(), "paused by ann"},
		{s, onFeed(Command{Pause: &SetPause{Resume: true}}), "is not paused"},
		{paused, onFeed(Command{Pause: &SetPause{EndResume: true, Guarded: true}}), "not resuming"},
		{s, onFeed(Command{Opened: &Opened{Epoch: ep(2), SystemID: "7", Timeline: 1}}), "epoch 1.2 is not in force"},
		{s, onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "8", Timeline: 1}}), "but the cluster's is 7"},
		{s, onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "7", Timeline: 2}}), "epoch 1.1 has timeline 1"},
		{s, onFeed(Command{Reincarnate: &Reincarnate{Member: "m1"}}), "is not a replica"},
		{s, onFeed(Command{Rejoined: &Rejoined{Member: "m9"}}), "no member m9"},
	} {
		refused(t, c.s, c.cmd, c.why)
	}
}

// TestNoGuardCountsInAPause: whoever comes to lead in a pause, by an operator's word or in a new generation, has guards that do
// not kill, so the end of its lease is no proof (S4, L7).
func TestNoGuardCountsInAPause(t *testing.T) {
	accepts := func(fence bool) Command {
		return onFeed(Command{Begin: &Begin{Kind: Failover, Accepted: &Acceptance{By: "ann", Fence: fence, Completeness: true}}})
	}
	s := run(t, bootstrapped(t, 1), paused(), accepts(true), promote(func(p *Promote) { p.Proof.Kind = fencing.Operator }))
	if c := s.Clusters["feed"]; c.Primary != "m2" || c.Guarded {
		t.Fatalf("%+v", c)
	}
	again := promote(func(p *Promote) {
		p.Attempt, p.Member, p.Timeline, p.Proof = ep(3), "m3", 3, fencing.Proof{Kind: fencing.LeaseExpired, Epoch: ep(2)}
	})
	refused(t, run(t, s, accepts(false)), again, "without both guards")

	s = run(t, Recovered(run(t, bootstrapped(t, 1), paused()), nil, 0, "abc", "root", "fire", "now"),
		onFeed(Command{Reaffirm: &Reaffirm{Epoch: ep(1)}}))
	if s.Clusters["feed"].Guarded {
		t.Error("reaffirmed in a pause, and its lease's end would be a proof")
	}
	s = run(t, s, onFeed(Command{Pause: &SetPause{Resume: true}}), onFeed(Command{Pause: &SetPause{EndResume: true, Guarded: true}}))
	if !s.Clusters["feed"].Guarded {
		t.Error("the guard is bound again, and still proves nothing")
	}
}

func TestPauseAndResume(t *testing.T) { // L7
	s := run(t, bootstrapped(t, 1), onFeed(Command{Pause: &SetPause{Pause: &Pause{By: "ann"}}}))
	if c := s.Clusters["feed"]; c.Guarded || !s.GoalOf("feed", "m1").Paused {
		t.Error("while paused the guard does not count, and the agent is told so")
	}
	s = run(t, s, onFeed(Command{Pause: &SetPause{Resume: true}}))
	if s.GoalOf("feed", "m1").Paused || s.Clusters["feed"].Guarded {
		t.Error("a resume first asks for the guard, and counts it only once it is bound")
	}
	refused(t, s, failover(), "is resuming")
	s = run(t, s, onFeed(Command{Pause: &SetPause{EndResume: true, Guarded: true}}))
	if c := s.Clusters["feed"]; c.Pause != nil || !c.Guarded {
		t.Errorf("after the resume: %s", text(c))
	}
}

func TestVersions(t *testing.T) {
	s := bootstrapped(t, 1)
	stale := failover()
	stale.Version = s.Clusters["feed"].Version
	s = run(t, s, Command{Barrier: &Barrier{}})
	next := run(t, s, stale)
	if _, err := Apply(next, 99, stale); !errors.Is(err, ErrMoved) {
		t.Errorf("decided on an older version: %v", err)
	}
	if _, err := Apply(s, 99, onFeed(Command{})); !errors.Is(err, ErrUnknownCommand) {
		t.Errorf("a command without a body: %v", err)
	}
}

func TestLongestLease(t *testing.T) { // L4
	s := bootstrapped(t, 1)
	with := func(l time.Duration) Command {
		p := testPlatform(1)
		p.Clusters[0].Lease = l
		return Command{Platform: &SetPlatform{Platform: p}}
	}
	s = run(t, s, with(20*time.Second))
	if got := s.Clusters["feed"].LongestLease; got != 20*time.Second {
		t.Errorf("a longer lease counts before it is used: %s", got)
	}
	s = run(t, s, with(2*time.Second))
	if got := s.Clusters["feed"].LongestLease; got != 20*time.Second {
		t.Errorf("a shorter one replaces it at once: %s", got)
	}
	s = run(t, s, onFeed(Command{LeaseCounted: &LeaseCounted{Longest: int64(time.Second)}}))
	if got := s.Clusters["feed"].LongestLease; got != 2*time.Second {
		t.Errorf("once counted out it is the platform's, never less: %s", got)
	}
}

func TestUnsafePlatformChangesAreRefused(t *testing.T) {
	s := bootstrapped(t, 1)
	for why, change := range map[string]func(*platform.Platform){
		"protect platform":      func(p *platform.Platform) { p.Name = "other" },
		"or add --remove feed":  func(p *platform.Platform) { p.Clusters = nil },
		"or add --remove m3":    func(p *platform.Platform) { p.Clusters[0].Members = p.Clusters[0].Members[:2] },
		"m1 cannot move from":   func(p *platform.Platform) { p.Clusters[0].Members[0].Port++ },
		"m2 cannot move from h": func(p *platform.Platform) { p.Clusters[0].Members[1].Host = "h3" },
	} {
		p := testPlatform(1)
		change(p)
		refused(t, s, Command{Platform: &SetPlatform{Platform: p}}, why)
	}
	if _, err := Apply(s, 9, Command{Platform: &SetPlatform{Platform: testPlatform(1), Base: 7}}); !errors.Is(err, ErrPlatformMoved) {
		t.Errorf("a file made from another version: %v", err)
	}
}

func TestUnknownCommandsAreErrors(t *testing.T) {
	for _, b := range []string{`{"cluster":"feed","teleport":{}}`, `{"promote":{"member":"m2","blindly":true}}`, `{"tick":`, ``, `[]`} {
		if _, err := DecodeCommand([]byte(b)); err == nil || !strings.Contains(err.Error(), "upgrade this controller") {
			t.Errorf("%s: %v", b, err)
		}
	}
	want := promote(nil)
	b, err := want.Encode()
	got, err2 := DecodeCommand(b)
	if err != nil || err2 != nil || text(got) != text(want) {
		t.Errorf("round trip: %v %v %s", err, err2, text(got))
	}
}

func TestSnapshotRoundTrip(t *testing.T) {
	s := run(t, bootstrapped(t, 1), failover(), promote(nil),
		onFeed(Command{Opened: &Opened{Epoch: ep(2), SystemID: "7", Timeline: 2, History: platform.History{{Timeline: 1, End: 100}}}}))
	b, err := EncodeSnapshot(s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSnapshot(b)
	if err != nil || text(back) != text(s) {
		t.Errorf("%v: %s", err, text(back))
	}
	for _, bad := range []string{`{"version":2,"state":{}}`, `{"version":1}`, `{"version":1,"state":{"wishes":1}}`, `x`} {
		if _, err := DecodeSnapshot([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

// Apply is deterministic and never touches its input, whatever comes: a thousand random commands, half of them senseless.
func TestApplyIsPureAndDeterministic(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		a, b := bootstrapped(t, 1), bootstrapped(t, 1)
		accepted, last := 0, a.Clusters["feed"].Epoch
		for range 100 {
			cmd := randomCommand(r, a)
			before, asked := text(a), text(cmd)
			next, err := Apply(a, a.Index+1, cmd)
			other, err2 := Apply(b, b.Index+1, cmd)
			if text(a) != before || text(cmd) != asked {
				t.Fatalf("seed %d: %s changed its input", seed, asked)
			}
			if text(next) != text(other) || (err == nil) != (err2 == nil) {
				t.Fatalf("seed %d: %s came out differently", seed, asked)
			}
			if err == nil {
				accepted++
			}
			a, b = next, other
			checkCluster(t, a.Clusters["feed"], last)
			last = a.Clusters["feed"].Epoch
		}
		if accepted < 20 {
			t.Errorf("seed %d: only %d of 100 commands were accepted: this test tries nothing", seed, accepted)
		}
	}
}

func checkCluster(t *testing.T, c *Cluster, last platform.Epoch) {
	t.Helper()
	if c.Epoch.Less(last) || c.Epoch.Number > c.HighEpoch || c.Timeline > c.HighTimeline || len(c.Sets) == 0 {
		t.Fatalf("S3: epoch %s after %s, highest %d; timeline %d of %d; sets %v", c.Epoch, last, c.HighEpoch, c.Timeline, c.HighTimeline, c.Sets)
	}
	for i := 1; i < len(c.Sets); i++ {
		if c.Sets[i].ID <= c.Sets[i-1].ID {
			t.Fatalf("the sets' ids do not grow: %v", c.Sets)
		}
	}
	if c.Attempt != nil && !c.Epoch.Less(c.Attempt.Number) {
		t.Fatalf("attempt %s under epoch %s", c.Attempt.Number, c.Epoch)
	}
}

func randomCommand(r *rand.Rand, s *State) Command {
	c := s.Clusters["feed"]
	member := []string{"m1", "m2", "m3"}[r.IntN(3)]
	attempt := ep(c.HighEpoch)
	kinds := []fencing.Kind{fencing.Stopped, fencing.LeaseExpired, fencing.QuorumSealed, fencing.Operator}
	cmds := []Command{
		{Begin: &Begin{Kind: []OperationKind{Failover, Switchover}[r.IntN(2)], StopOld: r.IntN(2) == 0}},
		{Advance: &Advance{Attempt: attempt, Phase: []Phase{PhaseCheckpoint, PhaseStop, PhaseSeal}[r.IntN(3)],
			Accepted: &Acceptance{By: "ann", Completeness: r.IntN(2) == 0}}},
		{Promote: &Promote{Attempt: attempt, Member: member, Timeline: c.HighTimeline + platform.Timeline(r.IntN(2)), Guarded: true,
			Clean: r.IntN(2) == 0,
			Proof: fencing.Proof{Kind: kinds[r.IntN(4)], Epoch: c.Epoch}}},
		{Abandon: &Abandon{Attempt: attempt}},
		{Opened: &Opened{Epoch: c.Epoch, SystemID: "7", Timeline: c.Timeline, History: platform.History{{Timeline: 1, End: 5}}}},
		{Sets: &ChangeSet{Epoch: c.Epoch, Acks: 1, Names: []string{"b", "a"}}},
		{Settled: &Settled{Epoch: c.Epoch, ID: c.HighSet - uint64(r.IntN(2))}},
		{Reincarnate: &Reincarnate{Member: member}},
		{Rejoined: &Rejoined{Member: member}},
		{Pause: &SetPause{Pause: &Pause{By: "ann"}}},
		{Pause: &SetPause{Resume: true}},
		{Pause: &SetPause{EndResume: true, Guarded: true}},
		{LeaseCounted: &LeaseCounted{Longest: 1}},
		{Barrier: &Barrier{}},
		{},
	}
	cmd := onFeed(cmds[r.IntN(len(cmds))])
	if r.IntN(10) == 0 {
		cmd.Version = c.Version + uint64(r.IntN(2))
	}
	return cmd
}

// TestAppsOfAnEarlierVersion: from the log or from a snapshot, they have no check without a timeout.
func TestAppsOfAnEarlierVersion(t *testing.T) {
	old := `{"platform":"p","sites":[],"hosts":[],"clusters":[],"apps":[{"name":"web","check":{"every":1000000000},"instances":[]}]}`
	cmd, err := DecodeCommand([]byte(`{"platform":{"platform":` + old + `,"base":0}}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := DecodeSnapshot([]byte(`{"version":1,"state":{"platform":` + old + `,"wanted":` + old + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*platform.Platform{cmd.Platform.Platform, s.Platform, s.Wanted} {
		if a := p.Apps[0]; a.Run != platform.RunEverywhere || a.Minimum != 1 || a.Check.Timeout != time.Second || a.Check.Rise != 2 ||
			a.Check.Fall != 3 {
			t.Errorf("%+v", a)
		}
	}
}

// TestSameAs: only a barrier leaves a state that is known to be the same.
func TestSameAs(t *testing.T) {
	initialised, err := Apply(New(), 1, Command{Init: &Init{PlatformID: "p1"}})
	if err != nil {
		t.Fatal(err)
	}
	barrier, err := Apply(initialised, 2, Command{Barrier: &Barrier{}})
	if err != nil || !barrier.SameAs(initialised) || barrier.Index != 2 {
		t.Errorf("after a barrier: same=%v, index %d (%v)", barrier.SameAs(initialised), barrier.Index, err)
	}
	bound, err := Apply(barrier, 3, Command{AgentRun: &AgentRun{Host: "h1", Run: "r1"}})
	if err != nil || bound.SameAs(barrier) {
		t.Errorf("after a command: same=%v (%v)", bound.SameAs(barrier), err)
	}
	if New().SameAs(New()) {
		t.Error("states that no command has made may differ in anything")
	}
}

// TestSuccessorsOfOneState: states share the steps of operations, and a step that is added to one shows in no other.
func TestSuccessorsOfOneState(t *testing.T) {
	s := run(t, bootstrapped(t, 1), onFeed(Command{Begin: &Begin{Kind: Switchover}}),
		onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseStop}}),
		onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseSeal}}))
	before := text(s)
	one := run(t, s, onFeed(Command{Abandon: &Abandon{Attempt: ep(2), Reason: "one"}}))
	was := text(one)
	if two := run(t, s, onFeed(Command{Abandon: &Abandon{Attempt: ep(2), Reason: "two"}})); text(two) == was {
		t.Fatal("the reasons do not show")
	}
	if text(one) != was || text(s) != before {
		t.Errorf("a state was edited:\n%s\n%s", was, text(one))
	}
}
