package e2e

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestFaultProcesses: processes that end, and processes that stand still and later go on.
func TestFaultProcesses(t *testing.T) {
	f := startFaults(t, testbed.Options{})
	f.run(t,
		fault{"postmaster stopped", postmasterStopped},
		fault{"all of the member stopped", memberStopped},
		fault{"everything on the host stopped", hostStopped},
		fault{"agent stopped", agentStopped},
		fault{"guard killed", guardEnded},
		fault{"agent and guards killed", agentAndGuardsKilled},
		fault{"all controllers killed for a while", controllersAway},
		fault{"all controllers and a replica killed for a while", controllersAndReplicaAway},
		fault{"PostgreSQL started behind the agent's back", startedByHand},
	)
}

func postmasterStopped(t *testing.T, s *scene) {
	s.stopped(t, func() []int { return []int{s.Postmaster(s.primary)} }, func() {
		s.failedOver(t, health.PrimaryStuck, fencing.Stopped, fencing.QuorumSealed)
		s.acknowledged(t)
	})
}

func memberStopped(t *testing.T, s *scene) {
	s.stopped(t, func() []int { return s.Tree(s.primary) }, func() {
		s.failedOver(t, health.PrimaryStuck, fencing.Stopped, fencing.QuorumSealed)
		s.acknowledged(t)
	})
}

// hostStopped: everything on the primary's host stands still and later goes on, as a virtual machine does whose host was
// busy. It wakes with clients in the middle of their writes, long after its lease.
func hostStopped(t *testing.T, s *scene) {
	s.stopped(t, func() []int { return s.OnHost(s.host) }, func() {
		s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired)
		s.acknowledged(t)
	})
}

// agentStopped: nobody renews the lease, so the guards end PostgreSQL, which was well.
func agentStopped(t *testing.T, s *scene) {
	s.stopped(t, func() []int { return s.Daemons("agent " + s.host) }, func() {
		s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired)
		s.acknowledged(t)
	})
}

// guardEnded: the guard that is left ends the member.
func guardEnded(t *testing.T, s *scene) {
	guards := s.Guards(s.primary)
	if len(guards) != 2 {
		t.Fatalf("%s has guards %v, want two", s.primary, guards)
	}
	s.check(t, testbed.Signal(syscall.SIGKILL, guards[0]))
	s.failedOver(t, health.PrimaryCrashed, fencing.Stopped, fencing.QuorumSealed)
}

// agentAndGuardsKilled: nobody is left who would end PostgreSQL, and its replicas receive from it. With acks of 1 that is
// no harm: it acknowledges what they hold. The service manager brings the agent back after a while.
func agentAndGuardsKilled(t *testing.T, s *scene) {
	agent := "agent " + s.host
	s.check(t, testbed.Signal(syscall.SIGSTOP, s.Guards(s.primary)...)) // or the second notices the first
	s.check(t, s.Kill(agent, syscall.SIGKILL), testbed.Signal(syscall.SIGKILL, s.Guards(s.primary)...))
	s.hold(t, 10*time.Second)
	s.check(t, s.StartAgent(s.host))
	s.acknowledged(t)
}

// controllersAway: for two minutes there is no leader. What members promise each other keeps the primary (S6).
func controllersAway(t *testing.T, s *scene) {
	s.withoutControllers(t, time.Minute)
}

// controllersAndReplicaAway: with acks of 1, one replica that is left suffices.
func controllersAndReplicaAway(t *testing.T, s *scene) {
	r := s.replica(t)
	s.check(t, testbed.Signal(syscall.SIGKILL, s.Everything(r)...))
	s.withoutControllers(t, 20*time.Second)
	s.check(t, s.StartAgent(r.Name))
}

// withoutControllers kills all controllers for far longer than any lease of theirs can last: the primary goes on as if
// nothing were.
func (s *scene) withoutControllers(t *testing.T, length time.Duration) {
	t.Helper()
	pid, mark := s.Postmaster(s.primary), s.ledger.Mark()
	for _, h := range s.Of(true) {
		s.check(t, s.Kill("controller "+h.Controller, syscall.SIGKILL))
	}
	s.hold(t, length)
	r, err := s.ledger.Report(mark)
	s.check(t, err)
	if now := s.Postmaster(s.primary); now != pid || r.Longest > 5*time.Second {
		t.Errorf("without controllers: postmaster %d, now %d; longest write outage %s", pid, now, r.Longest)
	}
	for _, h := range s.Of(true) {
		s.check(t, s.StartController(h.Controller))
	}
	s.check(t, s.Wait(s.ctx, "a leader", func() (bool, string) {
		_, err := s.Leader(s.ctx)
		return err == nil, ""
	}))
	s.stays(t)
}

// startedByHand: the old primary of a failover is started by pg_ctl while its agent is away, as a package's upgrade or an
// administrator might. standby.signal keeps it a standby.
func startedByHand(t *testing.T, s *scene) {
	s.check(t, testbed.Signal(syscall.SIGKILL, s.Everything(s.Host(s.primary))...))
	s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired)
	s.check(t, s.StartPostgres(s.ctx, s.primary))
	s.check(t, s.Wait(s.ctx, "PostgreSQL that was started by hand to answer", func() (bool, string) {
		out, err := s.SQL(s.ctx, s.primary, "postgres", "SELECT pg_is_in_recovery()")
		if err != nil {
			return false, err.Error()
		}
		if out != "t" {
			t.Errorf("pg_is_in_recovery() says %q", out)
		}
		return true, ""
	}))
	s.hold(t, 2*time.Second) // the client on its host tries to write meanwhile
	s.check(t, s.StartAgent(s.host))
}

// stopped stops processes, waits for what is to happen meanwhile, and lets them go on.
func (s *scene) stopped(t *testing.T, list func() []int, meanwhile func()) {
	t.Helper()
	pids, err := testbed.Stop(list)
	t.Cleanup(func() { s.check(t, testbed.Continue(pids)) })
	s.check(t, err)
	if len(pids) == 0 {
		t.Fatal("there is nothing to stop")
	}
	meanwhile()
	s.check(t, testbed.Continue(pids))
}

// replica is a host whose member is not the primary.
func (s *scene) replica(t *testing.T) testbed.Host {
	t.Helper()
	hosts := s.Of(false)
	return hosts[slices.IndexFunc(hosts, func(h testbed.Host) bool { return h.Member != s.primary })]
}
