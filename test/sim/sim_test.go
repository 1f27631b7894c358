package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/test/sim/world"
)

// scenarios and appScenarios (with app servers and site switchovers) are the budget that every run of the tests plays, unless
// the race detector is on: at 7 and 11 ms of CPU each, measured with others at work, it takes two CPUs three to four minutes.
const (
	scenarios    = 40_000
	appScenarios = 10_000
)

// TestScenarios is the budget itself. With the race detector, or -short, it plays a few.
func TestScenarios(t *testing.T) {
	share := uint64(1)
	if raceEnabled || testing.Short() {
		share = 130
	}
	counts := map[string]int{}
	for _, s := range []*search{{first: 1, seeds: scenarios / share}, {first: world.AppsFrom, seeds: appScenarios / max(1, share/2)}} {
		var out bytes.Buffer
		s.out, s.workers = &out, workers()
		code := s.run(context.Background())
		t.Logf("%d scenarios from %d in %s: %v", s.played, s.first, since(s.began), s.counts)
		if code != 0 {
			t.Errorf("%s\nput the seed into testdata/seeds once it is understood", out.String())
		}
		for what, n := range s.counts {
			counts[what] += n
		}
	}
	for _, what := range []string{"acknowledged", "begin failover", "begin switchover", "abandon", "reincarnate", "restart in place",
		"guard kills",
		"last failure", "blackout", "proof stopped", "proof quorum-sealed", "proof lease-expired", "proof powered-off", "power cut",
		"renewed by promises", "continued after a restart",
		"pool moves", "pool is ready", "permits vouched for", "site switchover done", "site switchover halts", "approved"} {
		if counts[what] == 0 {
			t.Errorf("no scenario had any %q: the faults do not try what they should", what)
		}
	}
}

// TestKeptSeeds plays every seed that ever failed.
func TestKeptSeeds(t *testing.T) {
	for _, k := range keptSeeds(t) {
		for _, v := range world.New(k.seed, world.Options{}).Run().Violations {
			t.Errorf("seed %d (%s) fails again: %s\nreplay: go run ./test/sim -seed %d -v", k.seed, k.found, v, k.seed)
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for _, seed := range []uint64{3, 29, 217} {
		var one, two bytes.Buffer
		a, b := world.New(seed, world.Options{Trace: &one, Hash: true}).Run(), world.New(seed, world.Options{Trace: &two, Hash: true}).Run()
		if a.Hash != b.Hash || one.String() != two.String() {
			t.Errorf("seed %d: traces %016x and %016x", seed, a.Hash, b.Hash)
		}
		if c := world.New(seed+1, world.Options{Hash: true}).Run(); c.Hash == a.Hash {
			t.Errorf("seeds %d and %d have the same trace", seed, seed+1)
		}
	}
}

func TestCommandLine(t *testing.T) {
	var out, errs bytes.Buffer
	play := func(args ...string) int {
		out.Reset()
		return run(context.Background(), args, &out, &errs)
	}
	if code := play("-seed", "3", "-v"); code != 0 || !strings.Contains(out.String(), "raft: ") || !strings.Contains(out.String(), "seed 3:") {
		t.Errorf("replay: exit %d\n%.300s", code, out.String())
	}
	if code := play("-seeds", "2", "-first", "5"); code != 0 || !strings.Contains(out.String(), "2 scenarios in") {
		t.Errorf("a few: exit %d\n%s", code, out.String())
	}
	if code := play("-seeds", "2", "-first", "5", "-hash"); code != 0 || strings.Count(out.String(), ": trace ") != 2 {
		t.Errorf("hashes: exit %d\n%s", code, out.String())
	}
	profile := filepath.Join(t.TempDir(), "cpu")
	if code := play("-seeds", "2", "-profile", profile); code != 0 || !strings.Contains(out.String(), "2 scenarios in") {
		t.Errorf("a profile: exit %d\n%s", code, out.String())
	}
	if written, err := os.Stat(profile); err != nil || written.Size() == 0 {
		t.Errorf("no profile was written: %v", err)
	}
	began := time.Now()
	if code := play("-for", "200ms"); code != 0 || time.Since(began) < 200*time.Millisecond || strings.HasPrefix(out.String(), "0 scenarios") {
		t.Errorf("for a while: exit %d after %s\n%s", code, since(began), out.String())
	}
	if code := play("-sedes", "2"); code != 2 {
		t.Errorf("a wrong flag: exit %d", code)
	}
	if code := play("-seed", "3", "-skip", "x"); code != 2 {
		t.Errorf("a wrong number: exit %d", code)
	}
}
