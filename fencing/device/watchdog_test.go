package device

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
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

func TestWatchdog(t *testing.T) {
	c := &fakeCard{options: usual, seconds: 60, boot: unix.WDIOF_CARDRESET}
	w, err := arm(c, platform.WatchdogRequired, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := WatchdogInfo{Mode: "required", Armed: true, Identity: "Software Watchdog", Timeout: 4 * time.Second, WasReset: true}
	if w.Info() != want {
		t.Errorf("got %+v", w.Info())
	}
	if err := w.Keep(); err != nil || c.String() != "\x00\x00" || c.closed {
		t.Errorf("got %v, written %q", err, c.String())
	}
	if err := w.Disarm(); err != nil || c.String() != "\x00\x00V" || !c.closed || w.Info().Armed {
		t.Errorf("got %v, written %q", err, c.String())
	}
	if err := errors.Join(w.Keep(), w.Disarm()); err != nil || c.String() != "\x00\x00V" {
		t.Errorf("after the end: %v, written %q", err, c.String())
	}
}

// TestWatchdogUnfit: one that would fire too late, or cannot tell when, is stopped and not relied on.
func TestWatchdogUnfit(t *testing.T) {
	for _, tc := range []struct {
		name    string
		card    fakeCard
		timeout time.Duration
		want    string
	}{
		{"coarse", fakeCard{options: usual, coarse: 10}, 4 * time.Second, "its timeout is 10s, and at most 4s is short enough"},
		{"fixed and long", fakeCard{options: unix.WDIOF_MAGICCLOSE, seconds: 60}, 4 * time.Second, "its timeout is 1m0s"},
		{"no timeout", fakeCard{}, 4 * time.Second, "its timeout is 0s"},
		{"broken", fakeCard{options: usual, broken: unix.EIO}, 4 * time.Second, "ask what it can do: input/output error"},
		{"short lease", fakeCard{options: usual}, 800 * time.Millisecond, "use a lease of 2s or more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, err := arm(&tc.card, platform.WatchdogRequired, tc.timeout)
			if w != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if !strings.HasSuffix(tc.card.String(), "V") || !tc.card.closed {
				t.Errorf("it still counts: written %q", tc.card.String())
			}
		})
	}
	fixed := &fakeCard{options: 0, seconds: 3}
	if w, err := arm(fixed, platform.WatchdogAutomatic, 4*time.Second); err != nil || w.Info().Timeout != 3*time.Second ||
		w.Info().Missing != "its driver stops it when the process that holds it ends" {
		t.Errorf("got %v", err)
	}
}

// TestWatchdogModes: nothing is written to what is no watchdog.
func TestWatchdogModes(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o600), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "there is none: no such file or directory; load its driver (or softdog)",
		file:                       "is not a device",
		pipe:                       "is not a device",
		"/dev/null":                "ask what it can do: inappropriate ioctl for device",
	} {
		if w, err := OpenWatchdog(platform.WatchdogRequired, path, time.Second); w != nil || err == nil || err.Error() != "watchdog "+path+": "+want {
			t.Errorf("%s: got %v", path, err)
		}
		w, err := OpenWatchdog(platform.WatchdogAutomatic, path, time.Second)
		if err != nil || w.Info().Armed || w.Info().Missing != "watchdog "+path+": "+want {
			t.Errorf("%s: got %v, %+v", path, err, w)
		} else if err := errors.Join(w.Keep(), w.Disarm()); err != nil {
			t.Errorf("%s: got %v", path, err)
		}
	}
	if w, err := OpenWatchdog(platform.WatchdogOff, file, time.Second); err != nil || w.Info() != (WatchdogInfo{}) {
		t.Errorf("got %v, %+v", err, w)
	}
	if raw, _ := os.ReadFile(file); string(raw) != "x" {
		t.Errorf("the file holds %q", raw)
	}
}

func TestWatchdogLease(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{time.Second: 0, 2 * time.Second: time.Second, 5 * time.Second: 4 * time.Second,
		time.Minute: 48 * time.Second} {
		if got := WatchdogTimeout(lease); got != want {
			t.Errorf("lease %s: %s, want %s", lease, got, want)
		}
	}
	w := &Watchdog{info: WatchdogInfo{Timeout: 4 * time.Second}}
	end := 100 * time.Second
	for now, want := range map[time.Duration]bool{95 * time.Second: true, 96*time.Second + platform.GuardKill: true,
		96*time.Second + platform.GuardKill + 1: false, 101 * time.Second: false} {
		if got := w.MayKeep(now, end); got != want {
			t.Errorf("at %s: %v", now, got)
		}
	}
}
