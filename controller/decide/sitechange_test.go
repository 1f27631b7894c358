package decide

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// follow lets the members obey a planned change of primary, as their agents do.
func (p *pool) follow() {
	c := p.c()
	old := p.members[c.Primary]
	if tag := p.s.EarlyCheckpoint(c); !tag.IsZero() {
		old.Checkpointed = tag
	}
	if a := c.Attempt; a != nil && a.Phase == state.PhaseCheckpoint {
		old.Checkpointed = a.Number
	} else if a != nil && a.Phase == state.PhaseStop && old.Process == health.ProcessRunning {
		old.Process, old.Role, old.Closed, old.Clean, old.Shutdown, old.Opened, old.Senders = health.ProcessEnded, health.RoleUnknown,
			c.Epoch, true, old.Position, false, nil
		for n, m := range p.members {
			if n != c.Primary {
				m.Position, m.Replayed, m.Receiver = old.Position+100, old.Position+100, nil
			}
		}
	}
	if c.Attempt != nil || c.Opened {
		return
	}
	for n, m := range p.members {
		m.Process, m.Role, m.Epoch, m.Timeline, m.Incarnation = health.ProcessRunning, health.RoleStandby, c.Epoch, c.Timeline,
			c.Members[n].Incarnation
		m.Receiver, m.Clean, m.Shutdown, m.Sealed = &health.Receiver{Streaming: true}, false, 0, platform.Epoch{}
	}
	now := p.members[c.Primary]
	now.Role, now.Opened, now.Receiver, now.History = health.RolePrimary, true, nil,
		platform.History{{Timeline: c.Timeline - 1, End: now.Position}}
	now.Guard = health.Guard{Complete: true, Armed: c.Epoch}
	for n, m := range p.members {
		if n != c.Primary {
			now.Senders = append(now.Senders, health.Sender{Name: m.Incarnation, State: "streaming", Flush: now.Position, Sync: true})
		}
	}
}

// play goes on until the site switchover has ended or halted, and returns the steps that it took, in order.
func (p *pool) play(each func()) (steps []string) {
	p.t.Helper()
	for end := p.now + 10*time.Minute; p.now < end; {
		d := Next(p.input())
		for _, c := range d.Commands {
			if c.StepSite != nil {
				steps = append(steps, c.StepSite.Step+c.StepSite.Halt+string(c.StepSite.End))
			}
			p.apply(c)
		}
		p.follow()
		p.obey()
		if each != nil {
			each()
		}
		p.now += 100 * time.Millisecond
		p.tell()
		if p.s.Change == nil || p.s.Change.Halted != "" {
			return steps
		}
	}
	p.t.Fatalf("no end: %+v, %v", p.s.Change, Next(p.input()).Reasons)
	return nil
}

func (p *pool) begin(to string) {
	p.t.Helper()
	if bad := CheckSite(p.input(), to); len(bad) > 0 {
		p.t.Fatal(bad)
	}
	p.apply(state.Command{By: "alice", BeginSite: &state.BeginSite{To: to, Reason: "test"}})
}

// last is the record of the last site switchover.
func (p *pool) last() state.Operation { return p.s.Changes[len(p.s.Changes)-1] }

func TestSiteSwitchover(t *testing.T) {
	p := withPool(t, nil)
	p.begin("west")
	both, none := false, false
	steps := p.play(func() {
		east, west := strings.ContainsAny(p.running(), "12"), strings.ContainsAny(p.running(), "34")
		both = both || east && west
		none = none || !east && !west
		if p.c().Attempt != nil && (east || west) {
			t.Errorf("app servers %s run while the cluster changes its primary", p.running())
		}
	})
	if !slices.Equal(steps, []string{"quiesce", "clusters", "apps", "routing", "verify", "done"}) {
		t.Errorf("steps %v", steps)
	}
	if both || !none {
		t.Errorf("both sites active: %v; a moment without any: %v", both, none)
	}
	if p.c().Primary != "m2" || p.running() != "34" || p.last().Result != state.Done {
		t.Errorf("primary %s, running %s, %+v", p.c().Primary, p.running(), p.last())
	}
	if op := p.c().Operations[len(p.c().Operations)-1]; op.Kind != state.Switchover && op.Kind != state.Rejoin {
		t.Errorf("the cluster's last operation is %+v", op)
	}
}

