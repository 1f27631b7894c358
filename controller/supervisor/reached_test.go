package supervisor

import (
	"testing"
	"time"
)

// Only a postmaster of which nothing was outside a moment ago is not looked at again.
func TestReachedIsLookedAt(t *testing.T) {
	well := reached{postmaster: 7, at: time.Minute}
	stray := well
	stray.outside = 1
	for _, c := range []struct {
		name       string
		r          reached
		postmaster int
		after      time.Duration
		want       bool
	}{
		{"never looked at", reached{}, 7, 0, true},
		{"a moment ago", well, 7, reachEvery - 1, false},
		{"a second ago", well, 7, reachEvery, true},
		{"another postmaster", well, 8, 1, true},
		{"which is not known", well, 0, 1, true},
		{"one was outside", stray, 7, 1, true},
	} {
		if got := c.r.due(c.postmaster, time.Minute+c.after); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
