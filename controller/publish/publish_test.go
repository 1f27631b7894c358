package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mainstay/controller/platform"
	"mainstay/controller/publish"
	"mainstay/controller/state"
)

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// source is a controller whose state and leadership a test sets.
type source struct {
	mu      sync.Mutex
	s       *state.State
	leads   bool
	asked   int // how often the publisher has looked
	changed chan struct{}
}

func newSource() *source { return &source{s: state.New(), changed: make(chan struct{})} }

func (f *source) set(s *state.State, leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.s, f.leads = s, leads
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *source) State() *state.State { f.mu.Lock(); defer f.mu.Unlock(); return f.s }
func (f *source) Leading() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.leads
}

// looked waits until the publisher has looked once more, from beginning to end.
func (f *source) looked(t *testing.T) {
	t.Helper()
	now := func() int { f.mu.Lock(); defer f.mu.Unlock(); return f.asked }
	first := now()
	await(t, "the publisher to look", func() bool {
		f.mu.Lock()
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		return now() >= first+2
	})
}
func (f *source) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

// sink remembers, fails, or hangs.
type sink struct {
	mu    sync.Mutex
	got   []publish.Topology
	apps  []publish.AppTopology
	gone  []string // withdrawn, with the version
	calls int
	err   error
	hang  bool
	never string // a cluster that it refuses always
}

func (k *sink) Publish(ctx context.Context, name string, t publish.Topology) error {
	k.mu.Lock()
	k.calls++
	hang := k.hang
	k.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.never == t.Cluster {
		return errors.New("refused")
	}
	if k.err == nil {
		k.got = append(k.got, t)
	}
	return k.err
}

func (k *sink) Withdraw(_ context.Context, name, cluster string, version uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.gone = append(k.gone, fmt.Sprintf("%s/%s %d", name, cluster, version))
	}
	return k.err
}

func (k *sink) PublishApp(_ context.Context, name string, t publish.AppTopology) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.apps = append(k.apps, t)
	}
	return k.err
}

func (k *sink) WithdrawApp(ctx context.Context, name string, gone publish.AppTopology) error {
	return k.Withdraw(ctx, name, "app "+gone.App, gone.Index)
}

func (k *sink) published() []publish.AppTopology {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.apps)
}

func (k *sink) withdrawn() []string { k.mu.Lock(); defer k.mu.Unlock(); return slices.Clone(k.gone) }

func (k *sink) set(err error, hang bool) { k.mu.Lock(); defer k.mu.Unlock(); k.err, k.hang = err, hang }

// tried waits for so many more calls.
func (k *sink) tried(t *testing.T, more int) {
	t.Helper()
	calls := func() int { k.mu.Lock(); defer k.mu.Unlock(); return k.calls }
	first := calls()
	await(t, "the sink to be tried", func() bool { return calls() >= first+more })
}

func (k *sink) count() int { k.mu.Lock(); defer k.mu.Unlock(); return len(k.got) }

func (k *sink) last() publish.Topology {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.got) == 0 {
		return publish.Topology{}
	}
	return k.got[len(k.got)-1]
}

func social(number, version uint64, primary string) *state.State {
	s := state.New()
	s.PlatformID, s.Index = "p", version
	s.Platform = &platform.Platform{Name: "social", Hosts: []platform.Host{{Name: "h1", Address: "10.0.0.1"},
		{Name: "h2", Address: "10.0.0.2"}},
		Clusters: []platform.Cluster{{Name: "feed", Members: []platform.Member{{Name: "feed-1", Host: "h1", Port: 5432},
			{Name: "feed-2", Host: "h2", Port: 5433}}}}}
	s.Clusters["feed"] = &state.Cluster{Name: "feed", Version: version, Epoch: platform.Epoch{Generation: 1, Number: number}, Primary: primary,
		Timeline: platform.Timeline(number), Opened: true}
	return s
}

func run(t *testing.T, k publish.Sink, f *source, every time.Duration) *observer.ObservedLogs {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- publish.New(k, every, zap.New(core)).Run(ctx, f) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(5 * time.Second):
			t.Error("it does not end")
		}
	})
	return logs
}

func TestOf(t *testing.T) {
	if got := publish.Of(state.New()); got != nil {
		t.Errorf("no platform: %+v", got)
	}
	got := publish.Of(social(3, 9, "feed-2"))
	if len(got) != 1 || got[0].Primary == nil || *got[0].Primary != (publish.Endpoint{Member: "feed-2", Address: "10.0.0.2", Port: 5433}) ||
		len(got[0].Replicas) != 1 || got[0].Replicas[0].Member != "feed-1" || got[0].Epoch.Number != 3 || got[0].Version != 9 {
		t.Errorf("%+v", got)
	}
	if beforeBootstrap := publish.Of(social(0, 1, "")); beforeBootstrap[0].Primary != nil || len(beforeBootstrap[0].Replicas) != 2 {
		t.Errorf("unborn: %+v", beforeBootstrap)
	}
}

