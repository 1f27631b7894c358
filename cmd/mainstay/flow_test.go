package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

func statusOf(agentAddress string) wire.Status {
	return wire.Status{Platform: "social", Leader: "c1", Source: "controller c1", At: "2026-05-04T03:02:01Z",
		Hosts: []wire.HostStatus{{Name: "db-e1", Site: "east", Address: agentAddress, Heard: true}},
		Clusters: []wire.ClusterState{{Name: "feed", Primary: "feed-e2", Opened: true, Guarded: true, Members: []wire.MemberStatus{
			{Name: "feed-e1", Host: "db-e1", Address: "10.0.1.11:5432", Goal: platform.GoalReplica},
			{Name: "feed-e2", Host: "db-e2", Address: "10.0.1.12:5433", Goal: platform.GoalPrimary},
		}}}}
}

func TestStatus(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.want(exitDone, []string{"status"}, "platform social   leader c1", "feed-e2", "no problems", "!\x1b[")
	b.want(exitDone, []string{"status", "-o", "json"}, `"leader": "c1"`)
	var st wire.Status
	if err := json.Unmarshal([]byte(b.out), &st); err != nil || st.Platform != "social" {
		t.Errorf("the JSON does not read back: %v, %+v", err, st)
	}
	b.edit = func(p *program) { p.colours = true }
	b.want(exitDone, []string{"status"}, "\x1b[1mplatform social\x1b[0m")
	b.env["NO_COLOR"] = "1"
	b.want(exitDone, []string{"status"}, "!\x1b[")
}

func TestWatch(t *testing.T) {
	for _, line := range []string{"watch", "status --watch"} {
		t.Run(line, func(t *testing.T) {
			b, s := leader(t)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var n atomic.Int32
			s.mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
				reply(w, http.StatusOK, statusOf("127.0.0.1:1"))
				if n.Add(1) == 2 {
					stop()
				}
			})
			b.edit = func(p *program) { p.colours = true }
			code := b.runFor(ctx, strings.Fields(line)...)
			if code != exitDone || !strings.HasPrefix(b.out, clearScreen) || strings.Count(b.out, clearScreen) < 2 {
				t.Errorf("exit code %d, want 0 and the screen drawn twice; got\n%q\n%s", code, b.out, b.err)
			}
		})
	}
}

// mistaken is a way to the controllers on which every request turns out to be a mistake of the command line.
type mistaken struct{ caller }

func (mistaken) Do(context.Context, string, string, any, any) error { return usagef("a mistake") }
func (mistaken) Close()                                             {}

// A mistake of the command line is no better in the next second: it ends the watch, and is shown with the usage.
func TestWatchEndsWithAMistake(t *testing.T) {
	b, _ := leader(t)
	b.edit = func(p *program) { p.dial = func([]string, *tls.Config) caller { return mistaken{} } }
	b.want(exitUsage, []string{"watch"}, "mainstay: a mistake", "usage: mainstay watch")
}

// Without a leader the agents are asked, by the addresses of the last status or by --agents.
func TestNoLeader(t *testing.T) {
	b, s := leader(t)
	agent := b.server(identity.RoleAgent, "db-e1")
	own := statusOf("")
	own.Source, own.Leader = "agent db-e1", ""
	own.Clusters[0].Members = own.Clusters[0].Members[1:]
	own.Clusters[0].Members[0].Seen = &health.Member{Data: health.DataPresent, Process: health.ProcessRunning, Role: health.RolePrimary,
		LeaseLeft: 4200}
	agent.answer("GET /v1/status", http.StatusOK, own)
	var led atomic.Bool
	led.Store(true)
	s.mux.HandleFunc("GET /v1/", func(w http.ResponseWriter, r *http.Request) {
		if led.Load() && r.URL.Path == "/v1/status" {
			reply(w, http.StatusOK, statusOf(agent.address))
			return
		}
		reply(w, http.StatusMisdirectedRequest, notLeader())
	})
	b.want(exitFailed, []string{"explain", "feed"}, "no leader answers", "no agent is known")
	b.want(exitDone, []string{"status"})
	led.Store(false)
	b.want(exitFailed, []string{"status"}, "no leader answers", "not the leader, and none is known",
		"last answered this command at 2026-05-04T03:02:01Z",
		"agent db-e1", "feed-e2", "primary", "4.2s", "next: mainstay controllers list", "!mainstay: ")
	b.want(exitFailed, []string{"explain", "feed"}, "agent db-e1", "feed-e2")
	b.want(exitFailed, []string{"explain", "tags"}, "agent db-e1", "no members", "!feed-e2")
	b.want(exitFailed, []string{"status", "--agents", "127.0.0.1:1"}, "127.0.0.1:1: no answer", "on the host of 127.0.0.1:1: mainstay local\n")
	b.want(exitFailed, []string{"status", "-o", "json"}, `"why"`, `"source": "agent db-e1"`)
	b.want(exitDone, []string{"dsn", "feed"}, "no leader answers; these members are from the status of 2026-05-04T03:02:01Z",
		"postgresql://10.0.1.12:5433,10.0.1.11:5432/")
	b.contexts("127.0.0.1:1")
	b.want(exitFailed, []string{"status"}, "no leader answers", "connection refused", "agent db-e1")
}

