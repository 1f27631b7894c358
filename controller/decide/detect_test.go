package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

func TestControllersObserve(t *testing.T) {
	deaf := func() *health.Observation { return &health.Observation{HeardMS: 1100, ProbedMS: -1, FailedMS: 600} }
	idle := func() *health.Observation { return &health.Observation{HeardMS: 1100, ProbedMS: 40_000} }
	for _, c := range []struct {
		name      string
		c2, c3    *health.Observation
		problem   health.Kind
		begins    bool
		transfers bool
	}{
		{name: "nobody has contact", c2: deaf(), c3: deaf(), problem: health.PrimaryUnreachable, begins: true},
		{name: "one controller is silent", c2: deaf(), problem: health.PrimaryUnreachable, begins: true},
		{name: "two of three controllers have not asked it: 3 of 5 say so", c2: idle(), c3: idle(),
			problem: health.PrimaryUnreachable, begins: true},
		{name: "none has had an answer, but one asked before its agent fell silent", c2: deaf(),
			c3: &health.Observation{HeardMS: 1100, ProbedMS: -1, FailedMS: 1200}, problem: health.PrimaryUnreachable, begins: true},
		{name: "both are silent: 3 of 5 say so", problem: health.PrimaryUnreachable, begins: true},
		{name: "a probe succeeds", c2: deaf(), c3: &health.Observation{HeardMS: -1, ProbedMS: 200}, problem: health.PrimaryAgentSilent},
		{name: "the last probe that succeeded is two ago", c2: deaf(), c3: &health.Observation{HeardMS: -1, ProbedMS: 1100, FailedMS: 300},
			problem: health.PrimaryUnreachable, begins: true},
		{name: "a probe is refused for want of a slot", c2: deaf(), c3: &health.Observation{HeardMS: -1, ProbedMS: 200, Saturated: true},
			problem: health.PrimaryAgentSilent},
		{name: "one other hears its agent", c2: deaf(), c3: &health.Observation{HeardMS: 300, ProbedMS: -1}, problem: health.PrimaryAgentSilent},
		{name: "all others hear its agent", c2: &health.Observation{HeardMS: 100, ProbedMS: -1},
			c3: &health.Observation{HeardMS: 300, ProbedMS: -1}, problem: health.ObserverIsolated, transfers: true},
	} {
		st := well(t, 1, nil)
		st.vanish()
		st.later(1600 * time.Millisecond)
		st.observationsOf(c.c2, c.c3)
		cmd, _, d := st.next()
		if (cmd != nil && cmd.Begin != nil) != c.begins || d.Transfer != c.transfers || !has(d.Problems, c.problem) {
			t.Errorf("%s: %s, transfer %v, problems %+v", c.name, body(cmd), d.Transfer, d.Problems)
		}
	}
}

// Half of the observers is no majority.
func TestControllersWithoutFreshWordsDoNotCount(t *testing.T) {
	st := well(t, 1, nil)
	st.vanish()
	st.members["m3"] = nil
	st.later(1600 * time.Millisecond)
	st.observationsOf(nil, nil)
	if why := st.waits(tooFewObservers); why.Number != 2 || why.Of != 5 {
		t.Errorf("%s", why)
	}
	st.observationsOf(&health.Observation{HeardMS: 2000, ProbedMS: -1, FailedMS: 500}, nil)
	st.later(1600 * time.Millisecond) // an old word
	st.waits(tooFewObservers)
	st.observationsOf(&health.Observation{HeardMS: 2000, ProbedMS: 20_000}, nil)
	st.waits(tooFewObservers)
	st.observationsOf(&health.Observation{HeardMS: 2000, ProbedMS: -1, FailedMS: 2001}, nil)
	st.waits(tooFewObservers)
	st.observationsOf(&health.Observation{HeardMS: 2000, ProbedMS: -1, FailedMS: 1999}, nil)
	if b := st.commits().Begin; b == nil {
		t.Error("three of five observers have no contact")
	}
}

