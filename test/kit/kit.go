// Package kit holds what the tests of many packages need: to wait for a condition, to fail on an error, an address. It imports nothing of
// Mainstay, so that the tests of every package may import it; test/kit/certs makes certificates, test/kit/pg a real PostgreSQL. Nothing but
// tests imports it.
package kit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// Patience bounds one wait. It is long, because it is used up only where the test fails, and the machine may be busy.
const Patience = time.Minute

// Eventually waits until a condition holds, for Patience; what names the condition where it never does.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, Patience, what, holds)
}

// Within is Eventually with another bound. It rests for twice as long as a look took, 5 ms at least: a look that connects must not load
// the machine whose change it waits for.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; {
		begun := time.Now()
		if holds() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-time.After(max(5*time.Millisecond, 2*time.Since(begun)))
	}
}

// Check ends the test at errors.
func Check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// Must returns the value of a call with two results, and ends the test at its error: Must[string](t)(f()).
func Must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		Check(t, err)
		return v
	}
}

// Context ends with the test, or after limit.
func Context(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// The ports of FreeAddress lie below those that Linux gives to outgoing connections (ip_local_port_range): one of those, of any test that
// runs beside, may take a port between its choice and its use.
const firstPort, lastPort = 12000, 32000

// FreeAddress is an address of the loopback on which nothing listened a moment ago; a connection to it is refused until something does.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatalf("no port from %d to %d is free", firstPort, lastPort)
	return ""
}

// FreePort is the port of a FreeAddress.
func FreePort(t testing.TB) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", FreeAddress(t))
	Check(t, err)
	return a.Port
}
