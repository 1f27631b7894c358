package state

import (
	"slices"
	"testing"

	"mainstay/controller/platform"
)

// What was published of a removed app must be withdrawn, until it is back.
func TestRemovedApps(t *testing.T) {
	s := bootstrapped(t, 1)
	apply := func(names ...string) {
		t.Helper()
		p := testPlatform(1)
		for _, n := range names {
			p.Apps = append(p.Apps, platform.App{Name: n, Run: platform.RunEverywhere,
				Instances: []platform.Instance{{Name: n + "1", Site: "east", Address: "10.0.0.9:80"}}})
		}
		s = run(t, s, Command{Platform: &SetPlatform{Platform: p}})
	}
	for _, step := range []struct{ apps, gone []string }{
		{[]string{"web", "cache"}, nil}, {[]string{"web"}, []string{"cache"}}, {nil, []string{"cache", "web"}},
		{[]string{"cache"}, []string{"web"}},
	} {
		apply(step.apps...)
		if !slices.Equal(s.RemovedApps, step.gone) || len(s.Apps) != len(step.apps) {
			t.Errorf("with %v: gone %v, %d apps", step.apps, s.RemovedApps, len(s.Apps))
		}
	}
}

// TestNoGoalNamesAPrimaryOfAnotherSite: its agent would extend the permit of an app server that must stop, for as long as it leads.
func TestNoGoalNamesAPrimaryOfAnotherSite(t *testing.T) {
	p := testPlatform(1)
	p.Apps = []platform.App{{Name: "web", Needs: []string{"feed"}, Run: platform.RunWithPrimary, Instances: []platform.Instance{
		{Name: "web1", Site: "east", Host: "h1"}, {Name: "web2", Site: "west", Host: "h2"}}}}
	s := run(t, bootstrapped(t, 1), Command{Platform: &SetPlatform{Platform: p}}, Command{App: &ChangeApp{App: "web", Move: "east"}},
		Command{App: &ChangeApp{App: "web", Ready: true}})
	wants := func(when string, s *State, east, west platform.Wanting) {
		t.Helper()
		if one, two := s.InstanceGoals("h1")["web1"], s.InstanceGoals("h2")["web2"]; one.Want != east || two.Want != west {
			t.Errorf("%s: %+v and %+v", when, one, two)
		}
	}
	wants("where its primary is", s, platform.WantRunning, platform.WantStopped)
	s = run(t, s, failover())
	wants("while it is fenced", s, platform.WantRunning, platform.WantStopped)
	s = run(t, s, promote(nil))
	wants("the primary is on west, and the pool does not move yet", s, platform.WantStopped, platform.WantStopped)
	s = run(t, s, Command{App: &ChangeApp{App: "web", Move: "west"}}, Command{App: &ChangeApp{App: "web", Ready: true}})
	wants("it has followed", s, platform.WantStopped, platform.WantRunning)
}