func TestSiteSwitchoverIsCheckedFirst(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pool)
		why    Code
	}{
		{"a cluster is paused", func(p *pool) {
			p.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "bob", Reason: "disks"}}}))
		}, isPaused},
		{"nobody there can take over", func(p *pool) { p.members["m2"], p.members["m3"] = nil, nil }, noMemberOnSite},
		{"a base backup is awaited", func(p *pool) {
			p.s.Platform.Clusters[0].BaseBackups = platform.AwaitBackups
			p.members["m1"].Senders = append(p.members["m1"].Senders, health.Sender{Name: "pg_basebackup", State: senderBacksUp})
		}, backupAwaited},
		{"the agents of its app servers are silent", func(p *pool) { p.instances["web3"], p.instances["web4"] = nil, nil }, appAgentsSilent},
	} {
		p := withPool(t, nil)
		if bad := CheckSite(p.input(), "west"); len(bad) > 0 {
			t.Fatal(bad)
		}
		p.apply(state.Command{By: "alice", BeginSite: &state.BeginSite{To: "west"}}) // it was well when it was asked
		c.change(p)
		p.now += 2 * time.Second
		p.tell()
		if bad := CheckSite(p.input(), "west"); len(bad) != 1 || !bad[0].has(c.why) {
			t.Errorf("%s: %v", c.name, bad)
		}
		if steps := p.play(nil); !slices.Equal(steps, []string{"abandoned"}) || p.running() != "12" {
			t.Errorf("%s: %v, running %s", c.name, steps, p.running())
		}
	}
}

func TestSiteSwitchoverToWhereEverythingIs(t *testing.T) {
	p := withPool(t, nil)
	if bad := CheckSite(p.input(), "east"); len(bad) != 1 || bad[0].Code != thereAlready {
		t.Errorf("%v", bad)
	}
	p.apply(state.Command{By: "alice", BeginSite: &state.BeginSite{To: "east"}})
	if steps := p.play(nil); !slices.Equal(steps, []string{"abandoned"}) || p.running() != "12" {
		t.Errorf("%v, running %s", steps, p.running())
	}
}

// TestSiteSwitchoverThatCannotQuiesce lets the apps go on by itself: nobody waits for a word with both sites inactive.
func TestSiteSwitchoverThatCannotQuiesce(t *testing.T) {
	p := withPool(t, nil)
	p.begin("west")
	p.play(func() {
		if p.s.Change != nil && p.s.Change.Step == platform.StepQuiesce {
			p.instances["web1"].Running, p.instances["web1"].Stopped = true, false // it ignores the order
		}
	})
	if p.last().Result != state.Abandoned || p.running() != "12" || p.c().Primary != "m1" {
		t.Errorf("%+v, running %s, primary %s", p.last(), p.running(), p.c().Primary)
	}
}

// A pool that may take longer to drain is waited for that much longer.
func TestQuiesceWaitsForTheLongestDrain(t *testing.T) {
	p := withPool(t, func(conf *platform.Platform) { conf.Apps[0].Drain = time.Minute })
	p.begin("west")
	v := siteChangeView{Input: p.input(), ch: p.s.Change, decision: &Decision{}}
	if _, bound := v.quiet(); bound != quiesceBound+time.Minute {
		t.Errorf("bound %s", bound)
	}
}

// A site that has fewer instances of an app than its minimum serves when all of them are well.
func TestSiteSwitchoverToASmallerSite(t *testing.T) {
	p := withPool(t, func(conf *platform.Platform) { conf.Apps[0].Minimum = len(conf.Apps[0].Instances) })
	p.begin("west")
	p.play(nil)
	if p.last().Result != state.Done || p.c().Primary == "m1" {
		t.Errorf("%+v, primary %s", p.last(), p.c().Primary)
	}
}

// TestSiteSwitchoverWhoseFirstHookFails has begun nothing, so it stops nothing either.
func TestSiteSwitchoverWhoseFirstHookFails(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) {
		p.Hooks = []platform.Hook{{Step: platform.StepQuiesce, When: "before", Exec: []string{"/x"}, Timeout: time.Second, OnFailure: "stop"}}
	})
	p.begin("west")
	p.play(func() {
		p.answer(func(state.Effect) bool { return false })
		if p.running() != "12" {
			t.Errorf("running %q", p.running())
		}
	})
	if p.last().Result != state.Abandoned {
		t.Errorf("%+v", p.last())
	}
}

