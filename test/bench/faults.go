package main

import (
	"context"
	"fmt"
	"syscall"

	"mainstay/controller/state"
	"mainstay/test/testbed"
)

// setting is the kind of platform on which a fault is measured.
type setting struct {
	network bool // hosts in network namespaces, which only root may make; else all on loopback
	acks    int
	sites   bool // two members and two app servers on each of two sites; acks are of the other site, clients post through the apps
}

var (
	loopback     = setting{acks: 1}
	network      = setting{network: true, acks: 1}
	asynchronous = setting{network: true}
	sites        = setting{network: true, acks: 1, sites: true}
)

func (s setting) String() string {
	where := "loopback"
	if s.network {
		where = "network namespaces"
	}
	if s.sites {
		return fmt.Sprintf("%s, acks %d from the other site, through app servers", where, s.acks)
	}
	return fmt.Sprintf("%s, acks %d", where, s.acks)
}

// fault is one thing that happens to the primary.
type fault struct {
	name string
	on   setting
	kind state.OperationKind // of the operation that answers it
	// fresh: the client connects anew for each write, because those that are connected notice nothing.
	fresh bool
	// do makes it happen, and returns what takes it back, nil for nothing: also where it failed half way.
	do func(ctx context.Context, b *bench, primary string) (undo func() error, err error)
}

var faults = []fault{
	{name: "postmaster-killed", on: loopback, kind: state.Failover, do: postmasterKilled},
	{name: "host-killed", on: loopback, kind: state.Failover, do: hostKilled},
	{name: "switchover", on: loopback, kind: state.Switchover, do: switchover},
	{name: "postmaster-stopped", on: loopback, kind: state.Failover, fresh: true,
		do: stopping(func(b *bench, primary string) []int { return []int{b.Postmaster(primary)} })},
	{name: "everything-stopped", on: loopback, kind: state.Failover,
		do: stopping(func(b *bench, primary string) []int { return b.Tree(primary) })},
	{name: "host-stopped", on: loopback, kind: state.Failover,
		do: stopping(func(b *bench, primary string) []int { return b.OnHost(b.Host(primary).Name) })},
	{name: "host-cut", on: network, kind: state.Failover, do: hostCut},
	{name: "leader-and-primary-cut", on: network, kind: state.Failover, do: leaderAndPrimaryCut},
	{name: "host-cut-async", on: asynchronous, kind: state.Failover, do: hostCut},
	{name: "site-switchover", on: sites, kind: state.Switchover, do: siteSwitchover},
	{name: "site-lost", on: sites, kind: state.Failover, do: siteLost},
}

func names() (all []string) {
	for _, f := range faults {
		all = append(all, f.name)
	}
	return all
}

func postmasterKilled(_ context.Context, b *bench, primary string) (func() error, error) {
	return nil, testbed.Signal(syscall.SIGKILL, b.Postmaster(primary))
}

func hostKilled(_ context.Context, b *bench, primary string) (func() error, error) {
	h := b.Host(primary)
	return func() error { return b.StartAgent(h.Name) }, testbed.Signal(syscall.SIGKILL, b.Everything(h)...)
}

func switchover(ctx context.Context, b *bench, _ string) (func() error, error) {
	if out, err := b.CLI(ctx, "switchover", "feed", "--yes"); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return nil, nil
}

// stopping stops processes by SIGSTOP, and later continues them.
func stopping(list func(b *bench, primary string) []int) func(context.Context, *bench, string) (func() error, error) {
	return func(_ context.Context, b *bench, primary string) (func() error, error) {
		pids, err := testbed.Stop(func() []int { return list(b, primary) })
		if err == nil && len(pids) == 0 {
			err = fmt.Errorf("%s has no process that could be stopped", primary)
		}
		return func() error { return testbed.Continue(pids) }, err
	}
}

// hostCut: all packets from and to the primary's host are lost silently.
func hostCut(_ context.Context, b *bench, primary string) (func() error, error) {
	return b.net.HealAll, b.net.Cut(b.Host(primary).Name)
}

// leaderAndPrimaryCut: the others elect a leader first, which has seen nothing yet.
func leaderAndPrimaryCut(ctx context.Context, b *bench, primary string) (func() error, error) {
	leader, err := b.Leader(ctx)
	if err != nil {
		return nil, err
	}
	var ways []testbed.Way
	for _, host := range []string{b.Host(leader).Name, b.Host(primary).Name} {
		ways = append(ways, testbed.Ways([]string{host}, b.net.Others(host))...)
	}
	return b.net.HealAll, b.net.CutWays(testbed.Both(ways)...) // all at once
}

// siteSwitchover moves the platform to the site where the primary is not.
func siteSwitchover(ctx context.Context, b *bench, primary string) (func() error, error) {
	to := "west"
	if b.Host(primary).Site == to {
		to = "east"
	}
	id, err := b.SiteSwitchover(ctx, to)
	if err != nil {
		return nil, err
	}
	return nil, b.Wait(ctx, "the site switchover to end", func() (bool, string) {
		op, err := b.SiteChange(ctx, id)
		return err == nil && op.Result == state.Done, fmt.Sprint(op.Result, op.Outcome, err)
	})
}

// siteLost: the primary's site, with its app servers and its controller, reaches no other host.
func siteLost(_ context.Context, b *bench, primary string) (func() error, error) {
	return b.net.HealAll, b.net.CutWays(b.SiteWays(b.Host(primary).Site)...)
}
