package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

func TestSiteLost(t *testing.T) {
	for _, c := range []struct {
		name   string
		speaks func(*stage)
		lost   bool
	}{
		{"east is silent, north agrees", func(st *stage) { st.observations("c3", "north", false) }, true},
		{"its controller still speaks", func(st *stage) { st.observations("c3", "north", false); st.observations("c1", "east", false) }, false},
		{"north hears it", func(st *stage) { st.observations("c3", "north", true) }, false},
		{"north says nothing: no majority", func(st *stage) {}, false},
		{"north has not asked yet", func(st *stage) {
			st.number++
			o := health.Observation{Cluster: "feed", Member: "m1", HeardMS: 1200, ProbedMS: 40_000}
			st.view.FoldObservations(health.Observations{Observer: "c3", Site: "north", Number: st.number, Observations: []health.Observation{o}},
				st.now)
		}, false},
	} {
		st := twoSites(t, 1, nil)
		st.vanish()
		c.speaks(st)
		if got := st.problem(health.SiteLost); got != c.lost {
			t.Errorf("%s: lost %v", c.name, got)
		}
	}
}

func TestSiteLostBeginsAFailover(t *testing.T) {
	st := twoSites(t, 1, nil)
	st.vanish()
	st.observations("c3", "north", false)
	if b := st.commits().Begin; b == nil || !strings.HasPrefix(b.Reason, string(health.SiteLost)) {
		t.Fatalf("begin %+v", b)
	}
}

// TestBlockEndsWhereASiteIsLost: a failover within the site that is lost now does not bar the next, one to it does.
func TestBlockEndsWhereASiteIsLost(t *testing.T) {
	for to, from := range map[string]string{"m1": "m1", "m2": "m3"} {
		begins := from == to
		st := twoSites(t, 1, nil)
		st.justRecovered(from, to)
		st.vanish()
		st.observations("c3", "north", false)
		if cmd, why, _ := st.next(); (cmd != nil && cmd.Begin != nil) != begins {
			t.Errorf("after a failover to %s: %s %s", to, body(cmd), why)
		}
	}
}

// losesEast begins the failover of a lost site, and seals the replicas.
func (st *stage) losesEast() {
	st.t.Helper()
	st.vanish()
	st.observations("c3", "north", false)
	st.commits()
	st.later(0)
	st.seal("m2", "m3")
}

// TestApprovalOfWhatIsLeft: one that answers and is not sealed in time holds the question up no longer.
func TestApprovalOfWhatIsLeft(t *testing.T) {
	st := twoSites(t, 1, func(p *platform.Platform) { p.Clusters[0].Failover.AcrossSites = "approval" })
	st.vanish()
	st.observations("c3", "north", false)
	st.commits()
	st.later(0)
	st.seal("m2")
	for range 4 {
		st.step(time.Second)
	}
	if !st.problem(health.ApprovalNeeded) {
		t.Error("nobody is told that an approval is needed")
	}
}

// TestApprovalEndsWhenThePrimaryIsBack: nobody was promoted, so the primary goes on under a higher epoch, without a restart.
func TestApprovalEndsWhenThePrimaryIsBack(t *testing.T) {
	st := twoSites(t, 1, func(p *platform.Platform) { p.Clusters[0].Failover.AcrossSites = "approval" })
	back := *st.members["m1"]
	st.losesEast()
	st.members["m1"] = &back
	st.later(graceForSeals + time.Second)
	if a := st.commits().Abandon; a == nil || a.Reason != (Reason{Code: wellAgain, Member: "m1"}).String() {
		t.Fatalf("abandon %+v", a)
	}
}

// TestPredictSiteLost: explain says what the policy does where the whole site of the primary is lost.
func TestPredictSiteLost(t *testing.T) {
	asks := join(Reason{Code: approvalAwaited, Member: "m2", Is: "west", Other: "feed"}, Reason{Code: nothingWouldBeLost})
	for policy, want := range map[platform.AcrossSites]string{
		platform.AcrossAutomatic: "m2 would be promoted",
		platform.AcrossApproval:  "no member would be promoted: " + asks.String(),
		platform.AcrossNever:     "no member would be promoted: ",
	} {
		st := twoSites(t, 1, func(p *platform.Platform) { p.Clusters[0].Failover.AcrossSites = policy })
		got := Predict(st.input(), "feed", SiteLost)
		if text := Sentence(got); !strings.HasPrefix(text, want) {
			t.Errorf("%s: %s", policy, text)
		}
		if why := got.Others["m2"]; policy == platform.AcrossApproval && why != (Reason{Code: needsApproval, Other: "feed"}).String() {
			t.Errorf("m2: %s", why)
		}
		never := Reason{Code: mayNotLeaveSite, Cluster: "feed", Member: "m2", Is: "never"}
		if why := got.Others["m2"]; policy == platform.AcrossNever && why != never.String() {
			t.Errorf("m2: %s", why)
		}
	}
}

// TestStuckSoonerWhereTheReplicasBearItOut: nothing comes from any process of the primary.
func TestStuckSoonerWhereTheReplicasBearItOut(t *testing.T) {
	for silent, sooner := range map[bool]bool{true: true, false: false} {
		st := well(t, 1, nil)
		st.members["m1"].Stale = 1600
		if silent {
			st.members["m2"].Receiver, st.members["m3"].Receiver = &health.Receiver{Streaming: true, AgeMS: 1600}, nil
		}
		st.later(0)
		if cmd, _, _ := st.next(); (cmd != nil && cmd.Begin != nil) != sooner {
			t.Errorf("replicas silent %v: %s", silent, body(cmd))
		}
	}
}

// The most patient cluster, and the hook that may take longest, set how long is waited for what concerns a whole site.
func TestSiteWaitsForTheMostPatient(t *testing.T) {
	st := well(t, 1, func(p *platform.Platform) {
		slow := platform.Cluster{Name: "slow", Lease: 4 * lease, Durability: p.Clusters[0].Durability, Failover: p.Clusters[0].Failover,
			Members: []platform.Member{{Name: "s1", Host: "h1", Port: 5433, MayLead: true}}}
		quick := slow
		quick.Name, quick.Lease, quick.Members = "a-quick", lease/5, []platform.Member{{Name: "q1", Host: "h2", Port: 5434, MayLead: true}}
		p.Clusters = append(p.Clusters, slow, quick)
		p.Hooks = []platform.Hook{{Timeout: 5 * time.Second}, {Timeout: time.Minute}, {Timeout: time.Second}}
	})
	in := st.input()
	if got := in.suspect(); got != platform.Suspect(4*lease) {
		t.Errorf("suspect after %s", got)
	}
	if got := (&siteChangeView{Input: in}).longestHook(); got != time.Minute+hookGrace {
		t.Errorf("a hook may take %s", got)
	}
}
