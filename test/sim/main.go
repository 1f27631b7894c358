// Command sim plays seeded scenarios against the pure core and checks the safety argument from outside. It uses
// no real clock to decide anything, and no network. A seed that fails is made as small as possible, and printed with the
// command that replays it.
//
// usage: sim [-seeds N] [-first S] [-for 1h] [-keep] [-hash] [-profile FILE], or sim -seed S [-skip 1,3] [-heal 12s] [-v]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"mainstay/test/sim/world"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	f.SetOutput(errs)
	s := search{out: out}
	f.Uint64Var(&s.seeds, "seeds", 1000, "how many scenarios to play")
	f.Uint64Var(&s.first, "first", 1, "the first seed")
	f.DurationVar(&s.long, "for", 0, "play for this long, instead of a number of scenarios")
	f.BoolVar(&s.keep, "keep", false, "continue after a failure")
	f.BoolVar(&s.hash, "hash", false, "print a hash of each trace, to compare before and after a change that must not change any")
	f.IntVar(&s.workers, "workers", runtime.GOMAXPROCS(0), "how many scenarios to play at a time")
	profile := f.String("profile", "", "write a CPU profile to this file, for go tool pprof")
	seed := f.Uint64("seed", 0, "play this one only")
	skip := f.String("skip", "", "leave these faults out, by number (with -seed)")
	heal := f.Duration("heal", 0, "heal everything at this time (with -seed)")
	verbose := f.Bool("v", false, "print the trace (with -seed)")
	if err := f.Parse(args); err != nil {
		return 2
	}
	if *profile != "" {
		stop, err := profileTo(*profile)
		if err != nil {
			fmt.Fprintf(errs, "-profile: %v\n", err)
			return 2
		}
		defer stop()
	}
	if *seed == 0 {
		return s.run(ctx)
	}
	o := world.Options{Heal: *heal, Hash: true}
	for _, n := range strings.FieldsFunc(*skip, func(r rune) bool { return r == ',' }) {
		number, err := strconv.Atoi(n)
		if err != nil {
			fmt.Fprintf(errs, "-skip %s: want numbers of faults, such as 1,3\n", *skip)
			return 2
		}
		o.Skip = append(o.Skip, number)
	}
	if *verbose {
		o.Trace = out
	}
	return one(*seed, o, out)
}

// profileTo begins a CPU profile; stop ends it.
func profileTo(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}

func one(seed uint64, o world.Options, out io.Writer) int {
	r := world.New(seed, o).Run()
	for _, f := range r.Faults {
		fmt.Fprintf(out, "fault %s\n", f)
	}
	summary(r.Counts, out)
	fmt.Fprintf(out, "seed %d: %d acknowledged, trace %016x\n", r.Seed, r.Acked, r.Hash)
	for _, v := range r.Violations {
		fmt.Fprintf(out, "seed %d: %s\n", seed, v)
	}
	return min(len(r.Violations), 1)
}

// since is a duration for people.
func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
