package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/health"
)

// highestRate is the most that a check of the structure may be asked for, in MB a second.
const highestRate = 1000

// structureFlags are those of a check of the structure.
type structureFlags struct {
	install, stop, noWait bool
	rate                  int // MB a second; 0: the rate of the agent's file
}

func (f *structureFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.install, "install-extensions", false, "create missing extensions through the primary (structure)")
	c.Flags().IntVar(&f.rate, "rate", 0, "MB to check in a second, on average; 0 is the rate of the agent's file (structure)")
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "only begin the check; the same command shows it later (structure)")
	c.Flags().BoolVar(&f.stop, "stop", false, "end the checks that are running (compare, structure)")
}

func (f *structureFlags) valid(depth string) error {
	others := *f
	others.stop = false
	switch {
	case depth != depthStructure && others != structureFlags{}:
		return usagef("--install-extensions, --rate and --no-wait are for --depth structure")
	case f.stop && depth == depthPages:
		return usagef("--stop is for --depth compare and --depth structure: a scan of the pages continues in the background")
	case f.rate < 0 || f.rate > highestRate:
		return usagef("--rate must be between 1 and %d, or 0 for the rate of the agent's file", highestRate)
	case f.stop && (f.install || f.noWait || f.rate > 0):
		return usagef("--stop begins nothing: give no other flag with it")
	}
	return nil
}

// structure has the agents check the structure of their members' data, one after the other.
func (c *check) structure(ctx context.Context, clusters []wire.ClusterState) error {
	all, whole := []render.CheckedStructure{}, true
	for _, cl := range clusters {
		for _, m := range c.ordered(cl) {
			if ctx.Err() != nil {
				break
			}
			one := render.CheckedStructure{Cluster: cl.Name, Member: m.Name}
			var err error
			if one.Check, err = c.structureOf(ctx, m, m.Name == cl.Primary); err != nil {
				if ctx.Err() == nil && (c.name == m.Name || forbidden(err)) {
					return err
				}
				one.Error = err.Error()
			}
			whole = whole && err == nil && (c.noWait || c.stop || one.Check != nil && one.Check.Whole())
			all = append(all, one)
		}
	}
	err := c.p.show(all, func(o render.Options) string { return render.Structures(all, o) })
	if err == nil && !whole {
		err = quietError{exitFailed}
	}
	return err
}

// ordered are the members of a cluster that are asked for: replicas first, but where extensions are created the primary, from which the
// replicas have them.
func (c *check) ordered(cl wire.ClusterState) (all []wire.MemberStatus) {
	for _, m := range cl.Members {
		if c.name == "" || c.name == cl.Name || c.name == m.Name {
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b wire.MemberStatus) int {
		switch {
		case (a.Name == cl.Primary) == (b.Name == cl.Primary):
			return 0
		case (a.Name == cl.Primary) == c.install:
			return -1
		}
		return 1
	})
	return all
}

// structureOf begins a check, or follows the one that is running.
func (c *check) structureOf(ctx context.Context, m wire.MemberStatus, primary bool) (s *health.Structure, err error) {
	if c.install && !primary && c.name == m.Name {
		return nil, refusedf("%s is no primary: extensions are created there, and replicas have them from it", m.Name)
	}
	now := func(method string, in any) error {
		var a wire.StructureAnswer
		err := c.ask(ctx, m, method, "/structure", in, &a)
		if err == nil {
			s = a.Check
		}
		return err
	}
	if err := now(http.MethodGet, nil); err != nil {
		return nil, err
	}
	running := s != nil && s.Running
	switch {
	case c.stop && !running:
		return s, refusedf("no check of %s is running", m.Name)
	case c.stop:
		return s, now(http.MethodPost, wire.StructureRequest{Stop: true})
	case running:
		c.p.say("%s: a check is running; --stop ends it", m.Name)
	default:
		if err := now(http.MethodPost, wire.StructureRequest{Install: c.install && primary, Rate: c.rate}); err != nil {
			return nil, err
		}
	}
	if c.noWait {
		return s, nil
	}
	said, heard := time.Now(), time.Now()
	for s != nil && s.Running {
		if wakeup.Pause(ctx, checkEvery) != nil {
			if !running { // it is this command's
				c.stopStructure(ctx, m)
			}
			return s, ctx.Err()
		}
		switch err := now(http.MethodGet, nil); {
		case err == nil:
			heard = time.Now()
		case ctx.Err() == nil && time.Since(heard) > checkLost:
			return s, err
		}
		if s != nil && s.Running && time.Since(said) >= checkSays {
			said = time.Now()
			c.p.say("%s: %d%%%s", m.Name, s.Percent, render.WaitsFor(s))
		}
	}
	if s == nil {
		err = errors.New("the agent of " + m.Name + " knows of no check any more: it was started again, or the data was replaced")
	}
	return s, err
}

// stopStructure ends a check after an interrupt.
func (c *check) stopStructure(ctx context.Context, m wire.MemberStatus) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkSays)
	defer cancel()
	if c.ask(ctx, m, http.MethodPost, "/structure", wire.StructureRequest{Stop: true}, nil) == nil {
		c.p.say("%s: the check was stopped", m.Name)
	}
}
