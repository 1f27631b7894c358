package api

import (
	"testing"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// A member whose agent answers but cannot manage it is told apart from one that was never heard.
func TestMemberStatusUnmanaged(t *testing.T) {
	conf := platform.Cluster{Name: "feed", Members: []platform.Member{{Name: "m1", Host: "h1"}, {Name: "m2", Host: "h2"}}}
	p := &platform.Platform{Hosts: []platform.Host{{Name: "h1"}, {Name: "h2"}}, Clusters: []platform.Cluster{conf}}
	cl := &state.Cluster{Name: "feed"}
	s := &state.State{Platform: p, Clusters: map[string]*state.Cluster{"feed": cl}}
	snapshot := loop.Snapshot{Input: decide.Input{State: s, View: health.NewView(0), Now: 2 * time.Second}}
	snapshot.Input.View.Fold(&health.Report{Host: "h1", RunID: "r", Number: 1, Unmanaged: map[string]string{"m1": "m1.json is damaged"}}, "r",
		0, time.Second)
	for i, want := range []string{"m1.json is damaged", ""} {
		if got := memberStatus(snapshot, &conf, cl, &conf.Members[i]); got.Unmanaged != want || got.Seen != nil {
			t.Errorf("%s: unfit %q, want %q; seen %+v", got.Name, got.Unmanaged, want, got.Seen)
		}
	}
}
