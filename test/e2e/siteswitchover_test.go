package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestSiteSwitchover: the platform moves to another site while clients post through its app servers.
func TestSiteSwitchover(t *testing.T) {
	t.Parallel()
	s := startSites(t, testbed.Options{
		Hooks:    hookScripts,
		Settings: []string{"durability: {acks: 1, from: other-site, when-short: degrade}"},
		Apps:     &testbed.Apps{Settings: []string{`verify: "http://{address}/verify"`}},
	})
	s.run(t,
		siteCase{"there and back", thereAndBack},
		siteCase{"a hook fails and is mended", hookFails},
		siteCase{"an app does not come up", appStaysDown},
	)
}

// TestSiteSwitchoverLeaderKilled: whoever leads next finishes it, whatever the step.
func TestSiteSwitchoverLeaderKilled(t *testing.T) {
	t.Parallel()
	s := startSites(t, testbed.Options{
		Hooks:    hookScripts,
		Settings: []string{"durability: {acks: 1, from: other-site, when-short: degrade}"},
		Apps:     &testbed.Apps{Settings: []string{`verify: "http://{address}/verify"`}},
	})
	var cases []siteCase
	for _, step := range platform.Steps() {
		cases = append(cases, siteCase{"in step " + step, func(t *testing.T, s *siteScene) { leaderKilledIn(t, s, step) }})
	}
	s.run(t, cases...)
}

func thereAndBack(t *testing.T, s *siteScene) {
	for _, to := range []string{"west", "east"} {
		log := filepath.Join(s.Dir, "hooks-"+to)
		s.hooks(t, "note", `echo "$MAINSTAY_WHEN $MAINSTAY_STEP to $MAINSTAY_TO" >> `+log, everyMoment()...)
		wrote := s.verified(t)
		mark := s.posts.Mark()
		op := s.ended(t, s.moves(t, to), state.Done)
		s.acknowledged(t)
		s.outage(t, mark, "site switchover to "+to)
		for _, step := range op.Steps {
			t.Logf("%s %s %s", step.At, step.Name, step.Note)
		}
		if now := s.primaryNow(t); s.Host(now).Site != to {
			t.Errorf("the primary is %s after a switchover to site %s", now, to)
		}
		if app, err := s.AppState(s.ctx); err != nil || app.Site != to || app.Moving {
			t.Errorf("the pool after a switchover to site %s: %+v (%v)", to, app, err)
		}
		if now := s.verified(t); now <= wrote {
			t.Errorf("the app was asked to verify, and wrote %d posts for that, as before", now)
		}
		s.inOrder(t, log, to)
		s.healthy(t)
		s.check(t, s.WaitApps(s.ctx))
	}
}

// everyMoment is before and after each step, in their order.
func everyMoment() (moments []platform.Hook) {
	for _, step := range platform.Steps() {
		moments = append(moments, platform.Hook{Step: step, When: "before"}, platform.Hook{Step: step, When: "after"})
	}
	return moments
}

// inOrder wants the hooks to have run once each, in the order of the steps.
func (s *siteScene) inOrder(t *testing.T, log, to string) {
	t.Helper()
	var want []string
	for _, h := range everyMoment() {
		want = append(want, h.When+" "+h.Step+" to "+to)
	}
	raw, err := os.ReadFile(log)
	s.check(t, err)
	if got := strings.Split(strings.TrimSpace(string(raw)), "\n"); !slices.Equal(got, want) {
		t.Errorf("the hooks ran as %q, want %q", got, want)
	}
}

// hookScripts are all that the cases here have the controllers run.
var hookScripts = []string{"note", "gate", "linger"}

// hooks has the controllers run a script at some moments for as long as the case lasts.
func (s *siteScene) hooks(t *testing.T, name, script string, at ...platform.Hook) {
	t.Helper()
	path := filepath.Join(s.Dir, "etc", name)
	s.check(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	for i := range at {
		at[i].Exec, at[i].Timeout, at[i].OnFailure = []string{path}, 10*time.Second, "stop"
	}
	set := func(hooks []platform.Hook) error {
		return s.Reapply(s.ctx, func(p *platform.Platform) { p.Hooks = hooks })
	}
	s.check(t, set(at))
	t.Cleanup(func() { s.check(t, set(nil)) })
}

// verified counts the posts that app servers have made to verify themselves.
func (s *siteScene) verified(t *testing.T) (n int) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "the posts of verify to be counted", func() (bool, string) {
		out, err := s.SQL(s.ctx, s.primaryNow(t), "feed", "SELECT count(*) FROM posts WHERE author LIKE 'verify by %'")
		if err == nil {
			n, err = strconv.Atoi(out)
		}
		return err == nil, errText(err)
	}))
	return n
}

// moves begins a site switchover, and returns its id.
func (s *siteScene) moves(t *testing.T, to string) string {
	t.Helper()
	id, err := s.SiteSwitchover(s.ctx, to)
	s.check(t, err)
	return id
}

