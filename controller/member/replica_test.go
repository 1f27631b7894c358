package member

import (
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

// A crashed primary's data may be discarded under a new name, but not while a durability set counts on it (S2, S9).
func TestDiscard(t *testing.T) {
	for _, c := range []struct {
		name string
		goal string // the incarnation wanted
		sets []platform.Set
		want Kind
		text string
	}{
		{"its name is still the wanted one", "m1_1", nil, Nothing, "a new incarnation for the rewind"},
		{"nobody counts on it", "m1_2", []platform.Set{{ID: 9, Acks: 1, Names: []string{"m2_1"}}}, Rewind, ""},
		{"an earlier set does", "m1_2", []platform.Set{{ID: 8, Acks: 1, Names: []string{"m1_1"}}, {ID: 9, Acks: 1, Names: []string{"m2_1"}}}, Nothing, "durability set 8"},
		{"an earlier set does, but the newest needs its next data", "m1_2", []platform.Set{{ID: 8, Acks: 1, Names: []string{"m1_1"}}, {ID: 9, Acks: 1, Names: []string{"m1_2"}}}, Rewind, ""},
		{"an earlier set does, but nobody is left to be in the newest", "m1_2", []platform.Set{{ID: 8, Acks: 1, Names: []string{"m1_1"}}, {ID: 9}}, Rewind, ""},
	} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, History: platform.History{{Timeline: 1, End: 100}}, SystemID: "7",
				Incarnation: c.goal, Sets: c.sets, Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 1, End: 120, AsPrimary: true}}
		if act := Next(in); act.Kind != c.want || !strings.Contains(act.Wait, c.text) {
			t.Errorf("%s: %q, waits for %q; want %q, %q", c.name, act.Kind, act.Wait, c.want, c.text)
		}
	}
}

// What stopped data is good for: follow, rewind, or wait until that can be told.
func TestCourse(t *testing.T) {
	history := platform.History{{Timeline: 1, End: 100}}
	for _, c := range []struct {
		name   string
		seen   Seen
		opened bool
		want   course
	}{
		{"before the primary has opened nothing can be told", Seen{Timeline: 1, End: 50}, false, courseUnknown},
		{"a standby on the timeline", Seen{Timeline: 2, End: 500}, true, courseFollow},
		{"a crashed primary on the timeline", Seen{Timeline: 2, End: 500, AsPrimary: true}, true, courseDiverged},
		{"a standby up to the fork", Seen{Timeline: 1, End: 100}, true, courseFollow},
		{"a standby past it", Seen{Timeline: 1, End: 101}, true, courseDiverged},
		{"a primary stopped cleanly at it", Seen{Timeline: 1, End: 100, AsPrimary: true, Clean: true}, true, courseFollow},
		{"a primary stopped cleanly, its end not read yet", Seen{Timeline: 1, AsPrimary: true, Clean: true}, true, courseUnknown},
		{"a crashed primary before it", Seen{Timeline: 1, End: 90, AsPrimary: true}, true, courseDiverged},
		{"a rejected fork", Seen{Timeline: 7, End: 10}, true, courseDiverged},
	} {
		in := Input{Goal: platform.Goal{Opened: c.opened, Timeline: 2, History: history}, Seen: c.seen}
		if got := in.course(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// An agent that lost its state learns again what its data is called, or its member could vouch for nobody (S6, L5).
func TestNameOfDataAfterALostState(t *testing.T) {
	in := Input{Now: now, Durable: Durable{Epoch: ep(2)},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, Incarnation: "m1_1", Upstream: &platform.Upstream{Member: "m2"}},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: 2, Known: true, Receiver: true, Streaming: true, Upstream: "m2", Application: "m1_1",
			SyncNames: SyncNames(ReplicaSet())}}
	if act := Next(in); act.Kind != Persist || act.Durable.Incarnation != "m1_1" {
		t.Errorf("it streams as m1_1: %+v", act)
	}
	in.Seen.Streaming = false
	if act := Next(in); act.Durable.Incarnation != "" {
		t.Errorf("nobody streams it yet: %+v", act)
	}
}
