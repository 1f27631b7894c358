package controller

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// TestObservationsBetweenControllers: every controller knows what the others hear, who they are, and what its own probes say.
func TestObservationsBetweenControllers(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	jane := b.client(identity.RoleOperator, "jane")
	p := social()
	b.apply(jane, p)
	b.agents(p, nodes)
	b.awaitPrimary(jane, "feed-e1", 1)
	m, fresh := p.Clusters[0].Member("feed-w1"), 2*time.Second
	for _, n := range nodes {
		b.eventually("all controllers' votes at "+n.cfg.Name, 20*time.Second, func() bool {
			snapshot, err := n.loop.Snapshot(b.ctx(5 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			in := snapshot.Input
			for _, from := range []string{"c1", "c2", "c3"} {
				v := in.View.Observation(from, m, fresh, in.Now)
				if v == nil || !v.Heard(fresh) || v.ProbedMS != -1 || v.Error == "" { // nothing listens at its port
					return false
				}
			}
			names := slices.Sorted(slices.Values(in.Controllers))
			return slices.Equal(names, []string{"c1", "c2", "c3"})
		})
	}
	gone := nodes[0]
	if gone == b.leader() {
		gone = nodes[1]
	}
	b.crash(gone)
	b.eventually("the dead controller to be a problem, of every cluster", 20*time.Second, func() bool {
		var e wire.ExplainAnswer
		return jane.Do(b.ctx(5*time.Second), "GET", "/v1/clusters/feed/explain", nil, &e) == nil &&
			slices.ContainsFunc(e.Problems, func(p health.Problem) bool {
				return p.Kind == health.ControllerSilent && p.Controller == gone.cfg.Name
			})
	})
	b.eventually("the vote of a dead controller to expire", 20*time.Second, func() bool {
		left := b.leader()
		if left == nil { // not yet, after the crash of one of three
			return false
		}
		snapshot, err := left.loop.Snapshot(b.ctx(5 * time.Second))
		return err == nil && snapshot.Input.View.Observation(gone.cfg.Name, m, fresh, snapshot.Input.Now) == nil
	})
}

// TestControllersSpeakWithoutMembers: they hear each other also while there is nothing to observe, or each would take the others for dead.
func TestControllersSpeakWithoutMembers(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	for _, n := range nodes {
		b.eventually("the other controllers at "+n.cfg.Name, 20*time.Second, func() bool {
			snapshot, err := n.loop.Snapshot(b.ctx(5 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			in := snapshot.Input
			speak := 0
			for _, from := range in.Controllers {
				if in.View.Speaks(from, 10*time.Second, in.Now) {
					speak++
				}
			}
			return speak == 3
		})
	}
}

// TestAppObservationsBetweenControllers: every controller checks the app servers, and make its reachability check, and knows what the
// others' checks say; together they judge.
func TestAppObservationsBetweenControllers(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/ready" && !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer web.Close()
	b := newBed(t)
	nodes := b.three()
	p := social()
	check := platform.AppCheck{HTTP: "http://{address}/healthz", Every: 200 * time.Millisecond, Fall: 2}
	p.Apps = []platform.App{{Name: "web", Needs: []string{"feed"}, Check: check, Instances: []platform.Instance{
		{Name: "web-e1", Site: "east", Address: web.Listener.Addr().String()}}}}
	p.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready", After: 5 * time.Second}
	b.apply(b.client(identity.RoleOperator, "jane"), p)
	await := func(what string, instance, reaches health.Working) {
		t.Helper()
		for _, n := range nodes {
			b.eventually(what+" at "+n.cfg.Name, 20*time.Second, func() bool {
				snapshot, err := n.loop.Snapshot(b.ctx(5 * time.Second))
				if err != nil {
					t.Fatal(err)
				}
				in := snapshot.Input
				if in.State.Platform == nil { // not yet replicated
					return false
				}
				var observations []*health.InstanceObservation
				limit := in.State.Platform.App("web").Check.Fresh(time.Second)
				for _, from := range in.Controllers {
					v := in.View.InstanceObservation(from, "web", "web-e1", limit, in.Now)
					if v == nil || v.Health != instance || v.Reaches != reaches {
						return false
					}
					observations = append(observations, v)
				}
				return len(observations) == 3 && health.JudgeInstance(observations, 3) == instance && health.JudgeReaches(observations, 3) == reaches
			})
		}
	}
	await("well and reaching", health.Well, health.Well)
	ready.Store(false)
	await("well, not reaching", health.Well, health.Down)
	web.Close()
	await("down, and no reachability check", health.Down, health.WorkingUnknown)
}

// TestObservationsOfAnother: a controller observations only for itself, and only controllers vote.
func TestObservationsOfAnother(t *testing.T) {
	b := newBed(t)
	n := b.one()
	observations := health.Observations{Observer: "c2", Number: 1, Began: "then", Observations: []health.Observation{}}
	post := func(role, name string, v health.Observations) error {
		return b.client(role, name).DoAt(b.ctx(5*time.Second), n.cfg.Advertise, "POST", "/v1/votes", v, nil)
	}
	if err := post(identity.RoleController, "c2", observations); err != nil {
		t.Error("its own: ", err)
	}
	if r := refusal(t, post(identity.RoleController, "c3", observations)); r.Status != http.StatusForbidden {
		t.Error("another's: ", r)
	}
	if r := refusal(t, post(identity.RoleOperator, "c2", observations)); r.Status != http.StatusForbidden {
		t.Error("an operator's: ", r)
	}
	for path, want := range map[string]int{"/v1/votes?log=c3-1&entry=4": http.StatusForbidden,
		"/v1/votes?log=c2-x-1&entry=4": http.StatusForbidden, "/v1/votes?log=c2&entry=4": http.StatusForbidden,
		"/v1/votes?log=c2-1&entry=x": http.StatusBadRequest} {
		err := b.client(identity.RoleController, "c2").DoAt(b.ctx(5*time.Second), n.cfg.Advertise, "POST", path, observations, nil)
		if r := refusal(t, err); r.Status != want {
			t.Errorf("%s: %v", path, r)
		}
	}
	observations.Number = 0
	if r := refusal(t, post(identity.RoleController, "c2", observations)); r.Status != http.StatusBadRequest {
		t.Error("without a number: ", r)
	}
}

// TestLoopHandsLeadershipOver: what the loop asks for without waiting is done, once.
func TestLoopHandsLeadershipOver(t *testing.T) {
	b := newBed(t)
	b.three()
	old := b.leader()
	var log loop.Log = &proposer{log: old.log, asked: old.asked}
	log.Transfer()
	log.Transfer() // does not block
	b.eventually("another leader", 20*time.Second, func() bool { n := b.leader(); return n != nil && n != old })
}

func TestVoters(t *testing.T) {
	names := voters([]consensus.Server{{Name: "c1"}, {Name: "c2", Learner: true}, {Name: "c3"}})
	if !slices.Equal(names, []string{"c1", "c3"}) {
		t.Error(names)
	}
}

func TestTargets(t *testing.T) {
	s := state.New()
	if len(targets(s, nil)) != 0 || heartbeat(s) != 500*time.Millisecond {
		t.Error("of nothing")
	}
	s.Platform = social()
	s.Clusters = map[string]*state.Cluster{"feed": {Name: "feed"}}
	if len(targets(s, nil)) != 0 {
		t.Error("members of a cluster before bootstrap are probed")
	}
	s.Clusters["feed"].Primary = "feed-e2"
	got := targets(s, map[loop.MemberKey]bool{{Cluster: "feed", Member: "feed-e2"}: true})
	if len(got) != 3 || heartbeat(s) != 300*time.Millisecond {
		t.Fatalf("%+v", got)
	}
	for _, g := range got {
		every := probeRarely
		if g.Member == "feed-e2" { // its agent is silent
			every = heartbeat(s)
		}
		if g.Every != every || g.Limit != platform.Suspect(3*time.Second) || g.Cluster != "feed" || g.Host != "127.0.0.1" || g.Port < 5501 {
			t.Errorf("%+v", g)
		}
	}
}

func TestInstanceTargets(t *testing.T) {
	s := state.New()
	if len(instanceTargets(s)) != 0 {
		t.Error("of nothing")
	}
	s.Platform = social()
	s.Platform.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready"}
	check := platform.AppCheck{HTTP: "http://{address}/", Every: time.Second}
	s.Platform.Apps = []platform.App{
		{Name: "web", Run: platform.RunWithPrimary, Check: check, Instances: []platform.Instance{{Name: "web-e1"}, {Name: "web-w1"}}},
		{Name: "mail", Instances: []platform.Instance{{Name: "mail-1"}}},
	}
	got := instanceTargets(s)
	if len(got) != 3 || got[0].App != "web" || got[0].Instance.Name != "web-e1" || got[0].Check.HTTP != check.HTTP ||
		got[0].Reachable != "http://{address}/ready" {
		t.Fatalf("%+v", got)
	}
	if got[1].Instance.Name != "web-w1" || got[1].Reachable == "" || got[2].App != "mail" || got[2].Reachable != "" {
		t.Errorf("%+v", got)
	}
}
