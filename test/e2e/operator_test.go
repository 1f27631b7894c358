package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/publish/sinktest"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestOperator does what an operator does by hand, and what they are kept from.
func TestOperator(t *testing.T) {
	t.Parallel()
	var o testbed.Options
	etcd := ""
	if _, err := exec.LookPath("etcd"); err == nil || os.Getenv("MAINSTAY_NEED_ETCD") != "" {
		etcd = sinktest.StartEtcd(t)
		o.ControllerLines = []string{"etcd: {endpoints: [" + etcd + "], lease: 5s}"}
	}
	op := &operator{trial: begin(t, o)}
	op.steps(t, []step{
		{"JSON", op.speaksJSON}, {"viewer and stranger", op.outsiders}, {"switchover refused", op.refusedSwitchover},
		{"switchover given up", op.givenUp},
		{"topology in etcd", func(t *testing.T) { op.publishes(t, etcd) }},
		{"no controller answers", op.leaderless},
	})
	op.judge() // what follows may lose something
	op.steps(t, []step{{"failover on an operator's word", op.accepts}})
}

// TestOperatorPause: a pause holds everything back, and is over when it is over (L7).
func TestOperatorPause(t *testing.T) {
	t.Parallel()
	op := &operator{trial: begin(t, testbed.Options{})}
	op.steps(t, []step{{"holds back a failover", op.paused}, {"takes the guards away", op.unguarded}, {"ends by itself", op.expires}})
	op.judge()
}

type step struct {
	name string
	do   func(*testing.T)
}

// steps goes through the steps of a test, up to the first that fails.
func (tr *trial) steps(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		if !t.Run(s.name, s.do) {
			t.FailNow()
		}
	}
}

// operator is what the steps of TestOperator share.
type operator struct{ *trial }

// said is how a command ended.
type said struct {
	out, err string
	code     int
}

func (s said) String() string { return fmt.Sprintf("exit code %d\n%s%s", s.code, s.out, s.err) }

// says runs the command with standard output and error apart.
func (op *operator) says(t *testing.T, args ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(op.ctx, filepath.Join(op.Dir, "bin", "mainstay"), args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), op.Environment()...), &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// expect runs the command and wants an exit code and words. On a busy machine there may be no leader for a moment.
func (op *operator) expect(t *testing.T, code int, words []string, args ...string) said {
	t.Helper()
	var s said
	ctx, cancel := context.WithTimeout(op.ctx, time.Minute)
	defer cancel()
	_ = op.Wait(ctx, "a leader", func() (bool, string) {
		s = op.says(t, args...)
		return s.code == code || !strings.Contains(s.String(), "knows a leader"), ""
	})
	if s.code != code {
		t.Errorf("mainstay %s: want exit code %d, got %s", strings.Join(args, " "), code, s)
	}
	for _, w := range words {
		if !strings.Contains(s.out+s.err, w) {
			t.Errorf("mainstay %s: lacks %q: %s", strings.Join(args, " "), w, s)
		}
	}
	return s
}

func (op *operator) speaksJSON(t *testing.T) {
	file, agent := op.file("platform.yaml"), op.file("agent-db-e1.yaml")
	for _, args := range [][]string{
		{"status"}, {"explain", "feed"}, {"history", "feed"}, {"history", "feed", "feed-1"}, {"controllers", "list"}, {"export"},
		{"validate", "-f", file}, {"diff", "-f", file}, {"dsn", "feed"}, {"local", "-f", agent}, {"version"},
		{"switchover", "feed", "--dry-run"}, {"failover", "feed", "--to", "feed-e2", "--accept-loss", "a test", "--dry-run"},
	} {
		s := op.expect(t, 0, nil, append(args, "--output", "json")...)
		var v any
		if err := json.Unmarshal([]byte(s.out), &v); err != nil {
			t.Errorf("mainstay %s --output json: %v: %s", strings.Join(args, " "), err, s)
		}
	}
}

