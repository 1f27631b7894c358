package state

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// without is a platform file that lacks some members of feed; none is all of them.
func without(acks int, names ...string) *platform.Platform {
	p := testPlatform(acks)
	p.Clusters[0].Members = slices.DeleteFunc(p.Clusters[0].Members, func(m platform.Member) bool { return slices.Contains(names, m.Name) })
	return p
}

func remove(p *platform.Platform, names ...string) Command {
	return Command{Platform: &SetPlatform{Platform: p, Remove: names}}
}

func left() Command { return onFeed(Command{RemoveLeaving: &RemoveLeaving{}}) }

// settled makes the set of these names the only one in force.
func settled(t *testing.T, s *State, names ...string) *State {
	t.Helper()
	s = run(t, s, onFeed(Command{Sets: &ChangeSet{Epoch: s.Clusters["feed"].Epoch, Acks: 1, Names: names}}))
	return run(t, s, onFeed(Command{Settled: &Settled{Epoch: s.Clusters["feed"].Epoch, ID: s.Clusters["feed"].HighSet}}))
}

func paused() Command { return onFeed(Command{Pause: &SetPause{Pause: &Pause{By: "ann"}}}) }

func TestRemovalsThatAreRefused(t *testing.T) {
	twoSites := func(p *platform.Platform) *platform.Platform {
		p.Clusters[0].Durability.From = "other-site"
		return p
	}
	none := testPlatform(1)
	none.Clusters = nil
	moved := without(1, "m3")
	moved.Clusters = append(moved.Clusters, platform.Cluster{Name: "tags", Members: []platform.Member{{Name: "m3", Host: "h3"}}})
	gone := without(1, "m3")
	gone.Hosts = gone.Hosts[:2]
	fenced := bootstrapped(t, 1)
	fenced.Fences = map[string]*Fence{"h3": {By: "ann"}}
	for _, c := range []struct {
		s   *State
		cmd Command
		why string
	}{
		{bootstrapped(t, 1), remove(without(1, "m3")), "or add --remove m3"},
		{bootstrapped(t, 1), remove(without(1, "m3"), "m2", "feed"), "or add --remove m3"},
		{bootstrapped(t, 1), remove(without(1, "m1"), "m1"), "m1 is the primary; run `mainstay switchover feed` first"},
		{run(t, bootstrapped(t, 1), failover()), remove(without(1, "m3"), "m3"), "operation feed-2 is running"},
		{run(t, bootstrapped(t, 1), onFeed(Command{Begin: &Begin{Kind: Switchover}})), remove(without(1, "m3"), "m3"),
			"operation feed-2 is running"},
		{bootstrapped(t, 2), remove(without(2, "m3"), "m3"), "only 1 members could acknowledge commits of primary m1, but acks is 2"},
		// m3 is on m1's site
		{bootstrapped(t, 1), remove(twoSites(without(1, "m2")), "m2"), "only 0 members could acknowledge commits of primary m1"},
		{bootstrapped(t, 1), remove(moved, "m3"), "m3 moves from cluster feed to tags"},
		{fenced, remove(gone, "m3"), "host h3 is fenced"},
		{bootstrapped(t, 1), remove(none), "or add --remove feed"},
		{bootstrapped(t, 1), remove(none, "feed"), "run `mainstay pause feed"},
		{run(t, bootstrapped(t, 1), paused(), onFeed(Command{Pause: &SetPause{Resume: true}})), remove(none, "feed"), "run `mainstay pause feed"},
		{run(t, bootstrapped(t, 1), failover()), remove(none, "feed"), "operation feed-2 is running"},
		{bootstrapped(t, 1), left(), "no member is leaving"},
		{run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3")), left(), "still count on every leaving member"},
	} {
		refused(t, c.s, c.cmd, c.why)
	}
}

// A member that a set in force contains stays protected, and can be sealed, until it has left by the drop rule (S2).
func TestRemovedMemberLeavesByTheDropRule(t *testing.T) {
	p := without(1, "m3")
	p.Hosts, p.Sites = p.Hosts[:2], p.Sites[:2]
	s := run(t, bootstrapped(t, 1), remove(p, "m3"))
	m := s.ClusterConfig("feed").Member("m3")
	if m == nil || !m.Leaving || m.MayLead || s.Platform.Host("h3") == nil || s.Applied() != p {
		t.Fatalf("leaving: %+v, applied %s", m, text(s.Applied()))
	}
	if g := s.GoalOf("feed", "m3"); g.Kind != platform.GoalReplica || g.Incarnation != "m3_3" {
		t.Errorf("while it is counted on it is a replica: %+v", g)
	}
	if a := s.Ackers(s.Clusters["feed"], "m1"); !slices.Equal(a, []string{"m2_2"}) {
		t.Errorf("new sets count on %v", a)
	}
	if g := run(t, s, failover()).GoalOf("feed", "m3"); g.Kind != platform.GoalSealed {
		t.Errorf("a failover in that moment seals it: %+v", g)
	}
	refused(t, s, onFeed(Command{Begin: &Begin{Kind: Failover, To: "m3"}}), "m3 is being removed")
	refused(t, run(t, s, failover()), promote(func(p *Promote) { p.Member = "m3" }), "is being removed")

	version := s.PlatformVersion
	s = run(t, settled(t, s, "m2_2"), left())
	if s.ClusterConfig("feed").Member("m3") != nil || s.Clusters["feed"].Members["m3"] != nil || s.Platform.Host("h3") != nil ||
		s.Wanted != nil || s.PlatformVersion != version+1 {
		t.Errorf("left: %s", text(s))
	}
	r := s.Releases("h3")
	if g := r["m3"]; len(r) != 1 || g.Kind != platform.GoalReleased || g.Epoch != ep(1) || !g.Paused || g.Upstream != nil ||
		len(s.Releases("h2")) != 0 {
		t.Errorf("its agent is told %+v", r)
	}
	if g := s.GoalOf("feed", "m1"); slices.Contains(g.OtherMembers, "m3") || g.MembersVersion != s.PlatformVersion {
		t.Errorf("the primary keeps slots for %v, list %d", g.OtherMembers, g.MembersVersion)
	}
	s = run(t, s, remove(testPlatform(1)))
	if got := s.Clusters["feed"].Members["m3"]; got == nil || got.Incarnation != "m3_4" || got.KnownToPrimary || got.HasStreamed ||
		len(s.Releases("h3")) != 0 {
		t.Errorf("added again: %+v, releases %v", got, s.Releases("h3"))
	}
}

// An earlier name of the member's data in an older set holds it back as well.
func TestEarlierIncarnationIsCountedOn(t *testing.T) {
	s := run(t, bootstrapped(t, 1), onFeed(Command{Reincarnate: &Reincarnate{Member: "m3"}}),
		onFeed(Command{Sets: &ChangeSet{Epoch: ep(1), Acks: 1, Names: []string{"m2_2"}}}))
	s = run(t, s, remove(without(1, "m3"), "m3"))
	refused(t, s, left(), "still count on every leaving member")
	s = run(t, s, onFeed(Command{Settled: &Settled{Epoch: ep(1), ID: 2}}), left())
	if s.Clusters["feed"].CountsOn("m3") || s.Released["m3"] == nil {
		t.Errorf("released %v", s.Released)
	}
	if ops := s.Clusters["feed"].Operations; ops[len(ops)-1].Result != Failed {
		t.Errorf("its rejoin continues: %+v", ops)
	}
}

func TestRemovalIsUndoneByApplyingAgain(t *testing.T) {
	s := run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3"), remove(testPlatform(1)))
	if m := s.ClusterConfig("feed").Member("m3"); m.Leaving || !m.MayLead || s.Clusters["feed"].Members["m3"].Incarnation != "m3_3" ||
		s.Wanted != nil {
		t.Errorf("kept: %+v", m)
	}
	// A later change leaves it leaving, and needs its name no more.
	s = run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3"), remove(without(1, "m3")))
	if m := s.ClusterConfig("feed").Member("m3"); m == nil || !m.Leaving {
		t.Errorf("after another apply: %+v", m)
	}
}

// A member that no set counts on is removed at once, but not during an attempt.
func TestMemberNoSetCountsOnGoesAtOnce(t *testing.T) {
	s := run(t, bootstrapped(t, 0), remove(without(0, "m3"), "m3"))
	if s.ClusterConfig("feed").Member("m3") != nil || s.Wanted != nil || s.Released["m3"] == nil {
		t.Errorf("acks 0: %s", text(s.Platform))
	}
	s = run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3"))
	s = run(t, settled(t, s, "m2_2"), failover())
	refused(t, s, left(), "operation feed-2 is running")
	s = run(t, s, remove(without(1, "m3")))
	if m := s.ClusterConfig("feed").Member("m3"); m == nil || !m.Leaving {
		t.Errorf("it went during an attempt, by another apply: %+v", m)
	}
}

// A new primary's first set does not contain who is leaving, though the promotion counts on it.
func TestPromotionWhileAMemberLeaves(t *testing.T) {
	s := run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3"), failover())
	refused(t, s, promote(func(p *Promote) {
		p.Proof.Kind, p.Sealed = fencing.QuorumSealed, p.Sealed[:1]
	}), "too few members are sealed")
	s = run(t, s, promote(func(p *Promote) { p.Proof.Kind = fencing.QuorumSealed }))
	if set := s.Clusters["feed"].Set(); slices.ContainsFunc(set.Names, func(n string) bool { return strings.HasPrefix(n, "m3") }) {
		t.Errorf("the first set is %+v", set)
	}
}

func TestRemovedClustersNumbersAreKept(t *testing.T) {
	none := testPlatform(1)
	none.Clusters = nil
	s := run(t, bootstrapped(t, 1), failover(), promote(nil), onFeed(Command{Opened: &Opened{Epoch: ep(2), SystemID: "7", Timeline: 2}}),
		paused())
	old := s.Clusters["feed"]
	s = run(t, s, remove(none, "feed"))
	if len(s.Clusters) != 0 || s.Wanted != nil || len(s.Platform.Hosts) != 3 {
		t.Fatalf("gone: %s", text(s))
	}
	var told []string
	for _, h := range []string{"h1", "h2", "h3"} {
		for name, g := range s.Releases(h) {
			told = append(told, name)
			if streams := g.Upstream != nil && g.Upstream.Member == "m2" && g.Upstream.Port == 5432; g.Kind != platform.GoalReleased ||
				g.Epoch != ep(2) || streams == (name == "m2") {
				t.Errorf("%s is told %+v", name, g)
			}
		}
	}
	if !slices.Equal(told, []string{"m1", "m2", "m3"}) {
		t.Errorf("told: %v", told)
	}
	s = run(t, s, remove(testPlatform(1)))
	c := s.Clusters["feed"]
	if c.Primary != "" || len(c.Sets) != 0 || c.Version <= old.Version || len(s.RemovedClusters) != 0 || len(s.Released) != 0 {
		t.Errorf("it comes back as %s, gone %v, released %v", text(c), s.RemovedClusters, s.Released)
	}
	s = run(t, s, onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m2", Adopt: true, SystemID: "7", Timeline: 2}}))
	c = s.Clusters["feed"]
	if c.Epoch.Number <= old.HighEpoch || c.HighTimeline < old.HighTimeline || c.Sets[0].ID <= old.HighSet ||
		c.HighOperation <= old.HighOperation {
		t.Errorf("a number is used twice: %s, before %s", text(c), text(old))
	}
	for name, m := range c.Members {
		if was := slices.Collect(maps.Values(old.Members)); slices.ContainsFunc(was,
			func(o *Member) bool { return o.Incarnation == m.Incarnation }) {
			t.Errorf("%s has the old name %s", name, m.Incarnation)
		}
	}
}

func TestRemovalSurvivesASnapshot(t *testing.T) {
	s := run(t, bootstrapped(t, 1), remove(without(1, "m3"), "m3"))
	b, err := EncodeSnapshot(s)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSnapshot(b)
	if err != nil || text(back) != text(s) {
		t.Fatalf("%v\n%s\n%s", err, text(back), text(s))
	}
	back = run(t, settled(t, back, "m2_2"), left())
	if back.Released["m3"] == nil {
		t.Error("it did not leave")
	}
}

// An unborn cluster protects nothing yet.
func TestClusterBeforeBootstrapIsRemoved(t *testing.T) {
	none := testPlatform(1)
	none.Clusters = nil
	s := run(t, New(), Command{Init: &Init{PlatformID: "p"}}, remove(testPlatform(1)), remove(none, "feed"))
	if len(s.Clusters) != 0 || len(s.Released) != 3 {
		t.Errorf("%s", text(s))
	}
}
