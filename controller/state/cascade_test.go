package state

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// remote is a cluster of m1 on east, m2 and m3 on west, asynchronous.
func remote(t *testing.T, acks int) *State {
	p := testPlatform(acks)
	p.Hosts[0].Site, p.Hosts[1].Site, p.Hosts[2].Site = "east", "west", "west"
	return run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: p}},
		onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m1", Guarded: true}}),
		onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}}),
		onFeed(Command{Rejoined: &Rejoined{Member: "m2"}}), onFeed(Command{Rejoined: &Rejoined{Member: "m3"}}))
}

func stream(member, from string) Command {
	return onFeed(Command{Stream: &Stream{Member: member, From: from, Reason: "test"}})
}

func TestStreamIsRefused(t *testing.T) {
	s := remote(t, 0)
	refused(t, s, stream("m1", "m2"), "not a replica")
	refused(t, s, stream("m9", "m2"), "not a replica")
	refused(t, s, stream("m2", "m2"), "cannot be the upstream")
	refused(t, s, stream("m2", "m1"), "cannot be the upstream")
	refused(t, s, stream("m2", "m9"), "cannot be the upstream")
	refused(t, run(t, s, stream("m3", "m2")), stream("m2", "m3"), "cannot be the upstream")
	refused(t, remote(t, 1), stream("m3", "m2"), "counts on m3")
	older := remote(t, 0) // the list that counts on m3 may still be loaded
	c := older.Clusters["feed"]
	c.Sets = append([]platform.DurabilitySet{{ID: 1, Epoch: ep(1), Acks: 1, Names: []string{c.Members["m3"].Incarnation}}}, c.Sets...)
	refused(t, older, stream("m3", "m2"), "durability set 1 counts on m3")
	refused(t, run(t, s, onFeed(Command{Reincarnate: &Reincarnate{Member: "m3"}})), stream("m3", "m2"), "not yet streamed")
	refused(t, bootstrapped(t, 0), stream("m3", "m2"), "must be on the same site")
}

func TestStreamsEndWithWhatTheyRestOn(t *testing.T) {
	s := run(t, remote(t, 0), stream("m3", "m2"))
	if up := s.GoalOf("feed", "m3").Upstream; up == nil || up.Member != "m2" {
		t.Fatalf("upstream %+v", up)
	}
	for name, cmds := range map[string][]Command{
		"the upstream is rebuilt": {onFeed(Command{Reincarnate: &Reincarnate{Member: "m2"}})},
		"it is rebuilt":           {onFeed(Command{Reincarnate: &Reincarnate{Member: "m3"}})},
		"asked":                   {stream("m3", "")},
		"a new primary": {failover(),
			onFeed(Command{Promote: &Promote{Attempt: ep(2), Member: "m2", Timeline: 2, Proof: fencing.Proof{Kind: fencing.Stopped, Epoch: ep(1)},
				Sealed: []Sealed{{Member: "m2", Incarnation: "m2_2", Timeline: 1, Position: 1, Known: true}}}})},
	} {
		if got := run(t, s, cmds...).Clusters["feed"].Upstreams; len(got) != 0 {
			t.Errorf("%s: still %v", name, got)
		}
	}
	if s.Clusters["feed"].Upstreams["m3"] != "m2" {
		t.Error("an earlier state was changed")
	}
}

func TestApprove(t *testing.T) {
	s := run(t, remote(t, 0), failover())
	id := s.Clusters["feed"].Attempt.Operation
	refused(t, s, onFeed(Command{Approve: &Approve{Operation: "feed-99"}}), "not running")
	s = run(t, s, onFeed(Command{Approve: &Approve{Operation: id}}))
	if s.Clusters["feed"].Attempt.Approved != "test" {
		t.Errorf("attempt %+v", s.Clusters["feed"].Attempt)
	}
	refused(t, s, onFeed(Command{Approve: &Approve{Operation: id}}), "test has already approved operation "+id+"; `mainstay history feed "+id+
		"` shows its progress")
}