func TestCertificateThatEndsSoonIsAnAlarm(t *testing.T) {
	st := well(t, 1, nil)
	if st.problem(health.CertificateExpires) {
		t.Error("without reason")
	}
	st.number++
	st.view.Fold(&health.Report{Host: "h2", RunID: "r", Number: st.number, CertificateEnds: "2026-01-02T00:00:00Z",
		Members: []health.Member{*st.members["m2"]}}, "r", 0, st.now)
	if !st.problem(health.CertificateExpires) {
		t.Error("nobody is told")
	}
}

// TestBusyHost: it is said, with what was measured, as long as it is reported; what hangs there is given longer, and silence is not.
func TestBusyHost(t *testing.T) {
	pressed := func(st *stage, host string) {
		st.number++
		m := st.members["m"+host[1:]]
		st.view.Fold(&health.Report{Host: host, RunID: "r", Number: st.number,
			Pressure: &health.Pressure{Waits: true, CPU: 93, Load: 1500}, Members: []health.Member{*m}}, "", 0, st.now)
	}
	st := well(t, 1, nil)
	pressed(st, "h2")
	cmd, _, d := st.next()
	const evidence = "host h2 is busy: in 93%"
	if cmd != nil || !has(d.Problems, health.HostBusy) || d.Problems[0].Actionable || !strings.Contains(d.Problems[0].Evidence, evidence) {
		t.Errorf("decided %s, problems %+v", body(cmd), d.Problems)
	}
	st.now += platform.Suspect(lease) + 1
	if st.problem(health.HostBusy) {
		t.Error("of a host that is not heard nothing is known")
	}
	bound := platform.Stuck(lease).Milliseconds()
	for _, stuck := range []func(m *health.Member, since int64){
		func(m *health.Member, since int64) { m.WriteStale = since },
		func(m *health.Member, since int64) { m.Stale = since },
	} {
		for since, begins := range map[int64]bool{bound + 1: false, bound * excuse: false, bound*excuse + 1: true} {
			st := well(t, 1, nil)
			stuck(st.members["m1"], since)
			st.report()
			pressed(st, "h1")
			if cmd, _, _ := st.next(); (cmd != nil && cmd.Begin != nil) != begins {
				t.Errorf("after %d ms on a busy host: %s", since, body(cmd))
			}
		}
	}
	st = well(t, 1, nil)
	pressed(st, "h1")
	st.vanish()
	st.later(1600 * time.Millisecond)
	if cmd, _, _ := st.next(); cmd == nil || cmd.Begin == nil {
		t.Errorf("a host that was busy before it fell silent: %s", body(cmd))
	}
}

// TestProgramsThatAreNotAllowed: a controller that may not run what the platform names says so, and what to write.
func TestProgramsThatAreNotAllowed(t *testing.T) {
	st := well(t, 1, nil)
	st.controllers, st.self = []string{"c1", "c2"}, "c1"
	st.number++
	st.view.FoldObservations(health.Observations{Observer: "c2", Number: st.number, Lacks: "write `programs: [/x]`"}, st.now)
	_, _, d := st.next()
	if !has(d.Problems, health.ProgramNotAllowed) || d.Problems[0].Controller != "c2" ||
		d.Problems[0].Evidence != "write `programs: [/x]`" {
		t.Errorf("%+v", d.Problems)
	}
	st.later(2 * time.Second)
	if st.problem(health.ProgramNotAllowed) {
		t.Error("of an old word")
	}
}