// TestSiteSwitchoverThatCannotQuiesceInAFailover takes no cluster back that it has not moved: the apps follow their primary,
// and nobody waits for a word.
func TestSiteSwitchoverThatCannotQuiesceInAFailover(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) {
		p.Hooks = []platform.Hook{{Step: platform.StepQuiesce, When: "before", Exec: []string{"/x"}, Timeout: time.Second, OnFailure: "stop"}}
	})
	p.begin("west")
	p.play(func() {
		switch ch := p.s.Change; {
		case ch == nil || ch.Step != platform.StepQuiesce:
		case p.c().Primary == "m1":
			word := &state.Acceptance{By: "bob", Fence: true, Completeness: true}
			p.apply(onFeed(state.Command{Begin: &state.Begin{Kind: state.Failover, Accepted: word}}))
			p.apply(onFeed(state.Command{Promote: &state.Promote{Attempt: p.c().Attempt.Number, Member: "m2", Timeline: 2, Guarded: true,
				Proof: fencing.Proof{Kind: fencing.Operator, Epoch: p.c().Epoch}}}))
		case p.c().Opened:
			p.answer(func(state.Effect) bool { return false })
		}
	})
	if p.s.Change != nil || p.last().Result != state.Abandoned || !strings.HasSuffix(p.last().Outcome, ": feed") ||
		p.c().Primary != "m2" || p.running() != "34" {
		t.Errorf("%+v, %+v, primary %s, running %s", p.s.Change, p.last(), p.c().Primary, p.running())
	}
}

// halted is a site switchover to west whose apps do not come up there.
func halted(t *testing.T) *pool { return haltedOn(t, nil) }

func haltedOn(t *testing.T, change func(*platform.Platform)) *pool {
	p := withPool(t, change)
	p.begin("west")
	p.play(func() {
		if p.s.Change != nil && p.s.Change.Step == platform.StepApps {
			p.works["web3"], p.works["web4"] = health.Down, health.Down
		}
	})
	if p.s.Change == nil || p.s.Change.Halted == "" || !p.problem(health.SiteChangeHalted) {
		t.Fatalf("%+v", p.s.Change)
	}
	return p
}

func (p *pool) word(w string) {
	p.t.Helper()
	p.apply(state.Command{By: "alice", StepSite: &state.StepSite{Change: p.s.Change.ID, Version: p.s.Change.Version, Decision: w}})
}

func TestSiteSwitchoverRetried(t *testing.T) {
	p := halted(t)
	p.word(state.DecisionRetry)
	if steps := p.play(nil); !slices.Equal(steps, []string{"routing", "verify", "done"}) {
		t.Errorf("steps %v", steps)
	}
}

func TestSiteSwitchoverContinued(t *testing.T) {
	p := halted(t)
	p.word(state.DecisionContinue)
	if steps := p.play(nil); !slices.Equal(steps, []string{"verify", "done"}) {
		t.Errorf("steps %v", steps)
	}
}

func TestSiteSwitchoverUndone(t *testing.T) {
	p := halted(t)
	p.word(state.DecisionUndo)
	p.play(func() {
		if p.c().Attempt != nil && p.running() != "" {
			t.Errorf("app servers %s run while the cluster changes its primary", p.running())
		}
	})
	if p.last().Result != state.Abandoned || p.c().Primary != "m1" || p.running() != "12" {
		t.Errorf("%+v, primary %s, running %s", p.last(), p.c().Primary, p.running())
	}
}

// TestSiteSwitchoverUndoneToAnother: where the former primary cannot take over, another member of its site does.
func TestSiteSwitchoverUndoneToAnother(t *testing.T) {
	p := haltedOn(t, func(p *platform.Platform) { p.Hosts[2].Site = "east" })
	p.members["m1"].SystemID = "another"
	p.tell()
	p.word(state.DecisionUndo)
	if p.play(nil); p.last().Result != state.Abandoned || p.c().Primary != "m3" || p.running() != "12" {
		t.Errorf("%+v, primary %s, running %s", p.last(), p.c().Primary, p.running())
	}
}

