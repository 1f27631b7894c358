package apps

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// task runs one function at a time beside a loop, which continues meanwhile. It belongs to that loop's goroutine.
type task struct {
	done   chan error // gets the result of the function in progress; nil if there is none
	cancel context.CancelFunc
}

// begin does nothing while the task is busy.
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

// over must be called once done has delivered a result.
func (l *task) over() { l.done = nil }

// stop cancels the function in progress.
func (l *task) stop() {
	if l.busy() {
		l.cancel()
	}
}
