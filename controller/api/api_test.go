package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/controller/consensus"
	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// The handlers themselves are tested over TLS, with a real log, in package controller.

// nowhere is a controller that follows c2, or no leader.
type nowhere struct {
	Controllers
	leader     string
	leads      bool
	identified wire.Identity
}

func (n nowhere) Leading() bool            { return n.leads }
func (n nowhere) Leader() (string, string) { return n.leader, n.leader }
func (n nowhere) Identity() wire.Identity  { return n.identified }

type fixed struct{ s *state.State }

func (f fixed) State() *state.State      { return f.s }
func (f fixed) Changed() <-chan struct{} { return nil }

func TestStatusOfErrors(t *testing.T) {
	a := &API{Options: Options{Name: "c1", Controllers: nowhere{leader: "c2:7101"}, States: fixed{state.New()}}}
	for _, c := range []struct {
		err    error
		status int
		code   string
		leader string
	}{
		{loop.ErrNotLeader, 421, "not-leader", "c2:7101"},
		{fmt.Errorf("propose: %w", consensus.ErrNotLeader), 421, "not-leader", "c2:7101"},
		{&RefusedError{errors.New("no")}, 409, "refused", ""},
		{fmt.Errorf("%w (feed)", state.ErrMoved), 409, "refused", ""},
		{state.ErrPlatformMoved, 409, "refused", ""},
		{context.DeadlineExceeded, 504, "timeout", ""},
		{fmt.Errorf("%w: majority", consensus.ErrUnknown), 504, "timeout", ""},
		{consensus.ErrBusy, 504, "timeout", ""},
		{badRequest("x"), 400, "bad-request", ""},
		{errors.New("disk"), 500, "failed", ""},
	} {
		f := a.faultOf(c.err)
		if w := f.wire(); f.status != c.status || w.Code != c.code || w.Leader != c.leader || w.Message == "" {
			t.Errorf("%v: %d %+v", c.err, f.status, w)
		}
	}
}

func TestNotLeaderSaysWhatIsMissing(t *testing.T) {
	begun := state.New()
	begun.PlatformID = "p"
	for _, c := range []struct {
		controllers nowhere
		s           *state.State
		says        string
	}{
		{nowhere{}, state.New(), "run `mainstay controllers init`"},
		{nowhere{identified: wire.Identity{Initialised: true}}, state.New(), "knows no leader"},
		{nowhere{}, begun, "knows no leader"},
		{nowhere{leads: true, leader: "c1"}, begun, "has just been elected"},
		{nowhere{leader: "c2"}, begun, "c2 at c2 is"},
	} {
		a := &API{Options: Options{Name: "c1", Controllers: c.controllers, States: fixed{c.s}}}
		if f := a.notLeader(); f.status != http.StatusMisdirectedRequest || !strings.Contains(f.Error(), c.says) {
			t.Errorf("%+v: %v", c.controllers, f)
		}
	}
}

func TestLag(t *testing.T) {
	p := &health.Member{Position: 0x5000}
	for _, c := range []struct {
		primary, m *health.Member
		want       int64
	}{
		{nil, p, -1},
		{p, nil, -1},
		{&health.Member{}, p, -1},
		{p, &health.Member{}, -1},
		{p, p, 0},
		{p, &health.Member{Replayed: 0x4000}, 0x1000},
		{p, &health.Member{Replayed: 0x4000, Position: 0x4800, PositionKnown: true}, 0x800},
		{p, &health.Member{Replayed: 0x6000}, 0}, // its report is younger than the primary's
	} {
		if got := lag(c.primary, c.m); got != c.want {
			t.Errorf("lag(%+v, %+v) = %d, want %d", c.primary, c.m, got, c.want)
		}
	}
}

// A member's protection joins what its agent says with what the platform file says of its host.
func TestProtection(t *testing.T) {
	p := &platform.Platform{Hosts: []platform.Host{{Name: "h1",
		Fence: []platform.FenceDevice{{Agent: "fence_x", Level: 2}, {Exec: "/bin/off", Level: 1}}}, {Name: "h2"}}}
	in := decide.Input{State: &state.State{Platform: p}, View: health.NewView(0)}
	in.View.Fold(&health.Report{Host: "h1", RunID: "r", Number: 1,
		Members: []health.Member{{Name: "m1", Guard: health.Guard{Complete: true}}}}, "r", 0, time.Second)
	for m, want := range map[platform.Member]string{
		{Name: "m1",
			Host: "h1"}: "guard: both, kernel end (launcher), service manager; fence: fence_x (level 2), /bin/off (level 1); watchdog: off",
		{Name: "m2", Host: "h2"}: "guard: not known, its agent has not reported it; fence: none; watchdog: off",
		{Name: "m3", Host: "h3"}: "guard: not known, its agent has not reported it; fence: none; watchdog: off",
	} {
		if got := protection(in, &m).String(); got != want {
			t.Errorf("%s: %s", m.Name, got)
		}
	}
}

