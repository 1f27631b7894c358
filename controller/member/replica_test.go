package member

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Data whose rewind fails again and again, for example because WAL that it needs is gone, is copied anew: it is never started as it is.
func TestRewindsThatFail(t *testing.T) {
	for failures, want := range map[int]Kind{0: Rewind, rewindsFail - 1: Rewind, rewindsFail: Clone, rewindsFail + 1: Clone} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"}, Memory: Memory{RewindFailures: failures},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_2",
				History: platform.History{{Timeline: 1, End: 100}}, Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 1, End: 120, AsPrimary: true}}
		if act := Next(in); act.Kind != want {
			t.Errorf("after %d failures: %s (%s), want %s", failures, act.Kind, act.Wait, want)
		}
	}
}

// Rewinds that succeed, and after which the data is still on a timeline of its own, lead to a copy as well; those that the member streams
// after do not.
func TestRewindsInVain(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_2",
		History: platform.History{{Timeline: 1, End: 100}}, Upstream: &platform.Upstream{Member: "m2"}}
	astray := Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 3, End: 120}
	streams := standbyAt(200, 200)
	streams.Streaming, streams.ReceiverPID = true, 7
	for _, again := range []bool{false, true} {
		var m Memory
		at, kinds := now, []Kind{}
		for range rewindsFail + 1 {
			kinds = append(kinds, Next(Input{Now: at, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"}, Memory: m, Goal: goal,
				Seen: astray}).Kind)
			m = m.Renewed(false)
			if again {
				m = m.Looked(goal, streams, at).Looked(goal, streams, at+lasting)
			}
			at += 2 * lasting
		}
		want := []Kind{Rewind, Rewind, Rewind, Clone}
		if again {
			want[3] = Rewind
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("streams in between: %v: %v, want %v", again, kinds, want)
		}
	}
}

// A crashed primary's data may be discarded under a new name, but not while a durability set counts on it (S2, S9).
func TestDiscard(t *testing.T) {
	for _, c := range []struct {
		name string
		goal string // the incarnation wanted
		sets []platform.DurabilitySet
		want Kind
		text string
	}{
		{"its name is still the wanted one", "m1_1", nil, Nothing, "a new incarnation for the rewind"},
		{"no set counts on it", "m1_2", []platform.DurabilitySet{{ID: 9, Acks: 1, Names: []string{"m2_1"}}}, Rewind, ""},
		{"an earlier set does", "m1_2", []platform.DurabilitySet{{ID: 8, Acks: 1, Names: []string{"m1_1"}},
			{ID: 9, Acks: 1, Names: []string{"m2_1"}}}, Nothing, "durability set 8"},
		{"an earlier set does, but the newest needs its next data", "m1_2",
			[]platform.DurabilitySet{{ID: 8, Acks: 1, Names: []string{"m1_1"}}, {ID: 9, Acks: 1, Names: []string{"m1_2"}}}, Rewind, ""},
		{"an earlier set does, but no member is left for the newest", "m1_2",
			[]platform.DurabilitySet{{ID: 8, Acks: 1, Names: []string{"m1_1"}}, {ID: 9}}, Rewind, ""},
	} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2,
				History: platform.History{{Timeline: 1, End: 100}}, SystemID: "7",
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

// An agent that lost its state learns the incarnation of its data again, or its member could promise nothing (S6, L5).
func TestNameOfDataAfterALostState(t *testing.T) {
	in := Input{Now: now, Durable: Durable{Epoch: ep(2)},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, Incarnation: "m1_1",
			Upstream: &platform.Upstream{Member: "m2"}},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: 2, Known: true, Receiver: true,
			Streaming: true, Upstream: "m2", Application: "m1_1",
			SyncNames: SyncNames(ReplicaSet())}}
	if act := Next(in); act.Kind != Persist || act.Durable.Incarnation != "m1_1" {
		t.Errorf("it streams as m1_1: %+v", act)
	}
	in.Seen.Streaming = false
	if act := Next(in); act.Durable.Incarnation != "" {
		t.Errorf("it does not stream yet: %+v", act)
	}
}