func TestDSN(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.want(exitDone, []string{"dsn", "feed", "--user", "app user", "--database", "it's"},
		"postgresql://app%20user@10.0.1.12:5433,10.0.1.11:5432/it%27s?target_session_attrs=read-write&connect_timeout=3",
		`host=10.0.1.12,10.0.1.11 port=5433,5432 user='app user' dbname='it\'s' target_session_attrs=read-write`)
	b.want(exitDone, []string{"dsn", "feed", "--any"}, "target_session_attrs=any")
	b.want(exitRefused, []string{"dsn", "tags"}, "there is no cluster tags")
}

// steps lets an operation grow by one step each time it is looked at.
func steps(s *server, result state.Result) {
	var looks atomic.Int32
	s.mux.HandleFunc("GET /v1/clusters/feed/operations/feed-7", func(w http.ResponseWriter, _ *http.Request) {
		op := state.Operation{ID: "feed-7", Kind: state.Switchover, From: "feed-e2", To: "feed-e1", Result: state.Running, Steps: []state.Step{
			{Name: "began", At: "2026-05-04T03:02:01.000Z"}, {Name: "stopped", At: "2026-05-04T03:02:01.312Z"},
			{Name: "ended", At: "2026-05-04T03:02:01.700Z"}}}
		n := int(looks.Add(1))
		if n == 2 { // a change of leader in the middle
			reply(w, http.StatusMisdirectedRequest, notLeader())
			return
		}
		op.Steps = op.Steps[:min(n, 3)]
		if n >= 4 && result != state.Running {
			op.Result, op.Outcome = result, "feed-e1 is primary"
		}
		reply(w, http.StatusOK, wire.HistoryAnswer{Operations: []state.Operation{op}})
	})
}

func begins(s *server, verb string) {
	s.mux.HandleFunc("POST /v1/clusters/feed/"+verb, func(w http.ResponseWriter, r *http.Request) {
		var req struct{ DryRun bool }
		bodyOf(r, &req)
		if req.DryRun {
			reply(w, http.StatusOK, wire.OperationAnswer{DryRun: true, Target: "feed-e1", Plan: []string{"stop feed-e2"},
				Warnings: []string{"216 B may be lost"}})
			return
		}
		reply(w, http.StatusOK, wire.OperationAnswer{Operation: "feed-7"})
	})
}

func TestSwitchover(t *testing.T) {
	b, s := leader(t)
	begins(s, "switchover")
	steps(s, state.Done)
	b.want(exitDone, []string{"switchover", "feed", "--to", "feed-e1", "--dry-run"}, "target: feed-e1", "1. stop feed-e2",
		"nothing was changed")
	b.want(exitDone, []string{"switchover", "feed", "--to", "feed-e1", "--reason", "kernel", "--yes"}, "+0.000s  began\n",
		"+0.312s  stopped\n",
		"no leader answers; the next leader continues",
		"switchover done: feed-e1 is primary (feed-7, 700ms)")
	if body := s.body("POST /v1/clusters/feed/switchover"); !strings.Contains(body, `"to":"feed-e1","reason":"kernel","dryRun":false`) {
		t.Errorf("asked for %s", body)
	}
	if got := strings.Count(b.out, "began"); got != 1 {
		t.Errorf("the first step was printed %d times", got)
	}
}

// A switchover that a base backup holds up is asked for until that has ended, or for as long as the operator says.
func TestSwitchoverAfterABackup(t *testing.T) {
	b, s := leader(t)
	var free atomic.Bool
	var calls atomic.Int32
	s.mux.HandleFunc("POST /v1/clusters/feed/switchover", func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) > 2 && free.Load() {
			reply(w, http.StatusOK, wire.OperationAnswer{Operation: "feed-7"})
			return
		}
		reply(w, http.StatusConflict, wire.Error{Code: wire.CodeBackup, Message: "a base backup is being taken"})
	})
	steps(s, state.Done)
	b.want(exitRefused, []string{"switchover", "feed", "--yes", "--backups-wait", "0"}, "a base backup is being taken", "!waiting for")
	b.want(exitRefused, []string{"switchover", "feed", "--yes", "--backups-wait", "50ms"}, "waiting for at most 50ms: a base backup")
	free.Store(true)
	calls.Store(0)
	b.want(exitDone, []string{"switchover", "feed", "--yes"}, "waiting for at most 10m0s: a base backup", "switchover done")
	if got := calls.Load(); got != 3 {
		t.Errorf("asked %d times", got)
	}
	b.want(exitUsage, []string{"switchover", "feed", "--yes", "--backups-wait", "-1s"}, "--backups-wait")
}

