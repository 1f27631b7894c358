package apps

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// task does one thing at a time beside a loop, which goes on meanwhile. It belongs to that loop's goroutine.
type task struct {
	done   chan error // what is under way tells how it ended; nil while nothing is
	cancel context.CancelFunc
}

// begin does nothing while the one before is under way.
func (l *task) begin(ctx context.Context, group *errgroup.Group, bound time.Duration, f func(context.Context) error) {
	if l.busy() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	done := make(chan error, 1)
	l.done, l.cancel = done, cancel
	group.Go(func() error {
		defer cancel()
		done <- f(ctx)
		return nil
	})
}

func (l *task) busy() bool { return l.done != nil }

// over is called with what came out of done.
func (l *task) over() { l.done = nil }

// stop asks what is under way to end.
func (l *task) stop() {
	if l.busy() {
		l.cancel()
	}
}
