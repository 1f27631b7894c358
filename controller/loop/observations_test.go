package loop

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// sees is what c's view has of member m1 by observer, within suspect.
func sees(c *Core, observer string, now time.Duration) *health.Observation {
	in := c.input(now, time.Time{})
	return in.View.Observation(observer, in.State.Platform.Clusters[0].Member("m1"), platform.Suspect(lease), now)
}

func TestObservationsFoldAndExpire(t *testing.T) {
	now, suspect := time.Hour, platform.Suspect(lease)
	c := leader(t, now)
	c.Observations(health.Observations{Observer: "c2", Number: 1, Began: "b",
		Observations: []health.Observation{{Cluster: "feed", Member: "m1", HeardMS: 100, ProbedMS: -1}}}, now)
	if v := sees(c, "c2", now+suspect); v == nil || !v.Heard(suspect) || v.Probed(suspect) {
		t.Errorf("a fresh vote: %+v", v)
	}
	if v := sees(c, "c2", now+suspect+1); v != nil {
		t.Errorf("old observations do not count: %+v", v)
	}
	c.Observations(health.Observations{Observer: "c2", Number: 1, Began: "b"}, now+suspect)
	if v := sees(c, "c2", now+suspect+1); v != nil {
		t.Errorf("observations that came twice: %+v", v)
	}
	c.Observations(health.Observations{Observer: "c2", Number: 1, Began: "later",
		Observations: []health.Observation{{Cluster: "feed", Member: "m1"}}}, now+suspect)
	if v := sees(c, "c2", now+suspect+1); v == nil {
		t.Error("a restarted controller counts from 1 again")
	}
}

func TestOwnObservations(t *testing.T) {
	begun, suspect := time.Hour, platform.Suspect(lease)
	c := leader(t, begun)
	if v := c.Observe("b", nil, nil, begun+suspect); len(v.Observations) != 0 || v.Observer != "c1" || v.Number != 1 || v.Began != "b" {
		t.Errorf("a controller that has just begun votes against a member: %+v", v)
	}
	probes := []health.Observation{{Cluster: "feed", Member: "m2", HeardMS: -1, ProbedMS: 40, Role: health.RoleStandby},
		{Cluster: "feed", Member: "gone", ProbedMS: 1}}
	if v := c.Observe("b", probes, nil, begun+suspect); len(v.Observations) != 1 || v.Observations[0].Member != "m2" {
		t.Errorf("but for those it reaches: %+v", v)
	}
	now := begun + time.Minute
	c.Report(1, reportOf("r1", 1, primary()), now-300*time.Millisecond)
	got := c.Observe("b", probes, nil, now)
	want := []health.Observation{
		{Cluster: "feed", Member: "m1", HeardMS: 300, ProbedMS: -1},
		{Cluster: "feed", Member: "m2", HeardMS: -1, ProbedMS: 40, Role: health.RoleStandby},
		{Cluster: "feed", Member: "m3", HeardMS: -1, ProbedMS: -1},
	}
	if len(got.Observations) != len(want) || got.Number != 3 {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got.Observations[i] != want[i] {
			t.Errorf("vote %+v, want %+v", got.Observations[i], want[i])
		}
	}
	if v := sees(c, "c1", now); v == nil || *v != want[0] {
		t.Errorf("its own observations in its view: %+v", v)
	}
}

// TestObservationsBeforeBootstrap: nothing is expected of a cluster that has no primary yet.
func TestObservationsBeforeBootstrap(t *testing.T) {
	c := leader(t, time.Minute)
	next := *c.state.Clusters["feed"]
	next.Primary = ""
	c.state.Clusters["feed"] = &next
	if v := c.Observe("b", nil, nil, time.Hour); len(v.Observations) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestInputNamesTheObservers(t *testing.T) {
	c := leader(t, time.Minute)
	c.Voters([]string{"c1", "c2"})
	if in := c.input(time.Hour, time.Time{}); len(in.Controllers) != 2 || in.Controllers[1] != "c2" {
		t.Errorf("%+v", in.Controllers)
	}
}

// TestObservationsOfApps: what the checks of app servers say goes to the others, and into the own view, with its age.
func TestObservationsOfApps(t *testing.T) {
	now := time.Hour
	c := leader(t, now)
	next := *c.state.Platform
	next.Apps = []platform.App{{Name: "web", Instances: []platform.Instance{{Name: "web-e1"}}}}
	c.state.Platform = &next
	well := health.InstanceObservation{App: "web", Instance: "web-e1", Health: health.Well, AgeMS: 200}
	got := c.Observe("b", nil, []health.InstanceObservation{well, {App: "web", Instance: "gone"}, {App: "gone", Instance: "web-e1"}}, now)
	if len(got.Apps) != 1 || got.Apps[0] != well {
		t.Errorf("%+v", got.Apps)
	}
	c.Observations(health.Observations{Observer: "c2", Number: 1, Began: "b", Apps: []health.InstanceObservation{well}}, now)
	for _, observer := range []string{"c1", "c2"} {
		sees := func(later time.Duration) *health.InstanceObservation {
			in := c.input(now+later, time.Time{})
			return in.View.InstanceObservation(observer, "web", "web-e1", time.Second, now+later)
		}
		if v := sees(800 * time.Millisecond); v == nil || *v != well {
			t.Errorf("%s: %+v", observer, v)
		}
		if v := sees(801 * time.Millisecond); v != nil {
			t.Errorf("%s: an old one counts: %+v", observer, v)
		}
	}
	c.state.Platform = nil
	if got := c.Observe("b", nil, []health.InstanceObservation{well}, now); len(got.Apps) != 0 {
		t.Errorf("of no platform: %+v", got.Apps)
	}
}

// TestDoubted: who misses a heartbeat, or whose PostgreSQL gives its own agent no answer, is asked.
func TestDoubted(t *testing.T) {
	now := time.Hour
	c := leader(t, now)
	doubts := func(at time.Duration) bool { return c.Doubted(at)[MemberKey{"feed", "m1"}] }
	if !doubts(now) {
		t.Error("nothing was heard yet")
	}
	c.Report(1, reportOf("r1", 1, primary()), now)
	if doubts(now + doubtAfter(lease)) {
		t.Error("its heartbeat may be on its way")
	}
	if !doubts(now + doubtAfter(lease) + 1) {
		t.Error("a heartbeat was missed")
	}
	m := primary()
	m.Stale = 800
	c.Report(2, reportOf("r1", 2, m), now+time.Second)
	if !doubts(now + time.Second) {
		t.Error("its agent gets no answer")
	}
}
