package render

import (
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

func TestRejoinNamesItsMember(t *testing.T) {
	s := History([]state.Operation{{ID: "feed-3", Kind: state.Rejoin, To: "feed-e2", Result: state.Done}}, Options{})
	if !strings.Contains(s, "member  feed-e2") || strings.Contains(s, "nobody") {
		t.Errorf("got\n%s", s)
	}
}

func TestAsynchronousSetIsWorded(t *testing.T) {
	s := Explain(wire.ExplainAnswer{Cluster: "feed", Primary: "feed-e1",
		Sets: []platform.DurabilitySet{{Acks: 0}, {Acks: 1, Names: []string{"feed-e2_2"}}}}, Options{})
	if want := "acknowledged by the primary alone (acks 0) or 1 of (feed-e2)"; !strings.Contains(s, want) {
		t.Errorf("want %q in\n%s", want, s)
	}
}

// A pause lets the guards go: that is said once, and not as if the epoch had begun without them.
func TestPauseIsNotAnEpochWithoutGuards(t *testing.T) {
	c := wire.ClusterState{Name: "feed", Primary: "feed-e1", Opened: true, Pause: &state.Pause{By: "anna", Reason: "storage"}}
	if s := (Options{}).cluster(c); strings.Contains(s, "no guard covered") || !strings.Contains(s, "paused by anna") {
		t.Errorf("paused: got\n%s", s)
	}
	c.Pause = nil
	if s := (Options{}).cluster(c); !strings.Contains(s, "no guard covered") {
		t.Errorf("not paused: got\n%s", s)
	}
}

// A site switchover that ends in step quiesce has moved no cluster, and moves none back.
func TestUndoneByItself(t *testing.T) {
	op := state.Operation{ID: "site-3", Kind: state.SiteSwitchover, Result: state.Abandoned, Steps: []state.Step{
		{Name: "began", At: "2026-05-04T03:02:01.000Z"}, {Name: "quiesce", At: "2026-05-04T03:02:02.000Z"},
		{Name: "undo", At: "2026-05-04T03:02:04.000Z"},
		{Name: "routing", At: "2026-05-04T03:02:05.000Z"}, {Name: "abandoned", At: "2026-05-04T03:02:05.000Z"}}}
	if s := History([]state.Operation{op}, Options{}); !strings.Contains(s, "check 1s, quiesce 2s, back: apps 1s, back: routing 0s\n") {
		t.Errorf("got\n%s", s)
	}
}

// A durability set names data; people know members. Only two data of one member need their numbers.
func TestSetNames(t *testing.T) {
	for _, c := range []struct {
		data []string
		want string
	}{
		{nil, ""},
		{[]string{"feed-w1_3"}, "feed-w1"},
		{[]string{"feed-e2_12", "feed-w1_3"}, "feed-e2, feed-w1"},
		{[]string{"feed-e2_12", "feed-w1_3", "feed-w1_4"}, "feed-e2_12, feed-w1_3, feed-w1_4"},
	} {
		if got := setNames(c.data); got != c.want {
			t.Errorf("%v: %q, want %q", c.data, got, c.want)
		}
	}
}
