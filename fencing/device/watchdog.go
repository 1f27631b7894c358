package device

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
)

// WatchdogPath is the first hardware watchdog of a host.
const WatchdogPath = "/dev/watchdog"

// Watchdog resets the host when nobody feeds it any more: the last resort behind a guard that hangs with the whole host,
// and so part of what makes lease-expired true (L2). Only one process can have it open. It is not safe for concurrent use,
// and nobody but its holder may Disarm it.
type Watchdog struct {
	card card // nil where there is none, or it is off
	info WatchdogInfo
}

// WatchdogInfo is what is known of a host's watchdog.
type WatchdogInfo struct {
	Mode     string        `json:"mode"` // platform.WatchdogOff, ...
	Armed    bool          `json:"armed"`
	Identity string        `json:"identity,omitempty"` // the driver's name
	Timeout  time.Duration `json:"timeout,omitempty"`  // from the last Keep to the reset
	Missing  string        `json:"missing,omitempty"`  // why it is not armed, or what it does not cover
	WasReset bool          `json:"wasReset,omitempty"` // it caused this boot
}

// card is the driver of a watchdog; closing it without the letter V leaves it counting.
type card interface {
	io.WriteCloser
	support() (*unix.WatchdogInfo, error)
	setTimeout(seconds int) error
	timeout() (seconds int, err error)
	bootStatus() (int, error)
}

// WatchdogTimeout is the longest timeout, in the whole seconds that drivers know, with which a lease of that length can be
// kept up: two heartbeats may be lost. It is 0 for leases too short for a watchdog.
func WatchdogTimeout(lease time.Duration) time.Duration {
	return (lease - 2*platform.Heartbeat(lease)).Truncate(time.Second)
}

// OpenWatchdog arms the host's watchdog: from now on the host resets unless Keep is called within timeout. In mode
// automatic a host without a usable one gets a Watchdog that does nothing, and Info says why; required is an error then.
func OpenWatchdog(mode, path string, timeout time.Duration) (*Watchdog, error) {
	if mode != platform.WatchdogAutomatic && mode != platform.WatchdogRequired {
		return &Watchdog{info: WatchdogInfo{Mode: platform.WatchdogOff}}, nil
	}
	c, err := openCard(path)
	if err == nil {
		var w *Watchdog
		if w, err = arm(c, mode, timeout); err == nil {
			return w, nil
		}
	}
	err = fmt.Errorf("watchdog %s: %w", path, err)
	if mode == platform.WatchdogRequired {
		return nil, err
	}
	return &Watchdog{info: WatchdogInfo{Mode: mode, Missing: err.Error()}}, nil
}

// arm sets the timeout of a card that counts already, since it was opened. A card that cannot be used is stopped.
func arm(c card, mode string, timeout time.Duration) (_ *Watchdog, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, stop(c))
		}
	}()
	if timeout < time.Second {
		return nil, errors.New("watchdogs count whole seconds, too coarse for this lease; use a lease of 2s or more")
	}
	support, err := c.support()
	if err != nil {
		return nil, fmt.Errorf("ask what it can do: %w", err)
	}
	if support.Options&unix.WDIOF_SETTIMEOUT != 0 {
		if err := c.setTimeout(int(timeout / time.Second)); err != nil {
			return nil, fmt.Errorf("set its timeout to %s: %w", timeout, err)
		}
	}
	seconds, err := c.timeout()
	if err != nil {
		return nil, fmt.Errorf("read its timeout: %w", err)
	}
	actual := time.Duration(seconds) * time.Second
	if actual <= 0 || actual > timeout {
		return nil, fmt.Errorf("its timeout is %s, and at most %s is short enough for the lease", actual, timeout)
	}
	w := &Watchdog{card: c, info: WatchdogInfo{Mode: mode, Armed: true, Identity: text(support.Identity[:]), Timeout: actual}}
	if support.Options&unix.WDIOF_MAGICCLOSE == 0 {
		w.info.Missing = "its driver stops it when the process that holds it ends"
	}
	if flags, err := c.bootStatus(); err == nil {
		w.info.WasReset = flags&unix.WDIOF_CARDRESET != 0
	}
	return w, w.Keep()
}

// Info tells what the watchdog covers.
func (w *Watchdog) Info() WatchdogInfo { return w.info }

// MayKeep tells whether a Keep at now is allowed while a lease ends at end, both on one clock: were it the last, the host
// would be reset before the lease is counted out, end + K (L2, L3).
func (w *Watchdog) MayKeep(now, end time.Duration) bool {
	return now+w.info.Timeout <= end+platform.GuardKill
}

// Keep feeds the watchdog; it does nothing where there is none. One system call, no filesystem (L6).
func (w *Watchdog) Keep() error {
	if w.card == nil {
		return nil
	}
	if _, err := w.card.Write([]byte{0}); err != nil {
		return fmt.Errorf("feed the watchdog: %w; the host resets within %s", err, w.info.Timeout)
	}
	return nil
}

// Disarm stops the watchdog and lets go of it: for a holder that ends on purpose, with nothing left to guard. A kernel
// built never to stop one resets the host all the same.
func (w *Watchdog) Disarm() error {
	if w.card == nil {
		return nil
	}
	err := stop(w.card)
	w.card, w.info.Armed, w.info.Missing = nil, false, "disarmed"
	return err
}

// stop says the letter with which drivers know that the close is meant.
func stop(c card) error {
	_, err := c.Write([]byte{'V'})
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("stop the watchdog: %w; the host may reset", err)
	}
	return nil
}

func text(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

// device file of a watchdog.
type cardFile struct{ *os.File }

// openCard opens the device, which starts it. Nothing else than a device is opened for writing.
func openCard(path string) (card, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("there is none: %w; load its driver (or softdog)", errors.Unwrap(err))
	case info.Mode()&os.ModeCharDevice == 0:
		return nil, errors.New("is not a device")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, errors.New("another process holds it: end that, or take RuntimeWatchdogSec out of systemd's configuration")
	}
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return cardFile{f}, nil
}

func (c cardFile) support() (*unix.WatchdogInfo, error) {
	return unix.IoctlGetWatchdogInfo(int(c.Fd()))
}

func (c cardFile) setTimeout(seconds int) error {
	return unix.IoctlSetPointerInt(int(c.Fd()), unix.WDIOC_SETTIMEOUT, seconds)
}

func (c cardFile) timeout() (int, error) { return unix.IoctlGetInt(int(c.Fd()), unix.WDIOC_GETTIMEOUT) }

func (c cardFile) bootStatus() (int, error) {
	return unix.IoctlGetInt(int(c.Fd()), unix.WDIOC_GETBOOTSTATUS)
}
