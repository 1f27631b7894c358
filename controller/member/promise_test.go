package member

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

func asked() platform.PromiseRequest {
	return platform.PromiseRequest{Cluster: "feed", From: "m1", To: "m2", Epoch: ep(3), List: 5, Length: 5 * time.Second}
}

func replicaOf3() Input {
	return Input{Now: time.Hour, Name: "m2", Durable: Durable{Epoch: ep(3), Ran: ep(1), Closed: ep(1), Incarnation: "m2_2", Peers: "m1 m3",
		Longest: 5 * time.Second},
		Goal: platform.Goal{Kind: platform.GoalReplica, Epoch: ep(3), MembersVersion: 5, Lease: 5 * time.Second,
			OtherMembers: []string{"m1", "m3"}}}
}

func TestWhoPromises(t *testing.T) { // L5
	for _, c := range []struct {
		name, reason string
		change       func(*Input, *platform.PromiseRequest)
	}{
		{"a replica of the epoch", "", func(*Input, *platform.PromiseRequest) {}},
		{"one without a goal yet", "", func(in *Input, _ *platform.PromiseRequest) { in.Goal = platform.Goal{} }},
		{"another member", "the request is for m9", func(_ *Input, r *platform.PromiseRequest) { r.To = "m9" }},
		{"no lease at all", "is not between", func(_ *Input, r *platform.PromiseRequest) { r.Length = 0 }},
		{"a lease longer than any in force", "the longest that may be in force",
			func(_ *Input, r *platform.PromiseRequest) { r.Length = 6 * time.Second }},
		{"a longer lease, of which it was told", "", func(in *Input,
			r *platform.PromiseRequest) {
			in.Goal.Lease, r.Length = 6*time.Second, 6*time.Second
		}},
		{"a longer lease, of which an earlier run was told", "", func(in *Input, r *platform.PromiseRequest) {
			in.Goal, in.Durable.Longest, r.Length = platform.Goal{}, 6*time.Second, 6*time.Second
		}},
		{"a longer lease than an earlier run was told", "the longest that may be in force",
			func(in *Input, r *platform.PromiseRequest) { in.Goal, r.Length = platform.Goal{}, 6*time.Second }},
		{"a member it does not know", "no member m9", func(_ *Input, r *platform.PromiseRequest) { r.From = "m9" }},
		{"a member an earlier run did not know", "no member m9",
			func(in *Input, r *platform.PromiseRequest) { in.Goal, r.From = platform.Goal{}, "m9" }},
		{"one that was removed since", "no member m1", func(in *Input, _ *platform.PromiseRequest) { in.Goal.OtherMembers = []string{"m3"} }},
		{"a member not in any goal so far", "no member m1", func(in *Input, _ *platform.PromiseRequest) {
			in.Goal, in.Durable.Peers = platform.Goal{}, ""
		}},
		{"a lease without end", "is not between", func(_ *Input, r *platform.PromiseRequest) { r.Length = time.Hour }},
		{"sealed", "sealed for attempt 1.4", func(in *Input, _ *platform.PromiseRequest) { in.Durable.Sealed = ep(4) }},
		{"of a later epoch", "its epoch is 1.4", func(in *Input, _ *platform.PromiseRequest) { in.Durable.Epoch = ep(4) }},
		{"of an earlier epoch", "its epoch is 1.2", func(in *Input, _ *platform.PromiseRequest) { in.Durable.Epoch = ep(2) }},
		{"told to seal", "its goal already has epoch 1.4", func(in *Input, _ *platform.PromiseRequest) {
			in.Goal.Kind, in.Goal.Epoch = platform.GoalSealed, ep(4)
		}},
		{"the primary itself", "the primary itself", func(in *Input, _ *platform.PromiseRequest) { in.Durable.Ran = ep(3) }},
		{"knows a newer list", "newer member list", func(in *Input, _ *platform.PromiseRequest) { in.Goal.MembersVersion = 6 }},
	} {
		in, r := replicaOf3(), asked()
		c.change(&in, &r)
		kept, answer := Promise(in, r)
		if answer.Given != (c.reason == "") || !strings.Contains(answer.Reason, c.reason) {
			t.Errorf("%s: %+v", c.name, answer)
		}
		if answer.Given && (kept.Until != in.Now+platform.CountOut(r.Length) || answer.Incarnation != "m2_2") {
			t.Errorf("%s: keeps %+v, answers %+v", c.name, kept, answer)
		}
	}
}

