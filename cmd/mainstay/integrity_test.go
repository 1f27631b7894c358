package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

func TestIntegrityClear(t *testing.T) {
	b, s := leader(t)
	s.answer("POST /v1/clusters/feed/integrity/clear", http.StatusOK, wire.OperationAnswer{
		Plan: []string{"feed-e2 may be promoted again, in spite of: bad pages"}})
	b.want(exitUsage, []string{"integrity", "clear", "feed", "feed-e2"}, "--reason is missing")
	b.want(exitUsage, []string{"integrity", "clear", "feed", "--reason", "x"}, "MEMBER is missing")
	b.want(exitRefused, []string{"integrity", "clear", "feed", "feed-e2", "--reason", "x"}, "in spite of: bad pages", "no terminal")
	b.want(exitDone, []string{"integrity", "clear", "feed", "feed-e2", "--reason", "x", "--dry-run"}, "in spite of: bad pages",
		"nothing was changed")
	b.want(exitDone, []string{"integrity", "clear", "feed", "feed-e2", "--reason", "x", "--yes"}, "feed-e2 may be promoted again")
}

func TestScanRefuses(t *testing.T) {
	b, _ := leader(t)
	dir := t.TempDir()
	b.want(exitUsage, []string{"integrity", "scan"}, "want one DIRECTORY")
	b.want(exitUsage, []string{"integrity", "scan", dir, "--rate", "-1"}, "must not be negative")
	b.want(exitFailed, []string{"integrity", "scan", dir}, dir+" is not checked", "pg_control: no such file", "want a data directory")
	if os.Geteuid() != 0 { // root reads everything
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		b.want(exitFailed, []string{"integrity", "scan", dir}, "permission denied; run it as PostgreSQL's user or as root", "!want a data")
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "global"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "global", "pg_control"), make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailed, []string{"integrity", "scan", dir}, dir+" is not checked", "layout that is not known")
	if err := errors.Join(os.Remove(filepath.Join(dir, "global", "pg_control")),
		syscall.Mkfifo(filepath.Join(dir, "global", "pg_control"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailed, []string{"integrity", "scan", dir}, dir+" is not checked", "no regular file") // it waits for no writer
}

func TestIntegrityShow(t *testing.T) {
	b, s := leader(t)
	st := statusOf("127.0.0.1:1")
	st.Clusters[0].Members[0].Seen = &health.Member{Scan: &health.Scan{Complete: true, Checksums: true, AgeMS: 61_000,
		Verified: 7, Unverified: 2}}
	st.Clusters[0].Members[1].Excluded = "bad pages"
	s.answer("GET /v1/status", http.StatusOK, st)
	b.want(exitDone, []string{"integrity", "show"}, "no damage found", "1m1s ago", "damaged (excluded)", "bad pages")
	b.want(exitDone, []string{"integrity", "show", "feed", "-o", "json"}, `"verdict": "no damage found"`, `"verified": 7`, `"unverified": 2`,
		`"age": 6`, `"ageSeconds": 61`)
	b.want(exitRefused, []string{"integrity", "show", "tags"}, "there is no cluster tags")
	b.want(exitUsage, []string{"integrity", "show", "feed", "feed-e1"}, "unexpected argument")
}

// TestIntegrityShowsSchedule: when each depth was checked last, and when it is due.
func TestIntegrityShowsSchedule(t *testing.T) {
	b, s := leader(t)
	st := statusOf("127.0.0.1:1")
	hour := int64(3_600_000)
	st.Clusters[0].Checks = []health.PlannedCheck{
		{Depth: "compare", By: "feed-e2", Checked: health.Checked{DoneMS: 2 * hour, TriedMS: hour, Ended: "feed-e1 does not answer"},
			EverySeconds: 86400, FullSeconds: 604800, NextMS: 22 * hour},
		{Depth: "structure", Member: "feed-e2", By: "feed-e2", Checked: health.Checked{Running: true, Scheduled: true, Percent: 40,
			Waiting: "it works in 25% of each hour"}, EverySeconds: 3600},
		{Depth: "structure", Member: "feed-e1", By: "feed-e1", EverySeconds: 3600, Hold: "the cluster is paused"}}
	s.answer("GET /v1/status", http.StatusOK, st)
	b.want(exitDone, []string{"integrity", "show", "feed"},
		"all members  compare    2h0m0s ago; a later one ended early: feed-e1 does not answer",
		"in 22h0m0s (every 24h0m0s, all pages every 168h0m0s)",
		"at 40% now; waits: it works in 25%", "never", "due, but the cluster is paused (every 1h0m0s)")
	b.want(exitDone, []string{"integrity", "show", "feed", "-o", "json"}, `"depth": "structure"`, `"nextMS": 79200000`,
		`"fullSeconds": 604800`)
	if n := strings.Count(b.out, `"depth": "compare"`); n != len(st.Clusters[0].Members) {
		t.Errorf("the comparison is about %d members", n)
	}
}

func TestIntegrityRelease(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	s.answer("POST /v1/clusters/feed/integrity/release", http.StatusOK, wire.OperationAnswer{
		Plan: []string{"feed-e2 replays again, with what may carry damage over: a lost write"}})
	b.want(exitUsage, []string{"integrity", "release", "feed"}, "--reason is missing")
	b.want(exitRefused, []string{"integrity", "release", "tags", "--reason", "x"}, "there is no cluster or member tags")
	b.want(exitRefused, []string{"integrity", "release", "feed-e2", "--reason", "x"}, "a lost write", "no terminal")
	b.want(exitDone, []string{"integrity", "release", "feed", "--reason", "x", "--dry-run"}, "a lost write", "nothing was changed")
	b.want(exitDone, []string{"integrity", "release", "feed-e2", "--reason", "x", "--yes"}, "released: feed-e2")
}

// mends answers a repair of feed-e2, as its agent and a leader.
func mends(b *bench, s *server) {
	agent := b.server(identity.RoleAgent, "db-e2")
	st := statusOf("127.0.0.1:1")
	st.Hosts = append(st.Hosts, wire.HostStatus{Name: st.Clusters[0].Members[1].Host, Address: agent.address})
	s.answer("GET /v1/status", http.StatusOK, st)
	agent.answer("POST /v1/integrity/feed-e2/mend", http.StatusOK, wire.MendPlan{Page: "base/5/7 block 4", Relation: "postgres.public.orders",
		From: "feed-e1", Steps: []string{"stop PostgreSQL on feed-e2"}})
	s.answer("POST /v1/clusters/feed/integrity/repair", http.StatusOK, wire.OperationAnswer{Operation: "feed-7", Target: "feed-e2",
		Plan: []string{"commits have enough other replicas"}})
}

func TestIntegrityRepair(t *testing.T) {
	b, s := leader(t)
	mends(b, s)
	repair := func(more ...string) []string {
		return append([]string{"integrity", "repair", "feed-e2", "--relation", "orders", "--block", "4"}, more...)
	}
	b.want(exitUsage, []string{"integrity", "repair", "feed-e2", "--block", "4"}, "--relation is missing")
	b.want(exitUsage, []string{"integrity", "repair", "feed-e2", "--relation", "orders"}, "--block is missing")
	b.want(exitUsage, repair("--fork", "init"), "want main, fsm or vm")
	b.want(exitRefused, []string{"integrity", "repair", "feed-e9", "--relation", "orders", "--block", "4"}, "there is no member feed-e9")
	b.want(exitDone, repair("--dry-run"), "base/5/7 block 4 is of postgres.public.orders", "stop PostgreSQL on feed-e2",
		"commits have enough other replicas", "nothing was changed")
	s.answer("GET /v1/clusters/feed/operations/feed-7", http.StatusOK, wire.HistoryAnswer{Operations: []state.Operation{{ID: "feed-7",
		Cluster: "feed", Kind: state.Mending, Result: state.Done, Outcome: "it is the page of feed-e1 now"}}})
	b.want(exitDone, repair("--yes"), "it is the page of feed-e1 now")
}
