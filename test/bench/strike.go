package main

import (
	"context"
	"fmt"
	"time"

	"mainstay/controller/wire"
)

// strike does a fault and returns at the first write after it: a request for a change may return later than that.
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

// firstWrite waits for the first write that another primary has acknowledged to the client, and tells when that was.
func (b *bench) firstWrite(ctx context.Context, mark string, was wire.ClusterState) (at time.Time, primary string, err error) {
	for {
		o, err := b.load.AwaitWrite(ctx, mark)
		if err != nil {
			return at, "", fmt.Errorf("%w\n%s", err, b.Logs(15))
		}
		mark = b.load.Mark() // for a next one, if the old primary had failed for a moment only
		c, err := b.asked(ctx)
		if err != nil || c.Primary != was.Primary {
			return o.End, c.Primary, err
		}
	}
}

// asked is the answer of a leader, as soon as there is one.
func (b *bench) asked(ctx context.Context) (c wire.ClusterState, err error) {
	err = b.Wait(ctx, "a leader that answers", func() (bool, string) {
		var err error
		c, err = b.Cluster(ctx)
		return err == nil, fmt.Sprint(err)
	})
	return c, err
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
