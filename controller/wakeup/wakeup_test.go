package wakeup

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestSignal: the second one finds the first not received yet.
func TestSignal(t *testing.T) {
	ch := make(chan struct{}, 1)
	Signal(ch)
	Signal(ch)
	select {
	case <-ch:
	default:
		t.Fatal("the wake-up is lost")
	}
	select {
	case <-ch:
		t.Error("two wake-ups are counted")
	default:
	}
}

// TestPause: it lasts as long as was said, and no longer than its context.
func TestPause(t *testing.T) {
	began := time.Now()
	if err := Pause(t.Context(), 20*time.Millisecond); err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, d := range []time.Duration{0, -time.Second, time.Hour} {
		if err := Pause(ended, d); !errors.Is(err, context.Canceled) {
			t.Errorf("a pause of %s without a context: %v", d, err)
		}
	}
	if err := Pause(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
