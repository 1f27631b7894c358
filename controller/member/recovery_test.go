package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

func standbyAt(at, replayed platform.LSN) Seen {
	return Seen{Process: health.ProcessRunning, Role: health.RoleStandby, Position: at, Replayed: replayed}
}

// TestLooked: what a standby gets, by whatever way, is a sign of life, and so is what is known to hold it back.
func TestLooked(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Opened: true}
	streams := standbyAt(100, 100)
	streams.Streaming, streams.ReceiverPID = true, 7
	held := func(r Recovery) Seen { s := standbyAt(100, 100); s.Recovery = r; return s }
	for _, c := range []struct {
		name  string
		seen  Seen
		moves bool
	}{
		{"nothing moves", standbyAt(100, 100), false},
		{"it streams", streams, true},
		{"a receiver that was started again claims to stream", func() Seen { s := streams; s.ReceiverPID = 8; return s }(), false},
		{"it replays what it has", standbyAt(100, 110), true},
		{"its archive brings more", standbyAt(110, 100), true},
		{"its replay is delayed", held(Delayed), true},
		{"its replay is paused", held(Paused), true},
		{"queries hold its replay up", held(Blocked), true},
		{"its archive is slow", held(Fetching), false}, // that has a bound of its own
		{"it has ended, and its WAL ends elsewhere", Seen{Process: health.ProcessEnded, Position: 150}, false},
	} {
		m := Memory{}.Looked(goal, streams, now)
		if got := m.Looked(goal, c.seen, now+time.Minute); got.MovedAt > now != c.moves {
			t.Errorf("%s: moved at %s", c.name, got.MovedAt-now)
		}
	}
	m := Memory{Restarted: true, Rebuilt: true, RewindFailures: 2}
	for _, at := range []time.Duration{now, now + lasting/2} {
		if m = m.Looked(goal, streams, at); !m.Restarted {
			t.Error("a receiver that has just come ended the repair")
		}
	}
	if m = m.Looked(goal, streams, now+lasting); m.Restarted || m.Rebuilt || m.RewindFailures > 0 {
		t.Errorf("it streams, but its repair continues: %+v", m)
	}
}

func TestRecoveryOf(t *testing.T) {
	for event, want := range map[string]Recovery{"RecoveryApplyDelay": Delayed, "RecoveryPause": Paused, "BufferPin": Blocked,
		"RecoveryConflictSnapshot": Blocked, "RestoreCommand": Fetching, "RecoveryRetrieveRetryInterval": "", "": ""} {
		if got := RecoveryOf(event); got != want {
			t.Errorf("%q: %q", event, got)
		}
	}
}

// TestStuck: a standby whose recovery is at something is neither restarted nor rebuilt; one that gets nothing is.
func TestStuck(t *testing.T) {
	for _, c := range []struct {
		name  string
		rec   Recovery
		since time.Duration
		want  Kind
		waits string
	}{
		{"a moment ago", "", time.Millisecond, Nothing, "catching up from local WAL or the archive"},
		{"a while ago", "", 10 * time.Second, Nothing, "waiting for the stream from m2"},
		{"long ago", "", streamWithin + 1, StopClean, ""},
		{"its archive is slow", Fetching, fetchWithin - 1, Nothing, "restore_command"},
		{"its archive hangs", Fetching, fetchWithin + 1, StopClean, ""},
	} {
		seen := standbyAt(90, 90)
		seen.Data, seen.SystemID, seen.Timeline, seen.Known, seen.Upstream, seen.Application = health.DataPresent, "7", 2, true, "m2", "m1_1"
		seen.SyncNames, seen.Recovery = SyncNames(ReplicaSet()), c.rec
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Memory: Memory{MovedAt: now - c.since, Apart: ep(2)}, Seen: seen,
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_1",
				Upstream: &platform.Upstream{Member: "m2"}}}
		if act := Next(in); act.Kind != c.want || !strings.Contains(act.Wait, c.waits) {
			t.Errorf("%s: %q (%s), waits for %q", c.name, act.Kind, act.Why, act.Wait)
		}
	}
}

