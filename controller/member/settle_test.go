package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

var (
	asyncSet = platform.DurabilitySet{ID: 1}
	setBC    = platform.DurabilitySet{ID: 2, Acks: 1, Names: []string{"b_1", "c_1"}}
	setB     = platform.DurabilitySet{ID: 3, Acks: 1, Names: []string{"b_1"}}
	setAB    = platform.DurabilitySet{ID: 4, Acks: 2, Names: []string{"a_1", "b_1"}}
)

func primarySeen(set platform.DurabilitySet, insert platform.LSN, senders ...health.Sender) Seen {
	return Seen{Role: health.RolePrimary, SyncNames: SyncNames(set), SyncOurs: true, Insert: insert, Senders: senders}
}

func goalOf(sets ...platform.DurabilitySet) platform.Goal {
	return platform.Goal{Kind: platform.GoalPrimary, Epoch: ep(1), Sets: sets}
}

// The drop rule: (a) nothing can be acknowledged under the old sets, then (b) the newest set holds everything up to there.
func TestSettle(t *testing.T) {
	b := func(flush platform.LSN) health.Sender {
		return health.Sender{Name: "b_1", State: "streaming", Flush: flush, Sync: true}
	}
	c := health.Sender{Name: "c_1", State: "streaming", Flush: 500, Sync: true}
	fresh := func(name string) health.Sender {
		return health.Sender{Name: name, State: "streaming", Flush: 100, Sync: true, Fresh: true}
	}
	cIdle := health.Sender{Name: "C_1", State: "streaming", Flush: 500}
	for _, s := range []struct {
		name       string
		goal       platform.Goal
		looks      []Seen
		checkpoint uint64
		done       bool
		baseline   platform.LSN
	}{
		{"one set has nothing to drop", goalOf(setB), []Seen{primarySeen(setB, 100, b(100)), primarySeen(setB, 100, b(100))}, 0, false, 0},
		{"the baseline and the flush are two looks", goalOf(setBC, setB), []Seen{primarySeen(setB, 100, b(100))}, 0, false, 100},
		{"(a) and (b)", goalOf(setBC, setB), []Seen{primarySeen(setB, 100, b(90)), primarySeen(setB, 150, b(100))}, 0, true, 100},
		{"(b): C acknowledged what B lags behind", goalOf(setBC, setB), []Seen{primarySeen(setB, 100, b(90)), primarySeen(setB, 100, b(99))}, 0,
			false, 100},
		{"(a): a removed sender still counts", goalOf(setBC, setB), []Seen{primarySeen(setB, 100, b(100), c), primarySeen(setB, 100, b(100), c)},
			0, false, 0},
		{"(a): whatever its case", goalOf(setBC, setB), []Seen{primarySeen(setB, 100, b(100), health.Sender{Name: "C_1", Sync: true}),
			primarySeen(setB, 100, b(100), health.Sender{Name: "C_1", Sync: true})}, 0, false, 0},
		{"(a): a removed sender of priority 0", goalOf(setBC, setB),
			[]Seen{primarySeen(setB, 100, b(100), cIdle), primarySeen(setB, 100, b(100), cIdle)}, 0, true, 100},
		{"the new set is not loaded", goalOf(setBC, setB), []Seen{primarySeen(setBC, 100, b(100)), primarySeen(setBC, 100, b(100))}, 0, false, 0},
		{"it is loaded from another file", goalOf(setBC, setB),
			[]Seen{{Role: health.RolePrimary, SyncNames: SyncNames(setB), Insert: 1},
				{Role: health.RolePrimary, SyncNames: SyncNames(setB), Insert: 1}}, 0, false, 0},
		{"a standby settles nothing", goalOf(setBC, setB),
			[]Seen{{Role: health.RoleStandby, SyncNames: SyncNames(setB), SyncOurs: true, Insert: 1}}, 0, false, 0},
		{"leaving an empty list needs a CHECKPOINT", goalOf(asyncSet, setB),
			[]Seen{primarySeen(setB, 100, b(100)), primarySeen(setB, 100, b(100))}, 0, false, 0},
		{"of this very set", goalOf(asyncSet, setB), []Seen{primarySeen(setB, 100, b(100)), primarySeen(setB, 100, b(100))}, 2, false, 0},
		{"and then the flush", goalOf(asyncSet, setB), []Seen{primarySeen(setB, 100, b(100)), primarySeen(setB, 100, b(100))}, 3, true, 100},
		{"k of the new set", goalOf(setB, setAB), []Seen{primarySeen(setAB, 100, fresh("b_1")), primarySeen(setAB, 100, fresh("b_1"))}, 0, false,
			100},
		{"a sender counts once", goalOf(setB, setAB), []Seen{primarySeen(setAB, 100, fresh("b_1"), fresh("b_1")),
			primarySeen(setAB, 100, fresh("b_1"), fresh("b_1"))}, 0, false, 100},
		{"(a): k raised, and a sender has loaded the older one", goalOf(setB, setAB),
			[]Seen{primarySeen(setAB, 100, fresh("a_1"), b(100)), primarySeen(setAB, 100, fresh("a_1"), b(100))}, 0, false, 0},
		{"k raised, every sender started since", goalOf(setB, setAB),
			[]Seen{primarySeen(setAB, 100, fresh("a_1"), fresh("b_1")), primarySeen(setAB, 100, fresh("a_1"), fresh("b_1"))}, 0, true, 100},
		{"k lowered: any sender will do", goalOf(setAB, setB), []Seen{primarySeen(setB, 100, b(100)), primarySeen(setB, 100, b(100))}, 0, true,
			100},
	} {
		t.Run(s.name, func(t *testing.T) {
			var got Settling
			for _, look := range s.looks {
				got = Settle(got, s.goal, look, s.checkpoint)
			}
			if got.Done != s.done || got.Baseline != s.baseline {
				t.Errorf("%+v, want done %v from %s", got, s.done, s.baseline)
			}
		})
	}
}

