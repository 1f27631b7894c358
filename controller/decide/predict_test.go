package decide

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
)

// dies takes m1 away, and returns whom the leader c2 has promoted once the others have obeyed, and after how long. c1 and c3 say what they
// see where they speak.
func (st *stage) dies(speak map[string]string) (*state.Promote, time.Duration) {
	st.t.Helper()
	st.leases.Record("feed", "m1", st.c().Epoch, st.now, lease)
	st.crash()
	st.members["m1"] = nil
	for died := st.now; st.now-died < 3*platform.RecoveryBlock; {
		st.later(100 * time.Millisecond)
		for _, name := range []string{"c1", "c3"} {
			if site, ok := speak[name]; ok {
				st.observations(name, site, false)
			}
		}
		cmd, _, _ := st.next()
		switch {
		case cmd == nil:
			continue
		case cmd.Promote != nil:
			return cmd.Promote, st.now - died
		}
		if st.apply(*cmd); st.c().Attempt != nil {
			st.seal("m2", "m3")
		}
	}
	st.t.Fatal("no member is promoted")
	return nil, 0
}

// TestPredictionRunsWhatWouldRun: each prediction is compared with what the leader does when it comes to that, at the time that it takes.
func TestPredictionRunsWhatWouldRun(t *testing.T) {
	both := func() map[string]string { return map[string]string{"c1": "east", "c3": "north"} }
	for _, c := range []struct {
		name    string
		acks    int
		from    string // of the last failover, "" for none
		failure Failure
		speak   map[string]string // the other controllers that speak, before and, unless they are lost, after
		block   bool              // the last failover blocks the next
	}{
		{name: "a host", acks: 1, failure: HostLost, speak: both()},
		{name: "a host, asynchronous", failure: HostLost, speak: both()},
		{name: "a host, after a failover", acks: 1, from: "m3", failure: HostLost, speak: both(), block: true},
		{name: "a host, after a failover, asynchronous", from: "m3", failure: HostLost, speak: both(), block: true},
		{name: "a site", acks: 1, failure: SiteLost, speak: both()},
		{name: "a site, after a failover within it", acks: 1, from: "m1", failure: SiteLost, speak: both()},
		{name: "a site, after a failover within it, and north is silent", acks: 1, from: "m1", failure: SiteLost,
			speak: map[string]string{"c1": "east"}, block: true},
		{name: "a site, after a failover to it", acks: 1, from: "m3", failure: SiteLost, speak: both(), block: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := twoSites(t, c.acks, func(p *platform.Platform) {
				for i := range p.Clusters[0].Members { // the members of a site do not stream from one of them
					p.Clusters[0].Members[i].Priority = i
				}
			})
			for cmd, _, _ := st.next(); cmd != nil; cmd, _, _ = st.next() {
				st.apply(*cmd)
			}
			if c.from != "" {
				st.justRecovered(c.from, "m1")
			}
			st.step(20 * time.Second)
			for name, site := range c.speak {
				st.observations(name, site, true)
			}
			said := Predict(st.input(), "feed", c.failure)
			if c.failure == SiteLost {
				delete(c.speak, "c1")
			}
			p, after := st.dies(c.speak)
			if said.Promote != p.Member || said.Proof != p.Proof.Kind {
				t.Errorf("predicted %s, happened: %s by %s", Sentence(said), p.Member, p.Proof.Kind)
			}
			if off := said.About - promotionTime - after; off.Abs() > 400*time.Millisecond {
				t.Errorf("predicted %s, happened: after %s", said.About, after)
			}
			if c.block != (after > platform.RecoveryBlock/2) {
				t.Errorf("blocked %v, after %s", c.block, after)
			}
		})
	}
}

// A site with the majority of the controllers takes the leader with it: none of the others can promote anybody.
func TestPredictionWithoutALeader(t *testing.T) {
	st := twoSites(t, 1, nil)
	st.observations("c3", "east", true)
	why := Reason{Code: noLeaderLeft, Other: "east", Names: []string{"c1", "c3"}, Of: 3}
	if p := Predict(st.input(), "feed", SiteLost); p.Promote != "" || p.Why != why.String() {
		t.Errorf("east has two of three controllers: %s", Sentence(p))
	}
	if p := Predict(st.input(), "feed", HostLost); p.Promote != "m2" || p.Proof != fencing.QuorumSealed {
		t.Errorf("the host alone: %s", Sentence(p))
	}
	st = twoSites(t, 1, nil)
	st.self, st.site = "c1", "east"
	st.observations("c2", "west", true)
	if p := Predict(st.input(), "feed", SiteLost); p.Promote != "m2" {
		t.Errorf("this leader is lost as well, and another takes its place: %s", Sentence(p))
	}
}
