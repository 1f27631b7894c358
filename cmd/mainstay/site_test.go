package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// mover stands in for a leader that moves the platform to site west.
type mover struct {
	mu    sync.Mutex
	looks int
	op    state.Operation
	all   []state.Step
	halt  *wire.Halted // where it halts, once all steps were shown
	word  string
	// backups is how many more requests a base backup holds up.
	backups int
}

func newMover(s *server, result state.Result, halt *wire.Halted) *mover {
	m := &mover{halt: halt, op: state.Operation{ID: "site-1", Kind: state.SiteSwitchover, To: "west", By: "anna", Result: result,
		Outcome: "the platform runs on site west"},
		all: []state.Step{{Name: "began", At: "2026-05-04T03:02:01.000Z"},
			{Name: "quiesce", At: "2026-05-04T03:02:01.010Z", Note: "all checks passed"}}}
	s.mux.HandleFunc("POST /v1/site-switchovers", func(w http.ResponseWriter, r *http.Request) {
		var req wire.SiteSwitchoverRequest
		bodyOf(r, &req)
		m.mu.Lock()
		held := !req.DryRun && m.backups > 0
		if held {
			m.backups--
		}
		m.mu.Unlock()
		if held {
			reply(w, http.StatusConflict, wire.Error{Code: wire.CodeBackup, Message: "a base backup is being taken"})
			return
		}
		a := wire.OperationAnswer{Operation: "site-1", Target: req.To,
			Plan: []string{"quiesce: app web is drained (5s) and stopped on every site"}}
		if req.DryRun {
			a.Operation, a.DryRun = "", true
		}
		reply(w, http.StatusOK, a)
	})
	s.mux.HandleFunc("GET /v1/site-switchovers/site-1", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, m.look()) })
	s.mux.HandleFunc("POST /v1/site-switchovers/site-1/word", func(w http.ResponseWriter, r *http.Request) {
		var req wire.SiteDecisionRequest
		bodyOf(r, &req)
		m.mu.Lock()
		m.word, m.halt = req.Decision, nil
		m.mu.Unlock()
		reply(w, http.StatusOK, wire.OperationAnswer{Operation: "site-1"})
	})
	s.mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		st := statusOf("127.0.0.1:1")
		st.Sites = []wire.SiteStatus{{Name: "east"}, {Name: "west"}, {Name: "north", Witness: true}}
		st.Change = &wire.SiteChange{SiteChange: state.SiteChange{ID: "site-1", Version: 7, To: "west", Step: platform.StepClusters,
			Former: map[string]string{"feed": "feed-e2"}}}
		if m.halt != nil {
			st.Change.Halted = m.halt.Why
		}
		reply(w, http.StatusOK, st)
	})
	return m
}

// look shows one more step each time, then the end or the halt.
func (m *mover) look() wire.HistoryAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	op := m.op
	op.Steps, op.Result = m.all[:min(m.looks, len(m.all))], state.Running
	if m.looks <= len(m.all) {
		return wire.HistoryAnswer{Operations: []state.Operation{op}}
	}
	if m.halt == nil {
		op.Result = m.op.Result
	}
	return wire.HistoryAnswer{Operations: []state.Operation{op}, Halted: m.halt}
}

func haltedAtClusters() *wire.Halted {
	return &wire.Halted{Step: platform.StepClusters, Why: "cluster feed: it did not catch up",
		Decisions: []string{state.DecisionRetry, state.DecisionUndo, state.DecisionContinue}}
}

func TestSiteSwitchover(t *testing.T) {
	b, s := leader(t)
	newMover(s, state.Done, nil)
	line := []string{"site", "switchover", "--to", "west", "--reason", "power"}
	b.want(exitDone, append(line, "--dry-run"), "target: west", "1. quiesce: app web", "nothing was changed")
	if body := s.body("POST /v1/site-switchovers"); body != `{"to":"west","reason":"power","dryRun":true}` {
		t.Fatalf("asked for %s", body)
	}
	b.want(exitDone, append(line, "--yes"), "1. quiesce: app web", "+0.000s  began\n", "+0.010s  quiesce  all checks passed\n",
		"site-switchover done: the platform runs on site west (site-1, 10ms)")
	if body := s.body("POST /v1/site-switchovers"); body != `{"to":"west","reason":"power","dryRun":false}` {
		t.Errorf("asked for %s", body)
	}
	b.asks, b.stdin = true, "\n"
	b.want(exitRefused, line, "move the platform to site west now? [y/N]", "not confirmed; nothing was changed")
	if body := s.body("POST /v1/site-switchovers"); !strings.Contains(body, `"dryRun":true`) {
		t.Errorf("without a confirmation more than a dry run was asked for: %s", body)
	}
}

