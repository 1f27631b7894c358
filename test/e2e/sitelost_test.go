package e2e

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestSiteLost: the network takes a whole site, the primary's. What is on it lives on, and reaches nobody else.
func TestSiteLost(t *testing.T) {
	t.Parallel()
	s := startSites(t, testbed.Options{Settings: []string{"durability: {acks: 1, from: other-site, when-short: degrade}"}})
	s.run(t,
		siteCase{"automatic", siteLost},
		siteCase{"leader lost with it", siteLeaderLost},
		siteCase{"link between two sites cut", siteLinkCut},
		siteCase{"approved", siteLostApproved},
		siteCase{"heals before it is approved", siteLostHeals},
	)
}

func siteLost(t *testing.T, s *siteScene) {
	s.lead(t, "c2")
	s.loses(t)
}

func siteLeaderLost(t *testing.T, s *siteScene) {
	s.lead(t, "c1")
	s.loses(t)
}

// loses cuts east: west takes over whole. When east comes back its members stream by themselves, with what they had alone
// accounted for, and its app servers stay stopped.
func (s *siteScene) loses(t *testing.T) {
	t.Helper()
	mark := s.posts.Mark()
	s.cutSite(t, "east")
	op := s.movedTo(t, "west")
	s.outage(t, mark, "site lost")
	t.Logf("%s by %s: %s", op.ID, op.Proof.Kind, op.Reason)
	for _, step := range op.Steps {
		t.Logf("%s %s %s", step.At, step.Name, step.Note)
	}
	s.silent(t, "east")
	s.problem(t, health.SiteLost, "east")
	s.heal(t)
	s.healthy(t)
	s.check(t, s.WaitApps(s.ctx))
	s.silent(t, "east")
	rejoin := s.rejoined(t, s.primary)
	if !strings.Contains(rejoin.Loss, "left out WAL") || !strings.Contains(rejoin.Loss, "kept in") {
		t.Errorf("%s wrote on alone for the rest of its lease, and the history of its return says %q", s.primary, rejoin.Loss)
	}
}

// rejoined is how a member came back, since the case began.
func (s *siteScene) rejoined(t *testing.T, member string) (op state.Operation) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "the history to tell of the return of "+member, func() (bool, string) {
		all, err := s.History(s.ctx)
		for _, o := range all {
			if o.Kind == state.Rejoin && o.To == member && o.Result == state.Done && serial(o.ID) > s.began {
				op = o
				return true, ""
			}
		}
		return false, errText(err)
	}))
	return op
}

// siteLinkCut: east and west reach the clients and north, and not each other. Whatever the leader's site, there is one
// primary, and if it moved, then to whom explain had said.
func siteLinkCut(t *testing.T, s *siteScene) {
	for _, leader := range []string{"c1", "c3"} {
		s.lead(t, leader)
		before := s.primaryNow(t)
		mark := s.posts.Mark()
		t.Cleanup(func() { s.check(t, s.net.HealAll()) })
		s.check(t, s.net.CutWays(testbed.Both(testbed.Ways(s.On("east"), s.On("west")))...))
		select {
		case <-time.After(10 * time.Second):
		case <-s.ctx.Done():
		}
		s.acknowledged(t)
		s.outage(t, mark, "link cut while "+leader+" leads")
		if now := s.primaryNow(t); now != before {
			op, err := s.Last(s.ctx, state.Failover)
			s.check(t, err)
			if p := op.Prediction; p == nil || p.Promote != now {
				t.Errorf("%s took over: %s; explain had said %+v", now, op.Reason, p)
			}
			t.Logf("%s led, and %s took over: %s", leader, now, op.Reason)
		}
		s.heal(t)
		s.healthy(t)
		s.check(t, s.WaitApps(s.ctx), s.Ack(s.ctx))
	}
}

// siteLostApproved: nothing moves without an operator's word, who is told what it would cost, and, by explain, beforehand what
// to run.
func siteLostApproved(t *testing.T, s *siteScene) {
	s.acrossSites(t, "approval")
	s.lead(t, "c2")
	explained, err := s.CLI(s.ctx, "explain", "feed")
	s.check(t, err)
	_, rest, _ := strings.Cut(explained, "could take over, which needs an operator: `mainstay ")
	command, _, _ := strings.Cut(rest, "`")
	s.cutSite(t, "east")
	op := s.asksApproval(t)
	if err := s.post(t, "/v1/operations/feed-99999/approve", nil, nil); err == nil {
		t.Error("an operation that does not exist was approved")
	}
	mark := s.posts.Mark()
	s.says(t, 0, append(strings.Fields(command), "--yes"), "failover done", op)
	moved := s.movedTo(t, "west")
	s.outage(t, mark, "approved")
	if moved.ID != op {
		t.Errorf("%s was approved, and %s moved the primary", op, moved.ID)
	}
	s.heal(t)
}

// asksApproval waits for the question, sees that nothing happens meanwhile, and returns the operation to approve.
func (s *siteScene) asksApproval(t *testing.T) string {
	t.Helper()
	text := s.problem(t, health.ApprovalNeeded, "")
	t.Log(text)
	_, rest, found := strings.Cut(text, "`mainstay approve ")
	id, _, _ := strings.Cut(rest, "`")
	if !found || !strings.Contains(text, "on site west could take over") || !strings.Contains(text, "no acknowledged commit would be lost") {
		t.Fatalf("the question does not say what to do and what would be lost: %q", text)
	}
	select {
	case <-time.After(3 * time.Second):
	case <-s.ctx.Done():
	}
	if c, err := s.Cluster(s.ctx); err != nil || c.Primary != s.primary {
		t.Errorf("the primary is %s before anybody approved it (%v)", c.Primary, err)
	}
	return id
}

// siteLostHeals: the failover that waited is given up, and the old primary goes on.
func siteLostHeals(t *testing.T, s *siteScene) {
	s.acrossSites(t, "approval")
	s.lead(t, "c2")
	s.cutSite(t, "east")
	id := s.asksApproval(t)
	s.heal(t)
	s.healthy(t)
	s.acknowledged(t)
	if now := s.primaryNow(t); s.Host(now).Site != "east" {
		t.Errorf("%s is primary, and nobody approved it", now)
	}
	all, err := s.History(s.ctx)
	s.check(t, err)
	for _, o := range all {
		if o.ID == id {
			t.Logf("%s: %s: %s -> %s: %s", o.ID, o.Result, o.From, o.To, o.Outcome)
			if o.Result == state.Running || s.Host(o.To).Site == "west" {
				t.Errorf("the failover that waited: %+v", o)
			}
		}
	}
}