// A standby is pointed at a new primary only when its WAL is surely part of that one's history and grows no more by what its
// receiver takes from elsewhere: past the fork its flush position would be heard, and count, before it is refused (S2). Found on
// real PostgreSQL, and by seed 21778 of the simulator: the old primary lived, fenced by quorum-sealed, and its
// receiver continued while its position said that it might follow.
func TestFollowAcrossAFork(t *testing.T) {
	history := platform.History{{Timeline: 1, End: 100}, {Timeline: 2, End: 200}}
	fork := &history[1]
	for _, c := range []struct {
		name        string
		opened      bool
		fork        *platform.Fork
		final       bool
		timeline    platform.Timeline
		at          platform.LSN
		upstream    string
		apart, seal bool // what was done under this epoch
		want        Kind
		wait        string
	}{
		{"it streams from the old primary", true, fork, false, 2, 150, "m1", false, false, StopReceiver, ""},
		{"the same before the new one has opened", false, fork, false, 2, 150, "m1", false, false, StopReceiver, ""},
		{"it was ended", true, fork, false, 2, 150, "", true, false, Settings, ""},
		{"it was ended, before the new one has opened", false, fork, false, 2, 150, "", true, false, Settings, ""},
		{"it was sealed for the epoch", false, fork, false, 2, 150, "", false, true, Settings, ""},
		{"sealed, then handed WAL by another", false, fork, false, 2, 150, "m4", false, true, StopReceiver, ""},
		{"points at it already, but an older stream may continue", true, fork, false, 2, 150, "m3", false, false, StopReceiver, ""},
		{"its relay was the old primary's too", true, fork, false, 2, 150, "m4", true, false, StopReceiver, ""},
		{"past the fork", true, fork, false, 2, 201, "m1", false, false, StopClean, ""},
		{"perhaps past the fork", false, fork, false, 2, 201, "m1", true, false, Nothing, "past 0/C8 of timeline 2"},
		{"an earlier timeline, not told of yet", false, fork, false, 1, 50, "m1", true, false, Nothing, "history"},
		{"an earlier timeline, before its fork", true, fork, false, 1, 50, "m1", false, false, StopReceiver, ""},
		{"an earlier timeline, past its fork", true, fork, false, 1, 101, "m1", false, false, StopClean, ""},
		{"an unknown timeline", true, fork, false, 9, 50, "m1", true, false, StopClean, ""},
		{"a planned change: its primary can give it no more", false, fork, true, 2, 200, "m1", false, false, Settings, ""},
		{"a planned change, opened", true, fork, true, 2, 200, "m1", false, false, Settings, ""},
		{"a planned change, away since an earlier timeline", false, fork, true, 1, 101, "m1", true, false, Nothing, "history"},
		{"no fork is known", false, nil, false, 2, 150, "m1", true, false, Nothing, "history"},
		{"accepted without a position", false, &platform.Fork{}, false, 2, 150, "m1", true, false, Nothing, "history"},
		{"on the timeline it changes its upstream at once", true, fork, false, 3, 999, "m1", false, false, Settings, ""},
	} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(3), Incarnation: "m2_1", SystemID: "7"},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(3), Opened: c.opened, Timeline: 3, Fork: c.fork, ForkFinal: c.final,
				SystemID: "7", Incarnation: "m2_1", Upstream: &platform.Upstream{Member: "m3"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: c.timeline, Position: c.at,
				Known: true, Receiver: c.upstream != "",
				Streaming: c.upstream != "", Upstream: c.upstream, Application: "m2_1", SyncNames: SyncNames(ReplicaSet())}}
		if c.opened {
			in.Goal.History = history
		}
		if c.apart {
			in.Memory.Apart = ep(3)
		}
		if c.seal {
			in.Memory.SealConfirmed = ep(3)
		}
		if act := Next(in); act.Kind != c.want || !strings.Contains(act.Wait, c.wait) {
			t.Errorf("%s: %q (%s), waits for %q; want %q, %q", c.name, act.Kind, act.Why, act.Wait, c.want, c.wait)
		}
	}
}

// The rungs of the repair of a standby that does not stream: a restart, then other data; that only under a name under which the data in
// place never acknowledged anything, and until the controllers have given one it stays as it is.
func TestRungsOfARepair(t *testing.T) {
	for _, c := range []struct {
		name      string
		process   health.Process
		restarted bool
		goal      string // the incarnation wanted; the data is m1_1
		want      Kind
		needs     string
	}{
		{"it runs", health.ProcessRunning, false, "m1_1", StopClean, ""},
		{"a restart did not help", health.ProcessRunning, true, "m1_1", Nothing, "rebuild"},
		{"a restart did not help, and there is a new name", health.ProcessRunning, true, "m1_2", StopClean, ""},
		{"stopped for the restart", health.ProcessEnded, false, "m1_1", StartStandby, ""},
		{"ended after the restart", health.ProcessEnded, true, "m1_1", StartStandby, ""},
		{"stopped for other data", health.ProcessEnded, true, "m1_2", Clone, ""},
	} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Memory: Memory{Restarted: c.restarted, MovedAt: now - streamWithin - 1},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2,
				History: platform.History{{Timeline: 1, End: 100}}, SystemID: "7",
				Incarnation: c.goal, Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: c.process, SystemID: "7", Timeline: 1, End: 90, Shutdown: 90, Clean: true}}
		act := in.restart()
		if c.process == health.ProcessRunning {
			act = in.repair("it does not stream")
		}
		if act.Kind != c.want || act.Needs != c.needs {
			t.Errorf("%s: %q, needs %q (%s%s)", c.name, act.Kind, act.Needs, act.Why, act.Wait)
		}
	}
}

