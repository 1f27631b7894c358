package state

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func TestGoalOfEachPhase(t *testing.T) {
	beforeBootstrap := run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: testPlatform(1)}})
	s := bootstrapped(t, 1)
	begin := func(b Begin) *State { return run(t, s, onFeed(Command{Begin: &b})) }
	switching := begin(Begin{Kind: Switchover})
	stopping := run(t, switching, onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseStop, StopOld: true}}))
	forced := run(t, stopping, onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: PhaseSeal}}))
	promoted := run(t, s, failover(), promote(nil))
	for _, c := range []struct {
		name          string
		s             *State
		one, two      platform.GoalKind // of m1 (the first primary) and m2
		epoch1, epoch platform.Epoch
	}{
		{"unborn", beforeBootstrap, platform.GoalObserve, platform.GoalObserve, platform.Epoch{}, platform.Epoch{}},
		{"well", s, platform.GoalPrimary, platform.GoalReplica, ep(1), ep(1)},
		{"checkpoint", switching, platform.GoalPrimary, platform.GoalReplica, ep(1), ep(1)},
		{"clean stop", stopping, platform.GoalStopped, platform.GoalReplica, ep(1), ep(1)},
		{"forced stop", forced, platform.GoalStopped, platform.GoalSealed, ep(1), ep(2)},
		{"crashed", begin(Begin{Kind: Failover, StopOld: true}), platform.GoalStopped, platform.GoalSealed, ep(1), ep(2)},
		{"unreachable", begin(Begin{Kind: Failover}), platform.GoalNone, platform.GoalSealed, ep(1), ep(2)},
		{"promoted", promoted, platform.GoalReplica, platform.GoalPrimary, ep(2), ep(2)},
	} {
		one, two := c.s.GoalOf("feed", "m1"), c.s.GoalOf("feed", "m2")
		if one.Kind != c.one || two.Kind != c.two || one.Epoch != c.epoch1 || two.Epoch != c.epoch {
			t.Errorf("%s: m1 %q %s, m2 %q %s; want %q %s, %q %s", c.name, one.Kind, one.Epoch, two.Kind, two.Epoch, c.one, c.epoch1, c.two, c.epoch)
		}
	}
	if g := switching.GoalOf("feed", "m1"); g.Checkpoint != ep(2) {
		t.Errorf("the CHECKPOINT is tagged %s, want the attempt's number", g.Checkpoint)
	}
	if g := stopping.GoalOf("feed", "m1"); !g.Clean || forced.GoalOf("feed", "m1").Clean {
		t.Error("a clean stop is asked for in its own phase only")
	}
	if g := promoted.GoalOf("feed", "m1"); g.Upstream == nil || g.Upstream.Member != "m2" || g.Upstream.Address != "10.0.0.2" || g.Opened ||
		g.Incarnation != "m1_4" {
		t.Errorf("the old primary's goal: %+v", g)
	}
	if g := s.GoalOf("feed", "m9"); g.Kind != platform.GoalNone || s.GoalOf("x", "m1").Kind != platform.GoalNone {
		t.Error("a stranger has a goal")
	}
}

// TestGoalsTellOfTheWatchdog, also to a member whose host is fenced or whose cluster is not born: that is no word for off.
func TestGoalsTellOfTheWatchdog(t *testing.T) {
	p := testPlatform(1)
	p.Hosts[0].Watchdog = platform.WatchdogRequired
	s := run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: p}})
	want := platform.Watchdog{Mode: platform.WatchdogRequired, Timeout: 3 * time.Second}
	check := func(what string, s *State) {
		t.Helper()
		if g := s.GoalOf("feed", "m1"); g.Watchdog == nil || *g.Watchdog != want || g.Cluster != "feed" {
			t.Errorf("%s: got %+v", what, g)
		}
		if g := s.GoalOf("feed", "m2"); g.Watchdog != nil {
			t.Errorf("%s: m2 got %+v", what, g)
		}
	}
	check("unborn", s)
	s = run(t, s, onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m1", Guarded: true}}),
		onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}}))
	check("well", s)
	check("failing over", run(t, s, failover()))
}

func TestOnlyTheFirstEpochMayCreate(t *testing.T) {
	s := run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: testPlatform(1)}},
		onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m1"}}))
	if !s.GoalOf("feed", "m1").Create || s.GoalOf("feed", "m2").Create {
		t.Error("only the first primary may initialise an empty directory")
	}
	s = run(t, s, onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}}))
	if s.GoalOf("feed", "m1").Create {
		t.Error("a cluster that has data may still be created anew")
	}
}

func TestAdoptionCountsAsAsynchronous(t *testing.T) { // durability sets
	s := run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: testPlatform(1)}},
		onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m2", Adopt: true, SystemID: "9", Timeline: 5,
			History: platform.History{{Timeline: 4, End: 8}}}}))
	c := s.Clusters["feed"]
	if len(c.Sets) != 1 || c.Sets[0].Acks != 0 || c.Opened || c.HighTimeline != 5 {
		t.Errorf("adopted: %s", text(c))
	}
	if QuorumSealed(c.Sets, []Sealed{{Incarnation: "m1_1"}, {Incarnation: "m3_3"}}) {
		t.Error("commits under the empty list waited for no replica: only the primary shows its own end")
	}
}

func TestHistoryIsBounded(t *testing.T) {
	s := bootstrapped(t, 1)
	for range maxOperations + 5 {
		s = run(t, s, onFeed(Command{Rejoined: &Rejoined{Member: "m2"}}))
	}
	c := s.Clusters["feed"]
	if len(c.Operations) != maxOperations || c.Operations[0].ID == "feed-1" {
		t.Errorf("%d operations, the oldest %s", len(c.Operations), c.Operations[0].ID)
	}
}
