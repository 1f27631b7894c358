package wakeup

import "testing"

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
