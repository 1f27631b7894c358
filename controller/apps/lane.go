package apps

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// lane does one thing at a time beside a loop, which goes on meanwhile. It belongs to that loop's goroutine.
type lane struct {
	done   chan error // what is under way tells how it ended; nil while nothing is
	cancel context.CancelFunc
}

// begin does nothing while the one before is under way.
func (l *lane) begin(ctx context.Context, group *errgroup.Group, bound time.Duration, f func(context.Context) error) {
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

func (l *lane) busy() bool { return l.done != nil }

// over is called with what came out of done.
func (l *lane) over() { l.done = nil }

// stop asks what is under way to end.
func (l *lane) stop() {
	if l.busy() {
		l.cancel()
	}
}