func TestOnlyTheLeaderPublishesWhatChanged(t *testing.T) {
	k, f := &sink{}, newSource()
	run(t, k, f, time.Hour)
	f.set(social(1, 1, "feed-1"), false)
	f.looked(t)
	if k.count() != 0 {
		t.Fatal("a follower publishes")
	}
	f.set(social(1, 2, "feed-1"), true)
	await(t, "the first topology", func() bool { return k.count() == 1 })
	for v := uint64(3); v < 8; v++ { // versions that make no difference to clients
		f.set(social(1, v, "feed-1"), true)
		f.looked(t)
	}
	f.set(social(2, 8, "feed-2"), true)
	await(t, "the failover", func() bool { return k.last().Epoch.Number == 2 })
	if n := k.count(); n != 2 {
		t.Errorf("published %d times, want 2", n)
	}
	// A controller that leads again publishes everything again.
	f.set(social(2, 8, "feed-2"), false)
	f.looked(t)
	f.set(social(2, 8, "feed-2"), true)
	await(t, "all of it again", func() bool { return k.count() == 3 })
}

func TestRepeats(t *testing.T) {
	k, f := &sink{}, newSource()
	run(t, k, f, 50*time.Millisecond)
	f.set(social(1, 1, "feed-1"), true)
	await(t, "repetitions", func() bool { return k.count() > 3 })
}

// Down, it is tried on, with one line; back, it gets the latest state, with one line.
func TestDownAndBack(t *testing.T) {
	k, f := &sink{}, newSource()
	k.set(errors.New("connection refused"), false)
	logs := run(t, k, f, time.Hour)
	f.set(social(1, 1, "feed-1"), true)
	await(t, "the line that it is down", func() bool { return logs.FilterMessageSnippet("cannot be published").Len() == 1 })
	f.set(social(2, 2, "feed-2"), true)
	f.set(social(3, 3, "feed-1"), true)
	k.tried(t, 2)
	k.set(nil, false)
	await(t, "the line that it is back", func() bool { return logs.FilterMessageSnippet("published again").Len() == 1 })
	if k.last().Epoch.Number != 3 || k.count() != 1 {
		t.Errorf("published %d times, last %+v", k.count(), k.last())
	}
	if n := logs.FilterMessageSnippet("cannot be published").Len(); n != 1 {
		t.Errorf("%d lines that it is down", n)
	}
}

// What the sink refuses keeps nothing else from being published.
func TestRefusalDelaysNothingElse(t *testing.T) {
	k, f := &sink{never: "feed"}, newSource()
	logs := run(t, k, f, time.Hour)
	s := withApp(1, nil)
	s.Platform.Clusters = append(s.Platform.Clusters, platform.Cluster{Name: "chat"})
	s.Clusters["chat"] = &state.Cluster{Name: "chat"}
	f.set(s, true)
	await(t, "the other cluster", func() bool { return k.last().Cluster == "chat" })
	await(t, "the app", func() bool { return len(k.published()) > 0 })
	await(t, "the line of the refusal", func() bool { return logs.FilterMessageSnippet("cannot be published").Len() == 1 })
}

// A sink that hangs delays neither changes of the state nor the end.
func TestHangingSink(t *testing.T) {
	k, f := &sink{}, newSource()
	k.set(nil, true)
	logs := run(t, k, f, time.Hour)
	f.set(social(1, 1, "feed-1"), true)
	await(t, "the deadline", func() bool { return logs.FilterMessageSnippet("cannot be published").Len() == 1 })
}

// An old leader gives way without noise.
func TestNewerIsNoFailure(t *testing.T) {
	k, f := &sink{}, newSource()
	k.set(publish.ErrNewer, false)
	logs := run(t, k, f, 30*time.Millisecond)
	f.set(social(1, 1, "feed-1"), true)
	await(t, "its one line", func() bool { return logs.FilterMessageSnippet("the sink has a newer one").Len() == 1 })
	k.tried(t, 3)
	if logs.Len() != 1 {
		t.Errorf("%d lines: %v", logs.Len(), logs.All())
	}
}

