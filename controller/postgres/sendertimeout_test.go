package postgres

import (
	"context"
	"database/sql"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestSameStream(t *testing.T) {
	i := &Server{Replication: Credentials{User: "repl", Passfile: "/etc/it's"}}
	now := must(i.ConnInfo(Source{"10.0.1.11", 5432}, "feed-w1_3", ""))
	before, options := strings.CutSuffix(now, " options='-c wal_sender_timeout=3s'")
	for name, tc := range map[string]struct {
		text string
		want bool
	}{
		"now":                 {now, true},
		"of an earlier build": {before, true},
		"other options":       {before + " options='-c wal_sender_timeout=1h'", false},
		"another host":        {must(i.ConnInfo(Source{"10.0.1.12", 5432}, "feed-w1_3", "")), false},
		"another incarnation": {must(i.ConnInfo(Source{"10.0.1.11", 5432}, "feed-w1_4", "")), false},
		"empty":               {"", false},
	} {
		if got := SameStream(now, tc.text); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	i.Binaries.Major = 17
	if later := must(i.ConnInfo(Source{"10.0.1.11", 5432}, "feed-w1_3", "")); later != now+" dbname='postgres'" || !SameStream(later, now) ||
		!SameStream(later, before) {
		t.Errorf("from 17 on a stream has %s", later)
	}
	if clone := must(i.ConnInfo(Source{"10.0.1.11", 5432}, cloneName, "postgres")); !options || strings.Contains(clone, "wal_sender_timeout") {
		t.Errorf("a stream has %s\na clone %s", now, clone)
	}
}

// TestSilentReplica: the primary ends the sender of a silent replica after seconds, whatever the server, the role and PGOPTIONS
// say. A silent receiver of the user's stays for as long as the user says.
func TestSilentReplica(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	user := filepath.Join(a.Data, "postgresql.conf")
	check(t, a.Owner.writeFile(user, []byte(content(t, user)+"wal_sender_timeout = 10min\n"), 0o600))
	check(t, a.Reload(ctx))
	check(t, a.exec(ctx, "ALTER ROLE "+quoteIdent(ReplicationUser)+" SET wal_sender_timeout = '20min'"))
	shows(t, a, map[string]string{"wal_sender_timeout": "10min"})

	b, _ := newStandby(t, ca, "feed-w1", a)
	kill(t, b)
	_, err := b.Start(ctx, StartOptions{Launch: func(ctx context.Context, cmd *exec.Cmd) (int, func() error, error) {
		cmd.Env = append(cmd.Env, "PGOPTIONS=-c wal_sender_timeout=30min")
		return ownChild(ctx, cmd)
	}})
	check(t, err)
	eventually(t, "the answer of "+b.Member, func() bool { _, err := b.Status(ctx); return err == nil })
	streams(t, b)
	tool := receiveWAL(t, b, a)
	senders := func() (names string) {
		const streaming = `SELECT coalesce(string_agg(application_name, ' ' ORDER BY application_name), '')
			FROM pg_stat_replication WHERE state = 'streaming'`
		check(t, a.with(ctx, func(c *sql.Conn) error { return c.QueryRowContext(ctx, streaming).Scan(&names) }))
		return names
	}
	eventually(t, "both receivers", func() bool { return senders() == "feed-w1 mainstay-clone" })

	receiver := must(b.Status(ctx)).Receiver.PID
	for _, pid := range []int{tool, receiver} {
		check(t, syscall.Kill(pid, syscall.SIGSTOP))
	}
	eventually(t, "the end of the silent replica's sender", func() bool { return senders() == "mainstay-clone" })
	if log := content(t, a.Log); !strings.Contains(log, "due to replication timeout") {
		t.Errorf("it ended for another reason:\n%s", log)
	}
	for _, pid := range []int{tool, receiver} {
		check(t, syscall.Kill(pid, syscall.SIGCONT))
	}
	eventually(t, "both receivers again", func() bool { return senders() == "feed-w1 mainstay-clone" })
}

// receiveWAL runs pg_receivewal as the user does, on the host of i, with the connection of a clone.
func receiveWAL(t *testing.T, i, from *Server) int {
	t.Helper()
	dir := filepath.Join(filepath.Dir(i.Data), "received")
	check(t, i.Owner.makeDir(dir, 0o700))
	cmd := exec.Command(filepath.Join(i.Binaries.Dir, "pg_receivewal"), "-D", dir, "-d", must(i.ConnInfo(from.source(), cloneName, "")))
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", i.Owner.environment(), &syscall.SysProcAttr{Credential: i.Owner.Credential()}
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}
