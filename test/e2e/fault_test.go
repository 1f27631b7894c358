package e2e

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/platform/load"
	"mainstay/test/platform/register"
	"mainstay/test/testbed"
)

// faults is a platform on hosts of their own (network namespaces) that one fault after the other befalls. Each case begins
// when all is healthy, with witnesses of its own, and ends when all is healthy again.
type faults struct {
	*trial
	net *testbed.Netns
	all []*load.Ledger // of all cases so far
}

// fault is one case. It leaves a network without cuts, nothing stopped, nothing frozen.
type fault struct {
	name string
	do   func(*testing.T, *scene)
}

// scene is what a case finds.
type scene struct {
	*faults
	primary string
	host    string // of the primary
	leader  string // the controller that leads
	began   int    // number of the newest operation before the case
	witnesses
}

// caseLimit bounds a case, the wait for health before and after it included; one takes two minutes by itself.
const caseLimit = 10 * time.Minute

// startFaults starts a healthy platform, with more hosts on its network that nobody lives on yet.
func startFaults(t *testing.T, o testbed.Options, spare ...string) *faults {
	t.Helper()
	names := []string{"db-e1", "db-e2", "db-w1"}
	if !o.Together {
		names = append(names, "ctl-e", "ctl-w", "ctl-n")
	}
	hosts := network(t, append(names, spare...)...)
	o.Network = hosts
	f := &faults{trial: build(t, o), net: hosts}
	f.check(t, f.Start(f.ctx))
	dsn, err := f.Application(f.ctx)
	f.check(t, err)
	_, err = f.SQL(f.ctx, f.primaryNow(t), "postgres", "CREATE ROLE root LOGIN SUPERUSER") // whom a test as root is at the socket (peer)
	f.check(t, err)
	f.direct, err = load.NewDirect(dsn, patient)
	f.check(t, err)
	t.Cleanup(func() {
		f.direct.Close()
		for _, l := range f.all {
			l.Close()
		}
	})
	f.check(t, f.direct.Setup(f.ctx), register.Setup(f.ctx, dsn))
	return f
}

// run goes through the cases. One that fails leaves the platform to the next, as long as it becomes healthy.
func (f *faults) run(t *testing.T, cases ...fault) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { f.one(t, c) })
	}
	f.verify(t)
}

// verify: what one case was promised, none after it may have taken away.
func (f *faults) verify(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	defer cancel()
	for _, l := range f.all {
		v, err := load.Verify(ctx, f.direct, l)
		f.check(t, err)
		if len(v.Missing) > 0 {
			t.Errorf("after all cases acknowledged posts are missing: %s", v)
		}
	}
}

func (f *faults) one(t *testing.T, c fault) {
	s := f.scene(t, "")
	began := time.Now()
	c.do(t, s)
	f.healthy(t)
	t.Logf("healthy again %s after it began", time.Since(began).Round(10*time.Millisecond))
	s.judge(t)
}

// scene waits for health, runs statements on the primary ("" for none) and starts the witnesses.
func (f *faults) scene(t *testing.T, statements string) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), caseLimit)
	t.Cleanup(cancel)
	f.ctx = ctx
	f.check(t, f.net.HealAll(), f.Mend()) // after a case that failed
	f.healthy(t)
	f.check(t, f.Ack(ctx))
	s := &scene{faults: f, primary: f.primaryNow(t)}
	s.host = f.Host(s.primary).Name
	var err error
	s.leader, err = f.Leader(ctx)
	f.check(t, err)
	if statements != "" {
		_, err = f.SQL(ctx, s.primary, "feed", statements)
		f.check(t, err)
	}
	s.began = s.newest(t)
	s.witness(t)
	return s
}

// witnesses are the clients of one case.
type witnesses struct {
	ledger *load.Client
	local  *dualwriter.Tester // on each host, through the member's own socket: no cut keeps them off
	reads  *register.Tester
}

