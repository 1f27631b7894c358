package state

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

func testPlatform(acks int) *platform.Platform {
	p := &platform.Platform{Name: "social", Sites: []platform.Site{{Name: "east"}, {Name: "west"}}}
	cl := platform.Cluster{Name: "feed", Lease: 5 * time.Second, Durability: platform.Durability{Acks: acks, From: "any", WhenShort: "block"},
		Failover: platform.Failover{AcrossSites: "automatic", WhenIncomplete: "wait"}}
	for i, n := range []string{"m1", "m2", "m3"} {
		host := "h" + n[1:]
		p.Hosts = append(p.Hosts, platform.Host{Name: host, Site: p.Sites[i%2].Name, Address: "10.0.0." + n[1:]})
		cl.Members = append(cl.Members, platform.Member{Name: n, Host: host, Port: 5432, MayLead: true})
	}
	p.Clusters = []platform.Cluster{cl}
	return p
}

// bootstrapped is a cluster of m1 (primary, opened, epoch 1.1, timeline 1), m2 and m3.
func bootstrapped(t testing.TB, acks int) *State {
	t.Helper()
	return run(t, New(), Command{Init: &Init{PlatformID: "p"}}, Command{Platform: &SetPlatform{Platform: testPlatform(acks)}},
		onFeed(Command{Bootstrap: &BootstrapCluster{Member: "m1", Guarded: true}}),
		onFeed(Command{Opened: &Opened{Epoch: ep(1), SystemID: "7", Timeline: 1}}))
}

func ep(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

func onFeed(c Command) Command {
	c.Cluster, c.At, c.By = "feed", "2026-01-01T00:00:00.000Z", "test"
	return c
}

func run(t testing.TB, s *State, cmds ...Command) *State {
	t.Helper()
	for _, c := range cmds {
		next, err := Apply(s, s.Index+1, c)
		if err != nil {
			t.Fatalf("%s: %v", text(c), err)
		}
		s = next
	}
	return s
}

// refused applies a command that must be refused for a reason that contains why, and change nothing but the index.
func refused(t *testing.T, s *State, c Command, why string) {
	t.Helper()
	next, err := Apply(s, s.Index+1, c)
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("%s: got %v, want a refusal with %q", text(c), err, why)
		return
	}
	next.Index = s.Index
	if text(next) != text(s) {
		t.Errorf("%s was refused and changed the state", text(c))
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func failover() Command { return onFeed(Command{Begin: &Begin{Kind: Failover, Reason: "test"}}) }

// promote is a promotion of m2 that the log accepts in attempt 1.2 of a cluster with acks 1.
func promote(change func(*Promote)) Command {
	p := &Promote{Attempt: ep(2), Member: "m2", Timeline: 2, Guarded: true, Proof: fencing.Proof{Kind: fencing.Stopped, Epoch: ep(1)},
		Sealed: []Sealed{{Member: "m2", Incarnation: "m2_2", Timeline: 1, Position: 100, Known: true},
			{Member: "m3", Incarnation: "m3_3", Timeline: 1, Position: 90, Known: true}}}
	if change != nil {
		change(p)
	}
	return onFeed(Command{Promote: p})
}
