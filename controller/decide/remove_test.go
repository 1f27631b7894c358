package decide

import (
	"slices"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// removed is a well cluster from which an operator removes m3.
func removed(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	st := well(t, acks, change)
	p := platformOf(acks)
	if change != nil {
		change(p)
	}
	p.Clusters[0].Members = p.Clusters[0].Members[:2]
	st.apply(state.Command{Platform: &state.SetPlatform{Platform: p, Remove: []string{"m3"}}})
	return st
}

// The set without it is recorded, loaded, the old one dropped by the rule, and only then does the member leave (S2).
func TestRemovedMemberLeaves(t *testing.T) {
	st := removed(t, 1, nil)
	if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, []string{"m2_2"}) {
		t.Fatalf("sets %+v", c)
	}
	st.waits()
	if st.s.ClusterConfig("feed").Member("m3") == nil {
		t.Fatal("it left while a set in force counts on it")
	}
	st.members["m1"].Settled = 2
	st.later(0)
	if st.commits().Settled == nil || st.commits().RemoveLeaving == nil || st.s.ClusterConfig("feed").Member("m3") != nil {
		t.Fatalf("members %+v", st.s.Platform.Clusters[0].Members)
	}
	st.waits()
	if st.problem(health.ReplicaMissing) {
		t.Error("who was removed is missed")
	}
}

// The host of a removed member may be gone for good: the others drop the set without it.
func TestRemovedMemberMayBeGone(t *testing.T) {
	st := removed(t, 1, nil)
	st.members["m3"], st.members["m1"].Senders = nil, st.members["m1"].Senders[:1]
	st.later(10 * time.Second)
	if c := st.commits().Sets; c == nil || !slices.Equal(c.Names, []string{"m2_2"}) {
		t.Fatalf("sets %+v", c)
	}
	st.members["m1"].Settled = 2
	st.later(0)
	st.commits()
	if st.commits().RemoveLeaving == nil {
		t.Fatal("it does not leave")
	}
}

// While nobody else could acknowledge, commits go on waiting for the member that is to leave.
func TestRemovedMemberStaysWhileNeeded(t *testing.T) {
	for _, short := range []platform.WhenShort{platform.BlockWhenShort, platform.DegradeWhenShort} {
		st := removed(t, 1, func(p *platform.Platform) { p.Clusters[0].Durability.WhenShort = short })
		senders := st.members["m1"].Senders
		st.members["m1"].Senders = senders[1:]
		if cmd := st.step(10 * time.Second); cmd != nil {
			t.Errorf("%s: decided %s", short, body(cmd))
		}
		st.waits(neededToLeave)
		lagging := senders[0]
		lagging.Flush, st.members["m1"].Position = 0, joinLag
		st.members["m1"].Senders = []health.Sender{lagging, senders[1]}
		st.later(0)
		st.waits(neededToLeave)
		st.members["m1"].Senders = senders
		st.later(0)
		if c := st.commits().Sets; c == nil || c.Acks != 1 || !slices.Equal(c.Names, []string{"m2_2"}) {
			t.Errorf("%s: sets %+v", short, c)
		}
	}
}

// A failover in between counts on it as on any other: the commit may be there alone. It is sealed, never promoted.
func TestFailoverWhileAMemberLeaves(t *testing.T) {
	st := removed(t, 1, nil)
	st.vanish()
	if st.commits().Begin == nil {
		t.Fatal("no failover")
	}
	st.seal("m2")
	st.later(time.Minute)
	if cmd, _, _ := st.next(); cmd != nil && cmd.Promote != nil {
		t.Fatalf("promoted without the member that is leaving: %s", body(cmd))
	}
	st.seal("m2", "m3")
	p := st.commits().Promote
	if p == nil || p.Member != "m2" || p.NotChosen["m3"] != (Reason{Code: beingRemoved}).String() {
		t.Fatalf("promote %+v", p)
	}
	if set := st.c().Set(); slices.Contains(set.Names, "m3_3") {
		t.Errorf("it is in the new primary's first set: %+v", set)
	}
}

// One that is ahead and leaving keeps the others from being promoted on too little.
func TestLeavingMemberIsAhead(t *testing.T) {
	st := removed(t, 1, nil)
	st.members["m3"].Position = 1100
	st.vanish()
	st.commits()
	st.seal("m2", "m3")
	if cmd, _, _ := st.next(); cmd != nil && cmd.Promote != nil && !cmd.Promote.Clean {
		t.Errorf("m2 was promoted behind m3: %s", body(cmd))
	}
}

// It is no target of a switchover.
func TestNoSwitchoverToAMemberThatLeaves(t *testing.T) {
	st := removed(t, 1, nil)
	if to, bad := CheckSwitchover(st.input(), "feed", "m3"); to != "" || len(bad) == 0 {
		t.Errorf("to %q, blockers %v", to, bad)
	}
	if to, bad := CheckSwitchover(st.input(), "feed", ""); to != "m2" || len(bad) > 0 {
		t.Errorf("to %q, blockers %v", to, bad)
	}
}
