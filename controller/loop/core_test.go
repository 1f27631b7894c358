package loop

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
)

const lease = 5 * time.Second

func ep(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

func apply(t *testing.T, s *state.State, cmds ...state.Command) *state.State {
	t.Helper()
	for _, c := range cmds {
		if c.Init == nil && c.Platform == nil {
			c.Cluster = "feed"
		}
		next, err := state.Apply(s, s.Index+1, c)
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	return s
}

// bootstrapped is a cluster feed of m1 (primary, epoch 1.1) and m2, m3 on hosts h1 to h3.
func bootstrapped(t *testing.T) *state.State {
	p := &platform.Platform{Name: "p", Sites: []platform.Site{{Name: "east"}}}
	cl := platform.Cluster{Name: "feed", Lease: lease, Durability: platform.Durability{Acks: 1},
		Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"}}
	for _, n := range []string{"1", "2", "3"} {
		p.Hosts = append(p.Hosts, platform.Host{Name: "h" + n, Site: "east"})
		cl.Members = append(cl.Members, platform.Member{Name: "m" + n, Host: "h" + n, Port: 5432, MayLead: true})
	}
	p.Clusters = []platform.Cluster{cl}
	return apply(t, state.New(), state.Command{Init: &state.Init{PlatformID: "id"}}, state.Command{Platform: &state.SetPlatform{Platform: p}},
		state.Command{Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}},
		state.Command{Opened: &state.Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}},
		state.Command{AgentRun: &state.AgentRun{Host: "h1", Run: "r1"}}, state.Command{AgentRun: &state.AgentRun{Host: "h2", Run: "r"}},
		state.Command{AgentRun: &state.AgentRun{Host: "h3", Run: "r"}})
}

// primary is what m1's agent reports while all is well.
func primary() health.Member {
	return health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RolePrimary, SystemID: "7",
		Epoch: ep(1), Timeline: 1,
		Opened: true, Position: 100, Incarnation: "m1_1", Guard: health.Guard{Complete: true, Armed: ep(1)}}
}

func reportOf(run string, number uint64, m health.Member) *health.Report {
	return &health.Report{Host: "h1", RunID: run, Number: number, Members: []health.Member{m}}
}

// TestGivenUp: once agents report a later generation of its platform, a leader grants and decides nothing any more (S3).
func TestGivenUp(t *testing.T) {
	for generation, ends := range map[uint64]bool{0: false, 1: false, 2: true} {
		c := NewCore("c1", time.Minute)
		c.Applied(bootstrapped(t))
		r := reportOf("r", 1, health.Member{Name: "m2"})
		r.Host, r.Platform, r.Generation = "h2", "id", generation
		c.Report(1, r, time.Minute) // as a follower: it does not know yet who is right
		if out := c.Decide(time.Minute, time.Unix(0, 0)); out.Fatal != nil {
			t.Errorf("generation %d: a follower exits: %v", generation, out.Fatal)
		}
		barrier := c.Lead(time.Minute).Barrier
		c.Report(2, reportOf("r1", 1, primary()), time.Minute)
		next := c.BarrierDone(barrier, nil, time.Minute)
		out := c.BarrierDone(next.Barrier, nil, time.Minute)
		granted := len(out.Replies) == 1 && out.Replies[0].Answer != nil && len(out.Replies[0].Answer.Grants) == 1
		if granted == ends {
			t.Errorf("generation %d: granted %v: %+v", generation, granted, out.Replies)
		}
		if out := c.Decide(time.Minute, time.Unix(0, 0)); errors.Is(out.Fatal, ErrGivenUp) != ends {
			t.Errorf("generation %d: %v", generation, out.Fatal)
		}
	}
}

