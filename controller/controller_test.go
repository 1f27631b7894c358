package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/decide"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/publish/sinktest"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Three controllers, three agents, all over HTTP: bootstrap, Opened, switchover, the leader's crash, failover.
func TestThreeControllers(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	jane := b.client(identity.RoleOperator, "jane")
	if out := b.apply(jane, social()); !out.Applied || out.Version != 1 || out.Old != nil {
		t.Fatalf("apply: %+v", out)
	}
	w := b.agents(social(), nodes)
	b.awaitPrimary(jane, "feed-e1", 1)

	first := b.switchover(jane, "feed-e2")
	if first.Result != state.Done || first.To != "feed-e2" || first.Reason != "asked by jane: maintenance" || first.By != "jane" {
		t.Fatalf("switchover: %+v", first)
	}
	b.awaitPrimary(jane, "feed-e2", 2)

	old := b.leader()
	b.crash(old)
	b.awaitPrimary(jane, "feed-e2", 2)
	if n := b.leader(); n == nil || n == old {
		t.Fatal("no new leader")
	}

	// A leader predicts whenever it finds nothing to do.
	b.eventually("the new leader finds nothing to do", 20*time.Second, func() bool {
		var e wire.ExplainAnswer
		err := jane.Do(b.ctx(5*time.Second), "GET", "/v1/clusters/feed/explain", nil, &e)
		return err == nil && e.Rule == string(decide.RuleHealthy)
	})
	w.agent("feed-e2").mute.Store(true)
	b.awaitPrimary(jane, "feed-e1", 3)
	var h wire.HistoryAnswer
	b.get(jane, "/v1/clusters/feed/history?limit=100", &h)
	op := last(h, state.Failover)
	if op == nil || op.From != "feed-e2" || op.Result != state.Done || op.Proof == nil || op.Prediction == nil {
		t.Errorf("failover: %+v", op)
	}
}

// last is the last operation of a kind.
func last(h wire.HistoryAnswer, kind state.OperationKind) *state.Operation {
	for i := len(h.Operations) - 1; i >= 0; i-- {
		if h.Operations[i].Kind == kind {
			return &h.Operations[i]
		}
	}
	return nil
}

func (b *bed) get(c *wire.Client, path string, out any) {
	b.t.Helper()
	if err := c.Do(b.ctx(10*time.Second), "GET", path, nil, out); err != nil {
		b.t.Fatalf("GET %s: %v", path, err)
	}
}

// awaitPrimary waits until a member is primary on a timeline, open, and all the answering others stream from it.
func (b *bed) awaitPrimary(c *wire.Client, member string, timeline platform.Timeline) wire.Status {
	b.t.Helper()
	var s wire.Status
	var err error
	defer func() {
		if b.t.Failed() {
			b.t.Logf("last status: %v %+v", err, s)
		}
	}()
	b.eventually(fmt.Sprintf("%s primary on timeline %d", member, timeline), 20*time.Second, func() bool {
		s = wire.Status{}
		if err = c.Do(b.ctx(10*time.Second), "GET", "/v1/status", nil, &s); err != nil || len(s.Clusters) != 1 {
			return false
		}
		cl := s.Clusters[0]
		streaming := 0
		for _, m := range cl.Members {
			if m.Seen != nil && m.Seen.Streams() && m.Seen.Timeline == timeline {
				streaming++
			}
		}
		return cl.Primary == member && cl.Timeline == timeline && cl.Opened && streaming > 0 && cl.Operation != nil
	})
	return s
}

