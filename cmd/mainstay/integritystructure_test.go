package main

import (
	"net/http"
	"sync/atomic"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
	"mainstay/health"
)

// structureOf is a check that has ended.
func structureOf() *health.Structure {
	block := int64(7)
	return &health.Structure{Complete: true, Version: 17, Position: 0x3000148, Databases: 2, Blocks: 90, TookMS: 1500, AgeMS: 61_000,
		Checks:     map[string]health.StructureCounts{"heap": {Clean: 12}, "btree": {Clean: 20, Corrupt: 1}, "index": {Unverified: 2}},
		Unverified: []health.StructureReason{{Check: "index", Why: "there is no check for indexes of access method hash", Relations: 2}},
		Damage: []health.StructureDamage{{Database: "shop", Relation: "public.orders_pkey", Check: "btree", Found: 1,
			Evidence: []health.StructureFinding{{Kind: "index", Block: &block, Text: "item order invariant violated"}}}}}
}

// checkedMember is an agent whose member has a check once it was asked for, which has ended at the second look.
type checkedMember struct {
	*server
	path         string
	begun, looks atomic.Int32
}

func (b *bench) checkedMember(host, member string, last *health.Structure) *checkedMember {
	m := &checkedMember{server: b.server(identity.RoleAgent, host), path: "/v1/integrity/" + member + "/structure"}
	answer := func(w http.ResponseWriter, s *health.Structure) {
		reply(w, http.StatusOK, wire.StructureAnswer{Host: host, Member: member, Check: s})
	}
	m.mux.HandleFunc("GET "+m.path, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case m.begun.Load() == 0:
			answer(w, nil)
		case m.looks.Add(1) < 2:
			answer(w, &health.Structure{Running: true, Percent: 40})
		default:
			answer(w, last)
		}
	})
	m.mux.HandleFunc("POST "+m.path, func(w http.ResponseWriter, r *http.Request) {
		m.begun.Add(1)
		answer(w, &health.Structure{Running: true, Waiting: "it begins"})
	})
	return m
}

func TestIntegrityStructure(t *testing.T) {
	b, s := leader(t)
	sound := structureOf()
	sound.Damage, sound.Standby, sound.Checks = nil, true, map[string]health.StructureCounts{"heap": {Clean: 12}}
	e1, e2 := b.checkedMember("db-e1", "feed-e1", structureOf()), b.checkedMember("db-e2", "feed-e2", sound)
	s.answer("GET /v1/status", http.StatusOK, wire.Status{Leader: "c1",
		Hosts: []wire.HostStatus{{Name: "db-e1", Address: e1.address}, {Name: "db-e2", Address: e2.address}},
		Clusters: []wire.ClusterState{{Name: "feed", Primary: "feed-e1",
			Members: []wire.MemberStatus{{Name: "feed-e1", Host: "db-e1"}, {Name: "feed-e2", Host: "db-e2"}}}}})
	check := func(of string, more ...string) []string {
		return append([]string{"integrity", "check", of, "--depth", "structure"}, more...)
	}
	b.want(exitUsage, check("feed-e1", "--rate", "2000"), "between 1 and 1000")
	b.want(exitUsage, check("feed-e1", "--stop", "--install-extensions"), "--stop begins nothing")
	b.want(exitUsage, []string{"integrity", "check", "feed", "--install-extensions"}, "are for --depth structure")
	b.want(exitRefused, check("feed-e9"), "there is no cluster or member feed-e9")
	b.want(exitRefused, check("feed-e1", "--stop"), "no check of feed-e1 is running")
	b.want(exitRefused, check("feed-e2", "--install-extensions"), "feed-e2 is no primary")
	b.want(exitDone, check("feed-e1", "--no-wait", "--rate", "50", "--install-extensions"), "running", "waiting: it begins")
	if got := e1.body("POST " + e1.path); got != `{"install":true,"rate":50}` {
		t.Errorf("asked for %s", got)
	}
	b.want(exitFailed, check("feed-e1"), "feed-e1: a check is running", "public.orders_pkey", "block 7, index: item order", "damaged",
		"1 verdict corrupt", "not verified, index of 2 relations: there is no check",
		"feed feed-e1, PostgreSQL 17, primary at 0/3000148: 2 databases, 90 pages", "1m1s ago")
	if e1.begun.Load() != 1 {
		t.Errorf("begun %d times", e1.begun.Load())
	}
	b.want(exitDone, check("feed-e2"), "no damage found in what was verified", "replica")
	b.want(exitFailed, check("feed", "-o", "json"), `"relation": "public.orders_pkey"`, `"unverified": 2`, `"member": "feed-e2"`)
	b.want(exitDone, check("feed", "--no-wait", "--install-extensions"), "feed-e2")
	if got := e2.body("POST " + e2.path); got != `{}` {
		t.Errorf("a replica was asked for %s", got)
	}
}

// TestIntegrityStructureOfOldAgents: an agent that does not know the path has not said that its member is sound.
func TestIntegrityStructureOfOldAgents(t *testing.T) {
	b, s := leader(t)
	agent := b.server(identity.RoleAgent, "db-e1")
	s.answer("GET /v1/status", http.StatusOK, wire.Status{Leader: "c1", Hosts: []wire.HostStatus{{Name: "db-e1", Address: agent.address}},
		Clusters: []wire.ClusterState{{Name: "feed", Members: []wire.MemberStatus{{Name: "feed-e1", Host: "db-e1"}}}}})
	b.want(exitFailed, []string{"integrity", "check", "feed", "--depth", "structure"}, "feed-e1: ", "404", "!no damage")
}
