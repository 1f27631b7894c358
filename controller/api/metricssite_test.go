package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// seen is a loop that leads, and knows what a test says.
type seen struct {
	Loop
	snapshot loop.Snapshot
}

func (s seen) Snapshot(context.Context) (loop.Snapshot, error) { return s.snapshot, nil }
func (seen) Submit(context.Context, state.Command) error       { return nil }

type quiet struct{}

func (quiet) Term() uint64    { return 1 }
func (quiet) Applied() uint64 { return 1 }

func TestSiteMetrics(t *testing.T) {
	s := state.New()
	s.Platform = &platform.Platform{Name: "social", Sites: []platform.Site{{Name: "east"}, {Name: "west"}},
		Hosts: []platform.Host{{Name: "app-1", Site: "east"}},
		Apps: []platform.App{{Name: "web", Run: platform.RunEverywhere, Minimum: 1, Instances: []platform.Instance{
			{Name: "web1", Site: "east", Host: "app-1"}, {Name: "web2", Site: "east"}, {Name: "web3", Site: "west"}}}}}
	s.Apps = map[string]*state.App{"web": {Name: "web", Out: map[string]string{"web2": "web2 is down"}}}
	s.Change = &state.SiteChange{ID: "site-1", To: "west", Step: platform.StepApps, Halted: "web3 is down"}
	snapshot := loop.Snapshot{Leading: true, Input: decide.Input{State: s, Controllers: []string{"c1"}, View: health.NewView(0),
		Now: time.Second}}
	snapshot.Input.View.Fold(&health.Report{Host: "app-1", Instances: []health.Instance{{Name: "web1", Running: true}}}, "", time.Second,
		time.Second)
	snapshot.Input.View.FoldObservations(health.Observations{Observer: "c1", Number: 1, Apps: []health.InstanceObservation{
		{App: "web", Instance: "web1", Health: health.Well}, {App: "web", Instance: "web3", Health: health.Down}}}, time.Second)
	snapshot.Last.Problems = []health.Problem{{Kind: health.SiteLost, Site: "west"},
		{Kind: health.AppDown, App: "web", Site: "east", Instance: "web2"}, {Kind: health.ControllerSilent, Site: "west", Controller: "c2"}}

	a := New(Options{Loop: seen{snapshot: snapshot}, Log: quiet{}, Certificates: func() []identity.End { return nil }})
	w := httptest.NewRecorder()
	a.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`mainstay_site_lost{site="east"} 0`, `mainstay_site_lost{site="west"} 1`, "mainstay_site_switchover_running 1\n",
		"mainstay_site_switchover_halted 1\n",
		`mainstay_problems{app="",cluster="",controller="",kind="SiteLost",severity="critical",site="west"} 1`,
		`mainstay_problems{app="web",cluster="",controller="",kind="AppDown",severity="warning",site="east"} 1`,
		`mainstay_problems{app="",cluster="",controller="c2",kind="ControllerSilent",severity="warning",site="west"} 1`,
		`mainstay_app_instances_wanted{app="web",site="east"} 2`, `mainstay_app_instances_in_routing{app="web",site="east"} 1`,
		`mainstay_app_instances_well{app="web",site="east"} 1`, `mainstay_app_instances_well{app="web",site="west"} 0`,
		`mainstay_app_instances_running{app="web",site="east"} 1`, `mainstay_app_instances_running{app="web",site="west"} 0`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body.String())
	}
}

