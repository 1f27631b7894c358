package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// pool is twoSites with an app web: two instances on east (hosts a1, a2), two on west (a3, a4).
type pool struct {
	*stage
	instances map[string]*health.Instance // what the agents of the hosts that answer report; by instance
	works     map[string]health.Working   // what every controller says
	checked   map[string]time.Duration    // for how long the last check of it that ended has begun
	reaches   map[string]health.Working
	speaks    map[string]bool // the controllers that do
	hears     bool            // c1 and c3 hear m1
}

func withPool(t *testing.T, change func(*platform.Platform)) *pool {
	st := twoSites(t, 1, func(p *platform.Platform) {
		app := platform.App{Name: "web", Needs: []string{"feed"}, Run: platform.RunWithPrimary, Minimum: 1,
			Check: platform.AppCheck{Every: time.Second}}
		for i, n := range []string{"1", "2", "3", "4"} {
			site := []string{"east", "west"}[i/2]
			p.Hosts = append(p.Hosts, platform.Host{Name: "a" + n, Site: site, Address: "a" + n})
			app.Instances = append(app.Instances, platform.Instance{Name: "web" + n, Site: site, Address: "a" + n + ":80", Host: "a" + n})
		}
		p.Apps = []platform.App{app}
		if change != nil {
			change(p)
		}
	})
	p := &pool{stage: st, instances: map[string]*health.Instance{}, works: map[string]health.Working{},
		checked: map[string]time.Duration{}, reaches: map[string]health.Working{},
		speaks: map[string]bool{"c1": true, "c2": true, "c3": true}, hears: true}
	for _, i := range []string{"1", "2", "3", "4"} {
		p.instances["web"+i], p.works["web"+i] = &health.Instance{Name: "web" + i, Running: true}, health.Well
		st.apply(state.Command{AgentRun: &state.AgentRun{Host: "a" + i, Run: "r"}})
	}
	p.tell()
	p.settle()
	return p
}

func (p *pool) app() *state.App { return p.s.Apps["web"] }

// obey lets every agent that answers do what its goals say.
func (p *pool) obey() {
	for n, i := range p.instances {
		if i == nil {
			continue
		}
		switch p.s.InstanceGoals("a" + n[3:])[n].Want {
		case platform.WantRunning:
			i.Running, i.Stopped = true, false
		case platform.WantStopped:
			i.Running, i.Stopped = false, true
		}
		if p.works[n] = health.Down; i.Running {
			p.works[n] = health.Well
		}
	}
}

// tell reports what the agents and the controllers say.
func (p *pool) tell() {
	p.report()
	for n, i := range p.instances {
		if i != nil {
			i.From = p.number
			p.leases.Told(PermitKey("web"), n, "r", p.number, p.s.Platform != nil && p.s.Wants(p.s.Platform.App("web"), n) == platform.WantRunning)
			p.view.Fold(&health.Report{Host: "a" + n[3:], RunID: "r", Number: p.number, Instances: []health.Instance{*i}}, "", 0, p.now)
		}
	}
	for c, site := range map[string]string{"c1": "east", "c2": "west", "c3": "north"} {
		if !p.speaks[c] {
			continue
		}
		p.number++
		m1 := health.Observation{Cluster: "feed", Member: "m1", HeardMS: -1, ProbedMS: -1}
		if m1.FailedMS = 300; p.hears {
			m1.HeardMS, m1.FailedMS = 10, 0
		}
		v := health.Observations{Observer: c, Site: site, Number: p.number, Observations: []health.Observation{m1}}
		for _, n := range []string{"web1", "web2", "web3", "web4"} {
			i := health.InstanceObservation{App: "web", Instance: n, Health: p.works[n], Reaches: p.reaches[n], AgeMS: p.checked[n].Milliseconds()}
			if p.works[n] != health.Well {
				i.Error = "says no"
			}
			v.Apps = append(v.Apps, i)
		}
		p.view.FoldObservations(v, p.now)
	}
}

// settle decides, commits and obeys until nothing moves any more, and returns what was committed.
func (p *pool) settle() (all []state.Command) {
	p.t.Helper()
	for range 200 {
		d := Next(p.input())
		for _, c := range d.Commands {
			p.apply(c)
			all = append(all, c)
		}
		p.obey()
		p.now += 100 * time.Millisecond
		p.tell()
		if len(d.Commands) == 0 {
			return all
		}
	}
	p.t.Fatalf("no end: %s", body(&all[len(all)-1]))
	return nil
}

// wait lets time pass, deciding, committing and obeying.
func (p *pool) wait(d time.Duration) (all []state.Command) {
	for end := p.now + d; p.now < end; {
		all = append(all, p.settle()...)
	}
	return all
}