func (b *bed) switchover(c *wire.Client, to string) state.Operation {
	b.t.Helper()
	path := "/v1/clusters/feed/switchover"
	var dry, real wire.OperationAnswer
	b.eventually("a switchover is possible", 10*time.Second, func() bool {
		return c.Do(b.ctx(5*time.Second), "POST", path, wire.SwitchoverRequest{To: to, DryRun: true}, &dry) == nil
	})
	if !dry.DryRun || dry.Operation != "" || dry.Target != to || len(dry.Plan) != 5 || !strings.HasPrefix(dry.Plan[0], "CHECKPOINT on ") {
		b.t.Fatalf("dry run: %+v", dry)
	}
	b.eventually("the switchover is accepted", 10*time.Second, func() bool { // it is refused where something has changed since
		return c.Do(b.ctx(5*time.Second), "POST", path, wire.SwitchoverRequest{To: to, Reason: "maintenance"}, &real) == nil
	})
	var h wire.HistoryAnswer
	if err := c.Do(b.ctx(20*time.Second), "GET", "/v1/clusters/feed/operations/"+real.Operation+"?wait=1", nil, &h); err != nil {
		b.t.Fatal("wait for the operation: ", err)
	}
	return h.Operations[0]
}

func TestStatusExplainAndMetrics(t *testing.T) {
	b := newBed(t)
	n := b.one()
	jane, eye := b.client(identity.RoleOperator, "jane"), b.client(identity.RoleViewer, "grafana")
	b.apply(jane, social())
	b.agents(social(), []*node{n})
	s := b.awaitPrimary(eye, "feed-e1", 1)
	if s.Source != "controller c1" || s.Leader != "c1" || len(s.Controllers) != 1 || !s.Controllers[0].Reached || len(s.Hosts) != 3 ||
		!s.Hosts[0].Heard {
		t.Errorf("status: %+v", s)
	}
	var m wire.MemberStatus
	b.eventually("feed-e2 tells how far it is", 10*time.Second, func() bool {
		b.get(eye, "/v1/status", &s)
		m = s.Clusters[0].Members[1]
		return m.Lag >= 0 && m.Age <= time.Second
	})
	if m.Goal != platform.GoalReplica || m.Lag > 0x1000 || m.Address != "127.0.0.1:5502" {
		t.Errorf("member: %+v", m)
	}
	var e wire.ExplainAnswer
	b.eventually("both replicas stream", 5*time.Second, func() bool {
		b.get(eye, "/v1/clusters/feed/explain", &e)
		return e.IfHostLost.Promote == "feed-e2" && e.IfCrashed.Promote == "feed-e2" && e.Switchover.Target == "feed-e2"
	})
	if e.IfHostLost.Others["feed-w1"] == "" || e.Timings[1].Value != 300*time.Millisecond || len(e.Sets) == 0 {
		t.Errorf("explain: %+v", e)
	}
	b.checkMetrics(n)
}

