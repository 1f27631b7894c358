package health

import (
	"testing"
	"time"

	"mainstay/controller/platform"
)

var m1 = &platform.Member{Name: "m1", Host: "h1"}

func report(run string, number uint64, m Member) Report {
	m.Name = "m1"
	return Report{Host: "h1", RunID: run, Number: number, Members: []Member{m}}
}

// fold takes in a report without a bound run, from any agent.
func (v *View) fold(r Report, now time.Duration) bool { return v.Fold(&r, "", 0, now) }

func TestFoldKeepsTheNewest(t *testing.T) {
	v := NewView(time.Second)
	v.fold(report("a", 2, Member{Role: RolePrimary}), 2*time.Second)
	v.fold(report("a", 1, Member{Role: RoleStandby}), 3*time.Second)
	v.fold(report("a", 2, Member{Role: RoleStandby}), 3*time.Second)
	if v.Member(m1).Role != RolePrimary || v.Fresh(m1, time.Second/2, 3*time.Second) != nil {
		t.Error("an older or repeated report of the same run replaced, or refreshed, the newest")
	}
}

// One run of an agent speaks for a host: the one that the log knows, else the first that was heard; another only after that
// one has been silent for long enough.
func TestOneRunSpeaksForAHost(t *testing.T) { // L8
	hold := 6 * time.Second
	for _, c := range []struct {
		name, bound string
		heard       string // the run heard at 10 s; "" for none
		run         string
		at          time.Duration
		speaks      bool
	}{
		{"the first that is heard", "", "", "a", 10 * time.Second, true},
		{"the bound one, first heard", "a", "", "a", 10 * time.Second, true},
		{"another, and the bound one has not been heard yet", "a", "", "b", 16 * time.Second, false},
		{"another, and the bound one has been silent since the view began", "a", "", "b", 17 * time.Second, true},
		{"the same again", "a", "a", "a", 11 * time.Second, true},
		{"another beside it", "a", "a", "b", 16 * time.Second, false},
		{"another beside one that is not bound", "", "a", "b", 16 * time.Second, false},
		{"another after its silence", "a", "a", "b", 16*time.Second + 1, true},
		{"the bound one after a copy was heard", "a", "b", "a", 11 * time.Second, true},
	} {
		v := NewView(10 * time.Second)
		if c.heard != "" {
			v.fold(report(c.heard, 1, Member{Role: RolePrimary}), 10*time.Second)
		}
		r := report(c.run, 1, Member{Role: RoleStandby})
		if got := v.Fold(&r, c.bound, hold, c.at); got != c.speaks {
			t.Errorf("%s: %v", c.name, got)
		}
		if otherRun := v.OtherRun("h1", time.Second, c.at); (otherRun == c.run) == c.speaks {
			t.Errorf("%s: the rival is %q", c.name, otherRun)
		}
		if known := v.Report("h1"); c.speaks && (known == nil || known.RunID != c.run) || !c.speaks && known != nil && known.RunID == c.run {
			t.Errorf("%s: the view believes %+v", c.name, known)
		}
	}
}

func TestFreshAndSilence(t *testing.T) {
	v := NewView(10 * time.Second)
	if got := v.Silence("h1", 12*time.Second); got != 2*time.Second {
		t.Errorf("never heard: silent for %s, want it counted from the view's start", got)
	}
	v.fold(report("a", 1, Member{}), 11*time.Second)
	if v.Fresh(m1, time.Second, 12*time.Second) == nil || v.Fresh(m1, time.Second, 12*time.Second+1) != nil {
		t.Error("a report counts up to the limit, and not past it")
	}
	v.Since = 20 * time.Second // a new leader
	if got := v.Silence("h1", 21*time.Second); got != time.Second {
		t.Errorf("silent for %s: a new leader must begin its timers anew, late rather than early", got)
	}
}

func TestNotStreaming(t *testing.T) {
	v := NewView(time.Second)
	senders := []Sender{{Name: "x", State: "streaming"}, {Name: "y", State: "catchup"}}
	v.fold(report("a", 1, Member{Role: RolePrimary, Senders: senders}), 5*time.Second)
	v.fold(report("a", 2, Member{Role: RoleStandby, Senders: []Sender{{Name: "z", State: "streaming"}}}), 6*time.Second)
	for name, want := range map[string]time.Duration{"x": 2 * time.Second, "y": 6 * time.Second, "z": 6 * time.Second} {
		if got := v.NotStreaming(name, 7*time.Second); got != want {
			t.Errorf("%s has not streamed for %s, want %s", name, got, want)
		}
	}
}

func TestCloneOfViewIsApart(t *testing.T) {
	v := NewView(time.Second)
	v.fold(report("a", 1, Member{Role: RolePrimary}), time.Second)
	c := v.Clone()
	c.Replace(m1, func(m *Member) { m.Role = RoleStandby })
	c.Refresh(time.Minute)
	c.Forget("h1")
	if v.Member(m1) == nil || v.Member(m1).Role != RolePrimary || v.Since != time.Second {
		t.Error("a change of the clone reached the original")
	}
	if c.Report("h1") != nil || c.Member(m1) != nil {
		t.Error("forgotten, and still there")
	}
}

func TestStreams(t *testing.T) {
	for _, c := range []struct {
		r    *Receiver
		want bool
	}{{nil, false}, {&Receiver{}, false}, {&Receiver{Streaming: true, AgeMS: 1000}, true}, {&Receiver{Streaming: true, AgeMS: 1001}, false}} {
		if got := (&Member{Receiver: c.r}).Streams(); got != c.want {
			t.Errorf("%+v: %v", c.r, got)
		}
	}
}
