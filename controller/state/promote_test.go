package state

import (
	"slices"
	"testing"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func TestPromotionRefused(t *testing.T) {
	for _, c := range []struct {
		rule, why string
		change    func(*Promote)
	}{
		{"S4", "attempt 1.9 is not running", func(p *Promote) { p.Attempt = ep(9) }},
		{"S4", "the proof is for epoch 1.2", func(p *Promote) { p.Proof.Epoch = ep(2) }},
		{"S4", "is not a proof", func(p *Promote) { p.Proof.Kind = "" }},
		{"S4", "is not a proof", func(p *Promote) { p.Proof.Kind = "rumour" }},
		{"S4", "no operator has accepted", func(p *Promote) { p.Proof.Kind = fencing.Operator }},
		{"S4", "too few members are sealed", func(p *Promote) { p.Proof.Kind, p.Sealed = fencing.QuorumSealed, p.Sealed[:1] }},
		{"S2", "needs the final positions of 2", func(p *Promote) { p.Sealed = p.Sealed[:1] }},
		{"S2", "needs the final positions of 2", func(p *Promote) { p.Sealed[1].Known = false }},
		{"S2", "needs the final positions of 2", func(p *Promote) { p.Sealed[1].Incarnation = "m3_9" }},
		{"S2", "another sealed member is ahead", func(p *Promote) { p.Sealed[1].Position = 101 }},
		{"S2", "another sealed member is ahead", func(p *Promote) { p.Sealed[1].Timeline = 2 }},
		{"S2", "another sealed member is ahead", func(p *Promote) { p.Member = "m3" }},
		{"timeline", "timeline 1 has been used before", func(p *Promote) { p.Timeline = 1 }},
		{"timeline", "keeps its timeline", func(p *Promote) { p.Member = "m1" }},
		{"S5", "no such member", func(p *Promote) { p.Member = "m9" }},
		// Clean stands for completeness only together with the token of a stopped primary.
		{"S2", "needs the final positions", func(p *Promote) { p.Clean, p.Sealed[1].Known, p.Proof.Kind = true, false, fencing.LeaseExpired }},
		{"L5", "may have extended", func(p *Promote) { p.Sealed, p.Proof.Kind = p.Sealed[:1], fencing.LeaseExpired }},
	} {
		s := run(t, bootstrapped(t, 1), failover())
		refused(t, s, promote(c.change), c.why)
	}
}

func TestPromotionAccepted(t *testing.T) {
	for name, change := range map[string]func(*Promote){
		"stopped":              nil,
		"lease-expired":        func(p *Promote) { p.Proof.Kind = fencing.LeaseExpired },
		"quorum-sealed":        func(p *Promote) { p.Proof.Kind = fencing.QuorumSealed },
		"clean, nobody sealed": func(p *Promote) { p.Clean, p.Sealed = true, nil },
		"as advanced":          func(p *Promote) { p.Sealed[1].Position = 100 },
		"restart in place":     func(p *Promote) { p.Member, p.Timeline, p.Sealed = "m1", 1, nil },
	} {
		s := run(t, bootstrapped(t, 1), failover())
		next, err := Apply(s, 99, promote(change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c := next.Clusters["feed"]
		if c.Epoch != ep(2) || c.Attempt != nil || c.Opened || c.History != nil {
			t.Errorf("%s: %s", name, text(c))
		}
	}
}

func TestLeaseOfAnUnguardedEpochProvesNothing(t *testing.T) { // L2, L7
	s := bootstrapped(t, 1)
	paused := run(t, s, onFeed(Command{Pause: &SetPause{Pause: &Pause{By: "ann"}}}), onFeed(Command{Pause: &SetPause{Resume: true}}),
		onFeed(Command{Pause: &SetPause{EndResume: true}}))
	expired := promote(func(p *Promote) { p.Proof.Kind = fencing.LeaseExpired })
	refused(t, run(t, paused, failover()), expired, "without both guards")

	second := run(t, s, failover(), promote(func(p *Promote) { p.Guarded = false }), failover())
	expired.Promote.Attempt, expired.Promote.Member, expired.Promote.Timeline, expired.Promote.Proof.Epoch = ep(3), "m3", 3, ep(2)
	refused(t, second, expired, "without both guards")
}

func TestOperatorStandsInForWhatHeSays(t *testing.T) { // S4
	operator := promote(func(p *Promote) { p.Proof.Kind, p.Sealed = fencing.Operator, p.Sealed[:1] })
	for _, c := range []struct {
		fence, completeness bool
		why                 string
	}{{true, true, ""}, {true, false, "needs the final positions"}, {false, true, "no operator has accepted"}} {
		s := run(t, bootstrapped(t, 1),
			onFeed(Command{Begin: &Begin{Kind: Failover, Accepted: &Acceptance{By: "ann", Reason: "fire", Fence: c.fence,
				Completeness: c.completeness}}}))
		if c.why != "" {
			refused(t, s, operator, c.why)
			continue
		}
		s = run(t, s, operator, onFeed(Command{Begin: &Begin{Kind: Failover}}))
		if s.Clusters["feed"].Attempt.Accepted != nil {
			t.Error("the operator's word outlived its attempt")
		}
	}
}

func TestPromotionInPhasesThatStillGrantLeases(t *testing.T) { // L3
	s := run(t, bootstrapped(t, 1), onFeed(Command{Begin: &Begin{Kind: Switchover}}))
	for _, phase := range []Phase{PhaseCheckpoint, PhaseStop} {
		s = run(t, s, onFeed(Command{Advance: &Advance{Attempt: ep(2), Phase: phase}}))
		for _, kind := range []fencing.Kind{fencing.LeaseExpired, fencing.QuorumSealed} {
			refused(t, s, promote(func(p *Promote) { p.Proof.Kind = kind }), "still gets leases")
		}
	}
	run(t, s, promote(func(p *Promote) { p.Clean, p.Sealed = true, nil }))
}

func TestExcludedIsNeverPromoted(t *testing.T) { // S5
	s := run(t, bootstrapped(t, 1), failover())
	s.Clusters["feed"].Members["m2"].Excluded = "checksum failures"
	refused(t, s, promote(nil), "checksum failures")
	s = bootstrapped(t, 1)
	s.Clusters["feed"].Members["m2"].Excluded = "checksum failures"
	refused(t, s, onFeed(Command{Begin: &Begin{Kind: Switchover, To: "m2"}}), "m2 must not be promoted: checksum failures")
}

func TestFirstSet(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Promote)
		want   []string
	}{
		{"a crashed primary's next data gets a new name and stays out", nil, []string{"m3_3"}},
		{"who is not sealed may be past the fork and stays out", func(p *Promote) { p.Sealed[1].Incarnation = "m3_0"; p.Clean = false }, nil},
		{"a cleanly stopped primary stays in", func(p *Promote) { p.Clean = true }, []string{"m1_1", "m3_3"}},
		{"in place all members stay in", func(p *Promote) { p.Member, p.Timeline = "m1", 1 }, []string{"m2_2", "m3_3"}},
	} {
		s := run(t, bootstrapped(t, 1), failover())
		cmd := promote(c.change)
		if c.want == nil { // only the promoted member is sealed: with acks 1 too few are left, so the rest comes in
			s.Clusters["feed"].Attempt.Accepted = &Acceptance{Completeness: true}
			c.want = []string{"m1_4", "m3_3"}
		}
		got := run(t, s, cmd).Clusters["feed"].Set()
		if !slices.Equal(got.Names, c.want) || got.Epoch != ep(2) {
			t.Errorf("%s: set %v of epoch %s, want %v", c.name, got.Names, got.Epoch, c.want)
		}
	}
}

// TestEqualSetsMerge: a primary that is restarted in place again and again adds no set with each restart, also where it steps down to
// fewer acks in between. Sets that differ in acks or names stay, whatever their epochs.
func TestEqualSetsMerge(t *testing.T) { // S2
	of := func(acks int, names ...string) ChangeSet { return ChangeSet{Acks: acks, Names: names} }
	all := of(1, "m2_2", "m3_3")
	for name, c := range map[string]struct {
		each []ChangeSet // with every run of the primary
		want []ChangeSet
	}{
		"it settles nothing":       {nil, []ChangeSet{all}},
		"it steps down":            {[]ChangeSet{of(0)}, []ChangeSet{of(0), all}},
		"a replica leaves":         {[]ChangeSet{of(1, "m2_2")}, []ChangeSet{of(1, "m2_2"), all}},
		"one leaves, then another": {[]ChangeSet{of(1, "m2_2"), of(1, "m3_3")}, []ChangeSet{of(1, "m2_2"), of(1, "m3_3"), all}},
		"more acks of the same":    {[]ChangeSet{of(2, "m2_2", "m3_3")}, []ChangeSet{of(2, "m2_2", "m3_3"), all}},
	} {
		s := bootstrapped(t, 1)
		for n := range uint64(20) {
			epoch, high := s.Clusters["feed"].Epoch, s.Clusters["feed"].HighSet
			for _, set := range c.each {
				set.Epoch = epoch
				s = run(t, s, onFeed(Command{Sets: &set}))
			}
			s = run(t, s, failover(), promote(func(p *Promote) {
				p.Member, p.Timeline, p.Sealed, p.Attempt, p.Proof.Epoch, p.MergeSets = "m1", 1, nil, ep(n+2), epoch, true
			}))
			feed := s.Clusters["feed"]
			if feed.HasEqualSets() {
				t.Fatalf("%s: %s", name, text(feed.Sets))
			}
			if newest := feed.Set(); newest.ID != high+uint64(len(c.each))+1 || newest.Epoch != ep(n+2) {
				t.Fatalf("%s: the newest set is %+v", name, newest)
			}
			var got []ChangeSet
			for i, set := range feed.Sets {
				got = append(got, of(set.Acks, set.Names...))
				if i > 0 && set.ID <= feed.Sets[i-1].ID {
					t.Fatalf("%s: %s", name, text(feed.Sets))
				}
			}
			if text(got) != text(c.want) {
				t.Fatalf("%s: after %d restarts the sets are %s, want %s", name, n+1, text(got), text(c.want))
			}
		}
	}
	// A command that does not ask for it changes as little as it did in builds that knew no merge.
	kept := run(t, bootstrapped(t, 1), failover(), promote(func(p *Promote) { p.Member, p.Timeline, p.Sealed = "m1", 1, nil }))
	if c := kept.Clusters["feed"]; len(c.Sets) != 2 || !c.HasEqualSets() {
		t.Errorf("not asked for: %s", text(c.Sets))
	}
	// Within an epoch the primary may know the earlier of two only.
	s := bootstrapped(t, 1)
	for _, set := range []ChangeSet{of(1, "m2_2"), all} {
		set.Epoch = ep(1)
		s = run(t, s, onFeed(Command{Sets: &set}))
	}
	if got := s.Clusters["feed"].Sets; len(got) != 3 {
		t.Errorf("merged within an epoch: %s", text(got))
	}
}

// Any |S|-k+1 sealed members include one of the k that acknowledged; any fewer may not. Complete and QuorumSealed must
// draw the line exactly there, for every set of up to 5.
func TestCompletenessIsExact(t *testing.T) { // S2
	for n := 1; n <= 5; n++ {
		for k := 1; k <= n; k++ {
			set := platform.DurabilitySet{ID: 1, Acks: k}
			for i := range n {
				set.Names = append(set.Names, string(rune('a'+i)))
			}
			for subset := range 1 << n {
				checkSubset(t, set, subset)
			}
		}
	}
}

func checkSubset(t *testing.T, set platform.DurabilitySet, subset int) {
	t.Helper()
	var sealed []Sealed
	for i, name := range set.Names {
		if subset&(1<<i) != 0 {
			sealed = append(sealed, Sealed{Member: name, Incarnation: name, Position: 1, Known: true})
		}
	}
	safe := true // every quorum of k that may have acknowledged has a sealed member
	for quorum := range 1 << len(set.Names) {
		if popcount(quorum) == set.Acks && quorum&subset == 0 {
			safe = false
		}
	}
	sets := []platform.DurabilitySet{set}
	if got := Complete(sets, sealed) == nil; got != safe {
		t.Errorf("acks %d of %v, sealed %b: complete %v, want %v", set.Acks, set.Names, subset, got, safe)
	}
	if got := QuorumSealed(sets, sealed); got != safe {
		t.Errorf("acks %d of %v, sealed %b: quorum-sealed %v, want %v", set.Acks, set.Names, subset, got, safe)
	}
	for i := range sealed {
		sealed[i].Known = false
	}
	if safe && (Complete(sets, sealed) == nil || !QuorumSealed(sets, sealed)) {
		t.Error("unknown positions count for the fence, never for completeness")
	}
}

func popcount(x int) (n int) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

func TestEverySetInForceCounts(t *testing.T) { // S2
	sets := []platform.DurabilitySet{{ID: 1, Acks: 1, Names: []string{"a"}}, {ID: 2, Acks: 1, Names: []string{"b"}}, {ID: 3}}
	a := Sealed{Incarnation: "a", Known: true}
	b := Sealed{Incarnation: "b", Known: true}
	if Complete(sets, []Sealed{a}) == nil || Complete(sets, []Sealed{b}) == nil || Complete(sets, []Sealed{a, b}) != nil {
		t.Error("a promotion must satisfy all recorded sets")
	}
	if QuorumSealed(sets, []Sealed{a, b}) {
		t.Error("an asynchronous set can never be quorum-sealed")
	}
	if QuorumSealed(nil, nil) {
		t.Error("no set at all proves nothing")
	}
}

func TestMostAdvancedGoesByTimelineFirst(t *testing.T) { // S2
	diverged := Sealed{Member: "d", Timeline: 2, Position: 1000, Known: true}
	onIt := Sealed{Member: "c", Timeline: 3, Position: 950, Known: true}
	unknown := Sealed{Member: "u", Timeline: 4, Position: 2000}
	if got := MostAdvanced([]Sealed{diverged, onIt, unknown}); got != onIt {
		t.Errorf("most advanced is %+v: WAL past a fork is no part of the newer timeline", got)
	}
}

// Who descends from where the cluster's timeline came from, while its primary has not opened: earlier forks are not forgotten, and
// of the timeline that it left any member may replace it (S2, S5).
func TestDescends(t *testing.T) {
	opened := func(n uint64, tl platform.Timeline, h platform.History) Command {
		return onFeed(Command{Opened: &Opened{Epoch: ep(n), SystemID: "7", Timeline: tl, History: h}})
	}
	again := func(n uint64, change func(*Promote)) Command {
		return promote(func(p *Promote) {
			p.Attempt, p.Proof.Epoch, p.Timeline = ep(n), ep(n-1), platform.Timeline(n)
			change(p)
		})
	}
	first := []Command{failover(), promote(nil), opened(2, 2, platform.History{{Timeline: 1, End: 90}}), failover()} // m2 was sealed at 100
	clean := again(3, func(p *Promote) {
		p.Clean, p.Member, p.Sealed, p.Positions = true, "m3", nil, map[string]platform.LSN{"m3": 300}
	})
	inPlace := again(3, func(p *Promote) { p.Member, p.Timeline, p.Sealed = "m2", 2, nil })
	type at struct {
		t   platform.Timeline
		end platform.LSN
	}
	for _, c := range []struct {
		name string
		cmds []Command
		yes  []at
		no   []at
	}{
		{"born", nil, []at{{1, 5000}}, []at{{2, 1}}},
		{"promoted, not opened", first[:2], []at{{2, 500}, {1, 100}, {1, 5000}}, []at{{3, 1}}},
		{"opened", first[:3], []at{{2, 5000}, {1, 90}}, []at{{1, 91}, {3, 1}}},
		{"a planned change since", append(first[:4:4], clean), []at{{3, 5000}, {2, 300}, {2, 301}, {1, 90}}, []at{{1, 91}, {4, 1}}},
		{"restarted in place since", append(first[:4:4], inPlace), []at{{2, 5000}, {1, 90}}, []at{{1, 91}}},
	} {
		cl := run(t, bootstrapped(t, 0), c.cmds...).Clusters["feed"]
		for _, a := range c.yes {
			if !cl.Descends(a.t, a.end) {
				t.Errorf("%s: timeline %d at %d has diverged from %s", c.name, a.t, a.end, text(cl.Ancestry))
			}
		}
		for _, a := range c.no {
			if cl.Descends(a.t, a.end) {
				t.Errorf("%s: timeline %d at %d has not diverged from %s", c.name, a.t, a.end, text(cl.Ancestry))
			}
		}
	}
	s := run(t, bootstrapped(t, 0), append(first[:4:4], clean)...)
	if g := s.GoalOf("feed", "m1"); g.Fork == nil || *g.Fork != (platform.Fork{Timeline: 2, End: 300}) || !g.ForkFinal || g.Opened ||
		g.History != nil {
		t.Errorf("a replica's goal after a planned change: %s", text(g))
	}
}

// The oldest set in force is what the primary surely knows, and must be vouched for by: of a newer one it may not have heard (L5).
func TestNoPromisesLeft(t *testing.T) {
	set := func(acks int, names ...string) platform.DurabilitySet {
		return platform.DurabilitySet{Acks: acks, Names: names}
	}
	members := map[string]*Member{"m2": {Incarnation: "m2_2", KnownToPrimary: true}, "m3": {Incarnation: "m3_3"}}
	sealed := func(names ...string) (all []Sealed) {
		for _, n := range names {
			all = append(all, Sealed{Member: n[:2], Incarnation: n})
		}
		return all
	}
	for name, c := range map[string]struct {
		sets   []platform.DurabilitySet
		sealed []Sealed
		want   bool
	}{
		"no set":                                {nil, sealed("m2_2", "m3_3"), false},
		"one of two":                            {[]platform.DurabilitySet{set(1, "m2_2", "m3_3")}, sealed("m2_2"), false},
		"two of two":                            {[]platform.DurabilitySet{set(1, "m2_2", "m3_3")}, sealed("m2_2", "m3_3"), true},
		"the newer set's only":                  {[]platform.DurabilitySet{set(1, "m2_2", "m3_3"), set(1, "m2_2")}, sealed("m2_2"), false},
		"the older set's":                       {[]platform.DurabilitySet{set(1, "m2_2"), set(1, "m2_2", "m3_3")}, sealed("m2_2"), true},
		"other data of the same members":        {[]platform.DurabilitySet{set(1, "m2_2", "m3_3")}, sealed("m2_2", "m3_4"), false},
		"acks 0, one that the primary counts":   {[]platform.DurabilitySet{set(0)}, sealed("m2_2"), true},
		"acks 0, one that it does not count in": {[]platform.DurabilitySet{set(0)}, sealed("m3_3"), false},
		"acks 0 before acks 1":                  {[]platform.DurabilitySet{set(0), set(1, "m3_3")}, sealed("m3_3"), false},
	} {
		if got := NoPromisesLeft(c.sets, members, c.sealed); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
