package sinktest

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"testing"
	"time"

	"mainstay/controller/publish"
)

// app is a topology of which each site has one list of instances, named like their addresses.
func app(name string, generation, index uint64, sites map[string][]string) publish.AppTopology {
	t := publish.AppTopology{App: name, Generation: generation, Index: index, Sites: map[string][]publish.AppEndpoint{}}
	for site, instances := range sites {
		t.Sites[site] = []publish.AppEndpoint{}
		for _, i := range instances {
			t.Sites[site] = append(t.Sites[site], publish.AppEndpoint{Instance: i, Address: i + ":80"})
		}
	}
	return t
}

func apps(t *testing.T, old, young publish.Sink, read ReadApp) {
	both := map[string][]string{"east": {"e1", "e2"}, "west": {}}
	moved := map[string][]string{"east": {}, "west": {"w1"}}
	west := map[string][]string{"west": {"w1"}}
	inEast, inWest, nowhere := map[string]string{"east": "e1:80,e2:80"}, map[string]string{"west": "w1:80"}, map[string]string{}
	publishes := func(a publish.AppTopology) func(context.Context, publish.Sink) error {
		return func(ctx context.Context, s publish.Sink) error { return s.PublishApp(ctx, "social", a) }
	}
	withdraws := func(a publish.AppTopology) func(context.Context, publish.Sink) error {
		return func(ctx context.Context, s publish.Sink) error { return s.WithdrawApp(ctx, "social", a) }
	}
	beside := app("web2", 1, 1, both)
	for _, step := range []struct {
		what  string
		by    publish.Sink
		do    func(context.Context, publish.Sink) error
		newer bool
		want  *publish.AppTopology
		sites map[string]string
	}{
		{"withdraw what is not there", old, withdraws(app("web", 1, 1, nil)), false, nil, nowhere},
		{"the first", old, publishes(app("web", 1, 4, both)), false, ref(app("web", 1, 4, both)), inEast},
		{"another app", old, publishes(beside), false, ref(app("web", 1, 4, both)), inEast},
		{"again", old, publishes(app("web", 1, 4, both)), false, ref(app("web", 1, 4, both)), inEast},
		{"by the next leader", young, publishes(app("web", 1, 7, moved)), false, ref(app("web", 1, 7, moved)), inWest},
		{"an old leader", old, publishes(app("web", 1, 6, both)), true, ref(app("web", 1, 7, moved)), inWest},
		{"an old leader withdraws", old, withdraws(app("web", 1, 6, nil)), true, ref(app("web", 1, 7, moved)), inWest},
		{"a site less", young, publishes(app("web", 1, 8, west)), false, ref(app("web", 1, 8, west)), inWest},
		{"after a recovery", young, publishes(app("web", 2, 3, both)), false, ref(app("web", 2, 3, both)), inEast},
		{"the controllers before it", old, publishes(app("web", 1, 99, west)), true, ref(app("web", 2, 3, both)), inEast},
		{"removed", young, withdraws(app("web", 2, 5, nil)), false, nil, nowhere},
		{"by an old leader, once more", old, publishes(app("web", 2, 4, both)), false, ref(app("web", 2, 4, both)), inEast},
		{"removed again", young, withdraws(app("web", 2, 6, nil)), false, nil, nowhere},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := step.do(ctx, step.by)
		cancel()
		if errors.Is(err, publish.ErrNewer) != step.newer || err != nil && !step.newer {
			t.Errorf("%s: %v", step.what, err)
		}
		if got, sites := read(t, "web"); !reflect.DeepEqual(got, step.want) || !maps.Equal(sites, step.sites) {
			t.Errorf("%s: clients see %+v and %v, want %+v and %v", step.what, got, sites, step.want, step.sites)
		}
	}
	if got, sites := read(t, "web2"); got == nil || !reflect.DeepEqual(*got, beside) || !maps.Equal(sites, inEast) {
		t.Errorf("the other app: clients see %+v and %v", got, sites)
	}
}

func ref(t publish.AppTopology) *publish.AppTopology { return &t }
