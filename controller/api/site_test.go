package api

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// A request that follows a site switchover returns when it has halted, and is not held until an end that may never come.
func TestSiteSwitchoverHalted(t *testing.T) {
	s := state.New()
	s.Change = &state.SiteChange{ID: "site-2", To: "west", Step: platform.StepApps, Halted: "web3 is down"}
	s.Changes = []state.Operation{{ID: "site-1", Kind: state.SiteSwitchover, Result: state.Done},
		{ID: "site-2", Kind: state.SiteSwitchover, Result: state.Running}}
	a := New(Options{Loop: seen{snapshot: loop.Snapshot{Leading: true}}, States: fixed{s}})
	ask := func(id string) wire.HistoryAnswer {
		t.Helper()
		q := httptest.NewRequest("GET", "/v1/site-switchovers/"+id+"?wait=1", nil)
		q.SetPathValue("id", id)
		out, err := a.siteSwitchoverOf(t.Context(), &request{Request: q})
		if err != nil {
			t.Fatal(err)
		}
		return out.(wire.HistoryAnswer)
	}
	got := ask("site-2").Halted
	if got == nil || got.Step != platform.StepApps || got.Why != "web3 is down" ||
		!slices.Equal(got.Decisions, []string{"retry", "undo", "continue"}) {
		t.Errorf("halted: %+v", got)
	}
	if got := ask("site-1"); got.Halted != nil || len(got.Operations) != 1 {
		t.Errorf("one that has ended: %+v", got)
	}
}

