package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// settling is how long a platform rests before it is measured idle.
const settling = 15 * time.Second

// lookAfter is how often a platform is asked whether it is healthy again: seldom, since to answer costs it something.
const lookAfter = 500 * time.Millisecond

// cost counts what a platform does while it is idle and while it changes its primary, prints that beside the budgets, and
// fails where one is exceeded.
func cost(ctx context.Context, dir string, o options) (err error) {
	b, err := open(ctx, dir, loopback)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	costs, err := b.costs(ctx)
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Println(costs)
	}
	phases, err := b.phases(ctx)
	over := exceeded(budgets, phases)
	if o.json {
		err = errors.Join(err, encode(os.Stdout, map[string]any{"costsMS": costs.JSON(), "phases": phases, "exceeded": over}))
	} else {
		printPhases(os.Stdout, phases, budgets)
	}
	if err == nil && len(over) > 0 {
		err = fmt.Errorf("%d of %d budgets are exceeded:\n  %s", len(over), len(budgets), strings.Join(over, "\n  "))
	}
	return err
}

// phases measures them one after the other; the first error ends it.
func (b *bench) phases(ctx context.Context) (all []phase, err error) {
	if err := b.logConnections(ctx); err != nil {
		return nil, err
	}
	idle, err := b.idle(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", idlePhase, err)
	}
	all = append(all, idle)
	end, err := b.client(ctx, "cost", false)
	if err != nil {
		return all, err
	}
	defer func() { err = errors.Join(err, end()) }()
	for _, c := range []struct{ fault, change, rejoin string }{
		{"postmaster-killed", failoverPhase, rejoinPhase}, {"switchover", switchoverPhase, returnPhase},
	} {
		two, err := b.change(ctx, faultNamed(c.fault), c.change, c.rejoin)
		if err != nil {
			return all, fmt.Errorf("%s: %w", c.change, err)
		}
		all = append(all, two...)
	}
	return all, nil
}

func faultNamed(name string) fault {
	for _, f := range faults {
		if f.name == name {
			return f
		}
	}
	panic("there is no fault " + name)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (b *bench) idle(ctx context.Context) (p phase, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	if err := b.healthy(ctx); err != nil {
		return p, err
	}
	if err := pause(ctx, settling); err != nil {
		return p, err
	}
	c, err := b.Cluster(ctx)
	if err != nil {
		return p, err
	}
	m, err := b.meter(ctx, c.Primary)
	if err != nil {
		return p, err
	}
	defer m.close()
	if err := pause(ctx, measuredIdle*time.Second); err != nil {
		return p, err
	}
	last, err := m.read()
	if err != nil {
		return p, err
	}
	r, err := m.stop(ctx, c.Primary)
	if err != nil {
		return p, err
	}
	p = newPhase(idlePhase, m.first, last, r, m.blind).with(walItem, r.wal).rested(m.first, last)
	now, err := b.asked(ctx)
	if now.Epoch != c.Epoch {
		p.Details = append(p.Details, fmt.Sprintf("it was not idle: epoch %s became %s", c.Epoch, now.Epoch))
	}
	return p, err
}

// change measures a fault: up to the first write after it, and from there to health.
func (b *bench) change(ctx context.Context, f fault, name, rejoin string) (two []phase, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	was, err := b.ready(ctx)
	if err != nil {
		return nil, err
	}
	m, err := b.meter(ctx, was.Primary)
	if err != nil {
		return nil, err
	}
	defer m.close()
	cut := boundary{begun: time.Now(), member: was.Primary, host: b.Host(was.Primary).Name}
	first, primary, undo, err := b.strike(ctx, f, was)
	if undo != nil {
		defer func() { err = errors.Join(err, undo()) }()
	}
	if err != nil {
		return nil, err
	}
	written, err := m.read()
	if err != nil {
		return nil, err
	}
	if err := b.recovered(ctx); err != nil {
		return nil, err
	}
	last, err := m.read()
	if err != nil {
		return nil, err
	}
	r, err := m.stop(ctx, primary)
	if err != nil {
		return nil, err
	}
	log, err := os.ReadFile(b.serverLog(primary))
	if err != nil {
		return nil, err
	}
	cut.first, cut.promoted = first, readyAfter(string(log), cut.begun)
	before, after := cut.split(r)
	one, other := newPhase(name, m.first, written, before, m.blind), newPhase(rejoin, written, last, after, m.blind)
	return []phase{one, other.with(walItem+" since the fault", r.wal)}, nil
}
