package state

import (
	"slices"
	"testing"

	"mainstay/controller/platform"
)

// What was published of a removed app must be withdrawn, until it is back.
func TestGoneApps(t *testing.T) {
	s := born(t, 1)
	apply := func(names ...string) {
		t.Helper()
		p := testPlatform(1)
		for _, n := range names {
			p.Apps = append(p.Apps, platform.App{Name: n, Run: platform.RunEverywhere, Instances: []platform.Instance{{Name: n + "1", Site: "east", Address: "10.0.0.9:80"}}})
		}
		s = run(t, s, Command{Platform: &SetPlatform{Platform: p}})
	}
	for _, step := range []struct{ apps, gone []string }{
		{[]string{"web", "cache"}, nil}, {[]string{"web"}, []string{"cache"}}, {nil, []string{"cache", "web"}}, {[]string{"cache"}, []string{"web"}},
	} {
		apply(step.apps...)
		if !slices.Equal(s.GoneApps, step.gone) || len(s.Apps) != len(step.apps) {
			t.Errorf("with %v: gone %v, %d apps", step.apps, s.GoneApps, len(s.Apps))
		}
	}
}