// TestSiteSwitchoverThatCannotBeUndone: a word leaves behind what will not move, and the apps run where their primary is.
func TestSiteSwitchoverThatCannotBeUndone(t *testing.T) {
	p := halted(t)
	p.works["web3"], p.works["web4"] = health.Well, health.Well
	p.apply(onFeed(state.Command{Pause: &state.SetPause{Pause: &state.Pause{By: "bob", Reason: "disks"}}}))
	p.word(state.DecisionUndo)
	p.play(nil)
	if p.s.Change == nil || !strings.Contains(p.s.Change.Halted,
		Reason{Code: isPaused, Cluster: "feed", Other: "bob", Detail: "disks"}.String()) || p.running() != "" {
		t.Fatalf("%+v, running %s", p.s.Change, p.running())
	}
	if got := p.s.Change.Decisions(); !slices.Equal(got, []string{state.DecisionRetry, state.DecisionContinue}) {
		t.Errorf("it would take %v", got)
	}
	p.word(state.DecisionContinue)
	p.play(nil)
	if op := p.last(); op.Result != state.Abandoned || !strings.HasSuffix(op.Outcome, "has left where it is: feed") ||
		p.c().Primary != "m2" || p.running() != "34" {
		t.Errorf("%+v, primary %s, running %s", op, p.c().Primary, p.running())
	}
}

// TestSiteSwitchoverWithoutItsLastStep: nobody is bound to a check that cannot succeed.
func TestSiteSwitchoverWithoutItsLastStep(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) { p.Apps[0].Verify = "http://{address}/verify" })
	p.begin("west")
	p.play(func() { p.answer(func(state.Effect) bool { return false }) })
	if p.s.Change == nil || p.s.Change.Step != platform.StepVerify || p.s.Change.Halted == "" {
		t.Fatalf("%+v", p.s.Change)
	}
	p.word(state.DecisionContinue)
	if op := p.last(); p.s.Change != nil || op.Result != state.Done ||
		op.Outcome != "the platform runs on site west; alice skipped step verify" {
		t.Errorf("%+v, %+v", p.s.Change, op)
	}
}

// TestSiteSwitchoverOfAClusterThatLeaves: where a cluster goes elsewhere after it had arrived, the change says so instead of
// waiting for apps that cannot run, and moves it again when it is told to.
func TestSiteSwitchoverOfAClusterThatLeaves(t *testing.T) {
	p := withPool(t, nil)
	p.begin("west")
	gone := false
	p.play(func() {
		if p.s.Change != nil && p.s.Change.Step == platform.StepApps && !gone {
			gone = true
			p.apply(state.Command{By: "bob", Cluster: "feed", Begin: &state.Begin{Kind: state.Switchover, To: "m1", Reason: "he needs it there"}})
		}
	})
	const want = "cluster feed has left site west since: its primary is m1 (switchover feed-6: he needs it there); `retry` moves it again"
	if p.s.Change == nil || p.s.Change.Halted != want || p.c().Primary != "m1" {
		t.Fatalf("%+v, primary %s, %+v", p.s.Change, p.c().Primary, p.last())
	}
	p.word(state.DecisionRetry)
	if steps := p.play(nil); !slices.Equal(steps, []string{platform.StepApps, platform.StepRouting, platform.StepVerify, string(state.Done)}) {
		t.Errorf("told to try again it took the steps %v", steps)
	}
	if p.last().Result != state.Done || p.c().Primary != "m2" || p.running() != "34" {
		t.Errorf("%+v, primary %s, running %s", p.last(), p.c().Primary, p.running())
	}
}

// TestSiteSwitchoverWithoutInstanceToVerify: an app whose instances have all left routing was not verified.
func TestSiteSwitchoverWithoutInstanceToVerify(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) { p.Apps[0].Verify = "http://{address}/verify" })
	p.begin("west")
	p.play(func() {
		if p.s.Change != nil && p.s.Change.Step == platform.StepVerify {
			p.works["web3"], p.works["web4"] = health.Down, health.Down
		}
	})
	if p.s.Change == nil || !strings.HasPrefix(p.s.Change.Halted, Reason{Code: noInstanceVerifies, Member: "web", Other: "west"}.String()) {
		t.Errorf("%+v, %+v", p.s.Change, p.last())
	}
}

// TestSiteSwitchoverOfAClusterFails: it halts with what became of the cluster's own operation.
func TestSiteSwitchoverOfAClusterFails(t *testing.T) {
	p := withPool(t, nil)
	p.begin("west")
	for p.c().Attempt == nil {
		p.now += 100 * time.Millisecond
		p.tell()
		for _, c := range Next(p.input()).Commands {
			p.apply(c)
		}
		p.follow()
		p.obey()
	}
	p.apply(onFeed(state.Command{Abandon: &state.Abandon{Attempt: p.c().Attempt.Number, Reason: "no checkpoint"}}))
	p.play(nil)
	if p.s.Change == nil || !strings.Contains(p.s.Change.Halted, "no checkpoint") {
		t.Errorf("%+v", p.s.Change)
	}
}

