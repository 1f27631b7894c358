package testbed

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A look that takes 100 ms is followed by a pause of 200 ms at least, so a second and a half has time for six.
func TestWaitPacesDearLooks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	looks := 0
	err := (&Testbed{}).Wait(ctx, "what never comes", func() (bool, string) {
		looks++
		time.Sleep(100 * time.Millisecond)
		if ctx.Err() != nil {
			return false, "no time is left"
		}
		return false, "the last thing seen"
	})
	if looks > 6 {
		t.Errorf("looked %d times", looks)
	}
	unmet := (*UnmetError)(nil)
	if !errors.As(err, &unmet) || !errors.Is(err, context.DeadlineExceeded) || unmet.What != "what never comes" ||
		unmet.Seen != "the last thing seen" {
		t.Errorf("it says %q", err)
	}
}