// TestTwoRecoveries: an agent that obeys another group of the same generation is not taken in, and people are told. Its silence would
// prove what it does not: it may hold a lease of that group (S1).
func TestTwoRecoveries(t *testing.T) {
	recovered := state.Recovered(bootstrapped(t), []string{"c2", "c3"}, 0, "mine", "root", "fire", "now")
	for mark, ours := range map[string]bool{"mine": true, "other": false} {
		c, now := NewCore("c1", time.Minute), time.Minute
		c.Applied(recovered)
		c.BarrierDone(c.Lead(now).Barrier, nil, now)
		r := reportOf("r1", 1, primary())
		r.Platform, r.Generation, r.Mark = "id", 2, mark
		out := told(c, 1, r, now)
		turned := len(out.Replies) == 1 && out.Replies[0].Answer != nil && strings.Contains(out.Replies[0].Answer.Alarm, "recover it once more")
		if turned == ours || (c.view.Report("h1") != nil) != ours {
			t.Errorf("mark %s: %+v, taken in %v", mark, out, c.view.Report("h1") != nil)
		}
		problem := false
		for _, p := range c.survey(c.input(now, time.Unix(0, 0))).Problems {
			problem = problem || p.Kind == health.TwoRecoveries && strings.Contains(p.Evidence, "on h1")
		}
		if problem == ours {
			t.Errorf("mark %s: told %v", mark, problem)
		}
	}
}

// told is what comes of a report that is no error.
func told(c *Core, id uint64, r *health.Report, now time.Duration) Out {
	out, err := c.Report(id, r, now)
	if err != nil {
		panic(err)
	}
	return out
}

// leader is a core that leads and is ready.
func leader(t *testing.T, now time.Duration) *Core {
	t.Helper()
	c := NewCore("c1", now)
	c.Applied(bootstrapped(t))
	out := c.Lead(now)
	if out.Barrier == 0 {
		t.Fatal("a term begins with a barrier")
	}
	c.BarrierDone(out.Barrier, nil, now)
	return c
}

// answered reports, commits a barrier and returns the answer.
func answered(t *testing.T, c *Core, r *health.Report, now time.Duration) *wire.ReportAnswer {
	t.Helper()
	out := told(c, 1, r, now)
	if out.Barrier == 0 || len(out.Replies) != 0 {
		t.Fatalf("a report to an idle leader: %+v", out)
	}
	out = c.BarrierDone(out.Barrier, nil, now)
	if len(out.Replies) != 1 || out.Replies[0].Err != nil {
		t.Fatalf("after its barrier: %+v", out)
	}
	return out.Replies[0].Answer
}

func TestGrant(t *testing.T) {
	a := answered(t, leader(t, time.Minute), reportOf("r1", 9, primary()), time.Minute)
	if len(a.Grants) != 1 || a.Grants[0] != (wire.Grant{Member: "m1", Epoch: ep(1), Length: lease}) {
		t.Errorf("grants %+v", a.Grants)
	}
	if a.RunID != "r1" || a.Number != 9 || a.PlatformID != "id" || a.Generation != 1 || a.Leader != "c1" ||
		a.Heartbeat != 500*time.Millisecond || a.Goals["m1"].Kind != platform.GoalPrimary {
		t.Errorf("answer %+v", a)
	}
}

// TestGrantBeforeTakenUp: the lease comes in the answer that brings the goal; the agent acts on it only once the epoch is on
// its disk (member.Next), so nothing is gained by holding it back for a round trip.
func TestGrantBeforeTakenUp(t *testing.T) {
	m := primary()
	m.Epoch = platform.Epoch{}
	if a := answered(t, leader(t, time.Minute), reportOf("r1", 1, m), time.Minute); len(a.Grants) != 1 {
		t.Errorf("grants %+v", a.Grants)
	}
}

func TestNoGrant(t *testing.T) {
	begin := state.Command{Begin: &state.Begin{Kind: state.Failover}}
	for _, c := range []struct {
		name   string
		member func(*health.Member)
		state  func(*state.State) *state.State
	}{
		{name: "S3: another epoch", member: func(m *health.Member) { m.Epoch = ep(2) }},
		{name: "stopped: closed for good", member: func(m *health.Member) { m.Closed = ep(1) }},
		{name: "L2: no complete guard", member: func(m *health.Member) { m.Guard.Complete = false }},
		{name: "L3: the epoch is being fenced", state: func(s *state.State) *state.State { return apply(t, s, begin) }},
		{name: "another member", member: func(m *health.Member) { m.Name = "m2" }},
	} {
		core := leader(t, time.Minute)
		m := primary()
		if c.member != nil {
			c.member(&m)
		}
		if c.state != nil {
			core.Applied(c.state(core.state))
		}
		if a := answered(t, core, reportOf("r1", 1, m), time.Minute); len(a.Grants) != 0 {
			t.Errorf("%s: granted %+v", c.name, a.Grants)
		}
	}
}