// The apps are not quiet for as long as a CHECKPOINT takes, and one that does not end changes nothing.
func TestSiteSwitchoverCheckpointsFirst(t *testing.T) {
	p := withPool(t, nil)
	p.begin("west")
	if g := p.s.GoalOf("feed", "m1"); g.Kind != platform.GoalPrimary || g.Checkpoint.IsZero() {
		t.Errorf("m1's goal: %+v", g)
	}
	for end := p.now + 2*checkpointBound; p.now < end && p.s.Change != nil; p.now += time.Second {
		p.tell()
		for _, c := range Next(p.input()).Commands {
			p.apply(c)
		}
		if p.obey(); p.running() != "12" {
			t.Fatalf("running %q before the CHECKPOINT on m1", p.running())
		}
	}
	if op := p.last(); op.Result != state.Abandoned || !strings.Contains(op.Outcome, Reason{Code: checkpointAwaited, Member: "m1"}.String()) {
		t.Errorf("%+v", op)
	}
	if g := p.s.GoalOf("feed", "m1"); !g.Checkpoint.IsZero() {
		t.Errorf("m1's goal afterwards: %+v", g)
	}
}

// The hooks after a step run once it has done its work, not while it does.
func TestHooksAfterAStep(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) {
		p.Apps[0].Verify = "http://{address}/verify"
		for _, step := range platform.Steps() {
			p.Hooks = append(p.Hooks, platform.Hook{Step: step, When: "after", Exec: []string{"/x"}, Timeout: time.Second, OnFailure: "stop"})
		}
	})
	p.begin("west")
	seen, verified := 0, false
	p.play(func() {
		for _, e := range p.s.Effects() {
			if e.Kind == state.RunHook {
				ready := map[string]bool{
					platform.StepQuiesce: p.running() == "", platform.StepClusters: p.c().Primary == "m2" && p.c().Opened,
					platform.StepApps: p.running() == "34", platform.StepRouting: true, platform.StepVerify: verified,
				}
				if step := p.s.Platform.Hooks[e.Hook].Step; !ready[step] {
					t.Errorf("the hook after %s runs: primary %s, running %q, verified %v", step, p.c().Primary, p.running(), verified)
				}
				seen++
			}
		}
		for _, key := range p.answer(func(state.Effect) bool { return true }) {
			verified = verified || strings.HasPrefix(key, "verify")
		}
	})
	if seen != len(platform.Steps()) || p.last().Result != state.Done {
		t.Errorf("%d hooks ran; %+v", seen, p.last())
	}
}

// TestOldVerdictIsNoSignOfLife: what the checks found of an app server before it was stopped, where the next one hangs since, does
// not show that it has come up.
func TestOldVerdictIsNoSignOfLife(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) { p.Apps[0].Check.Timeout = 30 * time.Second })
	p.begin("west")
	const hangs = 5 * time.Second
	var stays time.Duration
	p.play(func() {
		if p.s.Change == nil {
			return
		}
		if p.s.Change.Step == platform.StepApps {
			stays += 100 * time.Millisecond
		}
		for _, n := range []string{"web3", "web4"} {
			p.works[n], p.checked[n] = health.Well, 0
			if stays < hangs {
				p.checked[n] = 10*time.Second + stays
			}
		}
	})
	if stays < hangs || p.last().Result != state.Done {
		t.Errorf("step apps took %s; %+v", stays, p.last())
	}
}

// The hooks before a step run before it does anything.
func TestHooksBeforeAStep(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) {
		for _, step := range platform.Steps() {
			p.Hooks = append(p.Hooks, platform.Hook{Step: step, When: "before", Exec: []string{"/x"}, Timeout: time.Second, OnFailure: "stop"})
		}
	})
	p.begin("west")
	seen := 0
	p.play(func() {
		for _, e := range p.s.Effects() {
			ready := map[string]bool{platform.StepQuiesce: p.running() == "12", platform.StepClusters: p.running() == "" &&
				p.c().Attempt == nil && p.c().Primary == "m1",
				platform.StepApps: p.running() == "" && p.c().Primary == "m2", platform.StepRouting: p.running() == "34", platform.StepVerify: true}
			if step := p.s.Platform.Hooks[e.Hook].Step; !ready[step] {
				t.Errorf("the hook before %s runs: primary %s, running %q", step, p.c().Primary, p.running())
			}
			seen++
		}
		if p.s.Change != nil && p.s.Change.Step != platform.StepApps || p.app().Site == "west" &&
			!p.app().Moving { // the pool could start by then
			p.answer(func(state.Effect) bool { return true })
		}
	})
	if seen < len(platform.Steps()) || p.last().Result != state.Done || p.running() != "34" {
		t.Errorf("%d hooks ran; %+v, running %s", seen, p.last(), p.running())
	}
}