func (op *operator) file(name string) string { return filepath.Join(op.Dir, "etc", name) }

// outsiders: a viewer may read but not change; a client with a certificate of another authority may do neither.
func (op *operator) outsiders(t *testing.T) {
	pki := func(name string) string { return filepath.Join(op.Dir, "pki", name) }
	viewer := []string{"--cert", pki("viewer-victor.crt"), "--key", pki("viewer-victor.key")}
	before := op.epoch(t)
	op.expect(t, 0, []string{"feed-e1"}, append([]string{"status"}, viewer...)...)
	op.expect(t, 0, []string{"if the primary failed now"}, append([]string{"explain", "feed"}, viewer...)...)
	for _, args := range [][]string{
		{"switchover", "feed", "--yes"}, {"pause", "feed", "--reason", "mischief"}, {"resume", "feed"},
		{"failover", "feed", "--to", "feed-e2", "--accept-loss", "mischief", "--yes"},
	} {
		op.expect(t, 3, []string{"viewer victor may not do this", "certificate of role operator"}, append(args, viewer...)...)
	}
	other := filepath.Join(op.Dir, "other")
	op.check(t, os.MkdirAll(other, 0o700), identity.InitCA(other, "social"))
	_, err := identity.Issue(other, other, identity.Request{Role: identity.RoleOperator, Name: "alice"})
	op.check(t, err)
	mallory := []string{"--cert", filepath.Join(other, "operator-alice.crt"), "--key", filepath.Join(other, "operator-alice.key")}
	for _, ca := range []string{pki("ca.crt"), filepath.Join(other, "ca.crt")} {
		if s := op.says(t, append([]string{"switchover", "feed", "--yes", "--ca", ca}, mallory...)...); s.code == 0 ||
			!strings.Contains(s.err, "certificate") {
			t.Errorf("a certificate of another authority (checking with %s): %s", ca, s)
		}
	}
	if now := op.epoch(t); now != before {
		t.Errorf("epoch %s became %s", before, now)
	}
}

func (op *operator) epoch(t *testing.T) platform.Epoch {
	t.Helper()
	c, err := op.Cluster(op.ctx)
	op.check(t, err)
	return c.Epoch
}

// replica names a member that is not the primary.
func (op *operator) replica(t *testing.T) (primary string, replica testbed.Host) {
	t.Helper()
	primary = op.primary(t)
	for _, h := range op.Of(false) {
		if h.Member != primary {
			replica = h
		}
	}
	return primary, replica
}

// history is the number of operations, and the last of them.
func (op *operator) history(t *testing.T) (int, state.Operation) {
	t.Helper()
	var h wire.HistoryAnswer
	s := op.expect(t, 0, nil, "history", "feed", "--limit", "1000", "--output", "json")
	op.check(t, json.Unmarshal([]byte(s.out), &h))
	return len(h.Operations), h.Operations[len(h.Operations)-1]
}

// refusedSwitchover: to a member that is gone. Nothing is begun.
func (op *operator) refusedSwitchover(t *testing.T) {
	primary, gone := op.replica(t)
	pid, epoch := op.Postmaster(primary), op.epoch(t)
	op.check(t, testbed.Signal(syscall.SIGKILL, op.Everything(gone)...))
	op.check(t, op.Wait(op.ctx, gone.Member+" to be missed", func() (bool, string) {
		s := op.says(t, "status")
		return strings.Contains(s.out, string(health.ReplicaMissing)), s.out
	}))
	n, _ := op.history(t)
	op.expect(t, 3, []string{gone.Member, "has not been heard"}, "switchover", "feed", "--to", gone.Member, "--yes")
	op.expect(t, 3, []string{"is the primary already"}, "switchover", "feed", "--to", primary, "--yes")
	op.expect(t, 3, []string{"no member nobody"}, "switchover", "feed", "--to", "nobody", "--yes")
	if after, last := op.history(t); after != n {
		t.Errorf("a refused switchover left an operation behind: %+v", last)
	}
	if now := op.Postmaster(primary); now != pid || op.epoch(t) != epoch {
		t.Errorf("postmaster %d became %d, epoch %s became %s", pid, now, epoch, op.epoch(t))
	}
	op.check(t, op.StartAgent(gone.Name))
	op.healthy(t)
}

