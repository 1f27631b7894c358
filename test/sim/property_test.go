package main

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// What these hold cannot be seen in a history, because a second rule covers it: they are what finds the planted mistake.

func clusterOf(t *testing.T, commands ...state.Command) *state.State {
	t.Helper()
	p := &platform.Platform{Name: "p", Sites: []platform.Site{{Name: "s1"}}, Clusters: []platform.Cluster{{Name: "feed", Lease: time.Second, Durability: platform.Durability{Acks: 1, From: "any", WhenShort: "block"}}}}
	for _, n := range []string{"1", "2", "3"} {
		p.Hosts = append(p.Hosts, platform.Host{Name: "h" + n, Site: "s1", Address: "h" + n})
		p.Clusters[0].Members = append(p.Clusters[0].Members, platform.Member{Name: "m" + n, Host: "h" + n, Port: 5432, MayLead: true})
	}
	s := state.New()
	first := []state.Command{{Init: &state.Init{PlatformID: "p1"}}, {Platform: &state.SetPlatform{Platform: p}}, {Birth: &state.BirthOf{Member: "m1", Guarded: true}}}
	for _, c := range append(first, commands...) {
		if c.Init == nil && c.Platform == nil {
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

// TestLateTickServesNobody: a tick that was committed in an earlier term of the same controller was committed before the
// reports of this one arrived (L1).
func TestLateTickServesNobody(t *testing.T) {
	c := loop.NewCore("c1", time.Minute)
	c.Applied(clusterOf(t))
	late := c.Lead(time.Minute).Tick
	c.Follow()
	again := c.Lead(time.Minute + time.Second).Tick
	c.Report(1, health.Report{Host: "h1", RunID: "r", Number: 1, Members: []health.Member{{Name: "m1", Guard: health.Guard{Complete: true}}}}, time.Minute+time.Second)
	if out := c.Ticked(late, nil, time.Minute+time.Second); out.Tick != 0 || len(out.Replies) != 0 {
		t.Errorf("a tick of the term before was taken for one of this term: %+v", out)
	}
	if out := c.Ticked(again, nil, time.Minute+time.Second); out.Tick == 0 || len(out.Replies) != 0 {
		t.Errorf("a report that came during a tick needs the next: %+v", out)
	}
}

// TestSetsAreFrozenInASeal: no set is added or dropped while an attempt counts on what is recorded, whoever asks.
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
