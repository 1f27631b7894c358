// Package sinktest is the conformance suite of publish.Sink: every sink must pass it.
package sinktest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/publish"
)

// Read returns what clients see of a cluster: the topology, nil for none, and host:port of a primary that takes writes.
type Read func(t *testing.T, cluster string) (topology *publish.Topology, primary string)

// ReadApp returns what clients see of an app: the topology, nil for none, and the addresses of each site that has any.
type ReadApp func(t *testing.T, app string) (topology *publish.AppTopology, sites map[string]string)

// Run tests a sink. open returns a new connection to the same place each time, as another controller would have it.
func Run(t *testing.T, open func(t *testing.T) publish.Sink, read Read, readApp ReadApp) {
	t.Run("publish", func(t *testing.T) { publishes(t, open(t), read) })
	t.Run("an old leader overwrites nothing", func(t *testing.T) { keepsNewer(t, open(t), open(t), read) })
	t.Run("clusters are apart", func(t *testing.T) { apart(t, open(t), read) })
	t.Run("a removed cluster is withdrawn", func(t *testing.T) { withdraws(t, open(t), open(t), read) })
	t.Run("apps", func(t *testing.T) { apps(t, open(t), open(t), readApp) })
}

func topology(cluster string, number, version uint64, primary string, opened bool) publish.Topology {
	return publish.Topology{
		Cluster: cluster, Epoch: platform.Epoch{Generation: 1, Number: number}, Version: version, Timeline: platform.Timeline(number),
		Primary: &publish.Endpoint{Member: primary, Address: primary + ".example", Port: 5432}, Opened: opened,
		Replicas: []publish.Endpoint{{Member: "other", Address: "other.example", Port: 5433}},
	}
}

func put(t *testing.T, s publish.Sink, topology publish.Topology) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return s.Publish(ctx, "social", topology)
}

func expect(t *testing.T, read Read, want publish.Topology, primary string) {
	t.Helper()
	got, at := read(t, want.Cluster)
	if got == nil || !reflect.DeepEqual(*got, want) || at != primary {
		t.Errorf("clients see %+v and primary %q, want %+v and %q", got, at, want, primary)
	}
}

func publishes(t *testing.T, s publish.Sink, read Read) {
	if got, primary := read(t, "a"); got != nil || primary != "" {
		t.Fatalf("not empty at first: %+v %q", got, primary)
	}
	beforeBootstrap := publish.Topology{Cluster: "a", Replicas: []publish.Endpoint{}}
	steps := []struct {
		topology publish.Topology
		primary  string
	}{
		{beforeBootstrap, ""},
		{topology("a", 1, 1, "a1", false), ""}, // not open: no member is announced
		{topology("a", 1, 2, "a1", true), "a1.example:5432"},
		{topology("a", 1, 2, "a1", true), "a1.example:5432"}, // again: nothing changes
		{topology("a", 2, 3, "a2", false), ""},               // fenced and promoted: the old one is gone at once
		{topology("a", 2, 4, "a2", true), "a2.example:5432"},
	}
	for _, step := range steps {
		if err := put(t, s, step.topology); err != nil {
			t.Fatalf("%+v: %v", step.topology, err)
		}
		expect(t, read, step.topology, step.primary)
	}
}

func keepsNewer(t *testing.T, old, young publish.Sink, read Read) {
	now := topology("b", 7, 20, "b2", true)
	if err := put(t, old, topology("b", 6, 10, "b1", true)); err != nil {
		t.Fatal(err)
	}
	if err := put(t, young, now); err != nil {
		t.Fatal(err)
	}
	late := []publish.Topology{topology("b", 6, 10, "b1", true), topology("b", 7, 19, "b2", false), topology("b", 5, 99, "b1", true)}
	for _, stale := range late {
		if err := put(t, old, stale); !errors.Is(err, publish.ErrNewer) {
			t.Errorf("epoch %s version %d after %s: %v, want ErrNewer", stale.Epoch, stale.Version, now.Epoch, err)
		}
		expect(t, read, now, "b2.example:5432")
	}
	recovered := topology("b", 1, 1, "b1", true)
	recovered.Epoch.Generation = 2
	if err := put(t, old, recovered); err != nil {
		t.Errorf("a later generation: %v", err)
	}
	expect(t, read, recovered, "b1.example:5432")
}

func apart(t *testing.T, s publish.Sink, read Read) {
	first, second := topology("c", 9, 9, "c1", true), topology("d", 1, 1, "d1", true)
	for _, x := range []publish.Topology{first, second} {
		if err := put(t, s, x); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, read, first, "c1.example:5432")
	expect(t, read, second, "d1.example:5432")
}

func withdraws(t *testing.T, old, young publish.Sink, read Read) {
	withdraw := func(s publish.Sink, version uint64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Withdraw(ctx, "social", "e", version)
	}
	gone := func() {
		t.Helper()
		if got, primary := read(t, "e"); got != nil || primary != "" {
			t.Errorf("clients see %+v and primary %q of a removed cluster", got, primary)
		}
	}
	if err := withdraw(young, 5); err != nil {
		t.Errorf("where there is nothing: %v", err)
	}
	first, beside := topology("e", 1, 5, "e1", true), topology("e2", 1, 5, "e3", true)
	for _, x := range []publish.Topology{first, beside} {
		if err := put(t, old, x); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing left
		if err := withdraw(young, 6); err != nil {
			t.Fatal(err)
		}
		gone()
	}
	expect(t, read, beside, "e3.example:5432")
	if err := put(t, old, first); err != nil { // an old leader, which does not know it yet
		t.Fatal(err)
	}
	if err := withdraw(young, 6); err != nil {
		t.Fatal(err)
	}
	gone()
	back := topology("e", 2, 8, "e2", true)
	if err := put(t, young, back); err != nil {
		t.Fatal(err)
	}
	if err := withdraw(old, 6); !errors.Is(err, publish.ErrNewer) { // this one does not know that it is back
		t.Errorf("it is back: %v, want ErrNewer", err)
	}
	expect(t, read, back, "e2.example:5432")
}