func TestSiteSwitchoverRefused(t *testing.T) {
	b, s := leader(t)
	s.answer("POST /v1/site-switchovers", http.StatusConflict,
		wire.Error{Message: "the platform cannot move to site west now: cluster feed: it is paused by bob (disks)", Code: "refused"})
	b.want(exitRefused, []string{"site", "switchover", "--to", "west"},
		"mainstay: the platform cannot move to site west now: cluster feed: it is paused by bob")
	if n := s.called("POST /v1/site-switchovers"); n != 1 {
		t.Errorf("asked %d times: a refused plan is not begun", n)
	}
}

// A site switchover that a base backup holds up is asked for until that has ended.
func TestSiteSwitchoverAfterABackup(t *testing.T) {
	b, s := leader(t)
	newMover(s, state.Done, nil).backups = 2
	b.want(exitRefused, []string{"site", "switchover", "--to", "west", "--yes", "--backups-wait", "0"}, "a base backup is being taken",
		"!waiting for")
	b.want(exitDone, []string{"site", "switchover", "--to", "west", "--yes"}, "waiting for at most 10m0s: a base backup",
		"site-switchover done")
	if got := s.called("POST /v1/site-switchovers"); got != 5 { // two plans, and begun at the third time
		t.Errorf("asked %d times", got)
	}
	b.want(exitUsage, []string{"site", "switchover", "--to", "west", "--yes", "--backups-wait", "-1s"}, "--backups-wait")
}

func TestSiteSwitchoverEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		result state.Result
		halt   *wire.Halted
		wait   string
		code   int
		want   string
	}{
		{"given up before anything moved", state.Abandoned, nil, "20s", exitFailed, "site-switchover abandoned"},
		{"halted", state.Running, haltedAtClusters(), "20s", exitFailed,
			"halted at step clusters: cluster feed: it did not catch up\n  mainstay site retry site-1"},
		{"too slow", state.Running, nil, "1s", exitTimeout,
			"site switchover site-1 has not ended within 1s; it continues without this command: `mainstay site history site-1`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, s := leader(t)
			newMover(s, c.result, c.halt)
			b.want(c.code, []string{"site", "switchover", "--to", "west", "--yes", "--wait", c.wait}, c.want)
		})
	}
	b, s := leader(t)
	newMover(s, state.Running, haltedAtClusters())
	b.want(exitFailed, []string{"site", "switchover", "--to", "west", "--yes", "-o", "json"}, `"why": "cluster feed: it did not catch up"`,
		`"id": "site-1"`)
}

func TestSiteDecisions(t *testing.T) {
	for _, c := range []struct {
		word   string
		result state.Result
		code   int
		wants  []string
	}{
		{state.DecisionRetry, state.Done, exitDone, []string{"retry: run step clusters again", "site-switchover done"}},
		{state.DecisionContinue, state.Done, exitDone, []string{"leave step clusters as it is", "site-switchover done"}},
		{state.DecisionUndo, state.Abandoned, exitDone, []string{"move clusters and apps back", "feed: the site of feed-e2",
			"site-switchover abandoned"}},
		{state.DecisionUndo, state.Done, exitFailed, nil},
	} {
		b, s := leader(t)
		m := newMover(s, c.result, haltedAtClusters())
		b.want(exitDone, []string{"site", c.word, "--dry-run"}, "nothing was changed")
		if m.word != "" {
			t.Fatalf("%s was said in a dry run", m.word)
		}
		b.want(exitRefused, []string{"site", c.word, "site-9"}, "site-9 is not running, site-1 is")
		b.asks, b.stdin = true, "n\n"
		b.want(exitRefused, []string{"site", c.word}, c.word+" now? [y/N]")
		b.stdin = "y\n"
		if b.want(c.code, []string{"site", c.word}, c.wants...); m.word != c.word {
			t.Errorf("said %q, want %s", m.word, c.word)
		}
		if body := s.body("POST /v1/site-switchovers/site-1/word"); body != `{"word":"`+c.word+`","version":7}` {
			t.Errorf("asked for %s", body)
		}
		b.want(exitRefused, []string{"site", c.word}, "site switchover site-1 has not halted: it runs step clusters")
	}
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.want(exitRefused, []string{"site", "retry"}, "no site switchover is running")
}