func TestSwitchoverEnds(t *testing.T) {
	for _, c := range []struct {
		result state.Result
		wait   string
		code   int
		want   string
	}{
		{state.Abandoned, "20s", exitFailed, "next: mainstay status shows what is wrong now; `mainstay history feed feed-7` shows the steps"},
		{state.Failed, "20s", exitFailed, "switchover failed"},
		{state.Running, "1s", exitTimeout,
			"operation feed-7 has not ended within 1s; it continues without this command: `mainstay history feed feed-7`"},
	} {
		b, s := leader(t)
		begins(s, "switchover")
		steps(s, c.result)
		b.want(c.code, []string{"switchover", "feed", "--yes", "--wait", c.wait}, c.want)
	}
}

func TestSwitchoverAsks(t *testing.T) {
	b, s := leader(t)
	begins(s, "switchover")
	steps(s, state.Done)
	b.asks, b.stdin = true, "\n"
	b.want(exitRefused, []string{"switchover", "feed"}, "1. stop feed-e2", "switch over feed now? [y/N]", "not confirmed; nothing was changed")
	b.stdin = "y\n"
	b.want(exitDone, []string{"switchover", "feed"}, "switchover done")
	if body := s.body("POST /v1/clusters/feed/switchover"); body != `{"to":"feed-e1","dryRun":false}` {
		t.Errorf("after the plan to promote feed-e1 was confirmed, asked for %s", body)
	}
	b.stdin = ""
	b.want(exitDone, []string{"switchover", "feed", "--yes", "-o", "json"}, `"result": "done"`, "![y/N]")
}

func TestFailover(t *testing.T) {
	b, s := leader(t)
	begins(s, "failover")
	steps(s, state.Done)
	s.answer("GET /v1/clusters/feed/explain", http.StatusOK, wire.ExplainAnswer{Cluster: "feed", Now: "waiting for feed-e3"})
	args := []string{"failover", "feed", "--to", "feed-e1", "--accept-loss", "site east is flooded", "--fenced"}
	b.want(exitDone, append(args, "--dry-run"), "warning: 216 B may be lost", "nothing was changed")
	b.want(exitRefused, args, "216 B may be lost", "add --yes")
	b.asks, b.stdin = true, "y\n"
	b.want(exitRefused, args, "now: waiting for feed-e3", "216 B may be lost", "site east is flooded", "you state that the old primary is off",
		"type feed to continue", "not confirmed")
	if body := s.body("POST /v1/clusters/feed/failover"); !strings.Contains(body, `"dryRun":true`) {
		t.Fatalf("without a confirmation more than a dry run was asked for: %s", body)
	}
	b.stdin = "feed\n"
	b.want(exitDone, args, "switchover done: feed-e1 is primary")
	if body := s.body(
		"POST /v1/clusters/feed/failover"); body != `{"to":"feed-e1","acceptLoss":"site east is flooded","fenced":true,"dryRun":false}` {
		t.Errorf("asked for %s", body)
	}
	b.asks, b.stdin = false, ""
	b.want(exitDone, append(args, "--yes"), "switchover done")
}

func TestHistoryExplainPauseResume(t *testing.T) {
	b, s := leader(t)
	ops := []state.Operation{{ID: "feed-1", Kind: state.Bootstrap, Result: state.Done},
		{ID: "feed-2", Kind: state.Failover, Result: state.Done}}
	s.answer("GET /v1/clusters/feed/history", http.StatusOK, wire.HistoryAnswer{Operations: ops})
	s.answer("GET /v1/clusters/feed/operations/feed-1", http.StatusOK, wire.HistoryAnswer{Operations: ops[:1]})
	s.answer("GET /v1/clusters/feed/explain", http.StatusOK, wire.ExplainAnswer{Cluster: "feed", Primary: "feed-e1"})
	s.answer("POST /v1/clusters/feed/pause", http.StatusOK, struct{}{})
	s.answer("POST /v1/clusters/feed/resume", http.StatusNoContent, nil)
	b.want(exitDone, []string{"history", "feed"}, "feed-1   bootstrap   done", "feed-2   failover   done")
	b.want(exitDone, []string{"history", "feed", "--limit", "1"}, "!feed-1", "feed-2")
	b.want(exitDone, []string{"history", "feed", "feed-1"}, "feed-1", "!feed-2")
	b.want(exitDone, []string{"explain", "feed"}, "what is wrong", "if the primary failed now")
	b.want(exitDone, []string{"pause", "feed", "--reason", "firmware", "--for", "30m"}, "paused feed", "automatically in 30m")
	if body := s.body("POST /v1/clusters/feed/pause"); body != `{"reason":"firmware","for":1800000000000}` {
		t.Errorf("asked for %s", body)
	}
	b.want(exitDone, []string{"resume", "feed"}, "resuming feed")
}

