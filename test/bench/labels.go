package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mainstay/test/bench/machine"
)

// Kinds of processes: the first word of a label. The second names the daemon, or the member.
const (
	controllerKind = "controller"
	agentKind      = "agent"
	guardKind      = "guard"
	launcherKind   = "launcher" // guard A's child and the postmaster's parent
	postgresKind   = "postgres"
	benchKind      = "bench"
)

// mainstays are the kinds that are Mainstay's own.
var mainstays = []string{controllerKind, agentKind, guardKind, launcherKind}

func kindOf(label string) string {
	kind, _, _ := strings.Cut(label, " ")
	return kind
}

// label names the processes of the testbed; their children have the same label.
func (b *bench) label(p machine.Process) string {
	if p.PID == os.Getpid() {
		return benchKind
	}
	return labelOf(p.Program, p.Args, filepath.Join(b.Dir, "bin", "mainstay"), b.members())
}

// members are the data directories by member.
func (b *bench) members() map[string]string {
	dirs := map[string]string{}
	for _, h := range b.Of(false) {
		dirs[h.Member] = b.Data(h.Member)
	}
	return dirs
}

// labelOf names a process by what it runs; "" for one that is neither a daemon of Mainstay's nor a postmaster.
func labelOf(program string, args []string, mainstay string, data map[string]string) string {
	if filepath.Base(program) == "postgres" {
		for member, dir := range data {
			if i := slices.Index(args, "-D"); i > 0 && i+1 < len(args) && args[i+1] == dir && !slices.Contains(args, "--single") {
				return postgresKind + " " + member
			}
		}
		return ""
	}
	if program != mainstay || len(args) < 2 {
		return ""
	}
	if guards, ok := strings.CutPrefix(args[0], "lease-"); ok {
		kind, rest, _ := strings.Cut(guards, ":")
		member, _, _ := strings.Cut(rest, ":")
		if kind == guardKind {
			return guardKind + " " + member
		}
		return launcherKind + " " + member
	}
	if args[0] == "watchdog-holder" {
		return guardKind + " " + args[0]
	}
	if kind := args[1]; (kind == controllerKind || kind == agentKind) && len(args) > 3 {
		name := strings.TrimSuffix(filepath.Base(args[3]), ".yaml")
		return kind + " " + strings.TrimPrefix(name, kind+"-")
	}
	return ""
}

// costs measures this machine with the primary of a healthy platform, as soon as one lasts for so long.
func (b *bench) costs(ctx context.Context) (c machine.Costs, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err = b.Wait(ctx, "the cost of a connection", func() (bool, string) {
		c, err = b.costsNow(ctx)
		return err == nil, fmt.Sprint(err)
	})
	return c, err
}

func (b *bench) costsNow(ctx context.Context) (machine.Costs, error) {
	c, err := b.Cluster(ctx)
	if err != nil {
		return machine.Costs{}, err
	}
	server, err := machine.Server(b.Socket(c.Primary))
	if err != nil {
		return machine.Costs{}, err
	}
	return machine.Measure(ctx, server, b.Postmaster(c.Primary))
}