func (b *bed) checkMetrics(n *node) {
	b.t.Helper()
	config := b.store(identity.RoleViewer, "grafana").ClientConfig(identity.RoleController, "", identity.ProtoHTTP)
	tr := &http.Transport{TLSClientConfig: config}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.ctx(5*time.Second), "GET", "https://"+n.cfg.Advertise+"/metrics", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, want := range []string{
		"mainstay_is_leader 1\n", "mainstay_elections_total 1\n", `mainstay_member_up{cluster="feed",member="feed-e1"} 1`,
		`mainstay_member_role{cluster="feed",member="feed-e2",role="standby"} 1`, `mainstay_cluster_fencing{cluster="feed"} 0`,
		`mainstay_operations_total{cluster="feed",kind="birth",result="done"} 1`,
		`mainstay_member_guard_complete{cluster="feed",member="feed-w1"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			b.t.Errorf("/metrics lacks %q", want)
		}
	}
	if b.t.Failed() {
		b.t.Logf("%s", text)
	}
}

// An operator's word ends a failover that waits (S4), and is refused what S5 and the state forbid.
func TestOperatorsFailover(t *testing.T) {
	b := newBed(t)
	n := b.one()
	jane := b.client(identity.RoleOperator, "jane")
	b.apply(jane, social())
	w := b.agents(social(), []*node{n})
	b.awaitPrimary(jane, "feed-e1", 1)
	path := "/v1/clusters/feed/failover"
	for _, c := range []struct {
		req    wire.FailoverRequest
		status int
		says   string
	}{
		{wire.FailoverRequest{To: "feed-e2"}, 400, `"acceptLoss" is missing`},
		{wire.FailoverRequest{AcceptLoss: "x"}, 400, `"to" is missing`},
		{wire.FailoverRequest{To: "feed-x9", AcceptLoss: "x"}, 409, "has no member feed-x9; it has feed-e1, feed-e2, feed-w1"},
	} {
		if r := refusal(t, jane.Do(b.ctx(5*time.Second), "POST", path, c.req, nil)); r.Status != c.status ||
			!strings.Contains(r.Error(), c.says) {
			t.Errorf("%+v: %d %v", c.req, r.Status, r)
		}
	}
	// With the primary and one replica lost at once, one replica alone cannot be shown to hold everything (S2): with
	// acks 1 of {e2, w1} both seals would be needed.
	w.agent("feed-e2").mute.Store(true)
	w.agent("feed-e1").mute.Store(true)
	var s wire.Status
	var dry, real wire.OperationAnswer
	word := wire.FailoverRequest{To: "feed-w1", AcceptLoss: "site east burns", Fenced: true, DryRun: true}
	if err := jane.Do(b.ctx(5*time.Second), "POST", path, word, &dry); err != nil || len(dry.Plan) != 3 || len(dry.Warnings) < 2 {
		t.Fatalf("dry run: %+v %v", dry, err)
	}
	b.eventually("the failover waits for a word", 15*time.Second, func() bool {
		s = wire.Status{}
		b.get(jane, "/v1/status", &s)
		for _, p := range s.Problems {
			if p.Kind == health.FailoverWaits {
				return true
			}
		}
		return false
	})
	if got := s.Clusters[0].Primary; got != "feed-e1" {
		t.Fatalf("%s was promoted without a proof of completeness", got)
	}
	word.DryRun = false
	if err := jane.Do(b.ctx(5*time.Second), "POST", path, word, &real); err != nil {
		t.Fatal(err)
	}
	b.eventually("feed-w1 is primary", 15*time.Second, func() bool {
		b.get(jane, "/v1/status", &s)
		return s.Clusters[0].Primary == "feed-w1" && s.Clusters[0].Opened
	})
	var h wire.HistoryAnswer
	b.get(jane, "/v1/clusters/feed/operations/"+real.Operation, &h)
	o := h.Operations[0]
	if o.Kind != state.Failover || o.By != "mainstay" || o.Proof == nil || o.Result != state.Done ||
		!strings.Contains(o.Loss, "accepted by jane (site east burns)") {
		t.Errorf("operation: %+v", o)
	}
	if !slices.ContainsFunc(o.Steps, func(s state.Step) bool {
		return strings.Contains(s.Note, "asked by jane, who accepts a loss: site east burns")
	}) {
		t.Errorf("the word is not in the history: %+v", o.Steps)
	}
}

func TestPauseAndResume(t *testing.T) {
	b := newBed(t)
	n := b.one()
	jane := b.client(identity.RoleOperator, "jane")
	b.apply(jane, social())
	b.agents(social(), []*node{n})
	b.awaitPrimary(jane, "feed-e1", 1)
	ask := func(verb string, in any) error {
		return jane.Do(b.ctx(5*time.Second), "POST", "/v1/clusters/feed/"+verb, in, nil)
	}
	if r := refusal(t, ask("resume", nil)); r.Status != 409 || !strings.Contains(r.Error(), "is not paused") {
		t.Errorf("resume: %v", r)
	}
	if err := ask("pause", wire.PauseRequest{Reason: "kernel upgrade", For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	var s wire.Status
	b.get(jane, "/v1/status", &s)
	if p := s.Clusters[0].Pause; p == nil || p.By != "jane" || p.Reason != "kernel upgrade" || p.Until == "" {
		t.Errorf("pause: %+v", p)
	}
	if r := refusal(t, ask("switchover", wire.SwitchoverRequest{})); r.Status != 409 ||
		!strings.Contains(r.Error(), "is paused by jane (kernel upgrade)") {
		t.Errorf("switchover while paused: %v", r)
	}
	if err := ask("resume", nil); err != nil {
		t.Fatal(err)
	}
	b.eventually("the pause ends", 10*time.Second, func() bool {
		s = wire.Status{}
		b.get(jane, "/v1/status", &s)
		return s.Clusters[0].Pause == nil
	})
}

// What is committed reaches etcd, by way of the leader; a controller whose etcd is down serves all the same.
func TestPublishesToEtcd(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	cfg.Etcd = &config.Etcd{Endpoints: []string{sinktest.StartEtcd(t)}, Prefix: "/mainstay", Lease: 5 * time.Second}
	n := b.start(cfg)
	b.initialise(cfg.Advertise)
	jane := b.client(identity.RoleOperator, "jane")
	b.apply(jane, social())
	b.agents(social(), []*node{n})
	b.awaitPrimary(jane, "feed-e1", 1)
	client, err := clientv3.New(clientv3.Config{Endpoints: cfg.Etcd.Endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b.eventually("the primary is announced", 15*time.Second, func() bool {
		got, err := client.Get(b.ctx(5*time.Second), "/mainstay/social/clusters/feed/primary")
		return err == nil && len(got.Kvs) == 1 && string(got.Kvs[0].Value) == "127.0.0.1:5501"
	})

	cfg = b.config("c2")
	cfg.Etcd = &config.Etcd{Endpoints: []string{"http://" + b.config("c3").Listen}, Prefix: "/mainstay", Lease: 5 * time.Second}
	alone := b.start(cfg)
	b.initialise(alone.cfg.Advertise)
	if err := jane.DoAt(b.ctx(5*time.Second), alone.cfg.Advertise, "GET", "/v1/platform", nil, nil); err != nil {
		t.Errorf("etcd is down: %v", err)
	}
}

// Run ends with the reason when its log has stopped.
func TestLogFailureEndsTheProcess(t *testing.T) {
	b := newBed(t)
	n := b.one()
	<-n.log.Propose([]byte(`{"futureCommand":{}}`), 5*time.Second).Done()
	select {
	case <-n.done:
	case <-time.After(15 * time.Second):
		t.Fatal("it runs on")
	}
	if n.err == nil || !strings.Contains(n.err.Error(), "futureCommand") {
		t.Errorf("Run returned %v", n.err)
	}
	err := n.err
	n.err = nil // the cleanup expects none
	var u *wire.UnreachableError
	if e := b.client(identity.RoleOperator, "jane").Do(b.ctx(5*time.Second), "GET", "/v1/status", nil, nil); !errors.As(e, &u) {
		t.Errorf("after %v it still answers: %v", err, e)
	}
}

// A leader that fails is silent at once, so that the others elect while its parts are still being stopped (L6).
func TestFailedLeaderIsSilentAtOnce(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	failed := b.leader()
	another := errors.New("no other controller leads while this one stops")
	failed.push("a part that stops slowly", 30*time.Second, func(ctx context.Context) error {
		for ctx.Err() == nil {
			for _, n := range nodes {
				if n != failed && n.log.IsLeader() {
					another = nil
					return nil
				}
			}
			<-time.After(10 * time.Millisecond)
		}
		return nil
	})
	failed.fail(errors.New("its disk hangs"))
	<-failed.done
	if another != nil {
		t.Error(another)
	}
	if failed.err == nil || !strings.Contains(failed.err.Error(), "its disk hangs") {
		t.Errorf("Run returned %v", failed.err)
	}
	failed.err = nil // the cleanup expects none
}
