package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// disks are those of a testbed on which they can be full, hang or lie: of every member, and of one controller.
func disks() map[string]int {
	return map[string]int{"feed-e1": 1024, "feed-e2": 1024, "feed-w1": 1024, "c1": 200}
}

// TestFaultDisks: what a disk can do.
func TestFaultDisks(t *testing.T) {
	f := startFaults(t, testbed.Options{Disks: disks()})
	f.run(t,
		fault{"raft disk of the leader frozen", raftFrozen},
		fault{"disk of the primary full", diskFull},
		fault{"filesystem of the primary frozen", diskFrozen},
		fault{"filesystem of the primary frozen, and hung sessions take every slot", diskFrozenAndFull},
		fault{"replica corrupt in its control file", controlFileCorrupt},
	)
}

// raftFrozen: raft's heartbeats go on while its log write hangs; the leader must not (L6). The database does not notice.
func raftFrozen(t *testing.T, s *scene) {
	s.lead(t, s.Host("c1").Name)
	t.Cleanup(func() { s.check(t, s.Thaw("c1")) })
	s.check(t, s.Freeze("c1"))
	s.check(t, s.Wait(s.ctx, "another leader", func() (bool, string) {
		leader, err := s.Leader(s.ctx)
		return err == nil && leader != "c1", fmt.Sprint(leader, err)
	}))
	s.hold(t, 8*time.Second) // longer than a lease
	s.acknowledged(t)
	s.stays(t)
	s.check(t, s.Thaw("c1"))
}

// diskFull: PostgreSQL ends itself when it cannot write WAL any more; before that its clients get errors.
func diskFull(t *testing.T, s *scene) {
	t.Cleanup(func() { s.check(t, s.Empty(s.primary)) })
	s.check(t, s.Fill(s.primary))
	s.check(t, s.Wait(s.ctx, "another primary, as "+s.primary+" needs more and more WAL", func() (bool, string) {
		// It fails once nothing is left, and hangs while nobody answers.
		_,
			err := s.SQL(s.ctx, s.primary, "postgres",
			"SET statement_timeout = '1s'; SELECT pg_switch_wal(); SELECT pg_logical_emit_message(true, 'full', repeat('x', 1000000))")
		c, look := s.Cluster(s.ctx)
		return look == nil && c.Primary != s.primary, fmt.Sprint(err, look)
	}))
	op := s.failedOver(t, "", fencing.Stopped, fencing.QuorumSealed)
	if !strings.HasPrefix(op.Reason, string(health.PrimaryCrashed)) && !strings.HasPrefix(op.Reason, string(health.PrimaryStuck)) {
		t.Errorf("the history says %q", op.Reason)
	}
	s.acknowledged(t)
	s.check(t, s.Empty(s.primary))
}

// diskFrozen: every write of the primary hangs, and its processes cannot even be killed, while its replicas receive
// keepalives and its agent reports.
func diskFrozen(t *testing.T, s *scene) {
	t.Cleanup(func() { s.check(t, s.Thaw(s.primary)) })
	s.check(t, s.Freeze(s.primary))
	s.failedOver(t, health.PrimaryStuck, fencing.QuorumSealed, fencing.LeaseExpired)
	s.acknowledged(t)
	s.check(t, s.Thaw(s.primary))
}

// diskFrozenAndFull: clients go on connecting, until no slot is left, not even for the agent. What it cannot try any more is no sign of
// life.
func diskFrozenAndFull(t *testing.T, s *scene) {
	t.Cleanup(func() { s.check(t, s.Thaw(s.primary)) })
	s.check(t, s.Freeze(s.primary))
	ctx, cancel := context.WithCancel(s.ctx)
	var hung sync.WaitGroup
	defer hung.Wait()
	defer cancel()
	full := make(chan struct{})
	var once sync.Once
	for range 110 { // max_connections is 100
		hung.Go(func() {
			_, err := s.SQL(ctx, s.primary, "postgres", "SELECT pg_logical_emit_message(true, 'hang', 'x')")
			if pgdial.SQLState(err) == pgdial.TooManyConnections {
				once.Do(func() { close(full) })
			}
		})
	}
	select {
	case <-full:
	case <-time.After(time.Minute):
		t.Error("no connection was refused for want of a slot")
	}
	s.failedOver(t, health.PrimaryStuck, fencing.QuorumSealed, fencing.LeaseExpired)
	s.acknowledged(t)
	s.check(t, s.Thaw(s.primary))
}

// controlFileCorrupt: a replica's control file is damaged while it does not run. It is never promoted, is rebuilt, and the
// primary does not notice.
func controlFileCorrupt(t *testing.T, s *scene) {
	r := s.replica(t)
	s.stopped(t, func() []int { return s.Daemons("agent " + r.Name) }, func() {
		s.check(t, testbed.Signal(syscall.SIGKILL, s.Tree(r.Member)...))
		s.check(t, s.Wait(s.ctx, "the replica to end", func() (bool, string) { return len(s.Tree(r.Member)) == 0, "" }))
		f, err := os.OpenFile(filepath.Join(s.Data(r.Member), "global", "pg_control"), os.O_WRONLY, 0)
		s.check(t, err)
		_, err = f.WriteAt([]byte(strings.Repeat("damaged!", 32)), 16)
		s.check(t, err, f.Close())
	})
	s.check(t, s.Wait(s.ctx, "a problem of "+r.Member, func() (bool, string) {
		st, err := s.Status(s.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, p := range st.Problems {
			if p.Member == r.Member {
				return true, ""
			}
		}
		return false, "status shows none"
	}))
	s.healthy(t)
	s.stays(t)
}
