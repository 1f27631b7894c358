package main

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// What these hold cannot be seen in a history, because a second rule covers it: they are what finds the planted mistake.

func clusterOf(t *testing.T, commands ...state.Command) *state.State {
	t.Helper()
	p := &platform.Platform{Name: "p", Sites: []platform.Site{{Name: "s1"}},
		Clusters: []platform.Cluster{{Name: "feed", Lease: time.Second,
			Durability: platform.Durability{Acks: 1, From: "any", WhenShort: "block"}}}}
	for _, n := range []string{"1", "2", "3"} {
		p.Hosts = append(p.Hosts, platform.Host{Name: "h" + n, Site: "s1", Address: "h" + n,
			Fence: []platform.FenceDevice{{Agent: "fence_ipmilan"}}})
		p.Clusters[0].Members = append(p.Clusters[0].Members, platform.Member{Name: "m" + n, Host: "h" + n, Port: 5432, MayLead: true})
	}
	s := state.New()
	first := []state.Command{{Init: &state.Init{PlatformID: "p1"}}, {Platform: &state.SetPlatform{Platform: p}},
		{AgentRun: &state.AgentRun{Host: "h1", Run: "r"}}, {Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}}}
	for _, c := range append(first, commands...) {
		if c.Init == nil && c.Platform == nil && c.Fence == nil && c.Fenced == nil {
			c.Cluster = "feed"
		}
		next, err := state.Apply(s, s.Index+1, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

// TestLateBarrierServesNoReport: a barrier that was committed in an earlier term of the same controller was committed before the
// reports of this one arrived (L1).
func TestLateBarrierServesNoReport(t *testing.T) {
	c := loop.NewCore("c1", time.Minute)
	c.Applied(clusterOf(t))
	late := c.Lead(time.Minute).Barrier
	c.Follow()
	again := c.Lead(time.Minute + time.Second).Barrier
	c.Report(1, &health.Report{Host: "h1", RunID: "r", Number: 1, Members: []health.Member{{Name: "m1", Guard: health.Guard{Complete: true}}}},
		time.Minute+time.Second)
	if out := c.BarrierDone(late, nil, time.Minute+time.Second); out.Barrier != 0 || len(out.Replies) != 0 {
		t.Errorf("a barrier of the term before was taken for one of this term: %+v", out)
	}
	if out := c.BarrierDone(again, nil, time.Minute+time.Second); out.Barrier == 0 || len(out.Replies) != 0 {
		t.Errorf("a report that came during a barrier needs the next: %+v", out)
	}
}

// TestSetsAreFrozenInASeal: no set is added or dropped while an attempt counts on the recorded ones, whatever the command.
func TestSetsAreFrozenInASeal(t *testing.T) {
	e := platform.Epoch{Generation: 1, Number: 1}
	s := clusterOf(t, state.Command{Begin: &state.Begin{Kind: state.Failover, Reason: "lost"}})
	set := s.Clusters["feed"].Sets[0]
	for _, c := range []state.Command{
		{Cluster: "feed", Sets: &state.ChangeSet{Epoch: e, Acks: 1, Names: set.Names[:1]}},
		{Cluster: "feed", Settled: &state.Settled{Epoch: e, ID: set.ID}},
	} {
		if _, err := state.Apply(s, s.Index+1, c); err == nil || !strings.Contains(err.Error(), "frozen") {
			t.Errorf("%+v during a seal: %v", c, err)
		}
	}
}

// TestFencedHostIsServedNothing: what starts on a host whose power was cut gets neither goal nor lease, however it was switched on
// again, because the proof `powered-off` stays one for as long as the fence lasts (S4).
func TestFencedHostIsServedNothing(t *testing.T) {
	for name, commands := range map[string][]state.Command{
		"not fenced": nil,
		"wanted":     {{Fence: &state.FenceHost{Host: "h1", Reason: "asked"}}},
		"off":        {{Fence: &state.FenceHost{Host: "h1", Reason: "asked"}}, {Fenced: &state.HostFenced{Host: "h1", Off: true}}},
	} {
		s := clusterOf(t, commands...)
		c := loop.NewCore("c1", time.Minute)
		c.Applied(s)
		c.BarrierDone(c.Lead(time.Minute).Barrier, nil, time.Minute)
		out, err := c.Report(1, &health.Report{Host: "h1", RunID: "r", Number: 1,
			Members: []health.Member{{Name: "m1", Guard: health.Guard{Complete: true}}}}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		replies := c.BarrierDone(out.Barrier, nil, time.Minute).Replies
		if len(replies) != 1 || replies[0].Err != nil {
			t.Fatalf("%s: %+v", name, replies)
		}
		served := commands == nil
		if a := replies[0].Answer; (len(a.Grants) > 0) != served {
			t.Errorf("%s: grants %+v", name, a.Grants)
		} else if g := a.Goals["m1"]; (g.Kind == platform.GoalPrimary) != served {
			t.Errorf("%s: goal %+v", name, g)
		}
	}
}

// TestFencedEpochGetsNoGrant: from the proposal of a fence until another epoch is in force, an epoch gets no grant, whatever
// has reached the log meanwhile (L3): a proof may have been decided on the leases known then.
func TestFencedEpochGetsNoGrant(t *testing.T) {
	c := loop.NewCore("c1", time.Minute)
	s := clusterOf(t)
	c.Applied(s)
	c.BarrierDone(c.Lead(time.Minute).Barrier, nil, time.Minute)
	var number uint64
	granted := func(now time.Duration) bool {
		number++
		out, err := c.Report(number, &health.Report{Host: "h1", RunID: "r", Number: number,
			Members: []health.Member{{Name: "m1", Guard: health.Guard{Complete: true}}}}, now)
		if err != nil {
			t.Fatal(err)
		}
		replies := c.BarrierDone(out.Barrier, nil, now).Replies
		if len(replies) != 1 || replies[0].Err != nil {
			t.Fatalf("%+v", replies)
		}
		return len(replies[0].Answer.Grants) > 0
	}
	now := time.Minute
	if !granted(now) {
		t.Fatal("an epoch without a fence gets no lease")
	}
	begin := state.Command{Cluster: "feed", Begin: &state.Begin{Kind: state.Failover, Reason: "lost"}}
	out, err := c.Submit(99, begin)
	if err != nil || granted(now+time.Second) {
		t.Errorf("granted while its fence is on the way to the log (%v)", err)
	}
	if s, err = state.Apply(s, s.Index+1, begin); err != nil {
		t.Fatal(err)
	}
	c.Applied(s)
	c.Done(out.Proposals[0], false)
	if granted(now + 2*time.Second) {
		t.Error("granted while it is being fenced")
	}
	c.Follow()
	c.BarrierDone(c.Lead(now+3*time.Second).Barrier, nil, now+3*time.Second)
	if granted(now + 3*time.Second) {
		t.Error("granted by the next leader while it is being fenced")
	}
}

// TestOldPrimaryGetsANewName: what is left of a primary that did not stop cleanly may hold WAL that no other member has, so it
// counts for no set under the name it acknowledged by: neither for the sets of before it led, nor for its successor's (S2).
func TestOldPrimaryGetsANewName(t *testing.T) {
	s := clusterOf(t)
	was := s.Clusters["feed"]
	promote := func(to string) {
		t.Helper()
		c := s.Clusters["feed"]
		var sealed []state.Sealed
		for _, n := range []string{"m2", "m3"} {
			sealed = append(sealed, state.Sealed{Member: n, Incarnation: was.Members[n].Incarnation, Timeline: c.Timeline, Position: 100,
				Known: true})
		}
		for _, cmd := range []state.Command{
			{Begin: &state.Begin{Kind: state.Failover, Reason: "lost", StopOld: true}},
			{Promote: &state.Promote{Attempt: platform.Epoch{Generation: 1, Number: c.HighEpoch + 1}, Member: to, Timeline: c.HighTimeline + 1,
				Guarded: true,
				Proof:   fencing.Proof{Kind: fencing.Stopped, Epoch: c.Epoch}, Sealed: sealed}},
		} {
			cmd.Cluster = "feed"
			next, err := state.Apply(s, s.Index+1, cmd)
			if err != nil {
				t.Fatal(err)
			}
			s = next
		}
	}
	for _, change := range [][2]string{{"m1", "m2"}, {"m2", "m3"}} {
		old, name := change[0], s.Clusters["feed"].Members[change[0]].Incarnation
		promote(change[1])
		if c := s.Clusters["feed"]; c.Members[old].Incarnation == name || c.Set().Has(name) {
			t.Errorf("%s, which led as %s, is named %s, and its successor counts on %v", old, name, c.Members[old].Incarnation, c.Set())
		}
	}
}