// ended waits until a site switchover has ended.
func (s *siteScene) ended(t *testing.T, id string, want state.Result) (op state.Operation) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "site switchover "+id+" to end", func() (bool, string) {
		var err error
		op, err = s.SiteChange(s.ctx, id)
		if err != nil || op.Result == state.Running {
			return false, fmt.Sprint(op.Steps, err)
		}
		return true, ""
	}))
	if op.Result != want {
		t.Errorf("site switchover %s: %s: %s, want %s", id, op.Result, op.Outcome, want)
	}
	return op
}

// halted waits until the running site switchover has halted, at a step, and returns what status says of it.
func (s *siteScene) halted(t *testing.T, step string) string {
	t.Helper()
	text := s.problem(t, health.SiteChangeHalted, "west")
	t.Log(text)
	st, err := s.Status(s.ctx)
	s.check(t, err)
	if st.Change == nil || st.Change.Halted == "" || st.Change.Step != step || !strings.Contains(text, "halted at step "+step) {
		t.Errorf("status shows %+v and %q, want a halt at step %s", st.Change, text, step)
	}
	return text
}

func (s *siteScene) word(t *testing.T, id, word string) {
	t.Helper()
	s.check(t, s.post(t, "/v1/site-switchovers/"+id+"/word", wire.SiteDecisionRequest{Decision: word}, nil))
}

// hookFails: it halts before the apps start, both sites inactive by the failure of a step, until an operator says how it
// goes on; once what failed is mended, retry finishes it.
func hookFails(t *testing.T, s *siteScene) {
	mended := filepath.Join(s.Dir, "mended")
	s.hooks(t, "gate", "test -e "+mended+" || { echo the zone file is locked; exit 3; }",
		platform.Hook{Step: platform.StepApps, When: "before"})
	id := s.moves(t, "west")
	if text := s.halted(t, platform.StepApps); !strings.Contains(text, "the zone file is locked") {
		t.Errorf("the reason is not told: %q", text)
	}
	s.check(t, os.WriteFile(mended, nil, 0o644))
	s.word(t, id, state.DecisionRetry)
	s.ended(t, id, state.Done)
	s.acknowledged(t)
	if now := s.primaryNow(t); s.Host(now).Site != "west" {
		t.Errorf("the primary is %s", now)
	}
}

// appStaysDown: no app server of west can listen, so the switchover halts, and undo brings everything back.
func appStaysDown(t *testing.T, s *siteScene) {
	for _, app := range []string{"web-w1", "web-w2"} {
		s.occupy(t, app)
	}
	id := s.moves(t, "west")
	if text := s.halted(t, platform.StepApps); !strings.Contains(text, "web") {
		t.Errorf("it is not told which app: %q", text)
	}
	s.word(t, id, state.DecisionUndo)
	s.ended(t, id, state.Abandoned)
	s.acknowledged(t)
	if now := s.primaryNow(t); now != s.primary {
		t.Errorf("the primary is %s after undo, was %s", now, s.primary)
	}
	if app, err := s.AppState(s.ctx); err != nil || app.Site != "east" {
		t.Errorf("the pool after undo: %+v (%v)", app, err)
	}
}

// occupy takes the port of an app server, so that none of its starts succeeds, until the case ends or free is called.
func (s *siteScene) occupy(t *testing.T, app string) (free func()) {
	t.Helper()
	h := s.Host(app)
	var l net.Listener
	var err error
	s.check(t, s.net.On(h.Name, func() { l, err = net.Listen("tcp", net.JoinHostPort(h.Address, testbed.AppPort)) }), err)
	t.Cleanup(func() { l.Close() })
	return func() { l.Close() }
}

// leaderKilledIn kills the leading controller as soon as a step is seen.
func leaderKilledIn(t *testing.T, s *siteScene, step string) {
	s.hooks(t, "linger", "sleep 1", platform.Hook{Step: step, When: "after"}) // or the step may be over before anybody can look
	mark := s.posts.Mark()
	id := s.moves(t, "west")
	leader := ""
	s.check(t, s.Wait(s.ctx, "step "+step, func() (bool, string) {
		st, err := s.Status(s.ctx)
		if err != nil || st.Change == nil || st.Change.Step != step {
			return false, fmt.Sprint(st.Change, err)
		}
		leader = st.Leader
		return true, ""
	}))
	s.check(t, s.Kill("controller "+leader, syscall.SIGKILL))
	t.Cleanup(func() { s.check(t, s.Mend()) })
	op := s.ended(t, id, state.Done)
	s.acknowledged(t)
	s.outage(t, mark, leader+" killed in step "+step)
	if now := s.primaryNow(t); s.Host(now).Site != "west" {
		t.Errorf("the primary is %s: %+v", now, op.Steps)
	}
	s.check(t, s.StartController(leader))
}