func TestStill(t *testing.T) {
	for _, c := range []struct {
		name      string
		role      health.Role
		restarted bool
		since     time.Duration
		want      time.Duration
	}{
		{"for a minute", health.RoleStandby, true, time.Minute, time.Minute},
		{"it was not restarted for it yet", health.RoleStandby, false, time.Minute, 0},
		{"not for long", health.RoleStandby, true, streamWithin, 0},
		{"its data does not start", health.RoleUnknown, true, time.Minute, 0},
	} {
		in := Input{Now: now, Memory: Memory{Restarted: c.restarted, MovedAt: now - c.since}, Seen: Seen{Role: c.role}}
		if got := in.Still(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestOneRebuildForStarts: other data that does not start either says that it is not the data.
func TestOneRebuildForStarts(t *testing.T) {
	waiting := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
		Memory: Memory{MovedAt: now, Crashes: startsFail},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_1",
			Upstream: &platform.Upstream{Member: "m2"}},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 2, End: 90, Shutdown: 90}}
	if act := Next(waiting); act.Kind != StartStandby || act.Needs != "rebuild" {
		t.Errorf("until a copy is agreed to: %+v", act)
	}
	for rebuilt, want := range map[bool]Kind{false: Clone, true: StartStandby} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Memory: Memory{MovedAt: now, StartFailures: startsFail, Rebuilt: rebuilt},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_2",
				Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 2, End: 90, Shutdown: 90, Clean: true}}
		if act := Next(in); act.Kind != want {
			t.Errorf("rebuilt %v: %q (%s%s)", rebuilt, act.Kind, act.Why, act.Wait)
		}
	}
}

// TestRecovering: a standby that takes no sessions yet is left to its recovery while that gets on. One that does not asks for other data,
// which is given once the controllers agree; it is restarted once, and one copy is made.
func TestRecovering(t *testing.T) {
	for _, c := range []struct {
		name    string
		since   time.Duration // nothing has moved
		rec     Recovery
		memory  Memory
		other   bool // the controllers have given a name for other data
		want    Kind
		needs   string
		waits   string
		stillIs time.Duration
	}{
		{"it gets on", streamWithin, "", Memory{}, true, Nothing, "", "makes progress", 0},
		{"it does not", streamWithin + 1, "", Memory{}, false, Nothing, "rebuild", "has made no progress for 15s", streamWithin + 1},
		{"its archive is slow", fetchWithin, Fetching, Memory{}, false, Nothing, "", "restore_command", fetchWithin},
		{"for long", startWithin + 1, "", Memory{}, false, StopClean, "", "", startWithin + 1},
		{"its archive hangs", startWithin + 1, Fetching, Memory{}, false, StopClean, "", "", startWithin + 1},
		{"for long, after a restart", startWithin + 1, "", Memory{Restarted: true}, false, Nothing, "rebuild", "has made no progress",
			startWithin + 1},
		{"it is given up", streamWithin + 1, "", Memory{}, true, StopClean, "", "", streamWithin + 1},
		{"it was copied for that", startWithin + 1, "", Memory{Restarted: true, Rebuilt: true}, false, Nothing, "",
			"restart its agent for another clone", startWithin + 1},
	} {
		c.memory.MovedAt = now
		in := Input{Now: now + c.since, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"}, Memory: c.memory,
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_1",
				Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessRunning, SystemID: "7", Starting: true, Recovery: c.rec}}
		if c.other {
			in.Goal.Incarnation = "m1_2"
		}
		act := Next(in)
		if act.Kind != c.want || act.Needs != c.needs || !strings.Contains(act.Wait, c.waits) || (act.Kind == Nothing) != (act.Wait != "") {
			t.Errorf("%s: %q (%s), needs %q, waits for %q", c.name, act.Kind, act.Why, act.Needs, act.Wait)
		}
		if got := in.Still(); got != c.stillIs {
			t.Errorf("%s: still for %s", c.name, got)
		}
	}
	// Once it is stopped for that, the copy is made, and no start comes between.
	in := Input{Now: now + streamWithin + 1, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
		Memory: Memory{MovedAt: now, Restarted: true},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_2",
			Upstream: &platform.Upstream{Member: "m2"}},
		Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 2}}
	if act := Next(in); act.Kind != Clone {
		t.Errorf("%q (%s%s)", act.Kind, act.Why, act.Wait)
	}
}

// TestRecoveryMoves: what a recovery comes to is a sign of life; that it is asked about is none.
func TestRecoveryMoves(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Opened: true}
	starting := Seen{Process: health.ProcessRunning, Starting: true, Mark: "segment 7"}
	m := Memory{MovedAt: 1}.Looked(goal, starting, now)
	if m = m.Looked(goal, starting, now+time.Minute); m.MovedAt != now {
		t.Errorf("it stands still, and moved at %s", m.MovedAt)
	}
	if starting.Mark = "segment 8"; m.Looked(goal, starting, now+time.Hour).MovedAt != now+time.Hour {
		t.Error("it got on, and did not move")
	}
	m = m.Looked(goal, starting, now)
	for n, segment := range []string{"7", "6", "7"} { // it lacks the next one, and goes back
		starting.Segment = segment
		if at := now + time.Duration(n)*time.Minute; m.Looked(goal, starting, at).MovedAt != now {
			t.Errorf("back to segment %s, it moved", segment)
		} else {
			m = m.Looked(goal, starting, at)
		}
	}
	if starting.Segment = "8"; m.Looked(goal, starting, now+time.Hour).MovedAt != now+time.Hour {
		t.Error("it came to the next segment, and did not move")
	}
	ended := Seen{Process: health.ProcessEnded}
	if starting.Segment = "6"; m.Looked(goal, ended, now).Looked(goal, starting, now+time.Hour).MovedAt != now+time.Hour {
		t.Error("it was started again, and its replay of what it had replayed is no move")
	}
	starting.Starting = false // it does not answer
	if m = m.Looked(goal, starting, now+time.Hour); m.MovedAt != now {
		t.Error("a server that hangs moved")
	}
}

