package member

import (
	"fmt"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

func ep(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

const now = time.Minute

// everyInput calls f with every combination that matters: about 200,000.
func everyInput(f func(Input)) {
	goals := []platform.Goal{{}, {Kind: platform.GoalObserve}, {Kind: platform.GoalPrimary, Epoch: ep(5)},
		{Kind: platform.GoalPrimary, Epoch: ep(5), Create: true, Paused: true},
		{Kind: platform.GoalReplica, Epoch: ep(5)}, {Kind: platform.GoalReplica, Epoch: ep(5), Opened: true,
			History: platform.History{{Timeline: 2, End: 100}}},
		{Kind: platform.GoalSealed, Epoch: ep(5)}, {Kind: platform.GoalStopped, Epoch: ep(5)},
		{Kind: platform.GoalStopped, Epoch: ep(5), Clean: true},
		{Kind: platform.GoalReleased, Epoch: ep(5), Paused: true}}
	durables := []Durable{{}, {Epoch: ep(4), Ran: ep(4)}, {Epoch: ep(5), Sealed: ep(5)}, {Epoch: ep(5), Ran: ep(5)},
		{Epoch: ep(5), Ran: ep(5), Closed: ep(5)}, {Epoch: ep(6)}, {Epoch: ep(4), Sealed: ep(7)}, {Epoch: ep(4), Sealed: ep(5)}}
	leases := []Lease{{}, {Epoch: ep(5), End: now + 1}, {Epoch: ep(5), End: now}, {Epoch: ep(4), End: now + 1}, {Epoch: ep(6), End: now + 1}}
	memories := []Memory{{}, {RewindFailures: 3, StartFailures: 9, SealConfirmed: ep(5), Opened: ep(5), Restarted: true}}
	for _, g := range goals {
		g.Timeline, g.SystemID, g.Incarnation, g.Upstream = 3, "7", "m1_2", &platform.Upstream{Member: "m2"}
		g.Sets = []platform.DurabilitySet{{ID: 1, Acks: 1, Names: []string{"m9_1"}}}
		for _, d := range durables {
			for _, inc := range []string{"m1_1", "m1_2"} {
				d.Incarnation, d.SystemID = inc, "7"
				for _, l := range leases {
					for _, m := range memories {
						everySeen(func(s Seen) {
							for _, guarded := range []bool{false, true} {
								f(Input{Now: now, Goal: g, Durable: d, Lease: l, Memory: m, Seen: s, GuardComplete: guarded, Name: "m1"})
							}
						})
					}
				}
			}
		}
	}
}

func everySeen(f func(Seen)) {
	for _, data := range []health.DataState{health.DataUnknown, health.DataEmpty, health.DataForeign, health.DataPresent} {
		for _, process := range []health.Process{health.ProcessUnknown, health.ProcessRunning, health.ProcessEnded, health.ProcessEnding} {
			for _, role := range []health.Role{health.RoleUnknown, health.RolePrimary, health.RoleStandby} {
				if role != health.RoleUnknown && process != health.ProcessRunning {
					continue
				}
				for _, tl := range []platform.Timeline{2, 3, 4} {
					for _, id := range []string{"7", "8"} {
						f(Seen{Data: data, Process: process, Role: role, SystemID: id, Timeline: tl, Position: 150, End: 150, AsPrimary: tl == 3})
					}
				}
			}
		}
	}
}

// Whatever is seen and whatever is wanted, no act may break a promise.
func TestNoActBreaksAPromise(t *testing.T) {
	seen := map[Kind]int{}
	broken := 0
	everyInput(func(in Input) {
		act := Next(in)
		seen[act.Kind]++
		if why := breaks(in, act); why != "" {
			if broken++; broken <= 3 {
				t.Errorf("%s\n act %+v\n goal %+v\n durable %+v\n seen %+v\n lease %+v", why, act, in.Goal, in.Durable, in.Seen, in.Lease)
			}
		}
	})
	for _, k := range []Kind{Nothing, Persist, Initialise, StartPrimary, StartStandby, Promote, Settings, LoadSet, Seal, Kill, StopClean,
		Rewind, Clone, Release} {
		if seen[k] == 0 {
			t.Errorf("no input led to %q: this test tries too little", k)
		}
	}
}

// breaks names the rule that an act breaks, "" for none.
func breaks(in Input, act Act) string {
	g, d, a := in.Goal, in.Durable, act.Durable
	lower := g.Epoch.Less(d.Epoch)
	switch {
	case a.Epoch.Less(d.Epoch) || a.Closed.Less(d.Closed) || a.Ran.Less(d.Ran):
		return "S3: a promise on disk was lowered"
	case a.Sealed.Less(d.Sealed) && g.Epoch.Less(d.Sealed):
		return "seals: ended by an epoch below the attempt"
	case (g.Kind == platform.GoalReleased) != (act.Kind == Release) && act.Kind != Nothing:
		return "only a removed member is released, and nothing else happens to it"
	case act.Kind == StartPrimary || act.Kind == Promote || act.Kind == Initialise:
		return takesOver(in, act)
	case lower && act.Kind != Nothing && act.Kind != Kill && act.Kind != Persist:
		return "S3: a goal of a lower epoch was obeyed"
	case lower && act.Kind == Kill && in.Seen.Process != health.ProcessEnding:
		return "S3: a goal of a lower epoch killed something"
	case act.Kind == Rewind || act.Kind == Clone:
		return discards(in, act)
	case (act.Kind == Seal || act.Kind == Quieten) && (g.Kind != platform.GoalSealed || d.Sealed != g.Epoch):
		return "seals: the number must be on disk first"
	case act.Kind == StartStandby && g.Kind != platform.GoalReplica && g.Kind != platform.GoalSealed && g.Kind != platform.GoalPrimary:
		return "started without a goal that wants it"
	case act.Kind == Settings && g.Epoch.Less(d.Sealed):
		return "seals: a sealed member was pointed at an upstream"
	case foreign(in) && act.Kind != Nothing && act.Kind != Persist && act.Kind != Kill && act.Kind != StopClean && act.Kind != Release:
		return "S5: foreign data was touched"
	case g.Kind == platform.GoalNone && act.Kind != Nothing && act.Kind != Persist && act.Kind != Kill:
		return "no goal, and it acted"
	}
	return ""
}

func foreign(in Input) bool {
	return in.Seen.Data == health.DataForeign || in.Seen.Data == health.DataPresent && in.Seen.SystemID != "7"
}

func takesOver(in Input, act Act) string {
	g, d, s := in.Goal, in.Durable, in.Seen
	switch {
	case g.Kind != platform.GoalPrimary:
		return "S4: became primary without that goal"
	case g.Epoch.Less(d.Epoch) || !d.Closed.Less(g.Epoch):
		return "S3: became primary under a low or closed epoch"
	case g.Epoch.Less(d.Sealed):
		return "seals: became primary while sealed for a later attempt"
	case act.Kind == Initialise:
		if s.Data != health.DataEmpty || !g.Create {
			return "initialised where nothing may be created"
		}
		return ""
	case in.Lease.Epoch != g.Epoch || in.Lease.End <= in.Now:
		return "L1: became primary without a lease of the epoch"
	case act.Durable.Ran != g.Epoch || d.Epoch != g.Epoch:
		return "S3: the epoch is not on disk first"
	case foreign(in) || s.Data != health.DataPresent:
		return "S5: foreign or no data became primary"
	case act.Kind == StartPrimary && (s.Process != health.ProcessEnded || s.Timeline != g.Timeline):
		return "a plain start writes the timeline it finds, which is not the epoch's"
	case act.Kind == Promote && (s.Role != health.RoleStandby || s.Timeline >= g.Timeline):
		return "a promotion leaves the timeline, so it must be an older one"
	}
	return ""
}

func discards(in Input, act Act) string {
	g, d, s := in.Goal, in.Durable, in.Seen
	switch {
	case g.Kind != platform.GoalReplica || !g.Opened || g.Epoch != d.Epoch:
		return "S9: discarded without a confirmed goal and an open primary"
	case act.Kind == Clone && s.Data == health.DataEmpty:
		return ""
	case g.Incarnation == d.Incarnation:
		return "S2: discarded under the name it was acknowledged by"
	case s.Process != health.ProcessEnded:
		return "S9: discarded under a running PostgreSQL"
	}
	return ""
}

func TestWaitingSaysWhatFor(t *testing.T) {
	silent := map[string]bool{}
	everyInput(func(in Input) {
		if act := Next(in); act.Kind == Nothing && act.Wait == "" && act.Needs == "" {
			silent[fmt.Sprintf("%s %s %s", in.Goal.Kind, in.Seen.Process, in.Seen.Role)] = true
		}
	})
	for _, settled := range []string{"primary running primary", "replica running standby", "sealed running standby", "sealed running ",
		"stopped ended "} {
		delete(silent, settled)
	}
	if len(silent) > 0 {
		t.Errorf("waits without a reason in %v", silent)
	}
}