// A standby that replays no further for want of a setting is restarted before anything else is made of it: sealed as it is, it would
// count as a candidate, and promoted it would end.
func TestShortOfASetting(t *testing.T) {
	lease := Lease{Epoch: ep(2), End: now + time.Second}
	for _, c := range []struct {
		name  string
		goal  platform.GoalKind
		short bool
		want  Kind
	}{
		{"replica", platform.GoalReplica, true, StopClean},
		{"sealed", platform.GoalSealed, true, StopClean},
		{"sealed, as it should be", platform.GoalSealed, false, Seal},
		{"to be promoted", platform.GoalPrimary, true, StopClean},
		{"to be promoted, as it should be", platform.GoalPrimary, false, Promote},
	} {
		in := Input{Now: now, Lease: lease, GuardComplete: true, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Goal: platform.Goal{Kind: c.goal, Epoch: ep(2), Opened: true, Timeline: 2, History: platform.History{{Timeline: 1, End: 100}},
				SystemID:    "7",
				Incarnation: "m1_1", Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7", Timeline: 1, Position: 90,
				Known: true, Upstream: "m2", Application: "m1_1", Streaming: true, Short: c.short}}
		if c.goal == platform.GoalSealed {
			in.Goal.Epoch, in.Durable.Sealed, in.Goal.Upstream = ep(3), ep(3), nil
		}
		if act := Next(in); act.Kind != c.want {
			t.Errorf("%s: %q (%s %s), want %q", c.name, act.Kind, act.Why, act.Wait, c.want)
		}
	}
}

// TestDamagedData: it is managed like any replica under its own name until there is a name for the copy, and never streams under that.
func TestDamagedData(t *testing.T) {
	base := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2,
			History: platform.History{{Timeline: 1, End: 100}}, SystemID: "7", Incarnation: "m1_2",
			Upstream: &platform.Upstream{Member: "m2"}, DamageGoal: platform.DamageGoal{Damaged: "m1_1", Damage: "bad pages"},
			Sets: []platform.DurabilitySet{{ID: 9, Acks: 1, Names: []string{"m2_1"}}}},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, SystemID: "7", Timeline: 2,
			Upstream: "m2", Application: "m1_1", Streaming: true, Receiver: true}}
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   Kind
		needs  string
		text   string
	}{
		{"no name yet: it streams on, and asks for one", func(in *Input) { in.Goal.Incarnation = "m1_1" }, Settings, "rebuild", ""},
		{"a name: it is stopped", func(*Input) {}, StopClean, "", ""},
		{"stopped: it is copied anew", func(in *Input) { in.Seen.Process, in.Seen.End = health.ProcessEnded, 100 }, Clone, "", ""},
		{"a set counts on it: it streams on", func(in *Input) {
			in.Goal.Sets = append([]platform.DurabilitySet{{ID: 8, Acks: 1,
				Names: []string{"m1_1"}}}, in.Goal.Sets...)
		}, Nothing, "", "durability set 8"},
		{"the primary is damaged too", func(in *Input) { in.Goal.Damage = "" }, Nothing, "", "so is the primary's"},
		{"no name yet, and the primary is damaged too", func(in *Input) { in.Goal.Damage, in.Goal.Incarnation = "", "m1_1" }, Settings, "", ""},
		{"an agent that has lost its state does not take it for the copy", func(in *Input) { in.Durable.Incarnation = "" }, StopClean, "", ""},
		{"its data is the copy", func(in *Input) { in.Durable.Incarnation, in.Seen.Application = "m1_2", "m1_2" }, Settings, "", ""},
	} {
		in := base
		c.change(&in)
		act := Next(in)
		if act.Kind != c.want || act.Needs != c.needs || !strings.Contains(act.Wait, c.text) ||
			act.Durable.Incarnation != in.Durable.Incarnation {
			t.Errorf("%s: %s, needs %q, waits for %q, named %s; want %s, %q, %q", c.name, act.Kind, act.Needs, act.Wait,
				act.Durable.Incarnation, c.want, c.needs, c.text)
		}
	}
}