func TestSettleBeginsAnewWithEachSet(t *testing.T) {
	b := health.Sender{Name: "b_1", Flush: 1000, Sync: true}
	done := Settling{ID: setBC.ID, Baseline: 5, Done: true}
	got := Settle(done, goalOf(setBC, setB), primarySeen(setB, 100, b), 0)
	if got.Done || got.ID != setB.ID || got.Baseline != 100 {
		t.Errorf("%+v: what held for one set says nothing of the next", got)
	}
}

func TestSyncNames(t *testing.T) {
	for want, s := range map[string]platform.DurabilitySet{"": asyncSet, `ANY 1 ("b_1")`: setB, `ANY 2 ("a_1","b_1")`: setAB} {
		if got := SyncNames(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// S2: acks 0 may become 1 a moment before the replica is promoted, and backends would not wait yet.
func TestReplicaKeepsItsList(t *testing.T) {
	for _, sets := range [][]platform.DurabilitySet{{asyncSet}, {asyncSet, setB}, {setBC}} {
		in := Input{Goal: goalOf(sets...), Now: time.Minute}
		in.Goal.Kind, in.Goal.Upstream = platform.GoalReplica, &platform.Upstream{Member: "a"}
		in.Durable.Epoch = in.Goal.Epoch
		in.Seen = Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: in.Goal.Timeline,
			Known:     true,
			Streaming: true, Upstream: "a", Application: in.Goal.Incarnation}
		if act := Next(in); act.Kind != Settings {
			t.Errorf("%v, an empty list: %+v", sets, act)
		}
		in.Goal.Incarnation, in.Durable.Incarnation, in.Seen.Application = "b_1", "b_1", "b_1"
		in.Seen.SyncNames = SyncNames(ReplicaSet())
		if act := Next(in); act.Kind != Nothing {
			t.Errorf("%v, its own list: %+v", sets, act)
		}
	}
	if r := ReplicaSet(); r.Acks == 0 || r.Has("b_1") || r.Has("c_1") {
		t.Errorf("a replica must load a list that no standby satisfies, has %v", r)
	}
}

func TestLeaseCountsFromTheRequest(t *testing.T) { // L1, L8
	c := NewClocks("run-2", 41)
	n := c.Send(10 * time.Second)
	c.Send(20 * time.Second)
	if n != 42 {
		t.Errorf("first number %d: it must continue above the former process's", n)
	}
	if end, ok := c.End("run-2", n, 5*time.Second); !ok || end != 15*time.Second {
		t.Errorf("end %s %v, want the clock of that report and 5 s", end, ok)
	}
	for _, bad := range []struct {
		run    string
		number uint64
	}{{"run-1", n}, {"run-2", 41}, {"run-2", 99}, {"", n}} {
		if end, ok := c.End(bad.run, bad.number, time.Second); ok {
			t.Errorf("a grant for report %d of %q gives a lease until %s", bad.number, bad.run, end)
		}
	}
	for range remembered {
		c.Send(time.Minute)
	}
	if _, ok := c.End("run-2", n, time.Second); ok {
		t.Error("every report ever sent is remembered")
	}
}

func TestExtend(t *testing.T) { // S3
	l := Lease{}.Extend(ep(5), 10)
	if l = l.Extend(ep(5), 8); l.End != 10 {
		t.Errorf("a late answer shortened the lease to %s", l.End)
	}
	if l = l.Extend(ep(4), 99); l != (Lease{Epoch: ep(5), End: 10}) {
		t.Errorf("a grant of a lower epoch gave %+v", l)
	}
	if l = l.Extend(ep(6), 9); l != (Lease{Epoch: ep(6), End: 9}) {
		t.Errorf("a grant of a higher epoch gave %+v", l)
	}
}

// TestPermitsCountFromTheRenewal: after a longer lease was granted the end tells nothing of when it was renewed.
func TestPermitsCountFromTheRenewal(t *testing.T) {
	const second = time.Second
	l := Lease{}.Renew(ep(5), 10*second, 6*second)
	if left := l.Permits(6*second, 11*second); left != 2*second {
		t.Errorf("a second after it was renewed: %s", left)
	}
	l = l.Renew(ep(5), 11*second, 2*second)
	if left := l.Permits(2*second, 11*second); l.End != 16*second || left != second {
		t.Errorf("just renewed for less: %s, of %+v", left, l)
	}
	if left := l.Permits(2*second, 12*second); left != 0 {
		t.Errorf("a permit after that: %s", left)
	}
	if late := l.Renew(ep(5), 9*second, 2*second); late != l {
		t.Errorf("a late answer: %+v", late)
	}
	if late := l.Renew(ep(4), 14*second, 2*second); late != l {
		t.Errorf("a lower epoch: %+v", late)
	}
	if left := (Lease{Epoch: ep(5), End: 16 * second}).Permits(6*second, second); left != 0 {
		t.Errorf("renewed at an unknown time: %s", left)
	}
	if left := l.Permits(20*second, 16*second); left != 0 {
		t.Errorf("over: %s", left)
	}
}

// While k is raised the senders that release by the older k are ended, and only then.
func TestStaleSendersAreEnded(t *testing.T) {
	for _, c := range []struct {
		name  string
		goal  platform.Goal
		fresh bool
		done  bool
		want  Kind
	}{
		{"raised", goalOf(setB, setAB), false, false, EndSenders},
		{"raised, started since", goalOf(setB, setAB), true, false, Nothing},
		{"raised and settled", goalOf(setB, setAB), false, true, Nothing},
		{"lowered", goalOf(setAB, setB), false, false, Nothing},
	} {
		set := lastSet(&c.goal)
		seen := primarySeen(set, 100, health.Sender{Name: "b_1", State: "streaming", Sync: true, Fresh: c.fresh})
		seen.Data, seen.Process, seen.Timeline = health.DataPresent, health.ProcessRunning, 1
		c.goal.Timeline = 1
		in := Input{Now: 1, Goal: c.goal, Seen: seen, GuardComplete: true, Lease: Lease{Epoch: ep(1), End: 10},
			Durable: Durable{Epoch: ep(1), Ran: ep(1), SystemID: "7"},
			Memory:  Memory{Opened: ep(1), Settling: Settling{ID: set.ID, Done: c.done}}}
		if act := Next(in); act.Kind != c.want {
			t.Errorf("%s: %+v", c.name, act)
		}
	}
}

// TestSupersededSlots: a former primary's failover slots, which its successor has by now, are dropped last of all its upkeep.
func TestSupersededSlots(t *testing.T) {
	in := Input{Goal: goalOf(setBC), Now: time.Minute}
	in.Goal.Kind, in.Goal.Upstream, in.Goal.Incarnation = platform.GoalReplica, &platform.Upstream{Member: "a"}, "b_1"
	in.Durable.Epoch, in.Durable.Incarnation = in.Goal.Epoch, "b_1"
	in.Seen = Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: in.Goal.Timeline, Known: true,
		Streaming: true, Upstream: "a", Application: "b_1", SyncNames: SyncNames(ReplicaSet()), Superseded: []string{"cdc"}}
	if act := Next(in); act.Kind != DropSlots || !strings.Contains(act.Why, "cdc") {
		t.Errorf("%+v", act)
	}
	in.Goal.OtherMembers = []string{"c"}
	if act := Next(in); act.Kind != Slots {
		t.Errorf("before the slots of members: %+v", act)
	}
}
