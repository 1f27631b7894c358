package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/platform/load"
	"mainstay/test/platform/poolwatch"
	"mainstay/test/testbed"
)

// sites is a platform of three sites on hosts of their own (network namespaces): members and app servers on east and west,
// a controller on each. Each case begins when all is healthy and the primary is on east, and ends when all is healthy again.
type sites struct {
	*trial
	net *testbed.Netns
	all []*load.Ledger // of all cases so far
}

// startSites starts a healthy platform whose app servers run.
func startSites(t *testing.T, o testbed.Options) *sites {
	t.Helper()
	if o.Apps == nil {
		o.Apps = &testbed.Apps{}
	}
	o.Apps.Server = server
	if o.Members == 0 {
		o.Members = 4
	}
	names := []string{"db-e1", "db-e2", "db-w1", "db-w2", "ctl-e", "ctl-w", "ctl-n", "app-e1", "app-e2", "app-w1", "app-w2"}
	hosts := network(t, names...)
	o.Network = hosts
	s := &sites{trial: build(t, o), net: hosts}
	s.check(t, s.Start(s.ctx), s.StartApps(s.ctx))
	_, err := s.SQL(s.ctx, s.primaryNow(t), "postgres", "CREATE ROLE root LOGIN SUPERUSER") // whom a test as root is at the socket (peer)
	s.check(t, err)
	s.direct, err = load.NewDirect(s.DSN(), patient)
	s.check(t, err)
	t.Cleanup(func() {
		s.direct.Close()
		for _, l := range s.all {
			l.Close()
		}
	})
	return s
}

// siteCase is one case. It leaves a network without cuts, and a platform that is no other than it found.
type siteCase struct {
	name string
	do   func(*testing.T, *siteScene)
}

// siteScene is what a case finds.
type siteScene struct {
	*sites
	primary string // on east
	began   int    // number of the newest operation of the cluster before the case
	posts   *load.Client
	local   *dualwriter.Tester // on each member's host, through its own socket: no cut keeps them off
	pools   *poolwatch.Watch   // on each app server's host
}

// run goes through the cases; what one was promised, none after it may have taken away.
func (s *sites) run(t *testing.T, cases ...siteCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at := s.scene(t)
			began := time.Now()
			c.do(t, at)
			s.healthy(t)
			s.check(t, s.WaitApps(s.ctx))
			t.Logf("healthy again %s after it began", time.Since(began).Round(10*time.Millisecond))
			at.judge(t)
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	defer cancel()
	s.ctx = ctx
	for _, l := range s.all {
		s.complete(t, l)
	}
}

// scene waits for health with the primary on east, and starts the witnesses.
func (s *sites) scene(t *testing.T) *siteScene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	t.Cleanup(cancel)
	s.ctx = ctx
	s.check(t, s.net.HealAll(), s.Mend()) // after a case that failed
	s.healthy(t)
	s.check(t, s.Ack(ctx), s.WaitApps(ctx))
	s.home(t)
	at := &siteScene{sites: s, primary: s.primaryNow(t), began: s.newest(t)}
	at.witness(t)
	return at
}

// home brings the primary, and so the pool, back to east.
func (s *sites) home(t *testing.T) {
	t.Helper()
	if s.Host(s.primaryNow(t)).Site != "east" {
		s.led(t, "feed-e1")
		s.check(t, s.WaitApps(s.ctx))
	}
}

// witness starts the clients and waits until all of them were answered.
func (s *siteScene) witness(t *testing.T) {
	t.Helper()
	ledger, err := load.OpenLedger(filepath.Join(s.Dir, "ledger-"+strconv.Itoa(len(s.all))))
	s.check(t, err)
	s.all = append(s.all, ledger)
	target, err := load.NewHTTP(s.AppURLs(), patience)
	s.check(t, err)
	s.posts, err = load.Start(s.ctx, load.Options{Target: target, Ledger: ledger, Writers: 2, Every: writeEvery, Retry: retryAfter})
	s.check(t, err)
	s.local, err = dualwriter.Start(s.ctx, dualwriter.Options{Hosts: s.onHosts(), Every: tryEvery, Limit: patience})
	s.check(t, err)
	var instances []poolwatch.Instance
	for _, h := range s.AppHosts() {
		instances = append(instances, poolwatch.Instance{Name: h.App, Site: h.Site, Address: net.JoinHostPort(h.Address, testbed.AppPort),
			On: func(f func()) error { return s.net.On(h.Name, f) }})
	}
	s.pools = poolwatch.Start(s.ctx, instances)
	t.Cleanup(func() { s.stop() })
	s.acknowledged(t)
	s.check(t, s.Wait(s.ctx, "the clients on the hosts to be answered", func() (bool, string) {
		return len(s.local.Acks()) > 5 && len(s.pools.Stints()) > 1, ""
	}))
}

func (s *siteScene) stop() error {
	s.posts.Stop()
	s.local.Stop()
	return s.pools.Stop()
}

// judge: no post that an app server acknowledged is missing, never did two members acknowledge, and never did app servers of
// two sites serve, unless they are to run everywhere.
func (s *siteScene) judge(t *testing.T) {
	t.Helper()
	s.check(t, s.stop())
	s.complete(t, s.all[len(s.all)-1])
	if o := s.local.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes at once: %v", o)
	}
	if o := s.pools.Overlaps(); len(o) > 0 && !s.Apps.Everywhere {
		t.Errorf("the pools of two sites served at once: %v", o)
	}
}