// TestUnwatched: what would end a running primary is refused.
func TestUnwatched(t *testing.T) {
	platformWith := func(mode platform.WatchdogMode) *platform.Platform {
		return &platform.Platform{Hosts: []platform.Host{{Name: "h1", Watchdog: mode}, {Name: "h2", Watchdog: mode}},
			Clusters: []platform.Cluster{{Name: "feed", Members: []platform.Member{{Name: "m1", Host: "h1"}, {Name: "m2", Host: "h2"}}}}}
	}
	const off, automatic, required = platform.WatchdogOff, platform.WatchdogAutomatic, platform.WatchdogRequired
	for name, tc := range map[string]struct {
		now, next platform.WatchdogMode
		seen      *health.Watchdog
		refused   bool
	}{
		"nothing armed":          {off, required, nil, true},
		"automatic, and none":    {automatic, required, &health.Watchdog{Mode: automatic, Missing: "x"}, true},
		"automatic, and armed":   {automatic, required, &health.Watchdog{Mode: automatic, Armed: true}, false},
		"required already":       {required, required, &health.Watchdog{Mode: required, Missing: "x"}, false},
		"no longer required":     {required, automatic, nil, false},
		"automatic harms nobody": {off, automatic, nil, false},
	} {
		in := decide.Input{State: &state.State{Platform: platformWith(tc.now),
			Clusters: map[string]*state.Cluster{"feed": {Name: "feed", Primary: "m1"}}}, View: health.NewView(0)}
		in.View.Fold(&health.Report{Host: "h1", RunID: "r", Number: 1,
			Members: []health.Member{{Name: "m1", Guard: health.Guard{Watchdog: tc.seen}}}}, "r", 0, time.Second)
		if err := unwatched(in, platformWith(tc.next)); (err != nil) != tc.refused {
			t.Errorf("%s: got %v", name, err)
		}
		in.State.Clusters["feed"].Primary = ""
		if err := unwatched(in, platformWith(tc.next)); err != nil {
			t.Errorf("%s, without a primary: got %v", name, err)
		}
	}
	if err := unwatched(decide.Input{State: &state.State{}}, platformWith(required)); err != nil {
		t.Errorf("the first platform: got %v", err)
	}
}

func TestTimings(t *testing.T) {
	got := map[string]time.Duration{}
	for _, x := range timings(&platform.Cluster{Lease: 5 * time.Second}, 10*time.Second) {
		got[x.Name] = x.Value
	}
	for name, want := range map[string]time.Duration{"lease": 5 * time.Second, "heartbeat": 500 * time.Millisecond,
		"suspect":   1500 * time.Millisecond,
		"count-out": 12300 * time.Millisecond, "guard kill": 250 * time.Millisecond, "tick limit": time.Second,
		"raft election": 500 * time.Millisecond} {
		if got[name] != want {
			t.Errorf("%s = %s, want %s", name, got[name], want)
		}
	}
}

func TestLastFailover(t *testing.T) {
	op := func(k state.OperationKind, r state.Result, from, to string) state.Operation {
		return state.Operation{Kind: k, Result: r, Steps: []state.Step{{At: from}, {At: "x"}, {At: to}}}
	}
	cl := &state.Cluster{Operations: []state.Operation{
		op(state.Failover, state.Done, "2026-01-01T10:00:00.000Z", "2026-01-01T10:00:01.250Z"),
		op(state.Failover, state.Abandoned, "2026-01-01T11:00:00.000Z", "2026-01-01T11:00:09.000Z"),
		op(state.Switchover, state.Done, "2026-01-01T12:00:00.000Z", "2026-01-01T12:00:02.000Z"),
	}}
	if d := lastFailover(cl); d != 1250*time.Millisecond {
		t.Errorf("lastFailover = %s", d)
	}
	if d := lastFailover(&state.Cluster{}); d != 0 {
		t.Errorf("none: %s", d)
	}
}