func (p *pool) running() string {
	var names []string
	for _, n := range []string{"web1", "web2", "web3", "web4"} {
		if i := p.instances[n]; i != nil && i.Running {
			names = append(names, n[3:])
		}
	}
	return strings.Join(names, "")
}

func TestPoolRunsWhereItsPrimaryIs(t *testing.T) {
	p := withPool(t, nil)
	if p.app().Site != "east" || p.app().Moving || p.running() != "12" {
		t.Fatalf("%+v, running %s", p.app(), p.running())
	}
	goal := p.s.InstanceGoals("a1")["web1"]
	if goal.Permit != platform.Permit(lease) || goal.Primary != "m1" || goal.Epoch != ep(1) {
		t.Errorf("goal %+v", goal)
	}
	if g := p.s.InstanceGoals("a3")["web3"]; g.Want != platform.WantStopped || g.Permit != platform.Permit(lease) {
		t.Errorf("goal on the other site %+v", g)
	}
}

func TestEverywhereRunsEverywhere(t *testing.T) {
	p := withPool(t, func(p *platform.Platform) { p.Apps[0].Run = platform.RunEverywhere })
	if p.running() != "1234" || p.s.InstanceGoals("a1")["web1"].Permit != 0 {
		t.Errorf("running %s", p.running())
	}
}

// TestPoolWaitsForTheOtherSite: never are both sites active. east is cut off with its primary and its app servers, whose
// permits must be counted out first.
func TestPoolWaitsForTheOtherSite(t *testing.T) {
	p := withPool(t, nil)
	permit := platform.Permit(lease)
	p.leases.Record(PermitKey("web"), "web1", platform.Epoch{}, p.now, permit)
	granted := p.now
	p.crash()
	p.members["m1"], p.instances["web1"], p.instances["web2"] = nil, nil, nil
	p.speaks["c1"], p.hears, p.works["web1"], p.works["web2"] = false, false, health.Down, health.Down
	for p.c().Primary == "m1" {
		if p.wait(100 * time.Millisecond); p.now-granted > time.Minute {
			t.Fatal("no failover")
		}
		if a := p.c().Attempt; a != nil {
			p.seal("m2", "m3")
		}
	}
	p.leases.Record(PermitKey("web"), "web2", platform.Epoch{}, p.now, permit) // granted a moment ago, for all this leader knows
	granted = p.now
	for p.app().Site == "east" || p.app().Moving {
		p.wait(100 * time.Millisecond)
		if p.now-granted > time.Minute {
			t.Fatalf("the pool never starts: %+v", p.app())
		}
	}
	if p.now-granted <= platform.CountOut(permit) {
		t.Errorf("the pool starts on west %s after the last permit, before %s", p.now-granted, platform.CountOut(permit))
	}
	if p.wait(time.Second); p.running() != "34" {
		t.Errorf("running %s", p.running())
	}
}

