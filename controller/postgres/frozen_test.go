package postgres

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/pgdial"
)

// TestFrozenServer stops a postmaster, and then everything: each call returns at its deadline and says so.
func TestFrozenServer(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	pid, _, ok := i.Running()
	if !ok {
		t.Fatal("not running")
	}
	pids, err := i.children()
	check(t, err)
	calls := map[string]func(context.Context) error{
		"status":     func(ctx context.Context) error { _, err := i.Status(ctx); return err },
		"keep":       func(ctx context.Context) error { _, err := i.Keep(ctx); return err },
		"checkpoint": i.Checkpoint,
		"show":       func(ctx context.Context) error { _, err := i.ShowSetting(ctx, "port"); return err },
		"writable":   i.WaitWritable,
		"reload":     i.Reload,
	}
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	for name, call := range calls {
		t.Run("postmaster/"+name, func(t *testing.T) { returnsAtDeadline(t, call) })
	}
	signal := func(p int, s syscall.Signal) {
		if err := syscall.Kill(p, s); !errors.Is(err, syscall.ESRCH) { // a backend may have ended since
			check(t, err)
		}
	}
	for _, p := range pids {
		signal(p, syscall.SIGSTOP)
	}
	t.Run("all/status", func(t *testing.T) { returnsAtDeadline(t, calls["status"]) })
	for _, p := range append(pids, pid) {
		signal(p, syscall.SIGCONT)
	}
	writeProbe(t, i)
}

// TestFrozenSession stops a whole server under a kept session: each call ends at its deadline, the session is lost by it, and a
// new one works once the server runs again.
func TestFrozenSession(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	sess := must(i.Keep(testContext(t)))
	defer sess.Close()
	check(t, sess.WriteProbe(testContext(t)))
	before := must(sess.Moving(testContext(t)))
	check(t, sess.WriteProbe(testContext(t)))
	if after := must(sess.Moving(testContext(t))); after.Flush <= before.Flush || after.InRecovery || !after.Started.Equal(before.Started) {
		t.Errorf("after a commit %+v, before %+v", after, before)
	}
	check(t, syscall.Kill(sess.PID, syscall.SIGSTOP))
	returnsAtDeadline(t, sess.WriteProbe)
	if !sess.Lost() {
		t.Error("a session that was left in the middle of an answer is kept")
	}
	check(t, syscall.Kill(sess.PID, syscall.SIGCONT))
	if err := sess.WriteProbe(testContext(t)); !errors.Is(err, pgdial.ErrLost) {
		t.Errorf("a call on a lost session: %v", err)
	}
	writeProbe(t, i)
}

// TestSessionEnded: a session that an administrator ends is lost, and says by whom; an error of a statement leaves it alive.
func TestSessionEnded(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx := testContext(t)
	sess := must(i.Keep(ctx))
	defer sess.Close()
	if err := sess.Exec(ctx, "SELECT 1/0"); pgdial.SQLState(err) != "22012" || sess.Lost() {
		t.Fatalf("an error of a statement: %v, lost %v", err, sess.Lost())
	}
	check(t, sess.WriteProbe(ctx))
	check(t, i.exec(ctx, "SELECT pg_terminate_backend($1)", sess.PID))
	if err := sess.WriteProbe(ctx); err == nil || !sess.Lost() {
		t.Errorf("after its end: %v, lost %v", err, sess.Lost())
	}
}

func writeProbe(t *testing.T, i *Server) {
	t.Helper()
	sess := must(i.Keep(testContext(t)))
	defer sess.Close()
	check(t, sess.WriteProbe(testContext(t)))
}

func returnsAtDeadline(t *testing.T, call func(context.Context) error) {
	t.Helper()
	const limit = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begin := time.Now()
	err := call(ctx)
	if took := time.Since(begin); took > limit+2*time.Second || took < limit/2 {
		t.Errorf("took %s with a deadline of %s", took, limit)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a deadline", err)
	}
}

// TestProgramKilled ends a program with children at its deadline, all of them.
func TestProgramKilled(t *testing.T) {
	i := &Server{Binaries: Binaries{Dir: "/bin"}, Owner: testOwner(t)}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	out, err := i.run(ctx, "sh", "-c", "echo stuck >&2; sleep 60 & echo $!; sleep 60")
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 5*time.Second {
		t.Fatalf("after %s: %v", time.Since(begin), err)
	}
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Tail != "stuck" {
		t.Fatalf("error %#v", err)
	}
	var child int
	for _, r := range out {
		if r >= '0' && r <= '9' {
			child = child*10 + int(r-'0')
		}
	}
	eventually(t, "the end of the grandchild", func() bool {
		st, err := readStat(child)
		return err != nil || st.state == "Z"
	})
}