// What was promised is kept against the controllers, and what may have been promised before a restart as well.
func TestPromiseIsKept(t *testing.T) { // L5
	for _, kind := range []platform.GoalKind{platform.GoalSealed, platform.GoalPrimary} {
		in := replicaOf3()
		in.Promised, _ = Promise(in, asked())
		in.Seen = running
		in.Goal.Kind, in.Goal.Epoch = kind, ep(4)
		end := in.Promised.Until
		for now, bound := range map[time.Duration]bool{in.Now: true, end - 1: true, end: false} {
			in.Now = now
			if act := Next(in); (act.Kind == Nothing && strings.Contains(act.Wait, "promised m1")) != bound {
				t.Errorf("goal %s, %s before the end: %+v", kind, end-now, act)
			}
		}
		restarted := in
		restarted.Promised = Promised{Since: in.Now - time.Second}
		if act := Next(restarted); act.Kind != Nothing || !strings.Contains(act.Wait, "may have promised") {
			t.Errorf("goal %s, after a restart: %+v", kind, act)
		}
		restarted.Now = restarted.Promised.Since + platform.CountOut(in.Goal.Lease)
		if act := Next(restarted); act.Kind != Persist {
			t.Errorf("goal %s, a count-out after a restart: %+v", kind, act)
		}
	}
}

// Who was sealed, or was the primary, before the agent was started cannot have promised since; a bootstrap has no earlier primary.
func TestRestartDoesNotBar(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"sealed":              func(in *Input) { in.Durable.Sealed, in.Goal.Kind = ep(4), platform.GoalSealed },
		"the primary, again":  func(in *Input) { in.Durable.Ran = ep(3) },
		"the very first goal": func(in *Input) { in.Durable, in.Goal.Epoch = Durable{}, ep(1) },
	} {
		in := replicaOf3()
		in.Seen, in.Goal.Kind, in.Goal.Epoch = running, platform.GoalPrimary, ep(4)
		in.Promised.Since = in.Now
		change(&in)
		if act := Next(in); strings.Contains(act.Wait, "may have promised") {
			t.Errorf("%s: %+v", name, act)
		}
	}
}

func TestEnoughPromises(t *testing.T) { // L5
	set := func(acks int, names ...string) platform.DurabilitySet {
		return platform.DurabilitySet{Acks: acks, Names: names}
	}
	for _, c := range []struct {
		name     string
		sets     []platform.DurabilitySet
		promises map[string]string // by member: the name of its data, and its former one
		want     bool
	}{
		{"no set is known", nil, map[string]string{"m2": "m2_2", "m3": "m3_3"}, false},
		{"one of two, acks 1", []platform.DurabilitySet{set(1, "m2_2", "m3_3")}, map[string]string{"m3": "m3_3"}, true},
		{"nobody", []platform.DurabilitySet{set(1, "m2_2", "m3_3")}, nil, false},
		{"other data", []platform.DurabilitySet{set(1, "m2_2", "m3_3")}, map[string]string{"m3": "m3_9"}, false},
		{"one of two, acks 2", []platform.DurabilitySet{set(2, "m2_2", "m3_3")}, map[string]string{"m3": "m3_3"}, false},
		{"every set counts", []platform.DurabilitySet{set(1, "m2_2"), set(1, "m3_3")}, map[string]string{"m3": "m3_3"}, false},
		{"both sets", []platform.DurabilitySet{set(1, "m2_2"), set(1, "m3_3")}, map[string]string{"m2": "m2_2", "m3": "m3_3"}, true},
		{"a former name", []platform.DurabilitySet{set(1, "m2_2"), set(1, "m3_3")}, map[string]string{"m2": "m2_4 m2_2", "m3": "m3_3"}, true},
		{"one member, two names", []platform.DurabilitySet{set(2, "m2_2", "m2_4")}, map[string]string{"m2": "m2_4 m2_2"}, false},
		{"acks 0: one of two", []platform.DurabilitySet{set(0)}, map[string]string{"m3": "m3_3"}, false},
		{"acks 0: all, whatever their data", []platform.DurabilitySet{set(0)}, map[string]string{"m2": "", "m3": ""}, true},
		{"acks 0 before acks 1", []platform.DurabilitySet{set(0), set(1, "m2_2")}, map[string]string{"m2": "m2_2"}, false},
	} {
		g := platform.Goal{Kind: platform.GoalPrimary, Sets: c.sets, OtherMembers: []string{"m2", "m3"}}
		given := map[string]platform.PromiseAnswer{}
		for m, names := range c.promises {
			name, former, _ := strings.Cut(names, " ")
			given[m] = platform.PromiseAnswer{Given: true, Incarnation: name, Former: former}
		}
		if got := EnoughPromises(g, given); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if g.Kind = platform.GoalReplica; EnoughPromises(g, given) {
			t.Errorf("%s: a replica needs no promises", c.name)
		}
	}
}

var running = Seen{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby, Timeline: 1}

