package boottime

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Timer is a kernel timer (timerfd) on CLOCK_BOOTTIME. It is set to absolute readings of Now, so a suspend does not prolong it. It is
// for a thread that polls FD itself, without the Go scheduler's timers (L2); Set and Stop may be called from any goroutine.
type Timer struct{ fd int }

// NewTimer returns a stopped timer. The caller closes it.
func NewTimer() (*Timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("create a timer on CLOCK_BOOTTIME: %w", err)
	}
	return &Timer{fd: fd}, nil
}

// FD becomes readable when the timer has expired.
func (t *Timer) FD() int { return t.fd }

// Set makes the timer expire at the reading at, or at once where that has passed. It replaces an earlier setting.
func (t *Timer) Set(at time.Duration) error {
	// A zero value would stop a timerfd instead of firing it.
	return t.settime(max(at, 1))
}

// Stop clears the setting, and an expiry that was not read.
func (t *Timer) Stop() error { return t.settime(0) }

func (t *Timer) settime(at time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(at))}
	if err := unix.TimerfdSettime(t.fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		return fmt.Errorf("set the timer on CLOCK_BOOTTIME: %w", err)
	}
	return nil
}

// Expired tells whether the timer has expired since it was last set or read, and clears that. It does not block.
func (t *Timer) Expired() bool {
	var b [8]byte
	for {
		n, err := unix.Read(t.fd, b[:])
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n == len(b)
		}
	}
}

// Close frees the timer; FD must not be used any more.
func (t *Timer) Close() error { return unix.Close(t.fd) }
