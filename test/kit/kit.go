// Package kit is what the tests of the agent's packages share: a real PostgreSQL, and waits that end. Only tests import it.
package kit

import (
	"testing"
	"time"
)

// Patience bounds every single wait of the tests.
const Patience = time.Minute

// Check ends the test at an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Eventually waits until something holds, and ends the test if it does not within Patience.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