// A grant needs an entry committed after its report arrived: a barrier already in flight serves no later report.
func TestReportWaitsForALaterBarrier(t *testing.T) { // L1
	c := leader(t, time.Minute)
	first := told(c, 1, reportOf("r1", 1, primary()), time.Minute)
	if out := told(c, 2, reportOf("r1", 2, primary()), time.Minute); out.Barrier != 0 || len(out.Replies) != 0 {
		t.Fatalf("a report during a barrier: %+v", out)
	}
	second := c.BarrierDone(first.Barrier, nil, time.Minute)
	if len(second.Replies) != 1 || second.Replies[0].ID != 1 || second.Barrier == 0 {
		t.Fatalf("the barrier served %+v", second)
	}
	if out := c.BarrierDone(second.Barrier, nil, time.Minute); len(out.Replies) != 1 || out.Replies[0].ID != 2 {
		t.Errorf("the next served %+v", out)
	}
}

// The result of a barrier of an earlier term comes late, into a new term of the same controller: it serves no report.
func TestBarrierOfAnEarlierTerm(t *testing.T) { // L1
	c := leader(t, time.Minute)
	old := told(c, 1, reportOf("r1", 1, primary()), time.Minute)
	if out := c.Follow(); len(out.Replies) != 1 || !errors.Is(out.Replies[0].Err, ErrNotLeader) {
		t.Fatalf("who waited is told: %+v", out)
	}
	first := c.Lead(2 * time.Minute)
	c.Report(2, reportOf("r1", 2, primary()), 2*time.Minute)
	if out := c.BarrierDone(old.Barrier, nil, 2*time.Minute); len(out.Replies) != 0 || out.Barrier != 0 {
		t.Fatalf("an old term's barrier: %+v", out)
	}
	if out := c.Decide(2*time.Minute, time.Unix(0, 0)); len(out.Proposals) != 0 {
		t.Errorf("decided before a barrier of the term was committed: %+v", out)
	}
	if out := c.BarrierDone(first.Barrier, nil, 2*time.Minute); out.Barrier == 0 || len(out.Replies) != 0 {
		t.Errorf("the report came after the first barrier was proposed: %+v", out)
	}
}

func TestFailedBarrierGrantsNothing(t *testing.T) { // L1
	c := leader(t, time.Minute)
	out := told(c, 1, reportOf("r1", 1, primary()), time.Minute)
	lost := errors.New("leadership lost")
	if out = c.BarrierDone(out.Barrier, lost, time.Minute); len(out.Replies) != 1 || out.Replies[0].Answer != nil ||
		!errors.Is(out.Replies[0].Err, lost) {
		t.Errorf("%+v", out)
	}
}