// Refusals and failures of the leader keep its message, and give the exit code of their kind.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		exit   int
	}{
		{http.StatusUnauthorized, "forbidden", exitRefused}, {http.StatusForbidden, "forbidden", exitRefused},
		{http.StatusConflict, "refused", exitRefused},
		{http.StatusBadRequest, "bad-request", exitFailed}, {http.StatusNotFound, "bad-request", exitRefused},
		{http.StatusInternalServerError, "failed", exitFailed}, {http.StatusGatewayTimeout, "timeout", exitTimeout},
	} {
		b, s := leader(t)
		s.answer("/v1/", c.status, wire.Error{Message: "feed is paused; run `mainstay resume feed`", Code: c.code})
		for _, line := range []string{"status", "switchover feed", "explain feed", "history feed", "pause feed --reason x", "export",
			"controllers transfer", "controllers list"} {
			b.want(c.exit, strings.Fields(line), "mainstay: feed is paused; run `mainstay resume feed`")
		}
	}
}

// 421 names the leader, and the request goes there.
func TestFollowsTheLeader(t *testing.T) {
	b := newBench(t)
	s := b.server(identity.RoleController, "c1")
	other := b.server(identity.RoleController, "c2")
	s.answer("/v1/", http.StatusMisdirectedRequest, wire.Error{Message: "not the leader", Code: "not-leader", Leader: other.address})
	other.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.contexts(s.address)
	b.want(exitDone, []string{"status"}, "leader c1")
	if other.called("GET /v1/status") != 1 {
		t.Error("the leader was not asked")
	}
}

func TestTimeout(t *testing.T) {
	b, s := leader(t)
	release := make(chan struct{})
	defer close(release)
	s.mux.HandleFunc("GET /v1/platform", func(http.ResponseWriter, *http.Request) { <-release })
	began := time.Now()
	b.want(exitTimeout, []string{"export", "--timeout", "200ms"}, "mainstay: ")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s, with --timeout 200ms", took)
	}
}

// Another platform's server is not spoken to, whatever its address.
func TestForeignServer(t *testing.T) {
	b := newBench(t)
	foreign := newBench(t)
	s := foreign.server(identity.RoleController, "c1")
	s.answer("GET /v1/platform", http.StatusOK, wire.PlatformAnswer{})
	b.contexts(s.address)
	b.want(exitRefused, []string{"export"}, "not signed by a CA in")
	// It runs: the message does not speak of a missing leader, nor of starting controllers.
	b.want(exitRefused, []string{"status"}, "not signed by a CA in", "!no leader", "!next: ", "!nobody answers")
	b.want(exitRefused, []string{"explain", "feed"}, "not signed by a CA in", "!no leader")
	if s.called("GET /v1/platform") != 0 {
		t.Error("the foreign server was asked")
	}
}

func TestFlagsInsteadOfContext(t *testing.T) {
	b := newBench(t)
	s := b.server(identity.RoleController, "c1")
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	f := b.issue(identity.RoleViewer, "grafana")
	b.want(exitDone, []string{"status", "--controllers", s.address, "--ca", f.CA, "--cert", f.Cert, "--key", f.Key}, "leader c1")
	b.env["MAINSTAY_CONTROLLERS"], b.env["MAINSTAY_CA"], b.env["MAINSTAY_CERT"], b.env["MAINSTAY_KEY"] = s.address, f.CA, f.Cert, f.Key
	b.want(exitDone, []string{"status"}, "leader c1")
	b.env["MAINSTAY_KEY"] = ""
	b.want(exitUsage, []string{"status"}, "/.config/mainstay/config.yaml does not exist")
}

// A closed standard output is an error, not a silent success.
func TestBrokenOutput(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	b.edit = func(p *program) { p.stdout = broken{} }
	b.want(exitFailed, []string{"status"}, io.ErrClosedPipe.Error())
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