// answer lets the leader's runner say yes or no to all that is wanted.
func (p *pool) answer(ok func(state.Effect) bool) (asked []string) {
	for _, e := range p.s.Effects() {
		asked = append(asked, e.Key())
		p.apply(state.Command{HookAnswered: &state.HookAnswered{Change: e.Change, Key: e.Key(), Answer: state.Answer{OK: ok(e), Detail: "said"}}})
	}
	return asked
}

func TestSiteSwitchoverHooks(t *testing.T) {
	hooks := func(policy platform.HookFailure) func(*platform.Platform) {
		return func(p *platform.Platform) {
			p.Hooks = []platform.Hook{{Step: platform.StepClusters, When: "before", Exec: []string{"/x"}, Timeout: time.Second, OnFailure: policy},
				{Step: platform.StepRouting, When: "after", Webhook: "http://x", Timeout: time.Second, OnFailure: "stop"}}
			p.Apps[0].Verify = "http://{address}/verify"
		}
	}
	yes := func(state.Effect) bool { return true }
	p := withPool(t, hooks("stop"))
	p.begin("west")
	var asked []string
	p.play(func() {
		if p.s.Change != nil && p.c().Attempt != nil && len(asked) == 0 {
			t.Error("the cluster began before its hook")
		}
		asked = append(asked, p.answer(yes)...)
	})
	if !slices.Equal(asked, []string{"hook 0", "hook 1", "verify web3"}) || p.last().Result != state.Done {
		t.Errorf("asked %v, %+v", asked, p.last())
	}

	p = withPool(t, hooks("stop"))
	p.begin("west")
	p.play(func() { p.answer(func(state.Effect) bool { return false }) })
	if p.s.Change == nil || !strings.Contains(p.s.Change.Halted, "the hook before clusters failed: said") || p.c().Primary != "m1" {
		t.Errorf("%+v", p.s.Change)
	}
	p.word(state.DecisionRetry)
	if p.play(func() { p.answer(yes) }); p.last().Result != state.Done {
		t.Errorf("%+v", p.last())
	}

	p = withPool(t, hooks("go-on"))
	p.begin("west")
	p.play(func() { p.answer(func(e state.Effect) bool { return e.Hook != 0 || e.Kind != state.RunHook }) })
	if p.last().Result != state.Done {
		t.Errorf("%+v", p.last())
	}
}

// TestSiteSwitchoverAsksAppsThatRunEverywhere: they refuse writes in between, also when it is undone.
func TestSiteSwitchoverAsksAppsThatRunEverywhere(t *testing.T) {
	asks := func(p *platform.Platform) {
		p.Apps[0].Run, p.Apps[0].Quiesce, p.Apps[0].Resume = platform.RunEverywhere, "http://{address}/q", "http://{address}/r"
	}
	for refuses, want := range map[string][]string{
		"":     {"quiesce web1", "quiesce web2", "quiesce web3", "quiesce web4", "resume web1", "resume web2", "resume web3", "resume web4"},
		"web3": {"quiesce web1", "quiesce web2", "quiesce web4", "resume web1", "resume web2", "resume web3", "resume web4"},
	} {
		p := withPool(t, asks)
		p.begin("west")
		var asked []string
		p.play(func() {
			for _, key := range p.answer(func(e state.Effect) bool { return e.Instance != refuses }) {
				if key != "quiesce web3" || refuses == "" { // which is asked again and again
					asked = append(asked, key)
				}
			}
		})
		end := state.Done
		if refuses != "" {
			end = state.Abandoned
		}
		if !slices.Equal(asked, want) || p.last().Result != end || p.running() != "1234" {
			t.Errorf("%q refuses: asked %v, %s, running %s", refuses, asked, p.last().Result, p.running())
		}
	}
}