func TestStuckPrimary(t *testing.T) {
	stuck := platform.Stuck(lease).Milliseconds() + 1
	for _, c := range []struct {
		name        string
		change      func(*stage, *health.Member)
		begins      Code
		problem     health.Kind
		observation *health.Observation // of another controller
	}{
		{name: "new connections hang", change: func(_ *stage, m *health.Member) { m.Stale = stuck }, begins: connectionsHang},
		{name: "not for long enough", change: func(_ *stage, m *health.Member) { m.Stale, m.WriteStale = stuck-1, stuck-1 }},
		{name: "commits hang", change: func(_ *stage, m *health.Member) { m.WriteStale = stuck }, begins: commitsHang},
		{name: "commits fail", change: func(_ *stage, m *health.Member) {
			m.WriteStale, m.WriteError = stuck, "No space left on device"
		}, begins: commitsHang},
		{name: "commits fail, and nobody could take over", change: func(st *stage, m *health.Member) {
			m.WriteStale, st.members["m2"], st.members["m3"] = stuck, nil, nil
		}, problem: health.PrimaryStuck},
		{name: "commits hang, and nothing comes from it any more: sooner", change: func(st *stage, m *health.Member) {
			m.WriteStale = platform.Suspect(lease).Milliseconds() + 1
			st.members["m2"].Receiver.AgeMS, st.members["m3"].Receiver.AgeMS = 1100, 1100
		}, begins: commitsHang},
		{name: "commits hang, and no replica is connected", change: func(st *stage, m *health.Member) {
			m.WriteStale, st.members["m2"].Receiver, st.members["m3"].Receiver = stuck, nil, nil
		}, problem: health.PrimaryStuck},
		{name: "connections hang, and nobody could take over: a restart may help", change: func(st *stage, m *health.Member) {
			m.Stale, st.members["m2"], st.members["m3"] = stuck*excuse, nil, nil
		}, begins: connectionsHang},
		{name: "... but not as soon as where one could", change: func(st *stage, m *health.Member) {
			m.Stale, st.members["m2"], st.members["m3"] = stuck, nil, nil
		}, problem: health.PrimaryStuck},
		{name: "connections hang, but a controller got one since", observation: &health.Observation{HeardMS: 100, ProbedMS: 400},
			change: func(_ *stage, m *health.Member) {
				m.Stale = stuck
			}, problem: health.PrimaryStuck},
		{name: "a controller got one before", observation: &health.Observation{HeardMS: 100, ProbedMS: 600},
			change: func(_ *stage, m *health.Member) {
				m.Stale = stuck
			}, begins: connectionsHang},
		{name: "every slot is taken", change: func(_ *stage, m *health.Member) { m.Stale, m.Saturated = stuck, true },
			problem: health.PrimarySaturated},
		{name: "every slot is taken, after a small commit hung: by sessions that hang", change: func(_ *stage, m *health.Member) {
			m.WriteStale, m.Saturated = stuck, true
		}, begins: commitsHang},
		{name: "its agent got no answer, so it cannot say that it is open", change: func(_ *stage, m *health.Member) {
			m.Stale, m.Opened, m.Role = stuck, false, health.RoleUnknown
		}, begins: connectionsHang},
	} {
		st := well(t, 1, nil)
		c.change(st, st.members["m1"])
		st.later(2 * time.Second)
		st.observationsOf(c.observation, nil)
		cmd, why, d := st.next()
		switch begins := c.begins != none; {
		case begins && (cmd == nil || cmd.Begin == nil || !cmd.Begin.StopOld || !why.has(c.begins)):
			t.Errorf("%s: %s", c.name, body(cmd))
		case !begins && cmd != nil && cmd.Begin != nil:
			t.Errorf("%s: %s", c.name, body(cmd))
		case c.problem != "" && !has(d.Problems, c.problem):
			t.Errorf("%s: problems %+v", c.name, d.Problems)
		}
	}
}

