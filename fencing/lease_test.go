package fencing

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

func e(n uint64) platform.Epoch { return platform.Epoch{Generation: 1, Number: n} }

const lease = 5 * time.Second

// TestObeys: an affirmation counts once no answer that lets the app server run can overtake it.
func TestObeys(t *testing.T) {
	l := NewLeases(0)
	for _, c := range []struct {
		name   string
		run    string
		number uint64
		runs   bool
		from   uint64
		want   bool
	}{
		{"it was told to run", "r", 7, true, 7, false},
		{"it follows what came before", "r", 9, false, 7, false},
		{"it follows the answer that says stop", "r", 10, false, 9, true},
		{"let run again", "r", 12, true, 11, false},
		{"the answer to an older report is overtaken", "r", 11, false, 11, false},
		{"by none later", "r", 13, false, 13, true},
		{"another run has heard nothing", "s", 3, false, 0, false},
		{"now it has", "s", 4, false, 3, true},
	} {
		l.Told("app web", "web1", c.run, c.number, c.runs)
		if got := l.Obeys("app web", "web1", c.run, c.from); got != c.want || l.Clone().Obeys("app web", "web1", c.run, c.from) != got {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if l.Obeys("app web", "web1", "r", 99) || l.Obeys("app web", "web2", "s", 99) {
		t.Error("another run, or another app server, obeys")
	}
}

func TestEndOfLeases(t *testing.T) {
	start := 100 * time.Second
	startOut := start + platform.CountOut(lease)
	late := start + time.Minute
	for _, c := range []struct {
		name          string
		grants        func(*Leases)
		member        string
		epoch, longer uint64
		want          time.Duration
	}{
		{name: "L4: a lease of another leader counts from this leader's start", grants: func(*Leases) {}, want: startOut},
		{name: "L4: the longest lease recorded counts, not the present one", grants: func(*Leases) {}, longer: 60,
			want: start + platform.CountOut(60*time.Second)},
		{name: "L3: a grant counts from its answer", grants: func(l *Leases) { l.Record("c", "a", e(5), late, lease) },
			want: late + platform.CountOut(lease)},
		{name: "L3: an earlier or shorter grant never shortens", grants: func(l *Leases) {
			l.Record("c", "a", e(5), late, lease)
			l.Record("c", "a", e(5), late, time.Second)
			l.Record("c", "a", e(5), start, lease)
		}, want: late + platform.CountOut(lease)},
		// The member may not have heard of the higher epoch an abandonment gave it, and serves on under the lower.
		{name: "L3: a lease of an earlier epoch still counts", grants: func(l *Leases) { l.Record("c", "a", e(4), late, lease) },
			want: late + platform.CountOut(lease)},
		{name: "a later epoch's does not", grants: func(l *Leases) { l.Record("c", "a", e(6), late, lease) }, want: startOut},
		{name: "another member's does not", grants: func(l *Leases) { l.Record("c", "b", e(5), late, lease) }, want: startOut},
		{name: "another cluster's does not", grants: func(l *Leases) { l.Record("d", "a", e(5), late, lease) }, want: startOut},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLeases(start)
			c.grants(l)
			longest := max(lease, time.Duration(c.longer)*time.Second)
			if got := l.End("c", "a", e(5), longest); got != c.want {
				t.Errorf("End = %s, want %s", got, c.want)
			}
		})
	}
}

func TestCloneOfLeasesIsApart(t *testing.T) {
	l := NewLeases(time.Second)
	l.Record("c", "a", e(1), time.Minute, lease)
	before, c := l.End("c", "a", e(1), lease), l.Clone()
	c.Record("c", "a", e(1), time.Hour, lease)
	if l.End("c", "a", e(1), lease) != before || c.Start() != l.Start() {
		t.Error("a record in the clone reached the original")
	}
}

func TestZeroVerdictIsTheSafeOne(t *testing.T) { // S4
	var v Verdict
	if v != Unproven || v == Fenced {
		t.Error("a device that answers nothing must be Unproven")
	}
}

func TestGranted(t *testing.T) {
	l := NewLeases(time.Second)
	if got := l.Granted("feed", "m2"); got != time.Second {
		t.Errorf("before any grant: %s, want the leader's own start", got)
	}
	l.Record("feed", "m1", platform.Epoch{Generation: 1, Number: 1}, 3*time.Second, time.Second)
	l.Record("feed", "m2", platform.Epoch{Generation: 1, Number: 2}, 7*time.Second, time.Second)
	l.Record("other", "m1", platform.Epoch{Generation: 1, Number: 1}, 9*time.Second, time.Second)
	if got := l.Clone().Granted("feed", "m2"); got != 3*time.Second {
		t.Errorf("%s, want when m1 was answered", got)
	}
}
