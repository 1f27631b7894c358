package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/kit"
	"mainstay/test/testbed"
)

// TestFaults kills everything in turn, and several things at once. After each the cluster must come back whole by itself;
// at the end nothing acknowledged may be missing, and never may two members have acknowledged at once.
func TestFaults(t *testing.T) {
	tr := begin(t, testbed.Options{})
	t.Run("statements that do harm", tr.harmful)
	t.Run("postmaster killed", tr.postmasterKilled)
	t.Run("postmaster killed while every address is flooded", tr.flooded)
	t.Run("agent killed", tr.agentKilled)
	t.Run("guard killed", tr.guardKilled)
	t.Run("each controller killed", tr.controllersKilled)
	t.Run("switchover", tr.switchover)
	t.Run("leader and primary killed together", tr.leaderAndPrimaryKilled)
	t.Run("everything on the primary's host killed", tr.hostKilled)
	t.Run("replica lost and back", tr.replicaKilled)
	t.Run("all controllers killed briefly", tr.allControllersKilled)
	t.Run("primary alone restarts in place", tr.restartedInPlace)
	t.Run("replicas short of a setting", tr.shortOfASetting)
	t.Run("replica that its host does not let start", tr.notStarted)
	tr.judge()
}

// TestAsynchronous: two members, acks 0. The failover happens, its history says what may be lost, and what the old
// primary had to leave out is counted and kept (S9).
func TestAsynchronous(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 2})
	p := tr.primary(t)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(tr.Host(p))...))
	tr.failedOver(t, p, fencing.LeaseExpired)
	op, err := tr.Last(tr.ctx, state.Failover)
	tr.check(t, err)
	if !strings.Contains(op.Loss, "acks is 0") {
		t.Errorf("the history does not say what may be lost: %q", op.Loss)
	}
	tr.check(t, tr.StartAgent(tr.Host(p).Name))
	tr.healthy(t)
	tr.dual.Stop()
	if o := tr.dual.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes at once: %v", o)
	}
}

// primary returns the primary's name once the cluster is healthy.
func (tr *trial) primary(t *testing.T) string {
	t.Helper()
	tr.healthy(t)
	tr.check(t, tr.WaitPromises(tr.ctx))
	c, err := tr.Cluster(tr.ctx)
	tr.check(t, err, tr.Ack(tr.ctx))
	return c.Primary
}

// led waits for health, and brings the primary back to a member if a busy machine has moved it away.
func (tr *trial) led(t *testing.T, member string) {
	t.Helper()
	if tr.primary(t) == member {
		return
	}
	tr.check(t, tr.Wait(tr.ctx, "a switchover to "+member, func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "switchover", "feed", "--to", member, "--yes")
		return err == nil || strings.Contains(out, "is the primary already"), out
	}))
	tr.healthy(t)
}

func (tr *trial) healthy(t *testing.T) {
	t.Helper()
	if err := tr.WaitHealthy(tr.ctx); err != nil {
		t.Fatal(err)
	}
}

