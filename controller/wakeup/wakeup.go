// Package wakeup wakes a loop that selects on a channel of capacity 1, and pauses one that has nothing to select on. Wake-ups are
// neither lost nor counted: however many were sent before the loop receives, it goes round once. It must never block the sender.
package wakeup

import (
	"context"
	"time"
)

// Signal makes ch ready. ch must have a capacity of 1.
func Signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Pause waits for d, or until ctx ends, whose error it then returns. It does not wait at all if d is not positive.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