// TestPoolCountsWhatTheOldPrimaryMayHavePermitted: its agent may keep an app server going for a permit after the last lease that
// a leader gave it, even where seals have fenced it.
func TestPoolCountsWhatTheOldPrimaryMayHavePermitted(t *testing.T) {
	for _, c := range []struct {
		name  string
		proof fencing.Kind
		ago   time.Duration // since the old primary's last lease
		since time.Duration // since the pool began to move
		ready bool
	}{
		{"sealed, its last lease just now", fencing.QuorumSealed, 0, 0, false},
		{"sealed, its last lease long ago", fencing.QuorumSealed, time.Minute, 0, true},
		{"stopped: promises may have renewed it", fencing.Stopped, time.Minute, 0, false},
		{"stopped, a permit ago", fencing.Stopped, time.Minute, 5 * time.Second, true},
	} {
		p := withPool(t, nil)
		cl, a := *p.c(), *p.app()
		cl.Primary, cl.Epoch = "m2", ep(2)
		cl.Operations = append(cl.Operations, state.Operation{ID: "feed-9", Kind: state.Failover, Epoch: ep(2),
			Proof: &fencing.Proof{Kind: c.proof}})
		a.Site, a.Moving = "west", true
		p.s.Clusters["feed"], p.s.Apps["web"] = &cl, &a
		p.instances["web1"], p.instances["web2"] = nil, nil
		p.leases.Record("feed", "m1", ep(1), p.now, lease)
		p.now += c.ago + 2*time.Second
		p.tell()
		ready := func() bool {
			for _, cmd := range Next(p.input()).Commands {
				if cmd.App != nil && cmd.App.Ready {
					return true
				}
			}
			return false
		}
		got := ready()
		if c.since > 0 {
			p.now += c.since
			p.tell()
			got = ready()
		}
		if got != c.ready {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestPoolCountsOutALongerPermit: a leader that has just won counts the permits of the one before, which gave them by the lease
// that was in force then.
func TestPoolCountsOutALongerPermit(t *testing.T) {
	p := withPool(t, nil)
	long := platform.CountOut(platform.Permit(lease))
	next := *p.s.Platform
	next.Clusters = []platform.Cluster{next.Clusters[0]}
	next.Clusters[0].Lease = platform.MinLease
	p.apply(state.Command{Platform: &state.SetPlatform{Platform: &next}})
	a := *p.app()
	a.Moving = true
	p.s.Apps["web"] = &a
	p.instances["web3"], p.instances["web4"] = nil, nil
	p.leases, p.conditions = fencing.NewLeases(p.now), NewConditions()
	for began := p.now; p.app().Moving; p.now += 100 * time.Millisecond {
		if p.now-began > time.Minute {
			t.Fatal("the pool never starts")
		}
		p.tell()
		for _, c := range Next(p.input()).Commands {
			if p.apply(c); c.App != nil && c.App.Ready && p.now-began <= long {
				t.Errorf("the pool starts after %s, before %s", p.now-began, long)
			}
		}
	}
}

// TestPoolCountsThePermitOfALongerLease: once a lease was shortened, the old primary's agent may vouch for as long as before (L4).
func TestPoolCountsThePermitOfALongerLease(t *testing.T) {
	p := withPool(t, nil)
	cl, a := *p.c(), *p.app()
	cl.Primary, cl.Epoch, cl.LongestLease = "m2", ep(2), 10*lease
	cl.Operations = append(cl.Operations, state.Operation{ID: "feed-9", Kind: state.Failover, Epoch: ep(2),
		Proof: &fencing.Proof{Kind: fencing.QuorumSealed}})
	a.Site, a.Moving = "west", true
	p.s.Clusters["feed"], p.s.Apps["web"] = &cl, &a
	p.instances["web1"], p.instances["web2"] = nil, nil
	p.leases.Record("feed", "m1", ep(1), p.now, lease)
	last := p.now
	for p.app().Moving {
		p.now += 100 * time.Millisecond
		p.tell()
		for _, cmd := range Next(p.input()).Commands {
			if cmd.App != nil && cmd.App.Ready {
				a.Moving = false
				p.s.Apps["web"] = &a
			}
		}
		if p.now-last > 3*platform.CountOut(10*lease) {
			t.Fatal("the pool never starts")
		}
	}
	if permit := platform.Permit(10 * lease); p.now-last <= platform.CountOut(permit) {
		t.Errorf("the pool starts on west %s after the old primary's last lease, before %s", p.now-last, platform.CountOut(permit))
	}
}

// TestPoolWaitsForAnAgentThatAnswers: a permit's end is nothing beside an agent that says it still runs.
func TestPoolWaitsForAnAgentThatAnswers(t *testing.T) {
	p := withPool(t, nil)
	a := *p.app()
	a.Site, a.Moving = "east", true
	p.s.Apps["web"] = &a
	p.instances["web3"].Running, p.instances["web3"].Stopped = true, false
	p.now += time.Hour
	p.tell()
	if d := Next(p.input()); d.Reasons.Of("app web").find(othersMustStop).Member != "web3" {
		t.Errorf("%+v", d.Reasons.Of("app web"))
	}
}

// TestPoolWaitsForALateAnswer: an app server that was let run a moment ago may start yet, whatever its agent said before.
func TestPoolWaitsForALateAnswer(t *testing.T) {
	p := withPool(t, nil)
	a := *p.app()
	a.Moving = true
	p.s.Apps["web"] = &a
	p.leases.Told(PermitKey("web"), "web3", "r", p.number, true)
	p.leases.Record(PermitKey("web"), "web3", platform.Epoch{}, p.now, platform.Permit(lease))
	if d := Next(p.input()); len(d.Commands) != 0 || d.Reasons.Of("app web").find(othersMustStop).Member != "web3" {
		t.Errorf("%+v %+v", d.Commands, d.Reasons.Of("app web"))
	}
	p.now += 100 * time.Millisecond
	p.tell()
	if d := Next(p.input()); len(d.Commands) != 1 || d.Commands[0].App == nil || !d.Commands[0].App.Ready {
		t.Errorf("it follows a later answer, and still: %+v", d.Reasons.Of("app web"))
	}
}

func TestRouting(t *testing.T) {
	p := withPool(t, nil)
	p.works["web1"] = health.Down
	p.tell()
	d := Next(p.input())
	if len(d.Commands) != 1 || d.Commands[0].App == nil || d.Commands[0].App.OutOfRouting != "web1" ||
		!d.Reasons.Of("app web").has(instanceDown) {
		t.Fatalf("%+v", d.Commands)
	}
	if !has(d.Problems, health.AppDown) || has(d.Problems, health.AppPoolShort) {
		t.Errorf("problems %+v", d.Problems)
	}
	p.apply(d.Commands[0])
	if p.s.Serves(p.s.Platform.App("web"), "web1") || !p.s.Serves(p.s.Platform.App("web"), "web2") ||
		p.s.Serves(p.s.Platform.App("web"), "web3") {
		t.Error("who takes requests is not who is well on the active site")
	}
	p.works["web2"] = health.Down
	p.tell()
	if !has(Next(p.input()).Problems, health.AppPoolShort) {
		t.Error("nobody is left, and the pool is not short")
	}
	p.works["web1"] = health.Well
	p.tell()
	if d := Next(p.input()); len(d.Commands) != 1 || d.Commands[0].App.BackInRouting != "web1" {
		t.Errorf("%+v", d.Commands)
	}
}

// TestRestarts: with a growing pause, not for ever, and not for an instance whose database is the trouble.
func TestRestarts(t *testing.T) {
	down := func(p *pool) (restarts []time.Duration) {
		began := p.now
		for p.now-began < 20*time.Minute {
			p.works["web1"] = health.Down
			p.now += time.Second
			p.tell()
			for _, c := range Next(p.input()).Commands {
				p.apply(c)
				if c.App != nil && c.App.Restart == "web1" {
					restarts = append(restarts, (p.now - began).Round(time.Second))
					p.instances["web1"].Restarted = p.app().Restarts["web1"]
				}
			}
		}
		return restarts
	}
	p := withPool(t, nil)
	at := down(p)
	if len(at) != restartsAtMost || at[0] < restartAfter || at[1]-at[0] < 2*restartAfter || at[4]-at[3] < 16*restartAfter {
		t.Errorf("restarts at %v", at)
	}
	sick := withPool(t, nil)
	c := *sick.c()
	c.Opened = false
	sick.s.Clusters["feed"] = &c
	sick.members["m1"].Opened = false
	if at := down(sick); len(at) != 0 {
		t.Errorf("its database is not open, and it was restarted at %v", at)
	}
}

// TestRestartsOneAtATime: an agent obeys one restart of a pool before the next is asked for.
func TestRestartsOneAtATime(t *testing.T) {
	p := withPool(t, nil)
	asked := func(d time.Duration) (names []string) {
		for end := p.now + d; p.now < end; {
			p.works["web1"], p.works["web2"] = health.Down, health.Down
			p.now += time.Second
			p.tell()
			for _, c := range Next(p.input()).Commands {
				p.apply(c)
				if c.App != nil && c.App.Restart != "" {
					names = append(names, c.App.Restart)
				}
			}
		}
		return names
	}
	if got := asked(time.Minute); len(got) != 1 {
		t.Fatalf("asked for %v before the first was obeyed", got)
	}
	p.instances["web1"].Restarted = p.app().Restarts["web1"]
	if got := asked(15 * time.Second); len(got) != 1 || got[0] != "web2" {
		t.Errorf("then asked for %v", got)
	}
}

func TestAppsCutOff(t *testing.T) {
	reachable := func(p *platform.Platform) {
		p.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", After: 5 * time.Second}
	}
	for _, c := range []struct {
		name   string
		change func(*pool)
		begins bool
	}{
		{"both are well and reach nothing", func(p *pool) { p.reaches["web1"], p.reaches["web2"] = health.Down, health.Down }, true},
		{"one still reaches it", func(p *pool) { p.reaches["web1"], p.reaches["web2"] = health.Down, health.Well }, false},
		{"one is not well itself", func(p *pool) {
			p.reaches["web1"], p.reaches["web2"], p.works["web2"] = health.Down, health.Down, health.Down
		}, false},
		{"nobody says anything", func(p *pool) {}, false},
	} {
		p := withPool(t, reachable)
		c.change(p)
		var got *state.Begin
		for end := p.now + 8*time.Second; p.now < end && got == nil; {
			p.now += 200 * time.Millisecond
			p.tell()
			for _, cmd := range Next(p.input()).Commands {
				if cmd.Begin != nil {
					got = cmd.Begin
				}
			}
		}
		if c.begins != (got != nil) || got != nil && (got.Kind != state.Switchover || got.To == "" ||
			!strings.HasPrefix(got.Reason, string(health.AppsCutOff))) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
