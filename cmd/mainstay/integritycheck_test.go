package main

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/health"
)

// feedOfTwo is a leader with cluster feed of feed-e1, the primary, and feed-e2, whose hosts' agents are one server.
func feedOfTwo(t *testing.T) (b *bench, agent *server, st *wire.Status) {
	t.Helper()
	b, s := leader(t)
	b.issue(identity.RoleAgent, "db-e1")
	agent = b.server(identity.RoleAgent, "db-e2")
	status := statusOf("127.0.0.1:1")
	st = &status
	c := &st.Clusters[0]
	c.Members = c.Members[:2]
	st.Hosts = nil
	for n := range c.Members {
		c.Members[n].Seen = &health.Member{Process: health.ProcessRunning}
		st.Hosts = append(st.Hosts, wire.HostStatus{Name: c.Members[n].Host, Address: agent.address})
	}
	c.Primary = c.Members[0].Name
	s.mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, *st) })
	return b, agent, st
}

func TestIntegrityCheckCompare(t *testing.T) {
	b, agent, st := feedOfTwo(t)
	result := health.Comparison{By: "feed-e2", Members: []string{"feed-e2", "feed-e1"}, Running: true, Percent: 40}
	var looks atomic.Int32
	agent.answer("POST /v1/integrity/feed-e2/compare", http.StatusOK, struct{}{})
	agent.mux.HandleFunc("GET /v1/integrity/feed-e2", func(w http.ResponseWriter, _ *http.Request) {
		now := result
		if looks.Add(1) > 1 {
			now.Running = false
		}
		reply(w, http.StatusOK, wire.IntegrityAnswer{Member: "feed-e2", Comparison: &now})
	})
	result.Complete, result.Blocks, result.Equal, result.PageBytes, result.SentBytes = true, 1000, 1000, 8192000, 12000
	result.Unverified = map[string]int64{"unlogged": 3}
	b.want(exitDone, []string{"integrity", "check", "feed", "--wait", "7m"}, "1000 pages, equal 1000, different 0",
		"not verified, unlogged: 3 pages", "feed-e1: no difference found", "feed-e2: no difference found", "per GB")
	if body := agent.body("POST /v1/integrity/feed-e2/compare"); body != `{"wait":420000000000,"members":["feed-e1"]}` {
		t.Errorf("asked for %s", body)
	}
	if n := looks.Load(); n != 2 {
		t.Errorf("looked %d times", n)
	}

	result.Equal, result.Differ = 999, 1
	result.Damage = []health.DifferentBlock{{Path: "base/5/9", Relation: "d.public.t", Block: 7, Kind: "lost write",
		Suspects: []string{"feed-e1", "feed-e2"}, Settled: true, Detail: "older content. This would decide: a third member"}}
	result.Suspect = map[string]int64{"feed-e1": 1, "feed-e2": 1}
	b.want(exitFailed, []string{"integrity", "check", "feed"}, "lost write", "one of feed-e1, feed-e2", "This would decide",
		"feed-e1: suspect: 1 page wrong here or on another member")
	b.want(exitFailed, []string{"integrity", "check", "feed-e2", "-o", "json"}, `"differ": 1`, `"cluster": "feed"`, `"kind": "lost write"`)
	result.Suspect, result.Wrong = nil, map[string]int64{"feed-e1": 1}
	result.Damage[0].Named, result.Damage[0].Suspects = true, []string{"feed-e1"}
	b.want(exitFailed, []string{"integrity", "check"}, "feed-e1: damaged: 1 page", "feed-e2: no difference found", "!one of")
	result.Damage, result.Wrong, result.Differ, result.Complete, result.Ended = nil, nil, 0, false, "feed-e1 does not answer"
	b.want(exitFailed, []string{"integrity", "check", "feed"}, "not compared to the end: feed-e1 does not answer", "!no difference found")

	result.Complete, result.Ended, result.LeftOut = true, "", map[string]string{"feed-e3": "it is of an older version"}
	b.want(exitFailed, []string{"integrity", "check", "feed"}, "not compared: feed-e3: it is of an older version",
		"feed-e1: no difference found")

	st.Clusters[0].Members[0].Seen.Process = health.ProcessEnded
	b.want(exitRefused, []string{"integrity", "check", "feed"}, "not compared: feed-e1 does not run", "the only member of feed that runs")
	st.Clusters[0].Members[1].Seen = nil
	b.want(exitRefused, []string{"integrity", "check", "feed"}, "no member of feed runs")
	b.want(exitRefused, []string{"integrity", "check", "tags"}, "there is no cluster or member tags")
	b.want(exitUsage, []string{"integrity", "check", "feed", "--depth", "bottom"}, "want pages, structure or compare")
	b.want(exitUsage, []string{"integrity", "check", "feed", "--wait", "-1s"}, "must not be negative")
}

