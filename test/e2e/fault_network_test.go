package e2e

import (
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestFaultNetwork: what a network can do. No process of the platform is touched.
func TestFaultNetwork(t *testing.T) {
	f := startFaults(t, testbed.Options{})
	f.run(t,
		fault{"primary's host cut off", cutOff},
		fault{"nothing gets out of the primary's host", cutOut},
		fault{"nothing gets into the primary's host", cutIn},
		fault{"primary cut off from the controllers only", cutFromControllers},
		fault{"leader and primary cut off together", cutWithLeader},
		fault{"one packet in five of the primary's host lost", lossy},
	)
}

// TestFaultTogether: controllers on the hosts of the members; one host takes the leader and the primary with it.
func TestFaultTogether(t *testing.T) {
	f := startFaults(t, testbed.Options{Together: true})
	f.run(t,
		fault{"host of leader and primary cut off", func(t *testing.T, s *scene) { s.lead(t, s.host); cutOff(t, s) }},
		fault{"host of leader and primary stopped", func(t *testing.T, s *scene) { s.lead(t, s.host); hostStopped(t, s) }},
	)
}

func cutOff(t *testing.T, s *scene) { s.cut(t, testbed.Both(s.ways(s.net.Others(s.host)...))) }

func cutOut(t *testing.T, s *scene) { s.cut(t, s.ways(s.net.Others(s.host)...)) }

func cutIn(t *testing.T, s *scene) {
	s.cut(t, testbed.Ways(s.net.Others(s.host), []string{s.host}))
}

func cutWithLeader(t *testing.T, s *scene) {
	leader := s.Host(s.leader).Name
	s.cut(t, append(testbed.Both(s.ways(s.net.Others(s.host)...)), testbed.Both(testbed.Ways([]string{leader}, s.net.Others(leader)))...))
}

// cutFromControllers: the replicas receive all the time. With leave of the leader by way of another host (L5) the primary
// goes on; without, it must stop at the end of its lease, and then its silence is total.
func cutFromControllers(t *testing.T, s *scene) {
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	s.check(t, s.net.CutWays(testbed.Both(s.ways(s.controllers()...))...))
	s.hold(t, 15*time.Second)
	s.acknowledged(t)
	if s.primaryNow(t) != s.primary {
		s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired, fencing.Stopped)
	} else {
		s.stays(t)
	}
	s.check(t, s.net.HealAll())
}

// cut cuts ways of the primary's host until another member has taken over, and the guard has ended the old primary though
// nobody can tell it to.
func (s *scene) cut(t *testing.T, ways []testbed.Way) {
	t.Helper()
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	pid := s.Postmaster(s.primary)
	s.check(t, s.net.CutWays(ways...))
	began := time.Now()
	s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired, fencing.Stopped)
	s.acknowledged(t)
	t.Logf("posts are acknowledged again %s after the cut", time.Since(began).Round(10*time.Millisecond))
	s.check(t, s.Wait(s.ctx, "the guard to end PostgreSQL of "+s.primary, func() (bool, string) { return s.Postmaster(s.primary) != pid, "" }))
	t.Logf("%s was ended within %s of the cut", s.primary, time.Since(began).Round(10*time.Millisecond))
	s.check(t, s.net.HealAll())
}

// lossy: connections get slow, and nobody can be promised how slow. Whatever is decided, nothing is lost.
func lossy(t *testing.T, s *scene) {
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	s.check(t, s.net.Lose(testbed.Both(s.ways(s.net.Others(s.host)...))...))
	s.hold(t, 15*time.Second)
	s.check(t, s.net.HealAll())
}

// ways are those from the primary's host.
func (s *scene) ways(to ...string) []testbed.Way { return testbed.Ways([]string{s.host}, to) }

// controllers are the hosts that have a controller.
func (s *scene) controllers() (hosts []string) {
	for _, h := range s.Of(true) {
		hosts = append(hosts, h.Name)
	}
	return hosts
}

// lead hands leadership to the controller on a host.
func (s *scene) lead(t *testing.T, host string) {
	t.Helper()
	for _, h := range s.Of(true) {
		if h.Name == host {
			s.leader = h.Controller
		}
	}
	s.check(t, s.Wait(s.ctx, s.leader+" to lead", func() (bool, string) {
		if now, err := s.Leader(s.ctx); err == nil && now == s.leader {
			return true, ""
		}
		out, _ := s.CLI(s.ctx, "controllers", "transfer", "--to", s.leader)
		return false, out
	}))
	s.healthy(t)
}