// givenUp: the target is lost between the operator's word and the stop of the primary. The CHECKPOINT before the stop is
// held up to get there.
func (op *operator) givenUp(t *testing.T) {
	primary, gone := op.replica(t)
	pid, epoch := op.Postmaster(primary), op.epoch(t)
	checkpointer := op.backend(t, primary, "checkpointer")
	op.check(t, testbed.Signal(syscall.SIGSTOP, checkpointer))
	defer testbed.Signal(syscall.SIGCONT, checkpointer)
	result := make(chan said, 1)
	go func() { result <- op.says(t, "switchover", "feed", "--to", gone.Member, "--yes") }()
	op.check(t, op.Wait(op.ctx, "the switchover to begin", func() (bool, string) {
		last, err := op.Last(op.ctx, state.Switchover)
		return err == nil && last.Result == state.Running, fmt.Sprint(err)
	}))
	op.check(t, testbed.Signal(syscall.SIGKILL, op.Everything(gone)...))
	op.check(t, op.Wait(op.ctx, gone.Member+" to be missed", func() (bool, string) {
		s := op.says(t, "status")
		return strings.Contains(s.out, string(health.ReplicaMissing)), s.out
	}))
	op.check(t, testbed.Signal(syscall.SIGCONT, checkpointer))
	if s := <-result; s.code == 0 || !strings.Contains(s.out+s.err, "nothing was changed") {
		t.Errorf("the switchover that was given up: %s", s)
	}
	last, err := op.Last(op.ctx, state.Switchover)
	op.check(t, err)
	if last.Result != state.Abandoned || !strings.Contains(last.Outcome, gone.Member) {
		t.Errorf("history: %+v", last)
	}
	if now := op.Postmaster(primary); now != pid || op.epoch(t) != epoch || op.Primary(t) != primary {
		t.Errorf("postmaster %d became %d, epoch %s became %s", pid, now, epoch, op.epoch(t))
	}
	op.check(t, op.StartAgent(gone.Name))
	op.healthy(t)
}

// Primary is the primary now, well or not.
func (op *operator) Primary(t *testing.T) string {
	t.Helper()
	c, err := op.Cluster(op.ctx)
	op.check(t, err)
	return c.Primary
}

func (op *operator) backend(t *testing.T, member, kind string) (pid int) {
	t.Helper()
	out, err := op.SQL(op.ctx, member, "postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = '"+kind+"'")
	op.check(t, err)
	if _, err := fmt.Sscan(out, &pid); err != nil {
		t.Fatalf("%s of %s: %q", kind, member, out)
	}
	return pid
}

// paused: nobody is promoted, whatever becomes of the primary; and at once when the pause has ended.
func (op *operator) paused(t *testing.T) {
	p := op.primary(t)
	epoch := op.epoch(t)
	op.expect(t, 2, []string{"--reason is missing"}, "pause", "feed")
	op.expect(t, 0, []string{"paused feed"}, "pause", "feed", "--reason", "storage firmware")
	op.disarmed(t, p)
	op.check(t, testbed.Signal(syscall.SIGKILL, op.Postmaster(p)))
	op.sees(t, string(health.PrimaryCrashed), "paused by alice", "storage firmware", "mainstay resume feed")
	op.expect(t, 3, []string{"paused by alice", "mainstay resume feed"}, "switchover", "feed", "--yes")
	op.stays(t, 8*time.Second, func() string {
		c, err := op.Cluster(op.ctx)
		if err != nil || c.Primary == p && c.Epoch == epoch && c.Pause != nil {
			return ""
		}
		return fmt.Sprintf("primary %s, epoch %s, pause %+v", c.Primary, c.Epoch, c.Pause)
	})
	op.expect(t, 0, []string{"resuming feed"}, "resume", "feed")
	op.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	op.expect(t, 3, []string{"is not paused"}, "resume", "feed")
	op.healthy(t)
}

