package main

import (
	"net/http"
	"strings"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/health"
)

func aPiece() wire.Piece {
	return wire.Piece{ID: "feed-e1_5-rewind", Cluster: "feed", Member: "feed-e1", When: "2026-11-22T20:58:22Z", How: wire.Rewound,
		Was: "primary", Successor: "feed-e1_5",
		Timeline: 1, From: 0x3000148, To: 0x3004D58, Bytes: 0x4C10, Transactions: 7,
		Place: "/var/lib/mainstay/members/feed-e1/quarantine/feed-e1_5-rewind", Size: 16 << 20}
}

// platformOfTwo is a leader whose status names two agents: one that keeps a piece, and one that does not answer if gone.
func platformOfTwo(t *testing.T, gone bool) (*bench, *server) {
	b, s := leader(t)
	e1 := b.server(identity.RoleAgent, "db-e1")
	other := "127.0.0.1:1"
	if !gone {
		e2 := b.server(identity.RoleAgent, "db-e2")
		e2.answer("GET /v1/quarantine", http.StatusOK, wire.Quarantine{Host: "db-e2"})
		other = e2.address
	}
	seen := &health.Member{Discarded: &health.Discard{Kept: aPiece().Place}}
	aside := &health.Member{Discarded: &health.Discard{Kept: "/data.mainstay-aside-feed-e2_6-rebuild"}}
	s.answer("GET /v1/status", http.StatusOK, wire.Status{Leader: "c1",
		Hosts: []wire.HostStatus{{Name: "db-e1", Address: e1.address}, {Name: "db-e2", Address: other}},
		Clusters: []wire.ClusterState{{Name: "feed", Members: []wire.MemberStatus{{Name: "feed-e1", Seen: seen},
			{Name: "feed-e2", Seen: aside}}}}})
	e1.answer("GET /v1/quarantine", http.StatusOK, wire.Quarantine{Host: "db-e1", Pieces: []wire.Piece{aPiece()}})
	e1.answer("GET /v1/quarantine/feed-e1_5-rewind", http.StatusOK,
		wire.PieceAnswer{Host: "db-e1", Piece: aPiece(), List: []wire.Transaction{{XID: 735, Committed: "2026-11-22 20:58:01 UTC"}}})
	e1.answer("POST /v1/quarantine/feed-e1_5-rewind/drop", http.StatusOK, wire.DropAnswer{Piece: aPiece(), Gone: true})
	return b, e1
}

func TestQuarantine(t *testing.T) {
	b, agent := platformOfTwo(t, false)
	drop := []string{"member", "quarantine", "drop", "feed-e1_5-rewind", "--reason", "restored by hand"}
	b.want(exitDone, []string{"member", "quarantine", "list"}, "feed-e1_5-rewind", "0/3000148..0/3004D58", "1 piece")
	b.want(exitDone, []string{"member", "quarantine", "list", "feed-e1"}, "feed-e1_5-rewind")
	b.want(exitDone, []string{"member", "quarantine", "list", "feed-e2"}, "nothing is kept", "!feed-e1_5")
	b.want(exitRefused, []string{"member", "quarantine", "list", "fed"}, "there is no cluster or member fed")
	b.want(exitDone, []string{"member", "quarantine", "list", "--output", "json"}, `"transactions": 7`)
	b.want(exitDone, []string{"member", "quarantine", "show", "feed-e1_5-rewind"}, "735", "incarnation")
	b.want(exitRefused, []string{"member", "quarantine", "show", "feed-e1_9-rewind"}, "no agent keeps feed-e1_9-rewind")
	b.want(exitRefused, drop, "no terminal to confirm on")
	b.want(exitDone, append(drop, "--dry-run"), "would destroy feed-e1_5-rewind of feed-e1", "7 transactions", "nothing was changed")
	b.asks, b.stdin = true, "yes\n"
	b.want(exitRefused, drop, "this destroys", "type feed-e1_5-rewind to continue", "not confirmed")
	call := "POST /v1/quarantine/feed-e1_5-rewind/drop"
	if agent.called(call) != 0 {
		t.Fatal("it was dropped without a confirmation")
	}
	b.stdin = "feed-e1_5-rewind\n"
	b.want(exitDone, drop, "dropped feed-e1_5-rewind")
	if body := agent.body(call); body != `{"reason":"restored by hand"}` {
		t.Errorf("asked for %s", body)
	}
	b.want(exitDone, append(drop, "--yes"), "dropped feed-e1_5-rewind")
}

func TestQuarantineWhereAnAgentIsSilent(t *testing.T) {
	b, agent := platformOfTwo(t, true)
	b.want(exitFailed, []string{"member", "quarantine", "list"}, "feed-e1_5-rewind", "no answer of agent 127.0.0.1:1")
	b.want(exitFailed, []string{"member", "quarantine", "show", "feed-e2_1-rewind"}, "no agent that answers keeps feed-e2_1-rewind",
		"127.0.0.1:1", "start them and ask again")
	b.want(exitDone, []string{"member", "quarantine", "show", "feed-e1_5-rewind"}, "735")
	b.contexts("127.0.0.1:1") // no leader, and no status seen from these controllers
	b.want(exitDone, []string{"member", "quarantine", "list", "--agents", agent.address}, "feed-e1_5-rewind")
}

// A refusal of the agent is the command's: exit code 3.
func TestQuarantineForbidden(t *testing.T) {
	b, s := leader(t)
	agent := b.server(identity.RoleAgent, "db-e1")
	s.answer("GET /v1/status", http.StatusOK, wire.Status{Hosts: []wire.HostStatus{{Address: agent.address}}})
	agent.answer("GET /v1/quarantine", http.StatusOK, wire.Quarantine{Host: "db-e1", Pieces: []wire.Piece{aPiece()}})
	agent.answer("POST /v1/quarantine/feed-e1_5-rewind/drop", http.StatusForbidden,
		wire.Error{Message: "viewer victor may not do this", Code: "forbidden"})
	b.want(exitRefused, []string{"member", "quarantine", "drop", "feed-e1_5-rewind", "--reason", "x", "--yes"},
		"viewer victor may not do this")
}

func TestQuarantineCompletion(t *testing.T) {
	b, _ := platformOfTwo(t, false)
	b.want(exitDone, []string{"status"})
	b.want(exitDone, []string{"__complete", "member", "quarantine", "list", ""}, "feed\n", "feed-e1\n", "feed-e2\n")
	b.want(exitDone, []string{"__complete", "member", "quarantine", "drop", ""}, "feed-e1_5-rewind\n", "feed-e2_6-rebuild\n")
	b.want(exitDone, []string{"__complete", "member", "quarantine", "show", "x", ""}, "!feed")
	if strings.Contains(b.out, "feed-e1_5") {
		t.Error("a second ID is offered")
	}
}