// complete reads what was acknowledged through app servers back from the primary itself.
func (s *sites) complete(t *testing.T, l *load.Ledger) {
	t.Helper()
	v, err := load.Verify(s.ctx, s.direct, l)
	s.check(t, err)
	if len(v.Missing) > 0 {
		t.Errorf("acknowledged posts are missing: %s", v)
	}
	t.Log(v)
}

// acknowledged waits until posts through the app servers are acknowledged (again), and returns the longest pause since.
func (s *siteScene) acknowledged(t *testing.T) {
	t.Helper()
	mark := s.posts.Mark()
	s.check(t, s.Wait(s.ctx, "posts through app servers to be acknowledged", func() (bool, string) {
		r, err := s.posts.Report(mark)
		return err == nil && r.Tally.Acked > 10, r.Tally.LastError
	}))
}

// outage logs the longest time without an acknowledgement to a client of the app servers since a mark.
func (s *siteScene) outage(t *testing.T, mark, what string) {
	t.Helper()
	r, err := s.posts.Report(mark)
	s.check(t, err)
	t.Logf("%s: no post through an app server was acknowledged for %s", what, r.Longest.Round(time.Millisecond))
}

// cutSite takes a whole site off the network: its own hosts reach each other, and nobody else.
func (s *siteScene) cutSite(t *testing.T, site string) {
	t.Helper()
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	s.check(t, s.net.CutWays(s.SiteWays(site)...))
}

func (s *siteScene) heal(t *testing.T) {
	t.Helper()
	s.check(t, s.net.HealAll())
}

// lead hands leadership to a controller.
func (s *siteScene) lead(t *testing.T, controller string) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, controller+" to lead", func() (bool, string) {
		if now, err := s.Leader(s.ctx); err == nil && now == controller {
			return true, ""
		}
		out, _ := s.CLI(s.ctx, "controllers", "transfer", "--to", controller)
		return false, out
	}))
	s.healthy(t)
}

// noLoss is what explain says where nothing that was acknowledged can be lost.
const noLoss = "no acknowledged commit"

// approved tells whether an operator let the failover leave its site.
func approved(op state.Operation) bool {
	return slices.ContainsFunc(op.Steps, func(s state.Step) bool { return s.Name == "approved" })
}

// movedTo waits until the primary is on a site and its app servers serve there, and returns the failover.
func (s *siteScene) movedTo(t *testing.T, site string) state.Operation {
	t.Helper()
	_, err := s.WaitPrimary(s.ctx, s.primary)
	s.check(t, err)
	op, err := s.Last(s.ctx, state.Failover)
	s.check(t, err)
	// Its host's silence may be long enough a moment before that of the whole site is.
	named := strings.HasPrefix(op.Reason, string(health.SiteLost)) || strings.HasPrefix(op.Reason, string(health.PrimaryUnreachable))
	if op.From != s.primary || s.Host(op.To).Site != site || !named || op.Proof == nil || serial(op.ID) <= s.began {
		t.Errorf("the history of %s says %s -> %s, proof %v: %q; want the loss of %s, to site %s", op.ID, op.From, op.To, op.Proof, op.Reason,
			s.primary, site)
	}
	if op.Loss != "" {
		t.Errorf("the history speaks of a loss: %s", op.Loss)
	}
	// A leader that was elected a moment ago has said nothing. Where nobody may leave the site unasked, explain spoke of the host.
	if p := op.Prediction; p != nil && (s.Host(p.Promote).Site != site && !approved(op) || p.Loss != noLoss) {
		t.Errorf("explain had said %+v", p)
	}
	s.acknowledged(t)
	return op
}

// silent waits until no app server of a site serves, by the watch on its own host.
func (s *siteScene) silent(t *testing.T, site string) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "the app servers of "+site+" to stop", func() (bool, string) {
		for _, h := range s.AppHosts() {
			if serving, _ := s.pools.Serving(h.App); serving && h.Site == site {
				return false, h.App + " serves"
			}
		}
		return true, ""
	}))
}

// problem waits until status shows a problem, and returns its evidence.
func (s *sites) problem(t *testing.T, kind health.Kind, about string) (evidence string) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "problem "+string(kind), func() (bool, string) {
		st, err := s.Status(s.ctx)
		for _, p := range st.Problems {
			if p.Kind == kind && (about == "" || p.Site == about || p.Instance == about || p.Member == about) {
				evidence = p.Evidence
				return true, ""
			}
		}
		return false, fmt.Sprint(st.Problems, err)
	}))
	return evidence
}

// post asks the controllers for something, as an operator; on a busy machine there may be no leader for a moment.
func (s *sites) post(t *testing.T, path string, in, out any) error {
	t.Helper()
	c := s.Client()
	defer c.Close()
	var err error
	s.check(t, s.Wait(s.ctx, "an answer to "+path, func() (bool, string) {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		err = c.Do(ctx, http.MethodPost, path, in, out)
		refusal := (*wire.RefusalError)(nil)
		return err == nil || errors.As(err, &refusal), errText(err)
	}))
	return err
}

// acrossSites sets the policy for as long as the case lasts.
func (s *siteScene) acrossSites(t *testing.T, policy platform.AcrossSites) {
	t.Helper()
	var before platform.AcrossSites
	set := func(to platform.AcrossSites) error {
		return s.Reapply(s.ctx, func(p *platform.Platform) {
			before, p.Clusters[0].Failover.AcrossSites = p.Clusters[0].Failover.AcrossSites, to
		})
	}
	s.check(t, set(policy))
	t.Cleanup(func() { s.check(t, set(before)) })
}