// TestIntegrityCheckCancel: an interrupt cancels the comparison, and an agent that has lost it says so.
func TestIntegrityCheckCancel(t *testing.T) {
	b, agent, _ := feedOfTwo(t)
	agent.answer("POST /v1/integrity/feed-e2/compare", http.StatusOK, struct{}{})
	cancelled := false
	agent.mux.HandleFunc("POST /v1/integrity/feed-e2/cancel", func(w http.ResponseWriter, _ *http.Request) {
		cancelled = true
		reply(w, http.StatusOK, struct{}{})
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lost := false
	agent.mux.HandleFunc("GET /v1/integrity/feed-e2", func(w http.ResponseWriter, _ *http.Request) {
		if lost {
			reply(w, http.StatusOK, wire.IntegrityAnswer{Member: "feed-e2"})
			return
		}
		c := &health.Comparison{Running: !cancelled, Percent: 3, Members: []string{"feed-e2"}}
		if cancelled {
			c.Ended = "it was cancelled"
		}
		reply(w, http.StatusOK, wire.IntegrityAnswer{Member: "feed-e2", Comparison: c})
		cancel()
	})
	if code := b.runFor(ctx, "integrity", "check", "feed"); code == exitDone || !strings.Contains(b.err, "was cancelled") ||
		!strings.Contains(b.out, "feed-e2: not compared to the end: it was cancelled") ||
		strings.Contains(b.out, "context canceled") || agent.called("POST /v1/integrity/feed-e2/cancel") != 1 {
		t.Errorf("exit code %d: %s%s", code, b.out, b.err)
	}
	lost = true
	b.want(exitFailed, []string{"integrity", "check", "feed"}, "knows of no comparison any more")
}

// TestIntegrityCheckForbidden: a certificate that may not check gets one refusal, whatever the depth.
func TestIntegrityCheckForbidden(t *testing.T) {
	b, agent, _ := feedOfTwo(t)
	refusal := wire.Error{Message: "viewer victor may not do this", Code: "forbidden"}
	for _, m := range []string{"feed-e1", "feed-e2"} {
		agent.answer("POST /v1/integrity/"+m+"/scan", http.StatusForbidden, refusal)
		agent.answer("POST /v1/integrity/"+m+"/compare", http.StatusForbidden, refusal)
		agent.answer("GET /v1/integrity/"+m+"/structure", http.StatusForbidden, refusal)
	}
	for _, depth := range []string{depthPages, depthStructure, depthCompare} {
		b.want(exitRefused, []string{"integrity", "check", "feed", "--depth", depth}, "viewer victor may not do this", "!feed-e1", "!feed-e2")
	}
}

func TestIntegrityCheckPages(t *testing.T) {
	b, agent, _ := feedOfTwo(t)
	for _, m := range []string{"feed-e1", "feed-e2"} {
		agent.answer("POST /v1/integrity/"+m+"/scan", http.StatusOK, struct{}{})
	}
	scan := &health.Scan{Complete: true, Checksums: true, Verified: 5}
	agent.answer("GET /v1/integrity/feed-e1", http.StatusOK, wire.IntegrityAnswer{Member: "feed-e1", Scan: scan})
	damaged := wire.IntegrityAnswer{Member: "feed-e2", Scan: &health.Scan{Complete: true, Checksums: true, Findings: 1},
		Damage: health.Scanned + "base/5/7 block 1 (checksum)"}
	agent.answer("GET /v1/integrity/feed-e2", http.StatusOK, damaged)
	b.want(exitDone, []string{"integrity", "check", "feed-e1", "--depth", "pages"}, "no damage found", "!feed-e2")
	b.want(exitFailed, []string{"integrity", "check", "feed", "--depth", "pages"}, "no damage found", "base/5/7 block 1 (checksum)")
}

// TestIntegrityCheckStop: of two comparisons the second is refused with the command that ends the first, and that command ends it.
func TestIntegrityCheckStop(t *testing.T) {
	b, agent, st := feedOfTwo(t)
	b.want(exitRefused, []string{"integrity", "check", "feed", "--stop"}, "no agent runs a comparison")
	st.Clusters[0].Members[0].Seen.Checks = &health.Checks{Compare: health.Checked{Running: true}}
	b.want(exitRefused, []string{"integrity", "check", "feed"}, "the agent of feed-e1 runs a comparison",
		"mainstay integrity check feed-e1 --stop")
	var ended atomic.Int32
	agent.mux.HandleFunc("POST /v1/integrity/feed-e1/cancel", func(w http.ResponseWriter, _ *http.Request) {
		ended.Add(1)
		reply(w, http.StatusOK, struct{}{})
	})
	b.want(exitRefused, []string{"integrity", "check", "feed-e2", "--stop"}, "no agent runs a comparison")
	b.want(exitDone, []string{"integrity", "check", "feed-e1", "--stop"}, "the comparison by the agent of feed-e1 was ended")
	b.want(exitDone, []string{"integrity", "check", "--stop"}, "the comparison by the agent of feed-e1 was ended")
	if ended.Load() != 2 {
		t.Errorf("ended %d times", ended.Load())
	}
	b.want(exitUsage, []string{"integrity", "check", "feed", "--depth", "pages", "--stop"}, "--stop is for")
	b.want(exitUsage, []string{"integrity", "check", "feed", "--no-wait"}, "are for --depth structure")
}

// TestIntegrityCheckIncremental: the agent that has compared last is asked; what was not read is said with its age; an agent of an earlier
// version gets one clear line.
func TestIntegrityCheckIncremental(t *testing.T) {
	b, agent, st := feedOfTwo(t)
	st.Clusters[0].Members[0].Seen.Checks = &health.Checks{Compare: health.Checked{DoneMS: 5000}}
	result := health.Comparison{By: "feed-e1", Members: []string{"feed-e1", "feed-e2"}, Complete: true, Blocks: 20, Equal: 20,
		Partial: health.Partial{Incremental: true, Unread: 980, UnreadMS: 3 * 24 * 3600_000, WALBytes: 3 << 20}}
	agent.mux.HandleFunc("GET /v1/integrity/feed-e1", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, wire.IntegrityAnswer{Member: "feed-e1", Comparison: &result})
	})
	var older atomic.Bool
	agent.mux.HandleFunc("POST /v1/integrity/feed-e1/compare", func(w http.ResponseWriter, _ *http.Request) {
		if older.Load() {
			reply(w, http.StatusBadRequest, wire.Error{Code: "bad-request",
				Message: `the request cannot be read: json: unknown field "incremental"`})
			return
		}
		reply(w, http.StatusOK, struct{}{})
	})
	b.want(exitDone, []string{"integrity", "check", "feed", "--incremental"}, "20 pages, equal 20, different 0",
		"980 pages not read again, since no WAL has changed them (3.0 MB of WAL were read), last read up to 72h0m0s ago",
		"feed-e2: no difference found in what was read; 980 pages not read again, last read up to 72h0m0s ago")
	if body := agent.body("POST /v1/integrity/feed-e1/compare"); !strings.Contains(body, `"incremental":true`) {
		t.Errorf("asked for %s", body)
	}
	result.Partial = health.Partial{FullBecause: "feed-e2 was not in the last comparison"}
	b.want(exitDone, []string{"integrity", "check", "feed", "--incremental"},
		"every page was read, and not only what has changed: feed-e2 was not in the last comparison", "feed-e2: no difference found",
		"!not read again")
	older.Store(true)
	b.want(exitRefused, []string{"integrity", "check", "feed", "--incremental"},
		"the agent of feed-e1 is of an earlier version, which makes no incremental comparison: leave --incremental out", "!json")
	b.want(exitUsage, []string{"integrity", "check", "feed", "--depth", "pages", "--incremental"}, "--incremental is for --depth compare")
}
