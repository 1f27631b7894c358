package decide

import (
	"slices"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

const lease = 5 * time.Second

func ep(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

// The kit of this package's tests: a stage, on which members and controllers say what a test wants them to say.

// stage is a leader's situation: a committed state, what is seen, and time.
type stage struct {
	t          *testing.T
	s          *state.State
	view       *health.View
	leases     *fencing.Leases
	conditions *Conditions
	now        time.Duration
	number     uint64
	members    map[string]*health.Member // what the hosts that answer report; nil for a silent one
	boots      map[string]string         // of the hosts that tell it
	// controllers and self are the observers; none for this leader alone.
	controllers []string
	self, site  string
}

func platformOf(acks int) *platform.Platform {
	p := &platform.Platform{Name: "social", Sites: []platform.Site{{Name: "east"}, {Name: "west"}}}
	cl := platform.Cluster{Name: "feed", Lease: lease, Durability: platform.Durability{Acks: acks, From: "any"},
		Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"}}
	for i, n := range []string{"m1", "m2", "m3"} {
		p.Hosts = append(p.Hosts, platform.Host{Name: "h" + n[1:], Site: p.Sites[i/2].Name})
		cl.Members = append(cl.Members, platform.Member{Name: n, Host: "h" + n[1:], Port: 5432, MayLead: true})
	}
	p.Clusters = []platform.Cluster{cl}
	return p
}

// beforeBootstrap is a platform applied, with three empty hosts.
func beforeBootstrap(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	p := platformOf(acks)
	if change != nil {
		change(p)
	}
	st := &stage{t: t, s: state.New(), view: health.NewView(time.Second), leases: fencing.NewLeases(time.Second),
		conditions: NewConditions(), now: time.Minute, members: map[string]*health.Member{}}
	st.apply(state.Command{Init: &state.Init{PlatformID: "p"}})
	st.apply(state.Command{Platform: &state.SetPlatform{Platform: p}})
	for _, h := range []string{"h1", "h2", "h3"} {
		st.apply(state.Command{AgentRun: &state.AgentRun{Host: h, Run: "r"}})
	}
	for _, n := range []string{"m1", "m2", "m3"} {
		st.members[n] = &health.Member{Name: n, Data: health.DataEmpty, Process: health.ProcessEnded, Guard: health.Guard{Complete: true}}
	}
	return st
}

// well is a cluster whose primary m1 has m2 and m3 streaming, everything settled.
func well(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	st := beforeBootstrap(t, acks, change)
	st.apply(onFeed(state.Command{Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}}))
	st.apply(onFeed(state.Command{Opened: &state.Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}}))
	st.apply(onFeed(state.Command{Rejoined: &state.Rejoined{Member: "m2"}}))
	st.apply(onFeed(state.Command{Rejoined: &state.Rejoined{Member: "m3"}}))
	st.members["m1"] = &health.Member{Name: "m1", Data: health.DataPresent, Process: health.ProcessRunning,
		Role: health.RolePrimary, SystemID: "7", Epoch: ep(1),
		Timeline: 1, Position: 1000, PositionKnown: true, Opened: true, Incarnation: "m1_1", Guard: health.Guard{Complete: true, Armed: ep(1)},
		Senders: []health.Sender{{Name: "m2_2", State: "streaming", Flush: 1000, Sync: true},
			{Name: "m3_3", State: "streaming", Flush: 1000, Sync: true}}}
	for _, n := range []string{"m2", "m3"} {
		st.members[n] = &health.Member{Name: n, Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RoleStandby,
			SystemID: "7", Epoch: ep(1), Timeline: 1,
			Position: 1000, PositionKnown: true, Replayed: 1000, Incarnation: n + "_" + n[1:], Guard: health.Guard{Complete: true},
			Receiver: &health.Receiver{Streaming: true}}
	}
	st.report()
	return st
}

func onFeed(c state.Command) state.Command {
	c.Cluster = "feed"
	return c
}

func (st *stage) apply(c state.Command) {
	st.t.Helper()
	next, err := state.Apply(st.s, st.s.Index+1, c)
	if err != nil {
		st.t.Fatal(err)
	}
	st.s = next
}

func (st *stage) c() *state.Cluster { return st.s.Clusters["feed"] }

// report lets every member that answers report as it is now.
func (st *stage) report() {
	st.number++
	for _, n := range []string{"m1", "m2", "m3", "m4"} {
		if m := st.members[n]; m != nil {
			st.view.Fold(&health.Report{Host: "h" + n[1:], BootID: st.boots["h"+n[1:]], RunID: "r", Number: st.number,
				Members: []health.Member{*m}}, "", 0, st.now)
		}
	}
}

func (st *stage) input() Input {
	own := health.Observation{Cluster: "feed", Member: "m1", HeardMS: 10, ProbedMS: -1}
	if st.members["m1"] == nil {
		own.HeardMS, own.FailedMS = -1, 400
	}
	st.number++
	st.view.FoldObservations(health.Observations{Observer: st.self, Site: st.site, Number: st.number, Observations: []health.Observation{own}},
		st.now)
	return Input{State: st.s, View: st.view, Leases: st.leases, Controllers: st.controllers, Self: st.self, Site: st.site,
		Conditions: st.conditions, Survey: true, Now: st.now, Wall: time.Unix(1_750_000_000, 0)}
}

func (st *stage) next() (*state.Command, Reason, Decision) {
	d := Next(st.input())
	if len(d.Commands) > 1 {
		st.t.Errorf("%d commands for one cluster", len(d.Commands))
	}
	if len(d.Commands) == 0 {
		return nil, d.Reasons.Of("feed"), d
	}
	return &d.Commands[0], d.Reasons.Of("feed"), d
}

// commits decides and commits, and returns the command, which must exist and be accepted.
func (st *stage) commits() *state.Command {
	st.t.Helper()
	cmd, why, _ := st.next()
	if cmd == nil {
		st.t.Fatalf("nothing decided: %s", why)
	}
	st.apply(*cmd)
	return cmd
}

// waits decides, and nothing must come of it, for a reason that rests on each of the codes. It returns what rests on the last.
func (st *stage) waits(codes ...Code) (found Reason) {
	st.t.Helper()
	cmd, why, _ := st.next()
	if cmd != nil {
		st.t.Errorf("decided %s", body(cmd))
	}
	for _, code := range codes {
		if found = why.find(code); !found.given() {
			st.t.Errorf("waits because of %s: %s; want %s", why.Code, why, code)
		}
	}
	return found
}

// find is the part of a reason that has a code, zero if none has.
func (r Reason) find(code Code) Reason {
	if r.Code == code {
		return r
	}
	for _, b := range r.Because {
		if found := b.find(code); found.given() {
			return found
		}
	}
	return Reason{}
}

var none Code

func (r Reason) has(code Code) bool { return r.find(code).given() }

func (st *stage) later(d time.Duration) {
	st.now += d
	st.report()
}

// step lets time pass in small steps, deciding in each, as the leader does; it stops at the first command.
func (st *stage) step(d time.Duration) *state.Command {
	for end := st.now + d; st.now < end; {
		st.later(100 * time.Millisecond)
		if cmd, _, _ := st.next(); cmd != nil {
			return cmd
		}
	}
	return nil
}

func (st *stage) problem(kind health.Kind) bool {
	_, _, d := st.next()
	return has(d.Problems, kind)
}

// crash is m1's postmaster seen to end by its agent, and the epoch closed on its disk.
func (st *stage) crash() {
	st.members["m1"].Process, st.members["m1"].Role, st.members["m1"].Closed, st.members["m1"].Senders = health.ProcessEnded,
		health.RoleUnknown, st.c().Epoch, nil
	st.members["m1"].Opened = false
	for _, n := range []string{"m2", "m3"} {
		if m := st.members[n]; m != nil {
			m.Receiver = nil
		}
	}
}

// vanish is m1's host gone silent.
func (st *stage) vanish() {
	st.crash()
	st.members["m1"] = nil
	st.later(2 * time.Second)
}

func (st *stage) seal(names ...string) {
	for _, n := range names {
		st.members[n].Sealed, st.members[n].Receiver = st.c().Attempt.Number, nil
	}
	st.report()
}

func body(c *state.Command) string {
	if c == nil {
		return "nothing"
	}
	b, err := c.Encode()
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// twoSites has m1 on east with controller c1, m2 and m3 on west with c2, and c3 on the witness site north. c2 leads.
func twoSites(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	st := well(t, acks, func(p *platform.Platform) {
		far(p)
		p.Sites = append(p.Sites, platform.Site{Name: "north", Witness: true})
		if change != nil {
			change(p)
		}
	})
	st.controllers, st.self, st.site = []string{"c1", "c2", "c3"}, "c2", "west"
	st.observations("c1", "east", true)
	st.observations("c3", "north", true)
	return st
}

// observations lets a controller say whether it hears m1.
func (st *stage) observations(name, site string, hears bool) {
	st.number++
	o := health.Observation{Cluster: "feed", Member: "m1", HeardMS: -1, ProbedMS: -1}
	if o.FailedMS = 300; hears {
		o.HeardMS, o.FailedMS = 10, 0
	}
	st.view.FoldObservations(health.Observations{Observer: name, Site: site, Number: st.number, Observations: []health.Observation{o}}, st.now)
}

// observationsOf lets controllers c2 and c3 say what they see of m1; c1 leads. nil is silence.
func (st *stage) observationsOf(c2, c3 *health.Observation) {
	st.controllers, st.self = []string{"c1", "c2", "c3"}, "c1"
	for name, o := range map[string]*health.Observation{"c2": c2, "c3": c3} {
		if o != nil {
			st.number++
			o.Member = "m1"
			st.view.FoldObservations(health.Observations{Observer: name, Number: st.number, Observations: []health.Observation{*o}}, st.now)
		}
	}
}

func has(problems []health.Problem, k health.Kind) bool {
	for _, p := range problems {
		if p.Kind == k {
			return true
		}
	}
	return false
}

// configure applies a changed platform.
func (st *stage) configure(change func(*platform.Cluster)) {
	p := *st.s.Platform
	p.Clusters = slices.Clone(p.Clusters)
	change(&p.Clusters[0])
	st.apply(state.Command{Platform: &state.SetPlatform{Platform: &p}})
}

// sets waits for the next durability set, and lets the primary settle it.
func (st *stage) sets(within time.Duration) *state.ChangeSet {
	st.t.Helper()
	cmd := st.step(within)
	if cmd == nil || cmd.Sets == nil {
		st.t.Fatalf("no new durability set: %s", body(cmd))
	}
	st.apply(*cmd)
	st.members["m1"].Settled = st.c().HighSet
	st.later(0)
	st.commits()
	return cmd.Sets
}

func begun(t *testing.T, acks int, change func(*platform.Platform)) *stage {
	st := well(t, acks, change)
	st.vanish()
	st.commits()
	st.later(0)
	return st
}

// justRecovered lets the last failover have been from one member to the other.
func (st *stage) justRecovered(from, to string) {
	c := *st.c()
	c.Recovered = "feed-7"
	c.Operations = append(c.Operations, state.Operation{ID: "feed-7", From: from, To: to})
	st.s.Clusters["feed"] = &c
}

// recovered is well after the controllers were recovered.
func recovered(t *testing.T) *stage {
	st := well(t, 1, nil)
	st.recoverControllers()
	return st
}

// recoverControllers goes on from the log of one of them.
func (st *stage) recoverControllers() {
	st.s = state.Recovered(st.s, []string{"c1"}, 0, "abc", "root", "fire", "now")
	for _, h := range []string{"h1", "h2", "h3"} {
		st.apply(state.Command{AgentRun: &state.AgentRun{Host: h, Run: "r"}})
	}
}

// look is the cluster as the leader sees it now.
func (st *stage) look() *clusterView {
	st.conditions.begin(st.now)
	return &clusterView{Input: st.input(), c: st.c(), conf: st.s.ClusterConfig("feed"), decision: &Decision{}}
}

// far puts m2 and m3 on the other site.
func far(p *platform.Platform) { p.Hosts[1].Site = "west" }

// conf is the configuration of the cluster, which a test may change before it decides.
func (st *stage) conf() *platform.Cluster { return &st.s.Platform.Clusters[0] }