func TestSiteHistory(t *testing.T) {
	b, s := leader(t)
	ops := []state.Operation{{ID: "site-1", Kind: state.SiteSwitchover, To: "west", By: "anna", Result: state.Done},
		{ID: "site-2", Kind: state.SiteSwitchover, To: "east", Result: state.Abandoned}}
	s.answer("GET /v1/site-switchovers", http.StatusOK, wire.HistoryAnswer{Operations: ops})
	s.answer("GET /v1/site-switchovers/site-2", http.StatusOK, wire.HistoryAnswer{Operations: ops[1:]})
	b.want(exitDone, []string{"site", "history"}, "site-1   site-switchover   done", "by  anna", "site west", "site-2")
	b.want(exitDone, []string{"site", "history", "site-2"}, "!site-1", "site-2   site-switchover   abandoned")
}

// waiting is a status in which the failover feed-7 waits for an approval.
func waiting() wire.Status {
	st := statusOf("127.0.0.1:1")
	st.Clusters[0].Operation = &state.Operation{ID: "feed-7", Kind: state.Failover, Result: state.Running}
	st.Problems = []health.Problem{{Kind: health.ApprovalNeeded, Cluster: "feed",
		Evidence: "feed-w1 on site west could take over; no acknowledged commit would be lost"}}
	return st
}

func TestApprove(t *testing.T) {
	b, s := leader(t)
	steps(s, state.Done)
	s.answer("GET /v1/status", http.StatusOK, waiting())
	s.answer("POST /v1/operations/feed-7/approve", http.StatusOK, wire.OperationAnswer{Operation: "feed-7"})
	b.want(exitRefused, []string{"approve", "feed-8"},
		"no failover feed-8 is running; operations that wait for an approval now: `mainstay approve feed-7`\n")
	b.want(exitDone, []string{"approve", "feed-7", "--dry-run"},
		"feed: feed-w1 on site west could take over; no acknowledged commit would be lost", "nothing was changed")
	b.asks, b.stdin = true, "\n"
	b.want(exitRefused, []string{"approve", "feed-7"}, "could take over", "let the primary of feed move to another site? [y/N]")
	if s.called("POST /v1/operations/feed-7/approve") != 0 {
		t.Fatal("approved without a word")
	}
	b.stdin = "y\n"
	for n, name := range []string{"feed-7", "feed"} { // explain can name but the cluster, before the failover has begun
		b.want(exitDone, []string{"approve", name}, "+0.000s  began", "switchover done: feed-e1 is primary (feed-7, 700ms)")
		if got := s.called("POST /v1/operations/feed-7/approve"); got != n+1 {
			t.Errorf("approve %s: approved %d times, want %d", name, got, n+1)
		}
	}
}

func TestApproveRefused(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.want(exitRefused, []string{"approve", "feed"},
		"no failover feed is running; no operation waits for an approval now: see `mainstay status`\n")
	b, s = leader(t)
	st := waiting()
	st.Clusters = append(st.Clusters, wire.ClusterState{Name: "feed-7", Operation: &state.Operation{ID: "feed-7-2", Result: state.Running}})
	s.answer("GET /v1/status", http.StatusOK, st)
	b.want(exitRefused, []string{"approve", "feed-7", "--yes"}, "run `mainstay approve feed` or `mainstay approve feed-7-2`\n")
}

func TestSiteCompletion(t *testing.T) {
	b, s := leader(t)
	newMover(s, state.Done, haltedAtClusters())
	b.want(exitDone, []string{"status"}, "site switchover site-1")
	b.want(exitDone, []string{"__complete", "site", "switchover", "--to", ""}, "east\nwest\n", "!north")
	b.want(exitDone, []string{"__complete", "site", "undo", ""}, "site-1\n")
	b, s = leader(t)
	s.answer("GET /v1/status", http.StatusOK, waiting())
	b.want(exitDone, []string{"status"}, "next: mainstay approve feed-7")
	b.want(exitDone, []string{"__complete", "approve", ""}, "feed-7\n")
}