// A removed cluster is withdrawn once by each leader that finds it removed, and published again when it is back.
func TestRemovedClusterIsWithdrawn(t *testing.T) {
	k, f := &sink{}, newSource()
	run(t, k, f, time.Hour)
	without := func(version uint64) *state.State {
		s := social(1, 1, "feed-1")
		s.Platform.Clusters, s.Clusters = nil, map[string]*state.Cluster{}
		s.RemovedClusters = map[string]*state.Cluster{"feed": {Name: "feed", Version: version}}
		return s
	}
	f.set(social(1, 1, "feed-1"), true)
	await(t, "the topology", func() bool { return k.count() == 1 })
	f.set(without(4), true)
	await(t, "the withdrawal", func() bool { return len(k.withdrawn()) == 1 })
	f.looked(t)
	f.set(social(1, 1, "feed-1"), true)
	await(t, "the same topology, again", func() bool { return k.count() == 2 })
	f.set(without(6), true)
	await(t, "another withdrawal", func() bool { return len(k.withdrawn()) == 2 })
	f.set(without(6), false)
	f.looked(t)
	f.set(without(6), true)
	await(t, "that of the next leader", func() bool { return len(k.withdrawn()) == 3 })
	if got := k.withdrawn(); !slices.Equal(got, []string{"social/feed 4", "social/feed 6", "social/feed 6"}) {
		t.Errorf("withdrawn: %v", got)
	}
}

// withApp is a platform with an app on two sites that lives with its primary; the log is at that index.
func withApp(index uint64, change func(*state.State)) *state.State {
	s := social(1, 1, "feed-1")
	s.Generation, s.Index = 1, index
	s.Platform.Sites = []platform.Site{{Name: "east"}, {Name: "west"}}
	s.Platform.Hosts[0].Site, s.Platform.Hosts[1].Site = "east", "west"
	s.Platform.Apps = []platform.App{{Name: "web", Run: platform.RunWithPrimary, Needs: []string{"feed"}, Instances: []platform.Instance{
		{Name: "web1", Site: "east", Address: "10.0.0.1:80"}, {Name: "web2", Site: "east", Address: "10.0.0.2:80"},
		{Name: "web3", Site: "west", Address: "10.0.1.1:80"}}}}
	s.Apps = map[string]*state.App{"web": {Name: "web", Site: "east"}}
	if change != nil {
		change(s)
	}
	return s
}

func TestAppsOf(t *testing.T) {
	if got := publish.AppsOf(state.New()); got != nil {
		t.Errorf("no platform: %+v", got)
	}
	for name, c := range map[string]struct {
		change func(*state.State)
		want   string
	}{
		"on its site": {nil, "map[east:[{web1 10.0.0.1:80} {web2 10.0.0.2:80}] west:[]]"},
		"one is down": {func(s *state.State) { s.Apps["web"].Out = map[string]string{"web1": "down"} }, "map[east:[{web2 10.0.0.2:80}] west:[]]"},
		"it moves":    {func(s *state.State) { s.Apps["web"].Site, s.Apps["web"].Moving = "west", true }, "map[east:[] west:[]]"},
		"a site switchover keeps it stopped": {func(s *state.State) {
			s.Change = &state.SiteChange{ID: "site-1", To: "west", Step: platform.StepClusters}
		}, "map[east:[] west:[]]"},
	} {
		got := publish.AppsOf(withApp(7, c.change))
		if len(got) != 1 || got[0].App != "web" || got[0].Generation != 1 || got[0].Index != 7 || fmt.Sprint(got[0].Sites) != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAppsArePublishedAndWithdrawn(t *testing.T) {
	k, f := &sink{}, newSource()
	run(t, k, f, time.Hour)
	f.set(withApp(5, nil), true)
	await(t, "the app", func() bool { return len(k.published()) == 1 })
	f.set(withApp(6, nil), true) // a barrier
	f.looked(t)
	f.set(withApp(7, func(s *state.State) { s.Apps["web"].Out = map[string]string{"web1": "down"} }), true)
	await(t, "one less", func() bool { return len(k.published()) == 2 })
	if got := k.published(); got[0].Index != 5 || got[1].Index != 7 {
		t.Errorf("published %+v", got)
	}
	removed := func(s *state.State) { s.Platform.Apps, s.Apps, s.RemovedApps = nil, nil, []string{"web"} }
	f.set(withApp(8, removed), true)
	await(t, "the withdrawal", func() bool { return slices.Equal(k.withdrawn(), []string{"social/app web 8"}) })
	f.set(withApp(9, removed), true)
	f.looked(t)
	f.set(withApp(10, nil), true)
	await(t, "it to be published again", func() bool { return len(k.published()) == 3 })
	f.set(withApp(11, removed), true)
	await(t, "another withdrawal", func() bool { return slices.Equal(k.withdrawn(), []string{"social/app web 8", "social/app web 11"}) })
}
