package member

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

// TestSealHolds: a seal ends only by the promotion of its own epoch or of a later one. A goal of an epoch before it, late or
// from a leader that knows no better, must not make the member receive again.
func TestSealHolds(t *testing.T) {
	epoch := func(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }
	in := Input{
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: epoch(2), Timeline: 1, Opened: true, SystemID: "1", Incarnation: "m2_2",
			Upstream: &platform.Upstream{Member: "m1", Address: "10.0.0.1", Port: 5432}},
		Durable: Durable{Epoch: epoch(2), Sealed: epoch(3), Incarnation: "m2_2", SystemID: "1"},
		Seen:    Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "1", Timeline: 1},
	}
	if act := Next(in); act.Kind != Nothing {
		t.Errorf("sealed for 1.3, goal of 1.2: %s (%s)", act.Kind, act.Why)
	}
	in.Durable.Epoch = epoch(1) // it has yet to take up the goal's epoch: that must keep the seal
	if act := Next(in); act.Kind != Persist || act.Durable.Sealed != epoch(3) {
		t.Errorf("taking up 1.2 ended the seal for 1.3: %+v", act)
	}
	in.Goal.Epoch, in.Durable.Epoch = epoch(3), epoch(2)
	if act := Next(in); act.Kind != Persist || !act.Durable.Sealed.IsZero() {
		t.Errorf("the promotion of 1.3 did not end its seal: %+v", act)
	}
}

// A sealed member takes another sealed member's WAL only after its own seal was seen through, and is sealed again after it.
func TestSealedMemberCatchesUp(t *testing.T) {
	from := &platform.Upstream{Member: "m3"}
	for _, c := range []struct {
		name     string
		upstream *platform.Upstream
		sealed   bool
		seen     Seen
		want     Kind
	}{
		{"not sealed yet", from, false, Seen{}, Seal},
		{"sealed", from, true, Seen{}, Settings},
		{"on its way", from, true, Seen{Upstream: "m3", Receiver: true}, Nothing},
		{"over", nil, true, Seen{Upstream: "m3", Receiver: true}, Seal},
		{"over, and its receiver had ended before", nil, true, Seen{Upstream: "m3"}, Seal},
		{"sealed again", nil, true, Seen{}, Nothing},
		{"sealed a moment ago", nil, true, Seen{Known: true}, Nothing},
	} {
		c.seen.Data, c.seen.Process, c.seen.Role, c.seen.Timeline = health.DataPresent, health.ProcessRunning, health.RoleStandby, 1
		in := Input{Now: 1, Seen: c.seen, Goal: platform.Goal{Kind: platform.GoalSealed, Epoch: ep(2), Upstream: c.upstream},
			Durable: Durable{Epoch: ep(1), Sealed: ep(2), SystemID: "7"}}
		if c.sealed {
			in.Memory.SealConfirmed = ep(2)
		}
		if act := Next(in); act.Kind != c.want {
			t.Errorf("%s: %+v", c.name, act)
		}
		if in.Now += quietAfter; c.name == "sealed a moment ago" {
			if act := Next(in); act.Kind != Quieten {
				t.Errorf("long sealed: %+v", act)
			}
			in.Memory.Quiet = ep(2)
		}
		if act := Next(in); act.Kind != c.want {
			t.Errorf("%s, for long: %+v", c.name, act)
		}
	}
}

// What is sealed is counted by the name of the data in place: one that is known stays, and an agent that lost its state takes the one
// under which the data streamed last, never the one that the controllers expect (S2).
func TestSealedUnderTheNameOfTheData(t *testing.T) {
	for _, c := range []struct{ kept, application, want string }{
		{"m2_2", "m2_1", "m2_2"},
		{"m2_2", "", "m2_2"},
		{"", "m2_1", "m2_1"},
		{"", "", ""},
	} {
		in := Input{Now: now, Goal: platform.Goal{Kind: platform.GoalSealed, Epoch: ep(2), Incarnation: "m2_9"},
			Durable: Durable{Epoch: ep(1), Incarnation: c.kept, SystemID: "7"},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: 1,
				Application: c.application}}
		if act := Next(in); act.Kind != Persist || act.Durable.Sealed != ep(2) || act.Durable.Incarnation != c.want {
			t.Errorf("kept %q, streamed as %q: %+v", c.kept, c.application, act)
		}
	}
}