// A decision about one step is not taken for another, where another operator has continued the site switchover meanwhile.
func TestSiteDecisionAboutAnotherStep(t *testing.T) {
	s := state.New()
	s.PlatformID, s.Platform = "id", &platform.Platform{Name: "social"}
	s.Change = &state.SiteChange{ID: "site-2", Version: 9, To: "west", Step: platform.StepVerify, Halted: "web3 does not verify"}
	s.Changes = []state.Operation{{ID: "site-2", Kind: state.SiteSwitchover, Result: state.Running}}
	word := func(version string) error {
		q := httptest.NewRequest("POST", "/v1/site-switchovers/site-2/word", strings.NewReader(`{"word":"continue"`+version+`}`))
		q.SetPathValue("id", "site-2")
		a := New(Options{Loop: seen{snapshot: loop.Snapshot{Leading: true, Input: decide.Input{State: s}}}, States: fixed{s}})
		_, err := a.siteDecision(t.Context(), &request{Request: q})
		return err
	}
	if err := word(`,"version":7`); err == nil || !strings.Contains(err.Error(), "has changed since you read its state") {
		t.Errorf("a word about version 7: %v", err)
	}
	for _, version := range []string{`,"version":9`, ""} {
		if err := word(version); err != nil {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// An approval of a failover that is not running is refused with the names of those that wait.
func TestApproveNamesWhatWaits(t *testing.T) {
	s := state.New()
	s.Clusters["feed"] = &state.Cluster{Name: "feed", Attempt: &state.Attempt{Operation: "feed-7"}}
	snapshot := loop.Snapshot{Leading: true, Input: decide.Input{State: s}}
	for want, problems := range map[string][]health.Problem{
		"no failover feed-8 is running; no operation waits for an approval now: see `mainstay status`": nil,
		"no failover feed-8 is running; operations that wait for an approval now: `mainstay approve feed-7`": {{Kind: health.ApprovalNeeded,
			Cluster: "feed"}},
	} {
		snapshot.Last.Problems = problems
		a := New(Options{Loop: seen{snapshot: snapshot}, States: fixed{s}})
		q := httptest.NewRequest("POST", "/v1/operations/feed-8/approve", nil)
		q.SetPathValue("id", "feed-8")
		if _, err := a.approve(t.Context(), &request{Request: q}); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// An app server that runs everywhere has no permit that ends: it is taken to its primary's site only while its agent answers.
func TestRunWithPrimaryNeedsTheAgents(t *testing.T) {
	with := func(run platform.AppRun) *platform.Platform {
		return &platform.Platform{Name: "social", Clusters: []platform.Cluster{{Name: "feed", Lease: platform.DefaultLease}},
			Apps: []platform.App{{Name: "web", Run: run, Needs: []string{"feed"},
				Instances: []platform.Instance{{Name: "web1", Site: "east", Host: "h1"}, {Name: "web2", Site: "west", Host: "h2"}}}}}
	}
	in := decide.Input{State: &state.State{Platform: with(platform.RunEverywhere)}, View: health.NewView(0), Now: time.Minute}
	hear := func(host, instance string) {
		in.View.Fold(&health.Report{Host: host, RunID: "r", Number: 1, Instances: []health.Instance{{Name: instance}}}, "", 0, in.Now)
	}
	hear("h1", "web1")
	if err := unpermitted(in, with(platform.RunWithPrimary)); err == nil ||
		!strings.Contains(err.Error(), "cannot stop web2, because the agent of h2 does not report it") {
		t.Errorf("h2 is silent: %v", err)
	}
	if err := unpermitted(in, with(platform.RunEverywhere)); err != nil {
		t.Errorf("nothing changes: %v", err)
	}
	hear("h2", "web2")
	if err := unpermitted(in, with(platform.RunWithPrimary)); err != nil {
		t.Errorf("both answer: %v", err)
	}
	in.Now += time.Minute
	in.State.Platform = with(platform.RunWithPrimary)
	if err := unpermitted(in, with(platform.RunWithPrimary)); err != nil {
		t.Errorf("it ran so before: %v", err)
	}
	in.State.Platform = nil
	if err := unpermitted(in, with(platform.RunWithPrimary)); err != nil {
		t.Errorf("the first platform: %v", err)
	}
}

// A base backup of the user's holds up a site switchover too where the platform file says so. A dry run only names it.
func TestSiteSwitchoverAwaitsBackups(t *testing.T) {
	for _, c := range []struct {
		policy platform.BaseBackups
		paused bool
		code   string // of the refusal; "" for none
	}{
		{platform.AwaitBackups, false, wire.CodeBackup},
		{platform.AwaitBackups, true, codeRefused},
		{"", false, ""},
	} {
		s := subjectWith(t, func(primary, _ *health.Member) {
			primary.Senders = []health.Sender{{Name: "pg_basebackup", State: "backup"}}
		})
		p := s.snapshot.Input.State.Platform
		p.Sites, p.Hosts[1].Site, s.conf.BaseBackups = append(p.Sites, platform.Site{Name: "west"}), "west", c.policy
		if c.paused {
			s.c.Pause = &state.Pause{By: "bob"}
		}
		a := New(Options{Loop: seen{snapshot: s.snapshot}, States: fixed{s.snapshot.Input.State}})
		ask := func(body string) (wire.OperationAnswer, error) {
			q := httptest.NewRequest("POST", "/v1/site-switchovers", strings.NewReader(body))
			out, err := a.siteSwitchover(t.Context(), &request{Request: q})
			answer, _ := out.(wire.OperationAnswer)
			return answer, err
		}
		code := ""
		if _, err := ask(`{"to":"west"}`); err != nil {
			code = a.faultOf(err).code
		}
		if code != c.code {
			t.Errorf("%+v: refused with %q", c, code)
		}
		const step = `check: wait for the base backups that are being taken from m1, now "pg_basebackup" (base-backups: wait); `
		answer, err := ask(`{"to":"west","dryRun":true}`)
		waits := len(answer.Plan) > 0 && strings.HasPrefix(answer.Plan[0], step)
		warns := strings.Contains(strings.Join(answer.Warnings, "; "), "base backup")
		if (err != nil) != c.paused || waits != (c.code == wire.CodeBackup) || waits && warns {
			t.Errorf("%+v, a dry run: %v, %q, %q", c, err, answer.Plan, answer.Warnings)
		}
	}
}