// After an automatic failover the next one that rests on inference waits: until an operator has seen it, or for a while.
// What an agent saw itself does not wait.
func TestRecoveryBlocksTheNext(t *testing.T) {
	failedOver := func() *stage {
		st := begun(t, 1, nil)
		st.seal("m2", "m3")
		st.commits()
		if st.c().Primary != "m2" {
			t.Fatalf("primary %s", st.c().Primary)
		}
		m2, m3 := st.members["m2"], st.members["m3"]
		*m2 = health.Member{Name: "m2", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RolePrimary,
			SystemID: "7", Epoch: ep(2), Timeline: 2,
			Position: 1100, PositionKnown: true, Opened: true, Incarnation: "m2_2", Guard: health.Guard{Complete: true, Armed: ep(2)}}
		m3.Sealed, m3.Epoch, m3.Timeline = platform.Epoch{}, ep(2), 2
		st.later(100 * time.Millisecond)
		st.commits()
		if st.c().Recovered == "" {
			t.Fatal("the failover leaves no block behind")
		}
		return st
	}
	vanished := func(st *stage) {
		st.members["m2"], st.members["m3"].Receiver = nil, nil
		st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning,
			Role: health.RoleStandby, SystemID: "7", Epoch: ep(2), Timeline: 2, Incarnation: "m1_4", PositionKnown: true, Position: 1100}
		st.later(2 * time.Second)
	}
	st := failedOver()
	vanished(st)
	if cmd, why, d := st.next(); cmd != nil && cmd.Begin != nil || !has(d.Problems, health.RecoveryBlocked) || !why.has(recoveryBlock) {
		t.Errorf("unblocked: %s, %s", body(cmd), why)
	}
	st.apply(onFeed(state.Command{Ack: &state.Ack{}}))
	if b := st.commits().Begin; b == nil {
		t.Error("an acknowledged failover blocks on")
	}
	st = failedOver()
	vanished(st)
	began := st.now
	for cmd, _, _ := st.next(); cmd == nil || cmd.Begin == nil; cmd, _, _ = st.next() {
		if cmd != nil {
			st.apply(*cmd)
		}
		if st.later(time.Second); st.now-began > 2*platform.RecoveryBlock {
			t.Fatal("the block never ends")
		}
	}
	st = failedOver()
	*st.members["m2"] = health.Member{Name: "m2", Data: health.DataPresent, Process: health.ProcessEnded, SystemID: "7",
		Epoch: ep(2), Closed: ep(2), Timeline: 2}
	st.later(0)
	if b := st.commits().Begin; b == nil || !b.StopOld {
		t.Error("a crash its agent saw must not wait")
	}
}

// While the primary hangs nobody's data is discarded for a copy of its data.
func TestNoRebuildFromAStuckPrimary(t *testing.T) { // S9
	for name, change := range map[string]func(*health.Member){
		"sound":           func(*health.Member) {},
		"hangs":           func(m *health.Member) { m.Stale = 600 },
		"cannot write":    func(m *health.Member) { m.WriteStale = 800 },
		"was not seen":    func(m *health.Member) { m.Role = health.RoleUnknown },
		"is not open yet": func(m *health.Member) { m.Opened = false },
	} {
		st := well(t, 1, nil)
		st.members["m3"].Needs, st.members["m3"].Receiver = "rebuild", nil
		change(st.members["m1"])
		st.later(0)
		cmd, _, _ := st.next()
		if got := cmd != nil && cmd.Reincarnate != nil; got != (name == "sound") {
			t.Errorf("%s: %s", name, body(cmd))
		}
	}
}

// TestPrimaryThatDoesNotStart is a critical problem from the first start that fails, and none while it is merely on its way.
func TestPrimaryThatDoesNotStart(t *testing.T) {
	for _, c := range []struct {
		name    string
		process health.Process
		fault   string
		opened  bool
		want    bool
	}{
		{"a start failed", health.ProcessEnded, "port 5432 is taken by another program", false, true},
		{"it is being started", health.ProcessEnded, "", false, false},
		{"it runs, and is opened", health.ProcessRunning, "port 5432 was taken", false, false},
		{"it is open", health.ProcessRunning, "a reload failed", true, false},
	} {
		st := well(t, 1, nil)
		st.c().Opened = c.opened
		st.members["m1"].Process, st.members["m1"].Error, st.members["m1"].Opened = c.process, c.fault, c.opened
		st.later(time.Second)
		st.next()
		text := st.evidence(health.PrimaryCrashed)
		if has := text != ""; has != c.want || c.want && !strings.Contains(text, "does not start: "+c.fault) {
			t.Errorf("%s: %q", c.name, text)
		}
	}
}
