package agent

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/fencing/watchdog"
)

func goalOf(kind platform.GoalKind, asked *platform.Watchdog) platform.Goal {
	return platform.Goal{Kind: kind, Cluster: "feed", Watchdog: asked}
}

func TestWatchdogWish(t *testing.T) {
	automatic := func(timeout time.Duration) *platform.Watchdog {
		return &platform.Watchdog{Mode: platform.WatchdogAutomatic, Timeout: timeout}
	}
	for name, tc := range map[string]struct {
		goals   []platform.Goal
		known   bool
		on      bool
		timeout time.Duration
	}{
		"no members":  {nil, true, false, 0},
		"no goal yet": {[]platform.Goal{{}}, false, false, 0},
		"off":         {[]platform.Goal{goalOf(platform.GoalReplica, nil)}, true, false, 0},
		"on":          {[]platform.Goal{goalOf(platform.GoalPrimary, automatic(3*time.Second))}, true, true, 3 * time.Second},
		"the shortest lease": {[]platform.Goal{goalOf(platform.GoalPrimary, automatic(6*time.Second)),
			goalOf(platform.GoalObserve, automatic(time.Second))}, true, true, time.Second},
		"one lease is too short": {[]platform.Goal{goalOf(platform.GoalPrimary, automatic(0)),
			goalOf(platform.GoalReplica, automatic(3*time.Second))}, true, true, 0},
		"on a fenced host":            {[]platform.Goal{goalOf(platform.GoalNone, automatic(3*time.Second))}, true, true, 3 * time.Second},
		"the last member is released": {[]platform.Goal{goalOf(platform.GoalReleased, nil)}, true, false, 0},
		"one of two is released": {[]platform.Goal{goalOf(platform.GoalReleased, nil),
			goalOf(platform.GoalReplica, automatic(3*time.Second))}, true, true, 3 * time.Second},
		"one has no goal yet":       {[]platform.Goal{{}, goalOf(platform.GoalReplica, automatic(3*time.Second))}, true, true, 3 * time.Second},
		"released, and one unknown": {[]platform.Goal{{}, goalOf(platform.GoalReleased, nil)}, false, false, 0},
	} {
		a := &Agent{cfg: config.Agent{Data: "/data"}, log: zap.NewNop(), members: map[string]*supervisor.Supervisor{}}
		for i, g := range tc.goals {
			name := "m" + string(rune('1'+i))
			manage(t, a, name, member.Durable{}).Wants(g, platform.Age{Number: 1})
		}
		w, known := a.watchdogWish()
		if known != tc.known || w.On != tc.on || w.Timeout != tc.timeout || len(w.Guards) != len(tc.goals) {
			t.Errorf("%s: got %+v, known %v", name, w, known)
		}
		if g := w.Guards["m1"]; len(tc.goals) > 0 && g.Dir != "/data/run/m1.guard" {
			t.Errorf("%s: guards in %q", name, g.Dir)
		}
	}
}

func TestWhatTheWatchdogIsToAMember(t *testing.T) {
	guards := [2]int{7, 8}
	armed := watchdog.Status{PID: 5, Info: watchdog.Info{Armed: true, Identity: "softdog", Timeout: 3 * time.Second},
		Watched: map[string][2]int{"m1": guards}}
	late := watchdog.Status{PID: 5, Info: watchdog.Info{Missing: "there is none"}}
	required := &platform.Watchdog{Mode: platform.WatchdogRequired, Timeout: 3 * time.Second}
	shorter := &platform.Watchdog{Mode: platform.WatchdogRequired, Timeout: time.Second}
	for name, tc := range map[string]struct {
		asked   *platform.Watchdog
		status  watchdog.Status
		err     error
		age     time.Duration
		guards  [2]int
		missing string // "" for armed
	}{
		"armed":                         {required, armed, nil, 0, guards, ""},
		"there is none":                 {required, late, nil, 0, guards, "there is none"},
		"nothing known yet":             {required, watchdog.Status{PID: 5}, nil, 0, guards, "about to be armed"},
		"silent":                        {required, armed, nil, 3 * time.Second, guards, "has not answered lately"},
		"other guards":                  {required, armed, nil, 0, [2]int{7, 9}, "does not yet watch the guards of m1"},
		"no guards":                     {required, armed, nil, 0, [2]int{}, "does not yet watch the guards of m1"},
		"too long for a lease just cut": {shorter, armed, nil, 0, guards, "timeout is too long"},
		"it cannot be started":          {required, watchdog.Status{}, errors.New("no such program"), 0, guards, "no such program"},
	} {
		var d hostWatchdog
		d.heard(zap.NewNop(), tc.status, tc.err)
		if d.at != 0 {
			d.at -= tc.age
		}
		w := d.of(tc.asked, "m1", tc.guards)
		if w.Armed != (tc.missing == "") || !strings.Contains(w.Missing, tc.missing) || (w.Lacks() == "") != w.Armed {
			t.Errorf("%s: got %+v", name, w)
		}
	}
	var d hostWatchdog
	if d.of(nil, "m1", guards) != nil {
		t.Error("off is reported")
	}
	if d.of(required, "m1", guards).Armed {
		t.Error("armed, but no holder has answered")
	}
}