func (tr *trial) check(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (tr *trial) failedOver(t *testing.T, from string, proofs ...fencing.Kind) {
	t.Helper()
	to, err := tr.WaitPrimary(tr.ctx, from)
	tr.check(t, err)
	op, err := tr.Last(tr.ctx, state.Failover)
	tr.check(t, err)
	if op.From != from || op.To != to || op.Result != state.Done || op.Proof == nil || len(op.NotChosen) == 0 {
		t.Errorf("history is not complete: %+v", op)
		return
	}
	for _, p := range proofs {
		if op.Proof.Kind == p {
			return
		}
	}
	t.Errorf("proof %s, want one of %v", op.Proof.Kind, proofs)
}

func (tr *trial) postmasterKilled(t *testing.T) {
	p := tr.primary(t)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
}

// agentKilled: PostgreSQL goes on, and a new agent takes it up again within its lease. The epoch is open already: to announce
// its primary again costs no CHECKPOINT, which may take minutes where much is dirty.
func (tr *trial) agentKilled(t *testing.T) {
	p := tr.primary(t)
	host, pid := tr.Host(p).Name, tr.Postmaster(p)
	checkpoints := func() string {
		n, err := tr.SQL(tr.ctx, p, "postgres", "SELECT coalesce(to_jsonb(b)->>'checkpoints_req', 'kept elsewhere') FROM pg_stat_bgwriter b")
		tr.check(t, err)
		return n
	}
	before := checkpoints()
	tr.check(t, tr.Kill("agent "+host, syscall.SIGKILL), tr.StartAgent(host))
	tr.check(t, tr.Wait(tr.ctx, p+" to be announced again", func() (bool, string) {
		code, text := ask(tr.ctx, tr.Host(p), "/primary")
		return code == 200, text
	}))
	tr.healthy(t)
	if after := checkpoints(); after != before {
		t.Errorf("the agent's restart asked for a CHECKPOINT: %s so far, %s before", after, before)
	}
	if now := tr.Postmaster(p); now != pid || tr.primary(t) != p {
		t.Errorf("the agent's restart touched PostgreSQL: postmaster %d, now %d", pid, now)
	}
}

// guardKilled: the surviving guard ends the member's tree, and another member takes over.
func (tr *trial) guardKilled(t *testing.T) {
	p := tr.primary(t)
	guards := tr.Guards(p)
	if len(guards) != 2 {
		t.Fatalf("%s has guards %v, want two", p, guards)
	}
	tr.check(t, testbed.Signal(syscall.SIGKILL, guards[0]))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
}

func (tr *trial) controllersKilled(t *testing.T) {
	p := tr.primary(t)
	before := tr.Postmaster(p)
	for _, h := range tr.Of(true) {
		tr.check(t, tr.Kill("controller "+h.Controller, syscall.SIGKILL), tr.StartController(h.Controller))
		tr.healthy(t)
	}
	if tr.primary(t) != p || tr.Postmaster(p) != before {
		t.Error("the loss of one controller at a time had an effect on the database")
	}
}

func (tr *trial) switchover(t *testing.T) {
	p := tr.primary(t)
	out, err := tr.CLI(tr.ctx, "switchover", "feed", "--dry-run")
	if err != nil || !strings.Contains(out, p) {
		t.Fatalf("dry run: %v\n%s", err, out)
	}
	if out, err := tr.CLI(tr.ctx, "switchover", "feed", "--yes"); err != nil {
		t.Fatalf("switchover: %v\n%s", err, out)
	}
	op, err := tr.Last(tr.ctx, state.Switchover)
	tr.check(t, err)
	if op.Result != state.Done || op.From != p || op.Proof == nil || op.Loss != "" {
		t.Errorf("history of the switchover: %+v", op)
	}
	if now := tr.primary(t); now == p {
		t.Errorf("%s is still primary", p)
	}
}

// leaderAndPrimaryKilled: whoever leads next finishes the failover.
func (tr *trial) leaderAndPrimaryKilled(t *testing.T) {
	p := tr.primary(t)
	leader, err := tr.Leader(tr.ctx)
	tr.check(t, err, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)), tr.Kill("controller "+leader, syscall.SIGKILL))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed, fencing.LeaseExpired)
	tr.check(t, tr.StartController(leader))
	tr.healthy(t)
}

// hostKilled: nothing on the primary's host is left that could say anything. It comes back as a replica by itself.
func (tr *trial) hostKilled(t *testing.T) {
	p := tr.primary(t)
	h := tr.Host(p)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(h)...))
	tr.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired)
	tr.check(t, tr.StartAgent(h.Name))
	tr.healthy(t)
}

// replica is the host of one.
func (tr *trial) replica(t *testing.T) (r testbed.Host) {
	t.Helper()
	p := tr.primary(t)
	for _, h := range tr.Of(false) {
		if h.Member != p {
			r = h
		}
	}
	return r
}

// seen is what the agent of a member last reported of it.
func (tr *trial) seen(name string) (m health.Member, err error) {
	c, err := tr.Cluster(tr.ctx)
	for _, s := range c.Members {
		if s.Name == name && s.Seen != nil {
			return *s.Seen, nil
		}
	}
	return m, errors.Join(err, fmt.Errorf("nothing is known of %s", name))
}

// replicaKilled: the primary goes on with the other replica, and the lost one comes back.
func (tr *trial) replicaKilled(t *testing.T) {
	r := tr.replica(t)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(r)...))
	mark := tr.load.Mark()
	err := tr.Wait(tr.ctx, "the lost replica to leave the durability set", func() (bool, string) {
		c, err := tr.Cluster(tr.ctx)
		return err == nil && len(c.Sets) == 1 && len(c.Sets[0].Names) == 1, ""
	})
	tr.check(t, err)
	report, err := tr.load.Report(mark)
	tr.check(t, err)
	if report.Tally.Acked == 0 {
		t.Error("nothing was acknowledged while one replica was lost")
	}
	tr.check(t, tr.StartAgent(r.Name))
	tr.healthy(t)
}

