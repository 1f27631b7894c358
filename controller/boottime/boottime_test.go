package boottime

import (
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNowGoesOnWithTheMonotonicClock(t *testing.T) {
	first, start := Now(), time.Now()
	if first <= 0 {
		t.Fatalf("Now() = %v, want a time since boot", first)
	}
	deadline := time.Now().Add(5 * time.Second)
	for Now() <= first+2*time.Millisecond {
		if time.Now().After(deadline) {
			t.Fatal("Now() stands still")
		}
	}
	if got, real := Now()-first, time.Since(start); got > real+time.Second || got < 2*time.Millisecond {
		t.Errorf("Now() advanced %v while %v passed", got, real)
	}
}

func TestBootID(t *testing.T) {
	if !regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(BootID()) {
		t.Errorf("BootID() = %q, want the kernel's UUID", BootID())
	}
}

func poll(t *testing.T, timer *Timer, within time.Duration) bool {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(timer.FD()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(within.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	}
}

func TestTimer(t *testing.T) {
	timer, err := NewTimer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { timer.Close() })

	at := Now() + 20*time.Millisecond
	if err := timer.Set(at); err != nil {
		t.Fatal(err)
	}
	if timer.Expired() {
		t.Error("expired before its time")
	}
	if !poll(t, timer, 5*time.Second) || !timer.Expired() {
		t.Fatal("did not expire")
	}
	if Now() < at {
		t.Errorf("expired %v early", at-Now())
	}
	if timer.Expired() {
		t.Error("an expiry was reported twice")
	}

	for _, past := range []time.Duration{-time.Hour, 0, Now() - time.Second} {
		if err := timer.Set(past); err != nil {
			t.Fatal(err)
		}
		if !poll(t, timer, 5*time.Second) || !timer.Expired() {
			t.Errorf("set to the past (%v), it did not expire at once", past)
		}
	}

	if err := timer.Set(Now()); err != nil {
		t.Fatal(err)
	}
	if err := timer.Stop(); err != nil {
		t.Fatal(err)
	}
	if poll(t, timer, 20*time.Millisecond) {
		t.Error("a stopped timer expired")
	}
}
