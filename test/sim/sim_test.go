package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mainstay/test/sim/world"
)

// The budget of one run of the tests: as many scenarios as fit, up to the first that reaches either bound.
const (
	scenarios = 2000
	budget    = 20 * time.Second
)

func TestScenarios(t *testing.T) {
	began, total, played := time.Now(), map[string]int{}, 0
	for seed := uint64(1); seed <= scenarios && time.Since(began) < budget; seed++ {
		r := world.New(seed, nil).Run()
		played++
		for k, n := range r.Counts {
			total[k] += n
		}
		total["acknowledged"] += r.Acked
		for _, v := range r.Violations {
			t.Errorf("seed %d: %s\nreplay: go run ./test/sim -seed %d -v", seed, v, seed)
		}
	}
	t.Logf("%d scenarios: %v", played, total)
	if played < 20 {
		t.Skipf("only %d scenarios fitted in %s", played, budget)
	}
	for _, what := range []string{"acknowledged", "begin failover", "begin switchover", "proof stopped", "proof quorum-sealed"} {
		if total[what] == 0 {
			t.Errorf("no scenario had any %q: the faults do not try what they should", what)
		}
	}
}

func TestSameSeedSameTrace(t *testing.T) {
	for _, seed := range []uint64{3, 29, 217} {
		var one, two bytes.Buffer
		a, b := world.New(seed, &one).Run(), world.New(seed, &two).Run()
		if a.Hash != b.Hash || one.String() != two.String() {
			t.Errorf("seed %d: traces %016x and %016x", seed, a.Hash, b.Hash)
		}
		if c := world.New(seed+1, nil).Run(); c.Hash == a.Hash {
			t.Errorf("seeds %d and %d have the same trace", seed, seed+1)
		}
	}
}

func TestCommandLine(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"-seed", "3", "-v"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "raft: ") || !strings.Contains(out.String(), "seed 3:") {
		t.Errorf("replay: exit %d\n%.300s", code, out.String())
	}
	out.Reset()
	if code := run([]string{"-seeds", "2", "-first", "5"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "0 scenarios failed") {
		t.Errorf("a few: exit %d\n%s", code, out.String())
	}
	if code := run([]string{"-sedes", "2"}, &out, &errs); code != 2 {
		t.Errorf("a wrong flag: exit %d", code)
	}
}
