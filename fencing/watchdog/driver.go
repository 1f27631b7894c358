package watchdog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Info is the state of a host's watchdog.
type Info struct {
	Armed    bool          `json:"armed"`
	Identity string        `json:"identity,omitempty"` // the driver's name
	Timeout  time.Duration `json:"timeout,omitempty"`  // from the last ping to the reset
	Missing  string        `json:"missing,omitempty"`  // why it is not armed, or what it does not cover
	WasReset bool          `json:"wasReset,omitempty"` // it caused this boot
}

// driver is a watchdog's driver; unless the letter V was written first, it counts down after close.
type driver interface {
	io.WriteCloser
	support() (*unix.WatchdogInfo, error)
	setTimeout(seconds int) error
	timeout() (seconds int, err error)
	bootStatus() (int, error)
}

// opener opens a driver, which starts and pings it. It is openDriver except in tests.
type opener func(path string) (driver, error)

// unfitError is returned when an opened watchdog is not usable; it was stopped again.
type unfitError struct{ error }

func (e unfitError) Unwrap() error { return e.error }

// device is an armed watchdog: the host resets unless it is pinged within its timeout. Only one process can have it open. It is not
// safe for concurrent use.
type device struct {
	driver driver
	info   Info
}

// arm sets the timeout of an opened driver, which already counts down. A driver that is not usable is stopped.
func arm(c driver, timeout time.Duration) (*device, error) {
	d := &device{driver: c, info: Info{Armed: true}}
	support, err := c.support()
	if err == nil {
		d.info.Identity = text(support.Identity[:])
		if support.Options&unix.WDIOF_MAGICCLOSE == 0 {
			d.info.Missing = "its driver stops it when its holder ends"
		}
		err = d.retime(timeout)
	} else {
		err = fmt.Errorf("read its capabilities: %w", err)
	}
	if err != nil {
		return nil, unfitError{errors.Join(err, d.disarm())}
	}
	if flags, err := c.bootStatus(); err == nil {
		d.info.WasReset = flags&unix.WDIOF_CARDRESET != 0
	}
	return d, nil
}

// retime sets the timeout and pings. After an error the device must be stopped: its timeout may be longer than is safe.
func (d *device) retime(timeout time.Duration) error {
	if timeout < time.Second {
		return errTooShort
	}
	support, err := d.driver.support()
	if err == nil && support.Options&unix.WDIOF_SETTIMEOUT != 0 {
		err = d.driver.setTimeout(int(timeout / time.Second))
	}
	if err != nil {
		return fmt.Errorf("set its timeout to %s: %w", timeout, err)
	}
	seconds, err := d.driver.timeout()
	if err != nil {
		return fmt.Errorf("read its timeout: %w", err)
	}
	d.info.Timeout = time.Duration(seconds) * time.Second
	if d.info.Timeout <= 0 || d.info.Timeout > timeout {
		return fmt.Errorf("its timeout is %s, but the lease allows at most %s", d.info.Timeout, timeout)
	}
	return d.ping()
}

var errTooShort = errors.New("the lease is too short for a watchdog, which counts whole seconds; use a lease of 2s or more")

// ping is one system call, and touches no filesystem (L6).
func (d *device) ping() error {
	if _, err := d.driver.Write([]byte{0}); err != nil {
		return fmt.Errorf("ping the watchdog: %w; the host resets within %s", err, d.info.Timeout)
	}
	return nil
}

// disarm writes the letter (V) by which the driver stops at close, and closes the device.
func (d *device) disarm() error {
	_, err := d.driver.Write([]byte{'V'})
	if err = errors.Join(err, d.driver.Close()); err != nil {
		return fmt.Errorf("stop the watchdog: %w; the host may reset", err)
	}
	return nil
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// driverFile is the device file of a watchdog.
type driverFile struct{ *os.File }

// openDriver opens the device, which starts it. It opens only a device that can be stopped again: otherwise switching the watchdog off, or
// an upgrade, would reset the host.
func openDriver(path string) (driver, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("there is none: %w; load its driver (or softdog)", errors.Unwrap(err))
	case info.Mode()&os.ModeCharDevice == 0:
		return nil, errors.New("is not a device")
	case neverStops(path):
		return nil, errors.New("its driver never stops it once started: load the driver with nowayout=0")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, errors.New("another process holds it: end that process, or remove RuntimeWatchdogSec from systemd's configuration")
	}
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return driverFile{f}, nil
}

// neverStops reads nowayout from the kernel, if it is there; the old name /dev/watchdog is the first watchdog.
func neverStops(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	dir := fmt.Sprintf("/sys/dev/char/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if unix.Major(st.Rdev) == 10 && unix.Minor(st.Rdev) == 130 {
		dir = "/sys/class/watchdog/watchdog0"
	}
	b, err := os.ReadFile(dir + "/nowayout")
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

func (c driverFile) support() (*unix.WatchdogInfo, error) {
	return unix.IoctlGetWatchdogInfo(int(c.Fd()))
}

func (c driverFile) setTimeout(seconds int) error {
	return unix.IoctlSetPointerInt(int(c.Fd()), unix.WDIOC_SETTIMEOUT, seconds)
}

func (c driverFile) timeout() (int, error) {
	return unix.IoctlGetInt(int(c.Fd()), unix.WDIOC_GETTIMEOUT)
}

func (c driverFile) bootStatus() (int, error) {
	return unix.IoctlGetInt(int(c.Fd()), unix.WDIOC_GETBOOTSTATUS)
}
