package controller

import (
	"testing"
	"time"
)

// A late turn counts for the round it falls into and the five after it.
func TestLateness(t *testing.T) {
	var l lateness
	l.note(40 * time.Millisecond)
	l.note(90 * time.Millisecond)
	l.note(-time.Millisecond)
	for range paceRounds - 1 {
		l.turn()
		l.note(10 * time.Millisecond)
		if got := l.most(); got != 90*time.Millisecond {
			t.Fatalf("%s is forgotten: %s", 90*time.Millisecond, got)
		}
	}
	l.turn()
	if got := l.most(); got != 10*time.Millisecond {
		t.Errorf("%s is remembered", got)
	}
}
