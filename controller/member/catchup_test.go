package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

const mb = 1 << 20

// looksAt is a replica whose looks came at these times.
func looksAt(m Memory, goal platform.Goal, looks ...look) Input {
	in := Input{Goal: goal, Memory: m}
	for _, l := range looks {
		in.Now, in.Seen = now+l.at, l.seen
		in.Memory = in.Memory.Looked(goal, l.seen, in.Now)
	}
	return in
}

func catchUp(in Input) *health.CatchUp { return in.Memory.CatchUp(in.Goal, in.Seen, in.Now) }

type look struct {
	at   time.Duration
	seen Seen
}

// replays is a standby that does not stream; positions in MB.
func replays(at time.Duration, replayed, upstream platform.LSN, r Recovery) look {
	s := standbyAt(replayed*mb, replayed*mb)
	s.UpstreamAt, s.Recovery = upstream*mb, r
	return look{at, s}
}

// steady replays 16 MB at once every 6 s, from its archive, for so long; its primary writes 1 MB a second.
func steady(d time.Duration) (looks []look) {
	for at := time.Duration(0); at <= d; at += time.Second {
		s := platform.LSN(at / time.Second)
		looks = append(looks, replays(at, 1000+16*(s/6), 2000+s, Fetching))
	}
	return looks
}

func streamsAt(at time.Duration, replayed, upstream platform.LSN) look {
	l := replays(at, replayed, upstream, "")
	l.seen.Streaming, l.seen.ReceiverPID, l.seen.Position = true, 7, upstream*mb
	return l
}

func startsAt(at time.Duration, reached, upstream platform.LSN) look {
	return look{at, Seen{Process: health.ProcessRunning, Starting: true, Reached: reached * mb, UpstreamAt: upstream * mb, Mark: at.String()}}
}

