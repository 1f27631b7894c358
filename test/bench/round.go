package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/test/platform/load"
	"mainstay/test/testbed"
)

// measureAll measures the faults that are wanted, those of one setting on one platform, and prints what there is also when
// it ends early.
func measureAll(ctx context.Context, dir string, o options) (err error) {
	p := printer{json: o.json, out: os.Stdout}
	defer func() { err = errors.Join(err, p.end()) }()
	var errs []error
	for _, on := range []setting{loopback, network, asynchronous, sites} {
		err := measureOn(ctx, dir, o, on, &p)
		if errors.Is(err, testbed.ErrNotAllowed) && len(o.only) == 0 {
			fmt.Fprintf(os.Stderr, "bench: left out (%s): %v\n", on, err)
			continue
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func measureOn(ctx context.Context, dir string, o options, on setting, p *printer) (err error) {
	var wanted []fault
	for _, f := range faults {
		if f.on == on && o.wants(f) {
			wanted = append(wanted, f)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	b, err := open(ctx, dir, on)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if p.postgres == "" {
		if err := b.describe(ctx, p); err != nil {
			return err
		}
	}
	var errs []error
	for _, f := range wanted {
		r, err := b.measure(ctx, f, o.n)
		p.add(r)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// describe prints what the machine is like.
func (b *bench) describe(ctx context.Context, p *printer) error {
	version, err := b.SQL(ctx, "feed-e1", "postgres", "SHOW server_version")
	if err != nil {
		return err
	}
	costs, err := b.costs(ctx)
	if err != nil {
		return err
	}
	p.begin(version, costs)
	return nil
}

// measure does a fault n times, each time on a healthy cluster, then looks for every post that was acknowledged, also
// after a round that failed. The result has the rounds that did not.
func (b *bench) measure(ctx context.Context, f fault, n int) (r result, err error) {
	r = result{fault: f, missing: unknown}
	end, err := b.client(ctx, f.name, f.fresh)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, end()) }()
	for i := range n {
		var s sample
		if s, err = b.round(ctx, f); err != nil {
			err = fmt.Errorf("round %d of %d: %w", i+1, n, err)
			break
		}
		r.samples = append(r.samples, s)
		fmt.Fprintf(os.Stderr, "%s %d/%d: %s\n", f.name, i+1, n, s)
	}
	v, verr := b.verify(ctx)
	if verr != nil {
		return r, errors.Join(err, verr)
	}
	r.acknowledged, r.missing = v.Checked, len(v.Missing)
	if f.on.acks > 0 && r.missing > 0 {
		err = errors.Join(err, fmt.Errorf("acknowledged posts are missing: %s", v))
	}
	return r, err
}

// round is one fault: healthy before it, healthy after it.
func (b *bench) round(ctx context.Context, f fault) (s sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	was, err := b.ready(ctx)
	if err != nil {
		return s, err
	}
	if s, err = b.suffer(ctx, f, was); err != nil {
		return s, err
	}
	mark := b.load.Mark()
	if err := b.healthy(ctx); err != nil {
		return s, err
	}
	r, err := b.load.Report(mark)
	s.after = r.Longest
	return s, err
}

// ready waits for health and for the load, and for promises of before an agent's start. It lifts the block that an automatic
// failover leaves behind: with it the next inferred one would wait for a minute.
func (b *bench) ready(ctx context.Context) (was wire.ClusterState, err error) {
	if err := b.healthy(ctx); err != nil {
		return was, err
	}
	if err := b.WaitPromises(ctx); err != nil {
		return was, err
	}
	err = b.Wait(ctx, "the block of the last failover to be lifted", func() (bool, string) {
		if err := b.ack(ctx); err != nil {
			return false, err.Error()
		}
		was, err = b.Cluster(ctx)
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		return was, err
	}
	return was, b.acknowledged(ctx)
}

// ack: a refusal says that there is nothing to lift.
func (b *bench) ack(ctx context.Context) error {
	c := b.Client()
	defer c.Close()
	err := c.Do(ctx, http.MethodPost, "/v1/clusters/feed/ack", nil, nil)
	if r := (*wire.RefusalError)(nil); errors.As(err, &r) && r.Status == http.StatusConflict {
		return nil
	}
	return err
}

// suffer lets the fault last until another member is primary and the client's posts are acknowledged again.
func (b *bench) suffer(ctx context.Context, f fault, was wire.ClusterState) (s sample, err error) {
	mark, begun := b.load.Mark(), time.Now()
	undo, err := f.do(ctx, b, was.Primary)
	if undo != nil {
		defer func() { err = errors.Join(err, undo()) }()
	}
	if err != nil {
		return s, err
	}
	if _, err := b.load.AwaitOutage(ctx, mark); err != nil { // until then no controller is asked: answers would take time from the change
		return s, err
	}
	var op state.Operation
	err = b.Wait(ctx, "the "+string(f.kind), func() (bool, string) {
		op, err = b.Last(ctx, f.kind)
		return err == nil && was.Epoch.Less(op.Epoch) && op.Result == state.Done, fmt.Sprint(op.Result, err)
	})
	if err != nil {
		return s, err
	}
	if err := b.acknowledged(ctx); err != nil {
		return s, err
	}
	r, err := b.load.Report(mark)
	if err != nil {
		return s, err
	}
	if len(r.Outages) == 0 {
		return s, errors.New("the client saw no outage at all")
	}
	return b.split(begun, op, longest(r.Outages)), nil
}

func longest(all []load.Outage) load.Outage {
	best := all[0]
	for _, o := range all {
		if o.Length > best.Length {
			best = o
		}
	}
	return best
}