// witness starts the clients and waits until all of them were answered.
func (s *scene) witness(t *testing.T) {
	t.Helper()
	ledger, err := load.OpenLedger(filepath.Join(s.Dir, "ledger-"+strconv.Itoa(len(s.all))))
	s.check(t, err)
	s.all = append(s.all, ledger)
	s.ledger, err = load.Start(s.ctx, load.Options{Target: s.direct, Ledger: ledger, Writers: 2, Every: writeEvery, Retry: retryAfter})
	s.check(t, err)
	hosts, registers := s.onHosts(), []string{s.DSN(), s.DSN()}
	for _, h := range hosts {
		registers = append(registers, h.DSN)
	}
	s.local, err = dualwriter.Start(s.ctx, dualwriter.Options{Hosts: hosts, Every: tryEvery, Limit: patience})
	s.check(t, err)
	s.reads, err = register.Start(s.ctx, register.Options{Clients: registers, Every: tryEvery, Limit: patience})
	s.check(t, err)
	t.Cleanup(s.stop)
	s.acknowledged(t)
	s.check(t, s.Wait(s.ctx, "the clients on the hosts to be answered", func() (bool, string) {
		return len(s.local.Acks()) > 5 && s.reads.Answered() > 5, ""
	}))
}

func (w *witnesses) stop() {
	w.ledger.Stop()
	w.local.Stop()
	w.reads.Stop()
}

// acknowledged waits until posts of clients that find the primary by themselves are acknowledged (again).
func (s *scene) acknowledged(t *testing.T) {
	t.Helper()
	mark := s.ledger.Mark()
	s.check(t, s.Wait(s.ctx, "posts to be acknowledged", func() (bool, string) {
		r, err := s.ledger.Report(mark)
		return err == nil && r.Tally.Acked > 10, r.Tally.LastError
	}))
}

// judge: nothing acknowledged is missing, at no time did two members acknowledge, and what the registers showed is what
// one register can show.
func (s *scene) judge(t *testing.T) {
	t.Helper()
	s.stop()
	v, err := s.ledger.Verify(s.ctx)
	s.check(t, err)
	if len(v.Missing) > 0 {
		t.Errorf("acknowledged posts are missing: %s", v)
	}
	s.judgeClients(t)
	t.Log(v)
}

func (s *scene) judgeClients(t *testing.T) {
	t.Helper()
	if o := s.local.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes of clients on their own hosts at once: %v", o)
	}
	verdict := s.reads.Check()
	if verdict.Wrong != "" {
		t.Errorf("registers: %s", verdict)
	}
	t.Log(verdict)
}

func serial(id string) int {
	n, _ := strconv.Atoi(id[strings.LastIndex(id, "-")+1:])
	return n
}

// failedOver waits for another primary, and wants the history to say why, from whom, to whom, and by which proof. A host that is its site's
// only one, and has its controller too, may be lost as a site.
func (s *scene) failedOver(t *testing.T, why health.Kind, proofs ...fencing.Kind) state.Operation {
	t.Helper()
	s.trial.failedOver(t, s.primary, proofs...)
	op, err := s.Last(s.ctx, state.Failover)
	s.check(t, err)
	as := strings.HasPrefix(op.Reason, string(why)) ||
		why == health.PrimaryUnreachable && s.Host(s.primary).Site == "west" && strings.HasPrefix(op.Reason, string(health.SiteLost))
	if serial(op.ID) <= s.began || !as || !strings.Contains(op.Reason, ": "+s.primary) {
		t.Errorf("the history of %s says %q, want %s of %s", op.ID, op.Reason, why, s.primary)
	}
	if op.Loss != "" {
		t.Errorf("the history speaks of a loss: %s", op.Loss)
	}
	t.Logf("%s: %s; proof %s", op.ID, op.Reason, op.Proof.Kind)
	return op
}

// stays wants the primary to be what it was all the time.
func (s *scene) stays(t *testing.T) {
	t.Helper()
	if now := s.primaryNow(t); now != s.primary {
		t.Errorf("%s is primary, and %s was well", now, s.primary)
	}
	if op, err := s.Last(s.ctx, state.Failover); err == nil && serial(op.ID) > s.began {
		t.Errorf("the history has a failover: %s", op.Reason)
	}
}

// problem waits until status shows a problem, of a member unless that is "".
func (s *scene) problem(t *testing.T, kind health.Kind, member string) {
	t.Helper()
	s.check(t, s.Wait(s.ctx, "problem "+string(kind), func() (bool, string) {
		st, err := s.Status(s.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, p := range st.Problems {
			if p.Kind == kind && (member == "" || p.Member == member) {
				return true, ""
			}
		}
		return false, "status shows other problems"
	}))
}

// hold lets a fault last: its length is part of the case, whatever happens meanwhile.
func (s *scene) hold(t *testing.T, length time.Duration) {
	t.Helper()
	select {
	case <-time.After(length):
	case <-s.ctx.Done():
		t.Fatal(s.ctx.Err())
	}
}