// TestCrashes: only ends at one place of the replay count, within the life of the data.
func TestCrashes(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Opened: true}
	m := Memory{}.Looked(goal, standbyAt(100, 100), now)
	for range startsFail - 1 {
		if m = m.Crashed(0).Looked(goal, standbyAt(100, 90), now); m.unfit() != "" { // it answers in between
			t.Errorf("after %d: %s", m.Crashes, m.unfit())
		}
	}
	if m.Crashed(0).unfit() == "" || m.Crashed(100).unfit() == "" || m.Crashed(120).unfit() != "" {
		t.Errorf("at one place: %q, %q; at another: %q", m.Crashed(0).unfit(), m.Crashed(100).unfit(), m.Crashed(120).unfit())
	}
	if past := m.Looked(goal, standbyAt(110, 110), now); past.Crashed(110).unfit() != "" {
		t.Error("it has replayed more than that")
	}
	if m = m.Crashed(0).Renewed(true); m.unfit() != "" || !m.Rebuilt || m.Crashed(50).Crashes != 1 {
		t.Errorf("a copy was made: %+v", m)
	}
	for rebuilt, want := range map[bool]Kind{false: Clone, true: StartStandby} {
		in := Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"},
			Memory: Memory{MovedAt: now, Crashes: startsFail, Rebuilt: rebuilt},
			Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_2",
				Upstream: &platform.Upstream{Member: "m2"}},
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 2, End: 90, Shutdown: 90}}
		if act := Next(in); act.Kind != want {
			t.Errorf("rebuilt %v: %q (%s%s)", rebuilt, act.Kind, act.Why, act.Wait)
		}
	}
}

// TestOneCopyForCrashes: a copy whose replay is ended at another record is not copied in turn, until it has served for long.
func TestOneCopyForCrashes(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_3",
		Upstream: &platform.Upstream{Member: "m2"}}
	streams := standbyAt(200, 200)
	streams.Streaming, streams.ReceiverPID = true, 7
	crash := func(m Memory, at platform.LSN) Memory {
		for range startsFail {
			m = m.Crashed(at)
		}
		return m
	}
	next := func(m Memory) Act {
		return Next(Input{Now: now, Durable: Durable{Epoch: ep(2), Incarnation: "m1_2", SystemID: "7"}, Memory: m, Goal: goal,
			Seen: Seen{Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7", Timeline: 2, End: 300, Shutdown: 300}})
	}
	first := crash(Memory{MovedAt: now}, 100)
	if act := next(first); act.Kind != Clone {
		t.Fatalf("the first time: %q (%s%s)", act.Kind, act.Why, act.Wait)
	}
	for _, c := range []struct {
		name  string
		made  Memory
		looks []time.Duration // at which it streams
		ends  time.Duration   // at which a look finds it ended; 0 for none
		want  Kind
	}{
		{"at once", first, nil, 0, StartStandby},
		{"after a moment", first, []time.Duration{0, lasting}, 0, StartStandby},
		{"past the record, and after a while", first, []time.Duration{0, servesLong - 1}, 0, StartStandby},
		{"after long", first, []time.Duration{0, lasting, servesLong}, 0, Clone},
		{"after long, with a break", first, []time.Duration{0, lasting, servesLong / 2, servesLong + 1}, servesLong / 2, StartStandby},
		{"of a copy that was made for want of WAL", Memory{MovedAt: now, Restarted: true}, []time.Duration{0, lasting}, 0, Clone},
	} {
		m := c.made.Renewed(true)
		for _, at := range c.looks {
			if at == c.ends && at > 0 {
				m = m.Looked(goal, Seen{Process: health.ProcessEnded}, now+at)
			} else {
				m = m.Looked(goal, streams, now+at)
			}
		}
		m = crash(m, 300)
		if act := next(m); act.Kind != c.want || (m.Mend() == "") != (c.want == Clone) {
			t.Errorf("%s: %q (%s%s), mend %q", c.name, act.Kind, act.Why, act.Wait, m.Mend())
		}
	}
}
