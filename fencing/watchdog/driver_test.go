package watchdog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeDriver is a driver that keeps what was written; coarse is the least timeout it takes.
type fakeDriver struct {
	bytes.Buffer
	options uint32
	seconds int
	coarse  int
	boot    int
	broken  error
	closed  bool
}

func (c *fakeDriver) Close() error { c.closed = true; return nil }

func (c *fakeDriver) support() (*unix.WatchdogInfo, error) {
	info := &unix.WatchdogInfo{Options: c.options}
	copy(info.Identity[:], "Software Watchdog")
	return info, c.broken
}

func (c *fakeDriver) setTimeout(seconds int) error {
	c.seconds = max(seconds, c.coarse)
	return nil
}

func (c *fakeDriver) timeout() (int, error)    { return c.seconds, nil }
func (c *fakeDriver) bootStatus() (int, error) { return c.boot, nil }

const usual = unix.WDIOF_SETTIMEOUT | unix.WDIOF_MAGICCLOSE | unix.WDIOF_KEEPALIVEPING

func TestDevice(t *testing.T) {
	c := &fakeDriver{options: usual, seconds: 60, boot: unix.WDIOF_CARDRESET}
	d, err := arm(c, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Armed: true, Identity: "Software Watchdog", Timeout: 4 * time.Second, WasReset: true}
	if d.info != want {
		t.Errorf("got %+v", d.info)
	}
	if err := d.ping(); err != nil || c.String() != "\x00\x00" || c.closed {
		t.Errorf("got %v, written %q", err, c.String())
	}
	if err := d.retime(2 * time.Second); err != nil || c.String() != "\x00\x00\x00" || d.info.Timeout != 2*time.Second {
		t.Errorf("a shorter timeout: %v, written %q, %+v", err, c.String(), d.info)
	}
	if err := d.disarm(); err != nil || c.String() != "\x00\x00\x00V" || !c.closed {
		t.Errorf("got %v, written %q", err, c.String())
	}
}

// TestUnfit: one that would fire too late, or cannot tell when, is stopped and not relied on.
func TestUnfit(t *testing.T) {
	for _, tc := range []struct {
		name    string
		driver  fakeDriver
		timeout time.Duration
		want    string
	}{
		{"coarse", fakeDriver{options: usual, coarse: 10}, 4 * time.Second, "its timeout is 10s, but the lease allows at most 4s"},
		{"fixed and long", fakeDriver{options: unix.WDIOF_MAGICCLOSE, seconds: 60}, 4 * time.Second, "its timeout is 1m0s"},
		{"no timeout", fakeDriver{}, 4 * time.Second, "its timeout is 0s"},
		{"broken", fakeDriver{options: usual, broken: unix.EIO}, 4 * time.Second, "read its capabilities: input/output error"},
		{"short lease", fakeDriver{options: usual}, 800 * time.Millisecond, "use a lease of 2s or more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := arm(&tc.driver, tc.timeout)
			if d != nil || !errors.As(err, new(unfitError)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want unfit: %q", err, tc.want)
			}
			if !strings.HasSuffix(tc.driver.String(), "V") || !tc.driver.closed {
				t.Errorf("it still counts: written %q", tc.driver.String())
			}
		})
	}
	fixed := &fakeDriver{options: 0, seconds: 3}
	if d, err := arm(fixed, 4*time.Second); err != nil || d.info.Timeout != 3*time.Second ||
		d.info.Missing != "its driver stops it when its holder ends" {
		t.Errorf("got %v", err)
	}
}

// TestOpenCard: nothing is written to what is no watchdog.
func TestOpenCard(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "there is none: no such file or directory; load its driver (or softdog)",
		file:                       "is not a device",
		pipe:                       "is not a device",
	} {
		if c, err := openDriver(path); c != nil || err == nil || err.Error() != want {
			t.Errorf("%s: got %v", path, err)
		}
	}
	c, err := openDriver("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := arm(c, time.Second); !errors.As(err, new(unfitError)) ||
		!strings.Contains(err.Error(), "read its capabilities: inappropriate ioctl for device") {
		t.Errorf("/dev/null: got %v", err)
	}
	if raw, _ := os.ReadFile(file); string(raw) != "x" {
		t.Errorf("the file holds %q", raw)
	}
}
