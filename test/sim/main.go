// Command sim plays seeded scenarios against the pure core and checks the safety argument from outside. It never looks at
// a real clock or network. A seed that fails is printed with the command that replays it.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"sort"

	"mainstay/test/sim/world"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.SetOutput(errs)
	seeds := f.Int("seeds", 1000, "how many scenarios to play")
	first := f.Uint64("first", 1, "the first seed")
	seed := f.Uint64("seed", 0, "play this one only")
	verbose := f.Bool("v", false, "print the trace (with -seed)")
	keep := f.Bool("keep", false, "go on after a failure")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if *seed != 0 {
		return one(*seed, *verbose, out)
	}
	failed, counts := 0, map[string]int{}
	for s := *first; s < *first+uint64(*seeds); s++ {
		r := world.New(s, nil).Run()
		for k, n := range r.Counts {
			counts[k] += n
		}
		counts["acknowledged"] += r.Acked
		if len(r.Violations) == 0 {
			continue
		}
		failed++
		report(r, out)
		if !*keep {
			break
		}
	}
	summary(counts, out)
	fmt.Fprintf(out, "%d scenarios failed\n", failed)
	return min(failed, 1)
}

func one(seed uint64, verbose bool, out io.Writer) int {
	var trace io.Writer
	if verbose {
		trace = out
	}
	r := world.New(seed, trace).Run()
	summary(r.Counts, out)
	fmt.Fprintf(out, "seed %d: %d acknowledged, trace %016x\n", r.Seed, r.Acked, r.Hash)
	report(r, out)
	return min(len(r.Violations), 1)
}

func report(r world.Result, out io.Writer) {
	for _, v := range r.Violations {
		fmt.Fprintf(out, "seed %d: %s\n", r.Seed, v)
	}
	if len(r.Violations) > 0 {
		fmt.Fprintf(out, "replay: go run ./test/sim -seed %d -v\n", r.Seed)
	}
}

func summary(counts map[string]int, out io.Writer) {
	var names []string
	for n := range counts {
		names = append(names, n)
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(out, "%8d %s\n", counts[n], n)
	}
}
