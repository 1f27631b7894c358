package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mainstay/test/testbed"
)

// TestFailureTaken: where an address is taken, nothing was started: there is no log to read.
func TestFailureTaken(t *testing.T) {
	said := failure(fmt.Errorf("x: %w", &testbed.TakenError{Address: "127.77.5.41:8080", PID: 42,
		Command: "(web -p 8080)", Tried: 20}), "/tmp/w")
	for _, want := range []string{"demo: 127.77.5.41:8080 is taken by process 42 (web -p 8080), and", "Next: end that process"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	if strings.Contains(said, "/tmp/w") {
		t.Errorf("it names a folder that is removed: %q", said)
	}
}

// A failed tour says in one paragraph what it waited for, what it saw instead, and where to look; no log is poured out.
func TestFailure(t *testing.T) {
	unmet := &testbed.UnmetError{What: "a healthy cluster", Waited: 5 * time.Minute, Seen: "feed-w1 does not stream",
		Logs: "--- a hundred lines",
		Err:  context.DeadlineExceeded}
	for _, c := range []struct {
		err  error
		want []string
	}{
		{fmt.Errorf("stop 3 of 7 failed (a host is lost): %w", unmet), []string{"demo: stop 3 of 7 failed (a host is lost): it waited 5m0s for ",
			"a healthy cluster; the last that was seen: feed-w1 does not stream.\n"}},
		{errors.New("the platform did not start: no such file"), []string{"demo: the platform did not start: no such file.\n"}},
	} {
		said := failure(c.err, "/tmp/w")
		for _, w := range append(c.want, "/tmp/w/platform/log", "Next: tail -n 20 /tmp/w/platform/log/*.log", "rm -rf /tmp/w") {
			if !strings.Contains(said, w) {
				t.Errorf("%q does not say %q", said, w)
			}
		}
		if strings.Contains(said, "a hundred lines") || strings.Contains(said, "\n\n") {
			t.Errorf("more than a paragraph: %q", said)
		}
	}
}
