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

// fakeCard is a driver that keeps what was written; coarse is the least timeout it takes.
type fakeCard struct {
	bytes.Buffer
	options uint32
	seconds int
	coarse  int
	boot    int
	broken  error
	closed  bool
}

func (c *fakeCard) Close() error { c.closed = true; return nil }

func (c *fakeCard) support() (*unix.WatchdogInfo, error) {
	info := &unix.WatchdogInfo{Options: c.options}
	copy(info.Identity[:], "Software Watchdog")
	return info, c.broken
}

func (c *fakeCard) setTimeout(seconds int) error {
	c.seconds = max(seconds, c.coarse)
	return nil
}

func (c *fakeCard) timeout() (int, error)    { return c.seconds, nil }
func (c *fakeCard) bootStatus() (int, error) { return c.boot, nil }

const usual = unix.WDIOF_SETTIMEOUT | unix.WDIOF_MAGICCLOSE | unix.WDIOF_KEEPALIVEPING

func TestDevice(t *testing.T) {
	c := &fakeCard{options: usual, seconds: 60, boot: unix.WDIOF_CARDRESET}
	d, err := arm(c, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := Info{Armed: true, Identity: "Software Watchdog", Timeout: 4 * time.Second, WasReset: true}
	if d.info != want {
		t.Errorf("got %+v", d.info)
	}
	if err := d.feed(); err != nil || c.String() != "\x00\x00" || c.closed {
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
		card    fakeCard
		timeout time.Duration
		want    string
	}{
		{"coarse", fakeCard{options: usual, coarse: 10}, 4 * time.Second, "its timeout is 10s, but the lease allows at most 4s"},
		{"fixed and long", fakeCard{options: unix.WDIOF_MAGICCLOSE, seconds: 60}, 4 * time.Second, "its timeout is 1m0s"},
		{"no timeout", fakeCard{}, 4 * time.Second, "its timeout is 0s"},
		{"broken", fakeCard{options: usual, broken: unix.EIO}, 4 * time.Second, "read its capabilities: input/output error"},
		{"short lease", fakeCard{options: usual}, 800 * time.Millisecond, "use a lease of 2s or more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := arm(&tc.card, tc.timeout)
			if d != nil || !errors.As(err, new(unfitError)) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want unfit: %q", err, tc.want)
			}
			if !strings.HasSuffix(tc.card.String(), "V") || !tc.card.closed {
				t.Errorf("it still counts: written %q", tc.card.String())
			}
		})
	}
	fixed := &fakeCard{options: 0, seconds: 3}
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
		if c, err := openCard(path); c != nil || err == nil || err.Error() != want {
			t.Errorf("%s: got %v", path, err)
		}
	}
	c, err := openCard("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := arm(c, time.Second); !errors.As(err, new(unfitError)) || !strings.Contains(err.Error(), "read its capabilities: inappropriate ioctl for device") {
		t.Errorf("/dev/null: got %v", err)
	}
	if raw, _ := os.ReadFile(file); string(raw) != "x" {
		t.Errorf("the file holds %q", raw)
	}
}
