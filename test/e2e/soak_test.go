package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"mainstay/test/testbed"
)

// soak is set by `test/run --soak 1h`.
var (
	soak     = flag.Duration("soak", 0, "let random faults befall one platform for so long; 0: do not")
	soakSeed = flag.Uint64("soak-seed", 0, "draw the faults of an earlier soak again; 0: others")
)

// soakable are the cases that a soak draws from: those that need no answer the product does not have yet.
var soakable = []fault{
	{"primary's host cut off", cutOff},
	{"nothing gets out of the primary's host", cutOut},
	{"nothing gets into the primary's host", cutIn},
	{"primary cut off from the controllers only", cutFromControllers},
	{"leader and primary cut off together", cutWithLeader},
	{"one packet in five of the primary's host lost", lossy},
	{"everything on the host stopped", hostStopped},
	{"agent stopped", agentStopped},
	{"guard killed", guardEnded},
	{"agent and guards killed", agentAndGuardsKilled},
	{"all controllers killed for a while", controllersAway},
	{"all controllers and a replica killed for a while", controllersAndReplicaAway},
	{"PostgreSQL started behind the agent's back", startedByHand},
	{"raft disk of the leader frozen", raftFrozen},
	{"disk of the primary full", diskFull},
}

// unpromised waits for the promises that replicas gave, or may have given before a restart, while no leader answered: until then none of
// them is sealed (L5), so a primary that ends is rightly started again where it was, and the cases want a new one.
func (f *faults) unpromised(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	defer cancel()
	f.check(t, f.Wait(ctx, "promises from before to be over", func() (bool, string) {
		c, err := f.Cluster(ctx)
		for _, m := range c.Members {
			if m.Seen == nil || m.Seen.Promised > 0 {
				return false, m.Name
			}
		}
		return err == nil && len(c.Members) > 0, fmt.Sprint(err)
	}))
}

// TestSoak: faults in random order, one after the other, on one platform. The first that fails ends it, with the seed
// that draws the same order again; what happens within a fault is up to the machine.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("no -soak: every fault has a test of its own")
	}
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: go test ./test/e2e -run TestSoak -soak %s -soak-seed %d", seed, *soak, seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := startFaults(t, testbed.Options{Disks: disks()})
	began := time.Now()
	for n := 0; time.Since(began) < *soak; n++ {
		c := soakable[r.IntN(len(soakable))]
		if !t.Run(c.name, func(t *testing.T) {
			f.unpromised(t)
			f.one(t, c)
		}) {
			t.Fatalf("fault %d of seed %d, after %s", n+1, seed, time.Since(began).Round(time.Second))
		}
	}
	f.verify(t)
	t.Logf("%s without a fault that mattered", time.Since(began).Round(time.Second))
}
