package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options are the arguments.
type options struct {
	n    int      // rounds of each fault
	only []string // names of faults; empty for all
	json bool
	calm time.Duration // 0: measure faults
	burn loops         // to keep the machine busy meanwhile
	cost bool
	// integrity: measure the checks of data, of size MB.
	integrity bool
	size      int
	// backup: measure backups, of size MB of rows.
	backup bool
}

// parse reads the arguments; mistakes of the flags themselves are told on usage as well. flag.ErrHelp: help was asked for.
func parse(args []string, usage io.Writer) (options, error) {
	o := options{burn: beside()}
	var only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&o.n, "n", 10, "how often each fault is measured")
	f.StringVar(&only, "only", "", "measure only these faults, separated by commas: "+strings.Join(names(), ", "))
	f.BoolVar(&o.json, "json", false, "print JSON instead of tables")
	f.DurationVar(&o.calm, "calm", 0, "no fault: for so long, watch a healthy platform whose machine is kept busy")
	f.Var(o.burn, "burn", "with -calm: loops that keep the machine busy, such as forks,fsync or cpu=24,forks=3,fsync=3")
	f.BoolVar(&o.cost, "cost", false,
		"count processes, connections, syncs and bytes, idle and in a change, and hold them against their budgets")
	f.BoolVar(&o.integrity, "integrity", false, "measure the checks of data beside pg_checksums, beside each other, and as a client sees them")
	f.BoolVar(&o.backup, "backup", false, "measure backups beside pg_basebackup, and beside the same steps by hand")
	f.IntVar(&o.size, "size", 2048, "with -integrity and -backup: MB of rows")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if (o.integrity || o.backup) && !given["n"] {
		o.n = integrityRounds
	}
	return o, o.check(f.Args(), given)
}

// integrityRounds is how often -integrity and -backup measure, without -n.
const integrityRounds = 3

func (o options) check(rest []string, given map[string]bool) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q is no flag; see -help", rest[0])
	}
	if given["calm"] && o.calm <= 0 {
		return fmt.Errorf("-calm %s: give a time above 0, such as 30m", o.calm)
	}
	if given["calm"] && (given["n"] || given["only"]) {
		return errors.New("-calm measures no fault: leave -n and -only out")
	}
	if given["cost"] && (given["n"] || given["only"] || given["calm"]) {
		return errors.New("-cost measures each phase once: leave -n, -only and -calm out")
	}
	if o.integrity && (given["only"] || given["calm"] || given["cost"]) {
		return errors.New("-integrity measures no fault: leave -only, -calm and -cost out")
	}
	if o.backup && (given["only"] || given["calm"] || given["cost"] || o.integrity) {
		return errors.New("-backup measures no fault: leave -only, -calm, -cost and -integrity out")
	}
	if given["size"] && !o.integrity && !o.backup {
		return errors.New("-size is for -integrity and -backup: give one of them")
	}
	if o.size < 16 || o.size > 1<<20 {
		return fmt.Errorf("-size %d: give 16 to %d MB", o.size, 1<<20)
	}
	if given["burn"] && !given["calm"] {
		return errors.New("-burn keeps the machine busy for -calm alone: give both")
	}
	if o.n < 1 {
		return fmt.Errorf("-n %d: measure at least once", o.n)
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("-only: there is no fault %q; use one of %s", name, strings.Join(names(), ", "))
		}
	}
	return nil
}

// wants tells whether a fault should be measured.
func (o options) wants(f fault) bool { return len(o.only) == 0 || slices.Contains(o.only, f.name) }