// allControllersKilled: within a lease nothing happens at all.
func (tr *trial) allControllersKilled(t *testing.T) {
	p := tr.primary(t)
	pid := tr.Postmaster(p)
	for _, h := range tr.Of(true) {
		tr.check(t, tr.Kill("controller "+h.Controller, syscall.SIGKILL))
	}
	began := time.Now()
	for _, h := range tr.Of(true) {
		tr.check(t, tr.StartController(h.Controller))
	}
	tr.healthy(t)
	t.Logf("whole again %s after the controllers were started again", time.Since(began).Round(10*time.Millisecond))
	if tr.primary(t) != p || tr.Postmaster(p) != pid {
		t.Error("a short absence of all controllers had an effect on the database")
	}
}

// restartedInPlace: with both replicas lost nobody can be shown to hold everything, so a crashed primary is started again
// where it is, under a higher epoch.
func (tr *trial) restartedInPlace(t *testing.T) {
	p := tr.primary(t)
	before, err := tr.Cluster(tr.ctx)
	tr.check(t, err)
	var lost []testbed.Host
	for _, h := range tr.Of(false) {
		if h.Member != p {
			lost = append(lost, h)
			tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(h)...))
		}
	}
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.check(t, tr.Wait(tr.ctx, "the primary to be restarted in place", func() (bool, string) {
		c, err := tr.Cluster(tr.ctx)
		if err != nil {
			return false, err.Error()
		}
		return c.Primary == p && c.Opened && before.Epoch.Less(c.Epoch), c.Now
	}))
	for _, h := range lost {
		tr.check(t, tr.StartAgent(h.Name))
	}
	tr.healthy(t)
}

// notStarted: what keeps a replica from starting is no fault of its data, which is left as it is, and quoted until it is mended.
func (tr *trial) notStarted(t *testing.T) {
	r := tr.replica(t).Member
	tr.logged(t)
	work := tr.work(t)
	before, err := tr.seen(r)
	tr.check(t, err)
	conf := filepath.Join(tr.Data(r), "postgresql.conf")
	whole, err := os.ReadFile(conf)
	tr.check(t, err)
	tr.check(t, os.WriteFile(conf, append(whole, "shared_preload_libraries = 'no_such_library'\n"...), 0o600),
		testbed.Signal(syscall.SIGKILL, tr.Postmaster(r)))
	log := filepath.Join(filepath.Dir(tr.Data(r)), "postgresql.log")
	tr.check(t, tr.Wait(tr.ctx, "four starts in vain, and the reason to be told", func() (bool, string) {
		raw, err := os.ReadFile(log)
		m, unseen := tr.seen(r)
		return err == nil && unseen == nil && strings.Count(string(raw), "no_such_library") >= 4 &&
			strings.Contains(m.Error, `could not access file "no_such_library"`), m.Error
	}))
	tr.check(t, os.WriteFile(conf, whole, 0o600))
	tr.healthy(t)
	var now health.Member
	tr.check(t, tr.Wait(tr.ctx, "the error to be gone", func() (bool, string) {
		now, err = tr.seen(r)
		return err == nil && now.Error == "", now.Error
	}))
	if now.Incarnation != before.Incarnation {
		t.Errorf("its data was replaced: it is %s now, and was %s", now.Incarnation, before.Incarnation)
	}
	tr.took(t, work, kit.Work{Starts: 1}) // those in vain ended before PostgreSQL began
}

// shortOfASetting: somebody raises max_connections on one host alone. Once that one is primary the others replay no further, and would
// end if they were promoted; they are started again with as much, and the next failover works.
func (tr *trial) shortOfASetting(t *testing.T) {
	p := tr.primary(t)
	tr.logged(t)
	work := tr.work(t)
	file, err := os.OpenFile(filepath.Join(tr.Data(p), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	tr.check(t, err)
	_, err = file.WriteString("max_connections = 140\n")
	tr.check(t, errors.Join(err, file.Close()), testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
	tr.led(t, p)
	tr.check(t, tr.Wait(tr.ctx, "the replicas to be started with as much", func() (bool, string) {
		s, err := tr.Status(tr.ctx)
		if err != nil {
			return false, err.Error()
		}
		raised, seen := 0, ""
		for _, problem := range s.Problems {
			seen += problem.Evidence + "\n"
			if problem.Kind == health.SettingsTooLow && problem.Member != p && strings.Contains(problem.Evidence, "a higher max_connections") {
				raised++
			}
		}
		return raised == len(tr.Of(false))-1, seen
	}))
	tr.healthy(t)
	tr.check(t, tr.WaitPromises(tr.ctx), tr.Ack(tr.ctx), testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
	if got := tr.work(t).Since(work); got.Backups > 0 {
		t.Errorf("%d base backups were taken", got.Backups)
	}
}
