package e2e

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestFaultAsynchronous: with acks of 0 a commit may be lost with its primary, and then the history says so, and what the
// old primary had to leave behind is counted.
func TestFaultAsynchronous(t *testing.T) {
	f := startFaults(t, testbed.Options{Settings: []string{"durability: {acks: 0}"}})
	for _, c := range []fault{
		{"primary's host cut off", func(t *testing.T, s *scene) {
			t.Cleanup(func() { s.check(t, s.net.HealAll()) })
			s.check(t, s.net.Cut(s.host))
			s.mayLose(t)
			s.check(t, s.net.HealAll())
		}},
		{"everything on the host stopped", func(t *testing.T, s *scene) {
			s.stopped(t, func() []int { return s.OnHost(s.host) }, func() { s.mayLose(t) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) { f.asynchronous(t, c) })
	}
}

// mayLose waits for the failover, which without acks has to wait until the lease has surely ended.
func (s *scene) mayLose(t *testing.T) {
	t.Helper()
	s.trial.failedOver(t, s.primary, fencing.LeaseExpired)
	op, err := s.Last(s.ctx, state.Failover)
	s.check(t, err)
	if !strings.HasPrefix(op.Reason, string(health.PrimaryUnreachable)) || !strings.Contains(op.Loss, "acks is 0") {
		t.Errorf("the history says %q, and of a loss %q", op.Reason, op.Loss)
	}
	t.Logf("%s: %s; proof %s; loss: %s", op.ID, op.Reason, op.Proof.Kind, op.Loss)
	s.acknowledged(t)
}

// asynchronous is one case that may lose something. Never do two members acknowledge at once, and what is missing is no
// more than what was counted.
func (f *faults) asynchronous(t *testing.T, c fault) {
	s := f.scene(t, "DROP TABLE IF EXISTS mainstay_test.writes")
	began := time.Now()
	c.do(t, s)
	f.healthy(t)
	t.Logf("healthy again %s after it began", time.Since(began).Round(10*time.Millisecond))
	s.stop()
	if o := s.local.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes of clients on their own hosts at once: %v", o)
	}
	lost, counted := s.lost(t), s.discarded(t)
	t.Logf("%d acknowledged transactions are missing, %d were counted", lost, counted)
	if lost > counted {
		t.Errorf("%d acknowledged transactions are missing, and only %d were counted", lost, counted)
	}
}

// lost counts what the old primary acknowledged to the client on its host, and the new one does not have.
func (s *scene) lost(t *testing.T) (n int) {
	t.Helper()
	out, err := s.SQL(s.ctx, s.primaryNow(t), "feed", "SELECT n FROM mainstay_test.writes WHERE host = '"+s.host+"'")
	s.check(t, err)
	have := map[string]bool{}
	for number := range strings.FieldsSeq(out) {
		have[number] = true
	}
	for _, a := range s.local.Acks() {
		if a.Host == s.host && !have[strconv.Itoa(a.N)] {
			n++
		}
	}
	return n
}

// discarded is what the old primary's agent says it left behind.
func (s *scene) discarded(t *testing.T) int {
	t.Helper()
	c, err := s.Cluster(s.ctx)
	s.check(t, err)
	for _, m := range c.Members {
		if m.Name == s.primary && m.Seen != nil && m.Seen.Discarded != nil {
			return m.Seen.Discarded.Transactions
		}
	}
	return 0
}