func TestFollowerAnswersNothing(t *testing.T) {
	c := NewCore("c2", time.Minute)
	c.Applied(bootstrapped(t))
	if out, err := c.Report(1, reportOf("r1", 1, primary()), time.Minute); len(out.Replies) != 0 || !errors.Is(err, ErrNotLeader) ||
		out.Barrier != 0 {
		t.Errorf("%+v", out)
	}
	if c.view.Report("h1") == nil {
		t.Error("a follower's view must be warm for the day it leads")
	}
	if _, err := c.Submit(1, state.Command{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("submit: %v", err)
	}
	if out := c.Decide(time.Hour, time.Unix(0, 0)); out.Fatal != nil || len(out.Proposals) != 0 {
		t.Errorf("decide: %+v", out)
	}
}

func crashed() health.Member {
	m := primary()
	m.Process, m.Role, m.Closed, m.Opened = health.ProcessEnded, health.RoleUnknown, ep(1), false
	return m
}

func TestNoGrantOnceAFenceIsProposed(t *testing.T) { // L3
	c := leader(t, time.Minute)
	c.Report(1, reportOf("r1", 1, crashed()), time.Minute)
	out := c.Decide(time.Minute, time.Unix(0, 0))
	if len(out.Proposals) != 1 || out.Proposals[0].Command.Begin == nil || !out.Proposals[0].Decided {
		t.Fatalf("want the failover to begin, got %+v", out.Proposals)
	}
	if again := c.Decide(time.Minute, time.Unix(0, 0)); len(again.Proposals) != 0 {
		t.Errorf("decided again while one is in flight: %+v", again.Proposals)
	}
	// An older report, delayed until now, says that all is well; the state knows of no attempt yet.
	served := c.BarrierDone(c.barrier, nil, time.Minute)
	late := told(c, 2, reportOf("r1", 2, primary()), time.Minute)
	for _, r := range append(served.Replies, c.BarrierDone(late.Barrier, nil, time.Minute).Replies...) {
		if r.Answer != nil && len(r.Answer.Grants) != 0 {
			t.Errorf("granted %+v after the fence was proposed", r.Answer.Grants)
		}
	}
	c.Done(out.Proposals[0], true)
	if a := answered(t, c, reportOf("r1", 3, primary()), time.Minute); len(a.Grants) != 1 {
		t.Error("a refused fence leaves the epoch as it was")
	}
}

func TestSwitchoverKeepsTheLease(t *testing.T) {
	c := leader(t, time.Minute)
	cmd := state.Command{Cluster: "feed", Begin: &state.Begin{Kind: state.Switchover}}
	if out, err := c.Submit(7, cmd); err != nil || len(out.Proposals) != 1 || out.Proposals[0].ID != 7 || out.Proposals[0].Decided {
		t.Fatalf("%+v %v", out, err)
	}
	c.Applied(apply(t, c.state, cmd))
	if a := answered(t, c, reportOf("r1", 1, primary()), time.Minute); len(a.Grants) != 1 || a.Goals["m1"].Checkpoint != ep(2) {
		t.Errorf("before the stop nothing is taken: %+v", a)
	}
}

func TestOneRunSpeaksAndHoldsTheLease(t *testing.T) { // L8
	c := leader(t, time.Minute)
	answered(t, c, reportOf("r1", 1, primary()), time.Minute)
	hold := platform.CountOut(lease)
	out := told(c, 9, reportOf("r2", 1, primary()), time.Minute+hold)
	if len(out.Replies) != 1 || out.Barrier != 0 {
		t.Fatalf("a second run beside the first: %+v", out)
	}
	if a := out.Replies[0].Answer; a == nil || len(a.Grants)+len(a.Goals) != 0 ||
		!strings.Contains(a.Alarm, "another agent speaks for host h1") || a.RunID != "r2" {
		t.Errorf("it is answered %+v", a)
	}
	d := c.Decide(time.Minute+hold, time.Unix(0, 0))
	if len(d.Proposals) != 0 && d.Proposals[0].Command.AgentRun != nil {
		t.Errorf("bound to the copy: %+v", d.Proposals)
	}
	for _, older := range []bool{false, true} {
		c := leader(t, time.Minute)
		answered(t, c, reportOf("r1", 1, primary()), time.Minute)
		now := time.Minute + hold + 1
		r := reportOf("r2", 2, primary())
		r.Platform, r.Runs = "id", []string{"r0", "r1", "r2"}
		if older {
			r.Runs = []string{"r0", "r2"}
		}
		out := told(c, 1, r, now)
		if out = c.BarrierDone(out.Barrier, nil, now); len(out.Replies) != 0 {
			t.Fatalf("older %v: it has an answer before the log knows whether its disk is the former run's: %+v", older, out)
		}
		var registered state.Command
		decided := c.Decide(now, time.Unix(0, 0))
		for _, p := range decided.Proposals {
			if p.Command.AgentRun != nil {
				registered = p.Command
			}
		}
		if b := registered.AgentRun; b == nil || *b != (state.AgentRun{Host: "h1", Run: "r2", Older: older}) {
			t.Fatalf("older %v: after the first has been silent for longer than any lease, the log learns %+v", older, b)
		}
		c.Applied(apply(t, c.state, registered))
		out = c.BarrierDone(decided.Barrier, nil, now)
		if len(out.Replies) != 1 || out.Replies[0].Answer == nil {
			t.Fatalf("older %v: bound, it has no answer: %+v", older, out)
		}
		kind, grants := platform.GoalPrimary, 1
		if older {
			kind, grants = platform.GoalStopped, 0
		}
		if a := out.Replies[0].Answer; a.Goals["m1"].Kind != kind || len(a.Grants) != grants || a.Alarm != "" {
			t.Errorf("older %v: %+v", older, a)
		}
	}
}

func TestGrantIsRecordedBeforeItIsAnswered(t *testing.T) { // L3
	c := leader(t, time.Minute)
	answered(t, c, reportOf("r1", 1, primary()), 2*time.Minute)
	if end, want := c.leases.End("feed", "m1", ep(1), lease), 2*time.Minute+platform.CountOut(lease); end != want {
		t.Errorf("recorded until %s, want %s", end, want)
	}
}

func TestNewLeaderCountsFromItsStart(t *testing.T) { // L4
	c := leader(t, time.Hour)
	if end, want := c.leases.End("feed", "m1", ep(1), lease), time.Hour+platform.CountOut(lease); end != want {
		t.Errorf("a lease of another leader ends at %s, want %s", end, want)
	}
	c.Follow()
	c.Lead(2 * time.Hour)
	if end, want := c.leases.End("feed", "m1", ep(1), lease), 2*time.Hour+platform.CountOut(lease); end != want {
		t.Errorf("in the next term %s, want %s", end, want)
	}
}

func TestStalledBarrierIsFatal(t *testing.T) { // L6
	c := leader(t, time.Minute)
	c.Report(1, reportOf("r1", 1, primary()), time.Minute)
	c.Stalled(lease)
	if out := c.Decide(time.Minute+lease/5, time.Unix(0, 0)); out.Fatal != nil {
		t.Errorf("at the limit: %v", out.Fatal)
	}
	if out := c.Decide(time.Minute+lease/5+1, time.Unix(0, 0)); !errors.Is(out.Fatal, ErrDiskStalled) || len(out.Proposals) != 0 {
		t.Errorf("past it: %+v", out)
	}
	c.Follow()
	if out := c.Decide(time.Hour, time.Unix(0, 0)); out.Fatal != nil {
		t.Errorf("a follower has no barrier to wait for: %v", out.Fatal)
	}
}

// A leader whose own disk writes waits for half a lease: others are slow.
func TestSlowCommitOfAHealthyDisk(t *testing.T) { // L6
	c := leader(t, time.Minute)
	c.Report(1, reportOf("r1", 1, primary()), time.Minute)
	if out := c.Decide(time.Minute+lease/2, time.Unix(0, 0)); out.Fatal != nil {
		t.Errorf("at half a lease: %v", out.Fatal)
	}
	if out := c.Decide(time.Minute+lease/2+1, time.Unix(0, 0)); !errors.Is(out.Fatal, ErrDiskStalled) {
		t.Errorf("past it: %+v", out)
	}
}

// A loop that did not run for a while cannot blame the disk for that while; the rest it counts.
func TestStarvedLoopDoesNotBlameTheDisk(t *testing.T) { // L6
	c, now := leader(t, time.Minute), time.Minute
	c.Stalled(time.Hour)
	c.Report(1, reportOf("r1", 1, primary()), now)
	c.Decide(now, time.Unix(0, 0))
	if out := c.Decide(now+time.Hour, time.Unix(0, 0)); out.Fatal != nil {
		t.Fatal(out.Fatal)
	}
	for at := now + time.Hour; ; at += decideEvery {
		if out := c.Decide(at, time.Unix(0, 0)); out.Fatal != nil {
			if waited := at - now - time.Hour; waited < lease/5-2*decideEvery || waited > lease/5+2*decideEvery {
				t.Errorf("after %s of running", waited)
			}
			return
		}
	}
}

// What the loop lost is taken out of the barrier's time, and never more than that barrier has waited.
func TestBarriersTimeWithoutWhatTheLoopLost(t *testing.T) { // L6
	const lost, now = time.Second, time.Hour
	for _, c := range []struct{ waited, want time.Duration }{{10 * lost, 9 * lost}, {lost / 2, 0}} {
		l := leader(t, time.Minute)
		l.decided, l.barrierSince = now-decideEvery-lost, now-c.waited
		l.distrustSelf(now)
		if got := now - l.barrierSince; got != c.want {
			t.Errorf("it waited %s: %s", c.waited, got)
		}
	}
}

// Who takes a host over waits for the longest lease of all members there.
func TestSilenceOfAHostWithSeveralMembers(t *testing.T) { // L8
	c := leader(t, time.Minute)
	conf := *c.state.Platform
	for _, more := range []struct {
		name  string
		lease time.Duration
	}{{"slow", 20 * time.Second}, {"quick", time.Second}} {
		conf.Clusters = append(conf.Clusters, platform.Cluster{Name: more.name, Lease: more.lease, Durability: conf.Clusters[0].Durability,
			Failover: conf.Clusters[0].Failover,
			Members:  []platform.Member{{Name: more.name + "1", Host: "h1", Port: 5433, MayLead: true}}})
	}
	c.Applied(apply(t, c.state, state.Command{Platform: &state.SetPlatform{Platform: &conf}}))
	for host, want := range map[string]time.Duration{"h1": 20 * time.Second, "h2": lease, "h9": platform.DefaultLease} {
		if got := c.silenceBefore(host); got != platform.CountOut(want) {
			t.Errorf("%s: %s, want the count-out of %s", host, got, want)
		}
	}
}

// An agent that has only app servers reports at the heartbeat of the cluster with the shortest lease among those they live with: their
// permits, five of its heartbeats, come with the answers.
func TestAppServersAgentKeepsTheHeartbeat(t *testing.T) {
	c := leader(t, time.Minute)
	conf := *c.state.Platform
	conf.Hosts = append(conf.Hosts, platform.Host{Name: "a1", Site: "east"})
	conf.Clusters = append(conf.Clusters, platform.Cluster{Name: "quick", Lease: time.Second, Durability: conf.Clusters[0].Durability,
		Failover: conf.Clusters[0].Failover,
		Members:  []platform.Member{{Name: "q1", Host: "h2", Port: 5433, MayLead: true}}})
	for _, needs := range []string{"feed", "quick"} {
		conf.Apps = append(conf.Apps, platform.App{Name: "web-" + needs, Needs: []string{needs}, Run: platform.RunWithPrimary, Minimum: 1,
			Instances: []platform.Instance{{Name: "i-" + needs, Site: "east", Host: "a1"}}})
	}
	s := apply(t, c.state, state.Command{Platform: &state.SetPlatform{Platform: &conf}})
	s, err := state.Apply(s, s.Index+1, state.Command{Cluster: "quick", Bootstrap: &state.BootstrapCluster{Member: "q1", Guarded: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, app := range s.Apps {
		app.Site = "east"
	}
	c.Applied(s)
	a := &wire.ReportAnswer{}
	if got := c.permits(&health.Report{Host: "a1", RunID: "r"}, c.goalsOf("a1"), time.Minute, a); got != platform.Heartbeat(time.Second) {
		t.Errorf("heartbeat %s, instances %+v", got, a.Instances)
	}
}

func TestFirstBarrierIsTriedAgain(t *testing.T) {
	c := NewCore("c1", time.Minute)
	c.Applied(bootstrapped(t))
	out := c.Lead(time.Minute)
	c.BarrierDone(out.Barrier, errors.New("busy"), time.Minute)
	out = c.Decide(time.Minute, time.Unix(0, 0))
	if out.Barrier == 0 {
		t.Fatal("a term whose first barrier failed must not hang")
	}
	c.BarrierDone(out.Barrier, nil, time.Minute)
	if !c.ready {
		t.Error("not ready after a committed barrier")
	}
}

func TestResultOfAnEarlierTermIsDropped(t *testing.T) {
	c := leader(t, time.Minute)
	c.Report(1, reportOf("r1", 1, crashed()), time.Minute)
	old := c.Decide(time.Minute, time.Unix(0, 0)).Proposals[0]
	c.Follow()
	first := c.Lead(2 * time.Minute)
	c.Report(2, reportOf("r1", 2, crashed()), 2*time.Minute)
	c.BarrierDone(first.Barrier, nil, 2*time.Minute)
	if out := c.Decide(2*time.Minute, time.Unix(0, 0)); len(out.Proposals) != 1 {
		t.Fatalf("%+v", out)
	}
	c.Done(old, true)
	if !c.busy["feed"] || c.fenced["feed"] != ep(1) {
		t.Error("the result of an earlier term undid what this one has in flight")
	}
}

func TestPredictionIsKeptBesideTheFailover(t *testing.T) {
	c := leader(t, time.Minute)
	m := primary()
	m.Senders = []health.Sender{{Name: "m2_2", State: "streaming", Flush: 100, Sync: true},
		{Name: "m3_3", State: "streaming", Flush: 100, Sync: true}}
	now := time.Minute
	for n := uint64(1); n <= 6; n++ {
		now += 100 * time.Millisecond
		c.Report(n, reportOf("r1", n, m), now)
		for _, h := range []string{"2", "3"} {
			c.view.Fold(&health.Report{Host: "h" + h, RunID: "r", Number: n,
				Members: []health.Member{{Name: "m" + h, Data: health.DataPresent, Process: health.ProcessRunning,
					Role: health.RoleStandby, SystemID: "7", Timeline: 1, Position: 100, PositionKnown: true, Incarnation: "m" + h + "_" + h,
					Receiver: &health.Receiver{Streaming: true}}}}, "", 0, now)
		}
		c.BarrierDone(c.barrier, nil, now)
		for _, p := range c.Decide(now, time.Unix(0, 0)).Proposals {
			c.Applied(apply(t, c.state, p.Command))
			c.Done(p, false)
		}
	}
	c.Report(9, reportOf("r1", 9, crashed()), now)
	out := c.Decide(now, time.Unix(0, 0))
	if len(out.Proposals) != 1 || out.Proposals[0].Command.Begin == nil {
		t.Fatalf("%+v", out.Proposals)
	}
	if p := out.Proposals[0].Command.Begin.Prediction; p == nil || p.Promote != "m2" || p.Proof != fencing.Stopped {
		t.Errorf("prediction %+v", p)
	}
}

func TestWakeVersion(t *testing.T) {
	s := bootstrapped(t)
	before := WakeVersion(s, "h1")
	if again := apply(t, s, state.Command{Barrier: &state.Barrier{}}); WakeVersion(again, "h1") != before {
		t.Error("a barrier wakes every agent")
	}
	next := apply(t, s, state.Command{Begin: &state.Begin{Kind: state.Failover}})
	if WakeVersion(next, "h1") == before || WakeVersion(next, "h9") != WakeVersion(s, "h9") {
		t.Error("a change wakes the hosts it is about, and no others")
	}
}

// TestFailoverSlots: the agents hear which failover slots of the user's the primary has, but only while it is known to be one.
func TestFailoverSlots(t *testing.T) {
	for role, want := range map[health.Role]int{health.RolePrimary: 1, health.RoleStandby: 0} {
		c, now := NewCore("c1", time.Minute), time.Minute
		c.Applied(bootstrapped(t))
		barrier := c.Lead(now).Barrier
		m := primary()
		m.Role = role
		m.Slots = []health.Slot{{Name: "cdc", Logical: true, Failover: true, Synced: true},
			{Name: "lost", Logical: true, Failover: true, WALStatus: "lost"}, {Name: "sub", Logical: true},
			{Name: "anew", Logical: true, Failover: true}}
		c.Report(1, reportOf("r1", 1, m), now)
		c.BarrierDone(barrier, nil, now)
		r := reportOf("r", 1, health.Member{Name: "m2"})
		r.Host = "h2"
		c.Report(2, r, now)
		a := c.answer(r, news{}, now)
		if got := a.FailoverSlots["feed"]; len(got) != want || want == 1 && got[0] != "cdc" {
			t.Errorf("%s: %v", role, got)
		}
	}
}

// TestHeardOfThePrimary: the agents hear up to where the primary has archived its WAL, and which tablespaces it has.
func TestHeardOfThePrimary(t *testing.T) {
	for _, a := range []*health.Archiver{nil, {}, {Until: 9}} {
		c, now := NewCore("c1", time.Minute), time.Minute
		c.Applied(bootstrapped(t))
		barrier := c.Lead(now).Barrier
		m := primary()
		m.Archiver = a
		m.Tablespaces = []health.Tablespace{{OID: 16384, Location: "/fast"}}
		c.Report(1, reportOf("r1", 1, m), now)
		c.BarrierDone(barrier, nil, now)
		r := reportOf("r", 1, health.Member{Name: "m2", Archiver: &health.Archiver{Until: 7}, Tablespaces: []health.Tablespace{{OID: 9}}})
		r.Host = "h2"
		c.Report(2, r, now)
		var want map[string]platform.LSN
		if a != nil && a.Until > 0 {
			want = map[string]platform.LSN{"feed": a.Until}
		}
		got := c.answer(r, news{}, now)
		if !maps.Equal(got.Archived, want) {
			t.Errorf("%+v: %v", a, got.Archived)
		}
		if all := got.Tablespaces; len(all) != 1 || !slices.Equal(all["feed"], m.Tablespaces) {
			t.Errorf("tablespaces %v", all)
		}
	}
}
