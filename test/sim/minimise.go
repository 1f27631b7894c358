package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/test/sim/world"
)

// smaller leaves out one fault after the other, then heals as early as it can, while the same rule still breaks. It tries
// at most some dozens of scenarios, so it is bounded by the length of a few seconds.
func smaller(r world.Result) (world.Options, world.Result) {
	var o world.Options
	rule := r.Violations[0].Rule
	try := func(next world.Options) bool {
		played := world.New(r.Seed, next).Run()
		if len(played.Violations) == 0 || played.Violations[0].Rule != rule {
			return false
		}
		o, r = next, played
		return true
	}
	for again := true; again; {
		again = false
		for n := range r.Faults {
			if next := o; !slices.Contains(o.Skip, n+1) {
				next.Skip = append(slices.Clone(o.Skip), n+1)
				slices.Sort(next.Skip)
				again = try(next) || again
			}
		}
	}
	for _, later := range []time.Duration{time.Second, 3 * time.Second, 6 * time.Second, 9 * time.Second} {
		if next := o; r.LastFault > 0 {
			next.Heal = (r.LastFault + later).Round(time.Second)
			if try(next) {
				break
			}
		}
	}
	return o, r
}

// explain is what is printed of a scenario that failed: what broke, how to see it again, and the smallest one found.
func explain(r world.Result) string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "seed %d: %s\n", r.Seed, v)
	}
	fmt.Fprintf(&b, "replay: go run ./test/sim -seed %d -v\n", r.Seed)
	o, small := smaller(r)
	fmt.Fprintf(&b, "smallest: go run ./test/sim -seed %d", r.Seed)
	if len(o.Skip) > 0 {
		fmt.Fprintf(&b, " -skip %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(o.Skip), " ", ","), "[]"))
	}
	if o.Heal != 0 {
		fmt.Fprintf(&b, " -heal %s", o.Heal)
	}
	fmt.Fprintf(&b, " -v\n   with %s\n", small.Violations[0])
	for n, f := range small.Faults {
		if !slices.Contains(o.Skip, n+1) {
			fmt.Fprintf(&b, "   fault %s\n", f)
		}
	}
	return b.String()
}
