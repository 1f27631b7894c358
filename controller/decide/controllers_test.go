package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/health"
)

// silentControllers are the problems of controllers that the leader does not hear.
func (st *stage) silentControllers() (found []health.Problem) {
	for _, p := range Next(st.input()).Problems {
		if p.Kind == health.ControllerSilent {
			found = append(found, p)
		}
	}
	return found
}

// A dead controller is a problem of its own: its name, its site, since when, and whether a failover is still possible.
func TestSilentControllerIsNamed(t *testing.T) {
	st := well(t, 1, nil)
	st.controllers, st.self = []string{"c1", "c2", "c3"}, "c1"
	speak := func() { st.observations("c2", "west", true); st.observations("c3", "north", true) }
	speak()
	st.later(minControllerSilence)
	if got := st.silentControllers(); len(got) > 0 {
		t.Errorf("a restart takes as long: %+v", got)
	}
	st.observations("c2", "west", true)
	st.later(time.Second)
	got := st.silentControllers()
	if len(got) != 1 || got[0].Controller != "c3" || got[0].Site != "north" || got[0].Actionable {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"for 4s", "2 of 3 controllers answer", "a failover needs 2"} {
		if !strings.Contains(got[0].Evidence, want) {
			t.Errorf("%q does not say %q", got[0].Evidence, want)
		}
	}
	speak()
	if got := st.silentControllers(); len(got) > 0 {
		t.Errorf("all speak again: %+v", got)
	}
}

// A new leader names a controller that has never spoken, but only once it has had the time to.
func TestControllerThatNeverSpoke(t *testing.T) {
	st := well(t, 1, nil)
	st.controllers, st.self = []string{"c1", "c2", "c3"}, "c1"
	st.view.Since = st.now
	if got := st.silentControllers(); len(got) > 0 {
		t.Errorf("a new leader: %+v", got)
	}
	st.later(minControllerSilence + time.Millisecond)
	got := st.silentControllers()
	if names := []string{"c2", "c3"}; !slices.EqualFunc(got, names, func(p health.Problem, name string) bool { return p.Controller == name }) {
		t.Errorf("%+v", got)
	}
}

// A pause is a problem for as long as it lasts: in a cluster that is well, nothing else says that a failure would have no answer.
func TestPauseIsNamed(t *testing.T) {
	st := well(t, 1, nil)
	if st.problem(health.ClusterPaused) {
		t.Error("it is not paused")
	}
	evidence := func() string {
		for _, p := range Next(st.input()).Problems {
			if p.Kind == health.ClusterPaused {
				return p.Cluster + ": " + p.Evidence
			}
		}
		return ""
	}
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "ann", Reason: "new disks", Since: "noon", Until: "two"}}}))
	if got := evidence(); !strings.HasPrefix(got, "feed: paused by ann since noon until two: new disks. No failover begins") {
		t.Error(got)
	}
	st.apply(onFeed(state.Command{Pause: &state.SetPause{Resume: true}}))
	if got := evidence(); !strings.Contains(got, "and being resumed: new disks") {
		t.Error(got)
	}
	st.apply(onFeed(state.Command{Pause: &state.SetPause{EndResume: true, Guarded: true}}))
	if got := evidence(); got != "" {
		t.Error(got)
	}
}
