package e2e

import (
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

// TestApps: what befalls app servers that live with their primary.
func TestApps(t *testing.T) {
	t.Parallel()
	s := startSites(t, testbed.Options{
		Settings: []string{"durability: {acks: 1}"},
		Apps:     &testbed.Apps{Settings: []string{"minimum: 2"}},
	})
	s.run(t,
		siteCase{"crash loop", appCrashLoop},
		siteCase{"host cut", appHostCut},
		siteCase{"all controllers killed for a while", appsWithoutControllers},
		siteCase{"primary out of their reach", appsCutOff},
	)
}

// instance is what status says of an app server.
func (s *siteScene) instance(t *testing.T, name string) (found wire.InstanceStatus) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "status of "+name, func() (bool, string) {
		app, err := s.AppState(s.ctx)
		for _, i := range app.Instances {
			if i.Name == name && i.Seen != nil {
				found = i
				return true, ""
			}
		}
		return false, errText(err)
	}))
	return found
}

// appCrashLoop: an app server ends at once whenever it is started. Its agent starts it again with growing pauses, it is out
// of routing and named, and once it can run it comes back by itself. The other one serves all the time.
func appCrashLoop(t *testing.T, s *siteScene) {
	pid := s.AppServer("web-e1")
	s.check(t, testbed.Signal(syscall.SIGSTOP, s.Daemons("agent app-e1")...)) // or it is started again before its port is taken
	s.check(t, testbed.Signal(syscall.SIGKILL, pid))
	s.check(t, s.Wait(s.ctx, "its port to be free", func() (bool, string) { serving, _ := s.pools.Serving("web-e1"); return !serving, "" }))
	free := s.occupy(t, "web-e1")
	s.check(t, testbed.Signal(syscall.SIGCONT, s.Daemons("agent app-e1")...))
	began := time.Now()
	s.check(t, s.Wait(s.ctx, "some starts that fail", func() (bool, string) { return s.instance(t, "web-e1").Seen.Restarts >= 4, "" }))
	if passed := time.Since(began); passed < 3*time.Second { // 1, 2 and 4 s lie between four starts
		t.Errorf("started four times within %s: no pause grows", passed)
	}
	t.Log(s.problem(t, health.AppDown, "web-e1"))
	t.Log(s.problem(t, health.AppPoolShort, "east"))
	if i := s.instance(t, "web-e1"); i.Out == "" || i.Serves {
		t.Errorf("it is in routing: %+v", i)
	}
	s.acknowledged(t)
	free()
	s.check(t, s.Wait(s.ctx, "web-e1 to be in routing again", func() (bool, string) {
		i := s.instance(t, "web-e1")
		return i.Serves && i.Out == "" && i.Health == health.Well, i.Out
	}))
}

// appHostCut: an app server whose host hears nobody may not go on: somebody may start another pool. It stops by itself.
func appHostCut(t *testing.T, s *siteScene) {
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	s.check(t, s.net.Cut("app-e1"))
	began := time.Now()
	s.check(t, s.Wait(s.ctx, "web-e1 to stop by itself",
		func() (bool, string) { serving, _ := s.pools.Serving("web-e1"); return !serving, "" }))
	t.Logf("stopped within %s of the cut", time.Since(began).Round(10*time.Millisecond))
	s.acknowledged(t)
	if now := s.primaryNow(t); now != s.primary {
		t.Errorf("%s is primary: the loss of one app server moved it", now)
	}
	s.heal(t)
	s.check(t, s.WaitApps(s.ctx))
	s.check(t, s.Wait(s.ctx, "web-e1 to serve again", func() (bool, string) { serving, _ := s.pools.Serving("web-e1"); return serving, "" }))
}

// appsWithoutControllers: for many permits' lengths there is no leader. The primary's agent keeps its app servers going.
func appsWithoutControllers(t *testing.T, s *siteScene) {
	before := map[string]int{"web-e1": s.AppServer("web-e1"), "web-e2": s.AppServer("web-e2")}
	mark := s.posts.Mark()
	for _, h := range s.Of(true) {
		s.check(t, s.Kill("controller "+h.Controller, syscall.SIGKILL))
	}
	select {
	case <-time.After(30 * time.Second):
	case <-s.ctx.Done():
	}
	s.acknowledged(t)
	s.outage(t, mark, "no controller for 30 s")
	for app, pid := range before {
		s.check(t, s.Wait(s.ctx, app+" to serve without controllers",
			func() (bool, string) { serving, _ := s.pools.Serving(app); return serving, "" }))
		if now := s.AppServer(app); now != pid { // on a machine too busy for the promises of its primary
			t.Logf("%s was started again meanwhile", app)
		}
	}
	for _, h := range s.Of(true) {
		s.check(t, s.StartController(h.Controller))
	}
	s.healthy(t)
	if now := s.primaryNow(t); now != s.primary {
		t.Errorf("%s is primary, and %s was well", now, s.primary)
	}
}

// appsCutOff: the primary looks well to everybody but the app servers of its site, which live for it.
func appsCutOff(t *testing.T, s *siteScene) {
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	s.check(t, s.Reapply(s.ctx, func(p *platform.Platform) {
		p.Clusters[0].Failover.ReachableBy = &platform.ReachabilityCheck{App: "web", HTTP: "http://{address}/ready", After: 3 * time.Second}
	}))
	mark := s.posts.Mark()
	s.check(t, s.net.CutWays(testbed.Both(testbed.Ways([]string{"app-e1", "app-e2"}, []string{s.Host(s.primary).Name}))...))
	to, err := s.WaitPrimary(s.ctx, s.primary)
	s.check(t, err)
	op, err := s.Last(s.ctx, state.Switchover)
	s.check(t, err)
	if s.Host(to).Site != "west" || op.To != to || serial(op.ID) <= s.began || !strings.HasPrefix(op.Reason, string(health.AppsCutOff)) {
		t.Errorf("%s took over by %s: %s", to, op.ID, op.Reason)
	}
	s.acknowledged(t)
	s.outage(t, mark, "app servers cut off from their primary")
	t.Log(op.Reason)
	s.heal(t)
}
