package main

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/wire"
)

// strike does a fault and returns at the first write after it: what asks for a change may return later than that.
func (b *bench) strike(ctx context.Context, f fault, was wire.ClusterState) (
	first time.Time, primary string, undo func() error, err error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	mark, done := b.load.Mark(), make(chan struct{})
	go func() {
		defer close(done)
		var failed error
		if undo, failed = f.do(ctx, b, was.Primary); failed != nil {
			cancel(failed)
		}
	}()
	first, primary, err = b.firstWrite(waiting, mark, was)
	<-done
	return first, primary, undo, err
}

// firstWrite waits for the first write that the client has acknowledged by another primary, and tells when that was.
func (b *bench) firstWrite(ctx context.Context, mark string, was wire.ClusterState) (at time.Time, primary string, err error) {
	for {
		if at, err = b.answered(ctx, mark); err != nil {
			return at, "", err
		}
		mark = b.load.Mark() // for a next one, if this was a hiccup of the old primary
		c, err := b.Cluster(ctx)
		if err == nil && c.Primary != was.Primary {
			return at, c.Primary, nil
		}
	}
}

// answered waits for an acknowledgement after an attempt that failed.
func (b *bench) answered(ctx context.Context, mark string) (time.Time, error) {
	for {
		r, err := b.load.Report(mark)
		if err != nil {
			return time.Time{}, err
		}
		if n := len(r.Outages); r.Tally.Unknown > 0 && n > 0 && !r.Outages[n-1].Open {
			return longest(r.Outages).End, nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return time.Time{}, fmt.Errorf("wait for the first write after the fault: %w; last error of the client: %s", err, r.Tally.LastError)
		}
	}
}

// recovered waits for health as WaitHealthy does, with fewer questions.
func (b *bench) recovered(ctx context.Context) error {
	for {
		ok, why := b.Healthy(ctx)
		if ok {
			return nil
		}
		if err := pause(ctx, lookAfter); err != nil {
			return fmt.Errorf("wait for a healthy cluster: %w; last: %s", err, why)
		}
	}
}
