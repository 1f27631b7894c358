package decide

import (
	"slices"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestAcksChange(t *testing.T) {
	st := well(t, 1, nil)
	st.configure(func(c *platform.Cluster) { c.Durability.Acks = 2 })
	if s := st.sets(time.Second); s.Acks != 2 || len(s.Names) != 2 {
		t.Errorf("raised: %+v", s)
	}
	st.configure(func(c *platform.Cluster) { c.Durability.Acks = 0 })
	if s := st.sets(time.Second); s.Acks != 0 {
		t.Errorf("lowered: %+v", s)
	}
	st.members["m1"].Senders = st.members["m1"].Senders[:1]
	st.configure(func(c *platform.Cluster) { c.Durability.Acks = 2 })
	if cmd := st.step(time.Minute); cmd != nil {
		t.Errorf("commits would begin to wait for a replica that is not there: %s", body(cmd))
	}
	if !st.problem(health.DurabilityReduced) {
		t.Error("the operator is not told that commits wait for fewer replicas")
	}
}

// Commits cannot wait for more replicas yet, but those that they wait for are still followed: one of them may be gone for good.
func TestNamesChangeWhileAcksCannotRise(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m1"].Senders = st.members["m1"].Senders[1:]
	st.configure(func(c *platform.Cluster) { c.Durability.Acks = 2 })
	if s := st.sets(2 * leaveAfter); s.Acks != 1 || !slices.Equal(s.Names, []string{"m3_3"}) {
		t.Errorf("m2 is gone, and two were asked for: %+v", s)
	}
	if why := st.waits(acksCannotRise); why.Number != 1 || why.Of != 2 || why.Is != "1" {
		t.Errorf("it says: %s", why)
	}
}

func TestWhenShort(t *testing.T) {
	for _, policy := range []platform.WhenShort{platform.BlockWhenShort, platform.DegradeWhenShort} {
		st := well(t, 2, func(p *platform.Platform) { p.Clusters[0].Durability.WhenShort = policy })
		both := st.members["m1"].Senders
		st.members["m1"].Senders = both[:1]
		st.later(leaveAfter / 2)
		if cmd, _, _ := st.next(); cmd != nil {
			t.Errorf("%s: a moment without a replica: %s", policy, body(cmd))
		}
		if policy == platform.BlockWhenShort {
			if cmd := st.step(time.Minute); cmd != nil {
				t.Errorf("block: %s", body(cmd))
			}
			continue
		}
		if s := st.sets(2 * leaveAfter); s.Acks != 1 || !slices.Equal(s.Names, []string{"m2_2", "m3_3"}) {
			t.Errorf("one replica is left: first the number: %+v", s)
		}
		if s := st.sets(time.Second); s.Acks != 1 || !slices.Equal(s.Names, []string{"m2_2"}) {
			t.Errorf("one replica is left: then the names: %+v", s)
		}
		st.members["m1"].Senders = nil
		cmd := st.step(2 * leaveAfter)
		if cmd == nil || cmd.Sets == nil || cmd.Sets.Acks != 0 {
			t.Fatalf("none is left: %s", body(cmd))
		}
		st.apply(*cmd)
		st.members["m1"].Settled = st.c().HighSet
		st.later(0)
		if cmd, _, _ := st.next(); cmd != nil || len(st.c().Sets) != 2 {
			t.Errorf("nobody asked for none, so what was acknowledged before stays in force: %s, %v", body(cmd), st.c().Sets)
		}
		if !st.problem(health.DurabilityReduced) {
			t.Error("a degraded cluster raises no alarm")
		}
		st.members["m1"].Senders = both
		if s := st.sets(time.Second); s.Acks != 1 || len(s.Names) != 2 {
			t.Errorf("both are back, while one ack of one is in force: first the names: %+v", s)
		}
		if s := st.sets(time.Second); s.Acks != 2 {
			t.Errorf("both are back: then the number: %+v", s)
		}
		if len(st.c().Sets) != 1 {
			t.Errorf("two hold everything again, and still in force: %v", st.c().Sets)
		}
	}
}

// After the loss of a site nobody of it can acknowledge: commits do not begin by waiting for what cannot come.
func TestWhenShortAfterASiteIsLost(t *testing.T) {
	for _, heard := range []bool{true, false} {
		st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Durability.WhenShort = "degrade" })
		st.members["m1"].Senders = nil
		if !heard {
			delete(st.members, "m2")
			delete(st.members, "m3")
			st.later(platform.Suspect(platform.DefaultLease))
		}
		st.later(time.Millisecond)
		if cmd, _, _ := st.next(); (cmd != nil && cmd.Sets != nil && cmd.Sets.Acks == 0) == heard {
			t.Errorf("agents heard %v: decided %s", heard, body(cmd))
		}
	}
}

// A degraded set must not appear while the epoch is being fenced: the sets are frozen then.
func TestNoDegradeDuringASeal(t *testing.T) { // Seals
	st := begun(t, 1, func(p *platform.Platform) { p.Clusters[0].Durability.WhenShort = "degrade" })
	if next, err := state.Apply(st.s, 99, onFeed(state.Command{Sets: &state.ChangeSet{Epoch: ep(1), Acks: 0}})); err == nil {
		t.Errorf("recorded: %+v", next.Clusters["feed"].Sets)
	}
	for end := st.now + time.Minute; st.now < end; st.later(time.Second) {
		if cmd, _, _ := st.next(); cmd != nil && cmd.Sets != nil {
			t.Fatalf("decided %s", body(cmd))
		}
	}
}

// With from: other-site only members of other sites acknowledge, whoever leads.
func TestAcksFromAnotherSite(t *testing.T) { // S2
	st := well(t, 1, func(p *platform.Platform) { p.Clusters[0].Durability.From = "other-site" })
	if got := st.c().Set().Names; !slices.Equal(got, []string{"m3_3"}) { // h1 and h2 are in the east, h3 in the west
		t.Errorf("m1 leads in the east: %v", got)
	}
	st.members["m3"].Position = 1001
	st.vanish()
	st.commits()
	st.seal("m2", "m3")
	if p := st.commits().Promote; p == nil || p.Member != "m3" {
		t.Fatalf("promote %+v", p)
	}
	for _, name := range st.c().Set().Names {
		if name != "m2_2" {
			t.Errorf("m3 leads in the west, and %s acknowledges", name)
		}
	}
}
