package e2e

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/testbed"
)

// spareHost is where clones are started.
const spareHost = "db-x"

// TestFaultClones: a host is copied, with its identity, its agent's state and its data, and the copy is started beside it
// (L8).
func TestFaultClones(t *testing.T) {
	f := startFaults(t, testbed.Options{Disks: disks()}, spareHost)
	f.run(t,
		fault{"clone of the primary", primaryCloned},
		fault{"clone of a replica that could acknowledge in its place", replicaCloned},
	)
}

// primaryCloned: the copy never takes a write, the primary goes on, and an alarm names the host.
func primaryCloned(t *testing.T, s *scene) {
	writes := s.clone(t, s.host)
	s.problem(t, health.ClonedMachine, "")
	s.hold(t, 15*time.Second) // three leases
	s.acknowledged(t)
	s.stays(t)
	writes.Stop()
	if n := len(writes.Acks()); n > 0 {
		t.Errorf("the copy of %s acknowledged %d writes", s.primary, n)
	}
	s.endClone(t)
}

// replicaCloned: with both replicas cut off from the primary, nobody may acknowledge in their place. If the copy of one
// could, what it acknowledged would be missing after the failover that follows.
func replicaCloned(t *testing.T, s *scene) {
	r := s.replica(t)
	s.clone(t, r.Name)
	t.Cleanup(func() { s.check(t, s.net.HealAll()) })
	var members []string
	for _, h := range s.Of(false) {
		if h.Name != s.host {
			members = append(members, h.Name)
		}
	}
	s.check(t, s.net.CutWays(testbed.Both(s.ways(members...))...))
	s.hold(t, 12*time.Second) // the slot of the original becomes free meanwhile
	others := slices.DeleteFunc(s.net.Others(s.host), func(h string) bool { return h == spareHost })
	s.check(t, s.net.CutWays(testbed.Both(s.ways(others...))...))
	s.failedOver(t, health.PrimaryUnreachable, fencing.QuorumSealed, fencing.LeaseExpired)
	s.acknowledged(t)
	s.endClone(t)
	s.check(t, s.net.HealAll())
}

// clone starts a copy of a host, and a client on it that tries to write all the time.
func (s *scene) clone(t *testing.T, host string) *dualwriter.Tester {
	t.Helper()
	t.Cleanup(func() { s.endClone(t) })
	socket, err := s.StartClone(host, spareHost)
	s.check(t, err)
	writes, err := dualwriter.Start(s.ctx, dualwriter.Options{Every: tryEvery, Limit: patience,
		Hosts: []dualwriter.Host{{Name: "clone", DSN: "host=" + socket + " user=root dbname=feed sslmode=disable"}}})
	s.check(t, err)
	t.Cleanup(writes.Stop)
	s.check(t, s.Wait(s.ctx, "the copy's agent to run", func() (bool, string) {
		out := s.Logs(200)
		at := strings.Index(out, "--- log/clone.log")
		return at >= 0 && strings.Contains(out[at:], "agent runs"), ""
	}))
	return writes
}

// endClone ends what runs on the spare host and removes the copy.
func (s *scene) endClone(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.check(t, s.Wait(ctx, "the clone to end", func() (bool, string) {
		left := s.net.Processes(spareHost)
		_ = testbed.Signal(syscall.SIGKILL, left...) // those that end meanwhile are as good
		return len(left) == 0, ""
	}), s.EndClone())
}
