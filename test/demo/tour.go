package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/test/testbed"
)

// stop is one stop of the tour: a fault, and what must be true afterwards.
type stop struct {
	title string
	do    func(ctx context.Context, primary string) error
	kind  state.OperationKind // the cluster's operation that it must have caused, "" for none
	after func(ctx context.Context) error
}

// tour breaks the platform in turn. After each stop it prints what happened, the write outage that the clients of the app
// servers saw, and how many acknowledged posts are missing.
func (d *demo) tour(ctx context.Context) error {
	var restart string
	stops := []stop{
		{"The primary crashes (kill -9 of its postmaster)", func(ctx context.Context, primary string) error {
			return testbed.Signal(syscall.SIGKILL, d.testbed.Postmaster(primary))
		}, state.Failover, nil},
		{"A planned switchover", func(ctx context.Context, primary string) error {
			return d.testbed.Wait(ctx, "a switchover to be done", func() (bool, string) { // a busy machine may have it refused or given up
				out, err := d.testbed.CLI(ctx, "switchover", "feed", "--yes")
				return err == nil, out
			})
		}, state.Switchover, nil},
		{"A replica's whole host is lost", func(ctx context.Context, primary string) error {
			for _, h := range d.testbed.Of(false) {
				if h.Member != primary {
					restart = h.Name
				}
			}
			return testbed.Signal(syscall.SIGKILL, d.testbed.Everything(d.testbed.Host(restart))...)
		}, "", func(ctx context.Context) error { return d.testbed.StartAgent(restart) }},
		{"The leading controller and the primary crash together", func(ctx context.Context, primary string) error {
			leader, err := d.testbed.Leader(ctx)
			restart = leader
			return errors.Join(err, testbed.Signal(syscall.SIGKILL, d.testbed.Postmaster(primary)),
				d.testbed.Kill("controller "+leader, syscall.SIGKILL))
		}, state.Failover, func(ctx context.Context) error { return d.testbed.StartController(restart) }},
		{"The primary's site is lost: members, app servers and controller", func(ctx context.Context, primary string) error {
			// acknowledged, or another failover so soon would wait a minute
			return errors.Join(d.testbed.Ack(ctx), d.testbed.LoseSite(d.testbed.Host(primary).Site))
		}, state.Failover, func(context.Context) error { return d.testbed.Mend() }},
		{"A planned switchover of the whole platform to the other site", d.siteSwitchover, "", nil},
		{"And back", d.siteSwitchover, "", nil},
	}
	for i, s := range stops {
		d.say("== %d. %s", i+1, s.title)
		if err := d.visit(ctx, s); err != nil {
			return fmt.Errorf("stop %d of %d failed (%s): %w", i+1, len(stops), s.title, err)
		}
	}
	if err := d.verdict(); err != nil {
		return err
	}
	d.say("The tour is over: every member is back without an operator, and no acknowledged post is missing.")
	return nil
}

func (d *demo) visit(ctx context.Context, s stop) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	if err := d.testbed.WaitHealthy(ctx); err != nil { // a busy machine may have changed something since
		return err
	}
	c, err := d.testbed.Cluster(ctx)
	if err != nil {
		return err
	}
	mark := d.load.Mark()
	if err := s.do(ctx, c.Primary); err != nil {
		return err
	}
	if s.kind != "" {
		if err := d.show(ctx, s.kind, c.Epoch); err != nil {
			return err
		}
	}
	if s.after != nil {
		if err := d.acknowledged(ctx, mark); err != nil {
			return err
		}
		if err := s.after(ctx); err != nil {
			return err
		}
	}
	if err := d.testbed.WaitHealthy(ctx); err != nil {
		return err
	}
	if err := d.testbed.WaitApps(ctx); err != nil {
		return err
	}
	r, err := d.load.Report(mark)
	if err != nil {
		return err
	}
	d.say("   write outage seen by the clients: %s; posts acknowledged meanwhile: %d", r.Longest.Round(time.Millisecond), r.Tally.Acked)
	return d.verdict()
}

// show waits for the operation that ends an epoch, and prints its steps.
func (d *demo) show(ctx context.Context, kind state.OperationKind, before platform.Epoch) error {
	var op state.Operation
	err := d.testbed.Wait(ctx, "the "+string(kind), func() (bool, string) {
		var err error
		if op, err = d.testbed.Last(ctx, kind); err != nil {
			return false, err.Error()
		}
		return before.Less(op.Epoch) && op.Result == state.Done, string(op.Result) + " " + op.ID
	})
	if err != nil {
		return err
	}
	d.say("   %s %s: %s -> %s, epoch %s, timeline %d", op.ID, op.Kind, op.From, op.To, op.Epoch, op.Timeline)
	d.say("   why: %s", op.Reason)
	if op.Proof != nil {
		d.say("   fence proof: %s (%s)", op.Proof.Kind, op.Proof.Detail)
	}
	d.steps(op)
	for name, why := range op.NotChosen {
		d.say("   not chosen: %s: %s", name, why)
	}
	return nil
}

// steps prints when each step began, counted from the first.
func (d *demo) steps(op state.Operation) {
	begun, _ := time.Parse(time.RFC3339, op.Steps[0].At)
	for _, st := range op.Steps {
		at, _ := time.Parse(time.RFC3339, st.At)
		d.say("   %+7.3fs %-10s %s", at.Sub(begun).Seconds(), st.Name, st.Note)
	}
}

// siteSwitchover moves everything to the site where the primary is not, and prints its steps.
func (d *demo) siteSwitchover(ctx context.Context, primary string) error {
	to := "west"
	if d.testbed.Host(primary).Site == to {
		to = "east"
	}
	id, err := d.testbed.SiteSwitchover(ctx, to)
	if err != nil {
		return err
	}
	var op state.Operation
	err = d.testbed.Wait(ctx, "site switchover "+id, func() (bool, string) {
		op, err = d.testbed.SiteChange(ctx, id)
		return err == nil && op.Result == state.Done, fmt.Sprint(op.Result, " ", op.Outcome)
	})
	if err != nil {
		return err
	}
	d.say("   %s %s: to site %s", op.ID, op.Kind, op.To)
	d.steps(op)
	return nil
}

// acknowledged waits until posts are acknowledged again after a mark.
func (d *demo) acknowledged(ctx context.Context, mark string) error {
	begun := time.Now()
	return d.testbed.Wait(ctx, "posts to be acknowledged", func() (bool, string) {
		r, err := d.load.Report(mark)
		return err == nil && r.Tally.Acked > 50 && time.Since(begun) > 2*time.Second, d.lastError(mark)
	})
}