// TestCatchUp: what is left is the way from the replayed position to the upstream's, and the time is told from the standby's own progress
// towards it, once that has been seen for a while.
func TestCatchUp(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Opened: true}
	for _, c := range []struct {
		name  string
		looks []look
		want  string // "" for none
	}{
		{"the first look", steady(0), "catching up from the archive, 1000 MB left"},
		{"no pace is known yet", steady(14 * time.Second), "catching up from the archive, 982 MB left"},
		{"a pace is known", steady(18 * time.Second), "catching up from the archive, 970 MB left, about 10m"},     // 48-18 MB in 18 s
		{"the window moves on", steady(9 * time.Minute), "catching up from the archive, 100 MB left, about 1m0s"}, // 2440 of 2540
		{"the upstream is unknown", []look{replays(0, 1000, 0, Fetching)}, "catching up from the archive"},
		{"it has called its archive before", []look{replays(0, 1000, 1100, Fetching), replays(time.Second, 1016, 1100, "")},
			"catching up from the archive, 84 MB left"},
		{"it is not known to have called it", []look{replays(0, 1000, 1100, ""), replays(time.Second, 1016, 1100, "")},
			"catching up from local WAL or the archive, 84 MB left"},
		{"its primary is faster", []look{replays(0, 1000, 1100, Fetching), replays(20*time.Second, 1016, 1120, Fetching)},
			"catching up from the archive, 104 MB left"},
		{"nothing moves", []look{replays(0, 1000, 1100, Fetching), replays(20*time.Second, 1000, 1100, Fetching)},
			"catching up from the archive, 100 MB left"},
		{"its replay was put back", []look{replays(0, 1000, 1100, Fetching), replays(20*time.Second, 900, 1100, Fetching)},
			"catching up from the archive, 200 MB left"},
		{"there is nothing left", []look{replays(0, 1000, 1100, Fetching), replays(20*time.Second, 1101, 1100, Fetching)},
			"catching up from the archive, less than 1 MB left"},
		{"its replay is delayed", []look{replays(0, 1000, 1100, Delayed)}, ""},
		{"its replay is paused", []look{replays(0, 1000, 1100, Paused)}, ""},
		{"it streams and is not far behind", []look{streamsAt(0, 1036, 1100)}, ""},
		{"it streams and is far behind", []look{streamsAt(0, 1000, 1100)}, "catching up from its stream, 100 MB left"},
		{"it streams, and comes nearer", []look{streamsAt(0, 1000, 1200), streamsAt(20*time.Second, 1100, 1200)},
			"catching up from its stream, 100 MB left, about 20s"},
		{"it takes no sessions yet", []look{startsAt(0, 1000, 1200), startsAt(10*time.Second, 1064, 1200),
			startsAt(20*time.Second, 1048, 1200)},
			"catching up from local WAL or the archive, 136 MB left, about 43s"},
		{"it has ended", []look{replays(0, 1000, 1100, Fetching), {time.Second, Seen{Process: health.ProcessEnded}}}, ""},
	} {
		in := looksAt(Memory{}, goal, c.looks...)
		got := ""
		if cu := catchUp(in); cu != nil {
			got = cu.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for name, other := range map[string]platform.Goal{"primary": {Kind: platform.GoalPrimary, Opened: true},
		"sealed": {Kind: platform.GoalSealed}, "no primary": {Kind: platform.GoalReplica}} {
		if in := looksAt(Memory{}, other, steady(time.Minute)...); catchUp(in) != nil {
			t.Errorf("%s: %s", name, catchUp(in))
		}
	}
	in := looksAt(Memory{}, goal, append(steady(time.Minute), streamsAt(61*time.Second, 1100, 1100), streamsAt(65*time.Second, 1100, 1100),
		replays(66*time.Second, 1101, 1102, ""))...)
	if cu := catchUp(in); cu == nil || strings.Contains(cu.From, "from the archive") || in.Memory.pace.fetchedAt != 0 {
		t.Errorf("after a stream: %+v", cu)
	}
}

// TestCatchUpIsSaid: a wait says how far the standby is, also before it takes sessions; a fetch that lasts is said with its length.
func TestCatchUpIsSaid(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Epoch: ep(2), Opened: true, Timeline: 2, SystemID: "7", Incarnation: "m1_1",
		Upstream: &platform.Upstream{Member: "m2"}}
	next := func(late time.Duration, looks ...look) string {
		for n := range looks {
			s := &looks[n].seen
			s.Data, s.SystemID, s.Timeline, s.Known, s.Upstream, s.Application = health.DataPresent, "7", 2, true, "m2", "m1_1"
			s.SyncNames = SyncNames(ReplicaSet())
		}
		in := looksAt(Memory{Apart: ep(2)}, goal, looks...)
		in.Now += late
		in.Durable = Durable{Epoch: ep(2), Incarnation: "m1_1", SystemID: "7"}
		act := Next(in)
		if act.Kind != Nothing {
			t.Errorf("%s: %s", act.Kind, act.Why)
		}
		return act.Wait
	}
	for want, got := range map[string]string{
		"catching up from the archive, 970 MB left, about 10m": next(0, steady(18*time.Second)...),
		"catching up from the archive, 100 MB left; its restore_command fetches WAL from the archive, for 1m0s": next(time.Minute,
			replays(0, 1000, 1100, Fetching)),
		"waiting for the stream from m2": next(5*time.Second, replays(0, 1000, 1100, "")),
		"catching up from local WAL or the archive, 200 MB left; it takes no sessions yet, and its recovery makes progress": next(0,
			startsAt(0, 1000, 1200)),
		"waiting for its recovery, which makes progress, to take sessions": next(2*time.Second, startsAt(0, 1000, 1200)),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestFetchEnds: a look that comes between the end of a long fetch and the replay of what it brought takes the standby for no broken one;
// one that comes later does.
func TestFetchEnds(t *testing.T) {
	goal := platform.Goal{Kind: platform.GoalReplica, Opened: true}
	for after, stuck := range map[time.Duration]bool{time.Millisecond: false, lasting - 1: false, lasting: true} {
		for _, starts := range []bool{false, true} {
			fetches, ended := replays(time.Minute, 1000, 1100, Fetching), replays(time.Minute+after, 1000, 1100, "")
			if starts {
				fetches, ended = startsAt(time.Minute, 1000, 1100), startsAt(time.Minute+after, 1000, 1100)
				fetches.seen.Mark, fetches.seen.Recovery, ended.seen.Mark = "it opened a file", Fetching, "it opened a file"
			}
			began := fetches
			began.at = 0
			in := looksAt(Memory{}, goal, began, fetches, ended)
			if in.stuck() != stuck {
				t.Errorf("%s after the fetch, starting %v: stuck %v", after, starts, in.stuck())
			}
			if act := in.recovering(); starts && (act.Needs != "") != stuck {
				t.Errorf("%s after the fetch: %+v", after, act)
			}
		}
	}
}

// TestDelayedReplicaSaysSo, also while it streams: what it has replayed is older than what it has received.
func TestDelayedReplicaSaysSo(t *testing.T) {
	for recovery, want := range map[Recovery]string{Delayed: "recovery_min_apply_delay delays its replay", "": ""} {
		in := Input{Goal: platform.Goal{Kind: platform.GoalReplica}, Seen: Seen{Role: health.RoleStandby, Streaming: true, Recovery: recovery}}
		in.Durable.Peers, in.Durable.Longest = in.peers(), in.longest()
		if act := in.upkeep(); act.Kind != Nothing || (want == "") != (act.Wait == "") || !strings.Contains(act.Wait, want) {
			t.Errorf("%q: %+v", recovery, act)
		}
	}
}
