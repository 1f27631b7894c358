package health

import (
	"strings"
	"testing"
	"time"
)

// TestCount: + is a good check, - a bad one; the verdict after each is W(ell), D(own) or ? with rise 2 and fall 3.
func TestCount(t *testing.T) {
	letters := map[Working]string{WorkingUnknown: "?", Well: "W", Down: "D"}
	for _, c := range []struct{ name, checks, want string }{
		{"well at the first good check", "+++", "WWW"},
		{"down only after fall bad ones, also at first", "---", "??D"},
		{"a good one among the first ends the doubt", "--+", "??W"},
		{"fall in a row", "+---", "WWWD"},
		{"not in a row", "+--+--+---", "WWWWWWWWWD"},
		{"rise in a row", "---++", "??DDW"},
		{"good ones not in a row", "---+-+-++", "??DDDDDDW"},
		{"the count begins anew after a verdict", "+---++--", "WWWDDWWW"},
	} {
		var k Count
		var got strings.Builder
		for _, check := range c.checks {
			k = k.Add(check == '+', 2, 3)
			got.WriteString(letters[k.Verdict])
		}
		if got.String() != c.want {
			t.Errorf("%s: %s gives %s, want %s", c.name, c.checks, got.String(), c.want)
		}
	}
	if k := (Count{}).Add(false, 1, 1); k.Verdict != Down {
		t.Error("fall 1: the first bad check counts")
	}
}

func TestJudge(t *testing.T) {
	say := map[rune]*InstanceObservation{'W': {Health: Well, Reaches: Down}, 'D': {Health: Down, Reaches: Well}, '?': {}, '-': nil}
	opposite := map[Working]Working{Well: Down, Down: Well}
	for _, c := range []struct {
		observations string // one of each observer; - has no fresh one
		expected     int
		want         Working
	}{
		{"WWW", 3, Well},
		{"WW-", 3, Well},
		{"WWD", 3, Well},
		{"DD-", 3, Down},
		{"WD-", 3, WorkingUnknown},
		{"W--", 3, WorkingUnknown},
		{"W??", 3, WorkingUnknown},
		{"DD?", 3, Down},
		{"---", 3, WorkingUnknown},
		{"W", 1, Well},
		{"W-", 2, WorkingUnknown},
		{"WD", 2, WorkingUnknown},
		{"DD", 2, Down},
		{"WWDD-", 5, WorkingUnknown},
		{"DDD--", 5, Down},
		{"DD", 5, WorkingUnknown}, // the others have sent nothing at all
		{"DDW", 1, Down},          // who was asked beside those expected does not make fewer enough
		{"DWW-", 1, WorkingUnknown},
		{"", 0, WorkingUnknown},
		{"", 3, WorkingUnknown},
	} {
		var observations []*InstanceObservation
		for _, r := range c.observations {
			observations = append(observations, say[r])
		}
		if got := JudgeInstance(observations, c.expected); got != c.want {
			t.Errorf("%q of %d: %q, want %q", c.observations, c.expected, got, c.want)
		}
		if got := JudgeReaches(observations, c.expected); got != opposite[c.want] {
			t.Errorf("%q of %d: reaches %q, want %q", c.observations, c.expected, got, opposite[c.want])
		}
	}
}

func TestInstanceObservationAges(t *testing.T) {
	v := NewView(0)
	v.FoldObservations(Observations{Observer: "c2", Number: 1, Began: "b", Apps: []InstanceObservation{
		{App: "web", Instance: "web-e1", Health: Well, AgeMS: 400}, {App: "web", Instance: "web-e2", Health: Down, AgeMS: -1}}}, 10*time.Second)
	at := func(observer, app, instance string, now time.Duration) bool {
		return v.InstanceObservation(observer, app, instance, time.Second, now) != nil
	}
	if got := v.InstanceObservation("c2", "web", "web-e1", time.Second, 10*time.Second+600*time.Millisecond); got == nil ||
		got.Health != Well {
		t.Errorf("as old as may be: %+v", got)
	}
	if at("c2", "web", "web-e1", 10*time.Second+601*time.Millisecond) {
		t.Error("the age of the check counts beside that of the vote")
	}
	if at("c2", "web", "web-e2", 10*time.Second) || at("c3", "web", "web-e1", 10*time.Second) || at("c2", "api", "web-e1", 10*time.Second) {
		t.Error("a vote of an unknown observer, of another app, or without a check")
	}
	v.ForgetObservations()
	if at("c2", "web", "web-e1", 10*time.Second) {
		t.Error("forgotten, and still there")
	}
}