// Whoever lives with a primary hears of its promises before its permit ends, on a busy machine too: the first are asked for at
// the third heartbeat that no leader answers, and are renewed at each.
func TestPermitOutlastsTheWaitForPromises(t *testing.T) {
	for _, lease := range []time.Duration{platform.MinLease, platform.DefaultLease, platform.MaxLease} {
		heartbeat := platform.Heartbeat(lease)
		answered := heartbeat / 10 // the last grant came so long after its heartbeat
		if first := 3 * heartbeat; first-answered < Unanswered(lease) {
			t.Errorf("lease %s: nothing is asked at the third heartbeat", lease)
		} else if platform.Permit(lease) < first+heartbeat+heartbeat/2 {
			t.Errorf("lease %s: a permit of %s, and the first promises come after %s", lease, platform.Permit(lease), first)
		}
		if second := 2 * heartbeat; second-answered >= Unanswered(lease) {
			t.Errorf("lease %s: promises are asked for while a leader may still be elected", lease)
		}
	}
}

// A promise to a primary that has ended keeps its successor waiting for longer than a lease, and is of no use (S8): seen in the
// simulator, seed 1457, where a slow barrier delayed the answer to the report of the end.
func TestOnlyAPrimaryThatRunsAsks(t *testing.T) {
	const lease, now = time.Second, time.Hour
	e, later := platform.Epoch{Generation: 1, Number: 2}, platform.Epoch{Generation: 1, Number: 3}
	asking := func() *Input {
		return &Input{Now: now, Goal: platform.Goal{Kind: platform.GoalPrimary, Epoch: e},
			Durable: Durable{Epoch: e, Ran: e, Closed: platform.Epoch{Generation: 1, Number: 1}},
			Memory:  Memory{Opened: e}, Lease: Lease{Epoch: e, End: now + 1}, Seen: Seen{Process: health.ProcessRunning}}
	}
	granted := now - Unanswered(lease)
	if in := asking(); !in.Asks(granted, lease) {
		t.Error("it does not ask")
	} else if in.Asks(granted+1, lease) || in.Asks(0, lease) {
		t.Error("it asks too early, or where no leader ever granted")
	}
	for name, change := range map[string]func(in *Input){
		"a replica":             func(in *Input) { in.Goal.Kind = platform.GoalReplica },
		"a pause":               func(in *Input) { in.Goal.Paused = true },
		"not opened":            func(in *Input) { in.Memory.Opened = platform.Epoch{} },
		"the lease has ended":   func(in *Input) { in.Lease.End = now },
		"a lease of another":    func(in *Input) { in.Lease.Epoch = later },
		"its epoch is closed":   func(in *Input) { in.Durable.Closed = e },
		"a later one is closed": func(in *Input) { in.Durable.Closed = later },
		"the process ends":      func(in *Input) { in.Seen.Process = health.ProcessEnding },
		"the process has ended": func(in *Input) { in.Seen.Process = health.ProcessEnded },
	} {
		in := asking()
		if change(in); in.Asks(granted, lease) {
			t.Errorf("%s: it asks", name)
		}
	}
}

// Permits run for five heartbeats. A primary asks at its third, counted from the last answer, and the member it asks has found no
// leader for two by then.
func TestLookFor(t *testing.T) {
	const lease = 5 * time.Second
	for unanswered, want := range map[time.Duration]time.Duration{0: time.Second, 999 * time.Millisecond: time.Second,
		time.Second: 100 * time.Millisecond, time.Hour: 100 * time.Millisecond} {
		if got := LookFor(lease, unanswered); got != want {
			t.Errorf("after %s: %s", unanswered, got)
		}
	}
	if got := LookFor(platform.MaxLease, 0); got != time.Second {
		t.Errorf("the longest lease: %s", got)
	}
}

// A member that has replaced its data promises by the old name too, through the whole way to the primary's count (seed 378779).
func TestPromiseOfReplacedData(t *testing.T) {
	in := replicaOf3()
	in.Durable.Incarnation = "m3_3"
	in.Durable.Rename("m3_3")
	if in.Durable.Former != "" {
		t.Errorf("the same name again: %+v", in.Durable)
	}
	in.Durable.Rename("m3_7")
	_, answer := Promise(in, platform.PromiseRequest{To: in.Name, From: in.Goal.OtherMembers[0], Epoch: in.Durable.Epoch,
		List: in.Goal.MembersVersion, Length: platform.MinLease})
	if want := (platform.PromiseAnswer{Given: true, Incarnation: "m3_7", Former: "m3_3"}); answer != want {
		t.Fatalf("%+v, want %+v", answer, want)
	}
	old := platform.Goal{Kind: platform.GoalPrimary, Sets: []platform.DurabilitySet{{Acks: 1, Names: []string{"m3_3"}}}}
	if !EnoughPromises(old, map[string]platform.PromiseAnswer{in.Name: answer}) {
		t.Error("a primary that does not yet know that the set has ended is not given its promise")
	}
}