// TestReplayMetrics: what a replica has received and not replayed is no part of its lag behind the primary.
func TestReplayMetrics(t *testing.T) {
	s := subjectWith(t, func(primary, replica *health.Member) {
		primary.Role, primary.Position = health.RolePrimary, 0x3000000
		replica.Role, replica.Position, replica.PositionKnown, replica.Replayed = health.RoleStandby, 0x3000000, true, 0x2000000
		replica.ReplayAgeMS = 600_500
	})
	s.snapshot.Leading = true
	if m := memberStatus(s.snapshot, s.conf, s.c, s.conf.Member("m2")); m.Lag != 0 || m.Unreplayed != 0x1000000 {
		t.Errorf("lag %d, unreplayed %d", m.Lag, m.Unreplayed)
	}
	a := New(Options{Loop: seen{snapshot: s.snapshot}, Log: quiet{}, Certificates: func() []identity.End { return nil }})
	w := httptest.NewRecorder()
	a.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`mainstay_member_lag_bytes{cluster="feed",member="m2"} 0`,
		`mainstay_member_unreplayed_bytes{cluster="feed",member="m2"} 1.6777216e+07`,
		`mainstay_member_replay_age_seconds{cluster="feed",member="m2"} 600.5`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %q:\n%s", want, w.Body.String())
		}
	}
	if strings.Contains(w.Body.String(), `mainstay_member_unreplayed_bytes{cluster="feed",member="m1"}`) {
		t.Error("a primary has nothing to replay")
	}
}

// TestLogMetrics: what PostgreSQL's log says against the data or the disk is counted by kind while it is recent; of a member whose log is
// not known, nothing is said.
func TestLogMetrics(t *testing.T) {
	scrape := func(log *health.ServerLog) string {
		s := subjectWith(t, func(_, replica *health.Member) { replica.Log = log })
		s.snapshot.Leading = true
		a := New(Options{Loop: seen{snapshot: s.snapshot}, Log: quiet{}, Certificates: func() []identity.End { return nil }})
		w := httptest.NewRecorder()
		a.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	signs := func(kind string) string {
		return `mainstay_member_log_signs{cluster="feed",kind="` + kind + `",member="m2"} `
	}
	const read = `mainstay_member_log_read{cluster="feed",member="m2"} `
	if text := scrape(nil); strings.Contains(text, "member_log_") {
		t.Errorf("without a log:\n%s", text)
	}
	text := scrape(&health.ServerLog{Form: "csvlog", Signs: []health.LogSign{{Kind: health.SignOfDamage, Count: 3, LastMS: 60_000},
		{Kind: health.SignOfStorage, Count: 9, LastMS: health.SignLasts.Milliseconds()}}})
	for _, want := range []string{read + "1\n", signs("damage") + "3\n", signs("storage") + "0\n", signs("panic") + "0\n",
		signs("internal") + "0\n", signs("wal") + "0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, log := range []health.ServerLog{{Form: "stderr", Unread: "permission denied"}, {}} {
		if text := scrape(&log); !strings.Contains(text, read+"0\n") {
			t.Errorf("%+v:\n%s", log, text)
		}
	}
}

// TestScanMetrics: a member's scan has an age only once it is complete.
func TestScanMetrics(t *testing.T) {
	scrape := func(scan *health.Scan) string {
		s := subjectWith(t, func(_, replica *health.Member) { replica.Scan = scan })
		s.snapshot.Leading = true
		a := New(Options{Loop: seen{snapshot: s.snapshot}, Log: quiet{}, Certificates: func() []identity.End { return nil }})
		w := httptest.NewRecorder()
		a.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	const age = `mainstay_member_scan_age_seconds{cluster="feed",member="m2"} `
	const findings = `mainstay_member_scan_findings{cluster="feed",member="m2"} `
	if text := scrape(nil); strings.Contains(text, age) || strings.Contains(text, findings) || !strings.Contains(text, "mainstay_member_up") {
		t.Errorf("without a scan:\n%s", text)
	}
	if text := scrape(&health.Scan{NextMS: 540_000}); strings.Contains(text, age) || strings.Contains(text, findings) {
		t.Errorf("before the first scan:\n%s", text)
	}
	text := scrape(&health.Scan{Running: true, Percent: 3, Findings: 2})
	if strings.Contains(text, age) || !strings.Contains(text, findings+"2\n") {
		t.Errorf("during the first scan:\n%s", text)
	}
	text = scrape(&health.Scan{Complete: true, AgeMS: 3600_000})
	if !strings.Contains(text, age+"360") || !strings.Contains(text, findings+"0\n") {
		t.Errorf("after a scan:\n%s", text)
	}
}