// disarmed waits until the member's guards no longer count.
func (op *operator) disarmed(t *testing.T, member string) {
	t.Helper()
	op.check(t, op.Wait(op.ctx, "the guards of "+member+" to let go", func() (bool, string) {
		c, err := op.Cluster(op.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range c.Members {
			if m.Name == member {
				return m.Seen.Guard.Armed.IsZero() && c.Pause != nil && !c.Guarded, fmt.Sprintf("%+v", m.Seen.Guard)
			}
		}
		return false, "status does not show it"
	}))
}

// stays looks for a while whether nothing happens that must not: wrong says what, "" for nothing.
func (op *operator) stays(t *testing.T, while time.Duration, wrong func() string) {
	t.Helper()
	end := time.Now().Add(while)
	op.check(t, op.Wait(op.ctx, "some time to pass", func() (bool, string) {
		if what := wrong(); what != "" {
			t.Fatal(what)
		}
		return time.Now().After(end), ""
	}))
}

// unguarded: with its agent gone for longer than a lease, a paused primary runs on. After the pause the guards count again.
func (op *operator) unguarded(t *testing.T) {
	p := op.primary(t)
	host, pid := op.Host(p).Name, op.Postmaster(p)
	op.expect(t, 0, nil, "pause", "feed", "--reason", "new agent")
	op.disarmed(t, p)
	op.check(t, op.Kill("agent "+host, syscall.SIGKILL))
	op.stays(t, platform.CountOut(platform.DefaultLease)+time.Second, func() string {
		if now := op.Postmaster(p); now != pid {
			return fmt.Sprintf("the guards ended a paused primary: postmaster %d, now %d", pid, now)
		}
		return ""
	})
	op.sees(t, string(health.PrimaryUnreachable), "paused by alice")
	op.check(t, op.StartAgent(host))
	op.bound(t, p, "resume", "feed")
	if now := op.Postmaster(p); now != pid || op.primary(t) != p {
		t.Errorf("postmaster %d, now %d; primary %s, now %s", pid, now, p, op.primary(t))
	}
}

// bound waits, after a command if one is given, until the cluster is not paused and its guards count.
func (op *operator) bound(t *testing.T, member string, args ...string) {
	t.Helper()
	op.check(t, op.Wait(op.ctx, "a report of "+member, func() (bool, string) {
		c, err := op.Cluster(op.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range c.Members {
			if m.Name == member {
				return m.Age < time.Second && m.Seen.Role == health.RolePrimary, fmt.Sprintf("%+v", m.Seen)
			}
		}
		return false, ""
	}))
	if len(args) > 0 {
		op.expect(t, 0, nil, args...)
	}
	op.check(t, op.Wait(op.ctx, "the guards to count again", func() (bool, string) {
		c, err := op.Cluster(op.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range c.Members {
			if m.Name == member {
				return c.Pause == nil && c.Guarded && m.Seen.Guard.Armed == c.Epoch,
					fmt.Sprintf("pause %+v, guarded %t, guard %+v", c.Pause, c.Guarded, m.Seen.Guard)
			}
		}
		return false, ""
	}))
	op.healthy(t)
}

func (op *operator) expires(t *testing.T) {
	p := op.primary(t)
	op.expect(t, 0, []string{"automatically in 20s"}, "pause", "feed", "--reason", "a moment", "--for", "20s")
	op.expect(t, 0, []string{"paused by alice", "until", "a moment"}, "status")
	op.bound(t, p)
}
