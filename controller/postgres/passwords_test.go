package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/pgdial"
)

// TestPasswordsChanged: on a cluster that its user made, the password with which the superuser logs in and members stream is changed. A
// session that is kept, and a stream, continue; each new one is refused in the server's own words, which a standby quotes also where
// PostgreSQL collects its log. Both work again once the passfiles have the new password: nothing is restarted for it.
func TestPasswordsChanged(t *testing.T) {
	a, _ := outside(t)
	ctx := testContext(t)
	_, facts, err := a.AdoptChecks(ctx)
	check(t, err)
	a.Kept = facts.Keep()
	check(t, a.CopyConfig(ctx))
	b := newServer(t, newAuthority(t), "feed-w1")
	b.TLS, b.Replication, b.SuperPassfile = TLSFiles{}, a.Replication, a.SuperPassfile
	b.Notice = func(string) {}
	check(t, b.Clone(ctx, a.source(), "", nil, nil))
	check(t, b.WriteSettings(ctx, Settings{PrimaryConnInfo: must(b.ConnInfo(a.source(), b.Member, ""))}))
	conf := filepath.Join(b.Data, "postgresql.conf")
	check(t, b.Owner.writeFile(conf, []byte(content(t, conf)+"restore_command = ''\nlogging_collector = on\n"), 0o600))
	start(t, b, false)
	streams(t, b)
	if said := b.NoStream(); said != "" {
		t.Errorf("it streams, and says %q", said)
	}
	postmaster, _, _ := b.Running()

	kept, err := a.Keep(ctx)
	check(t, err)
	defer kept.Close()
	check(t, a.exec(ctx, "ALTER ROLE postgres PASSWORD 'another'"))
	refused := func(i *Server) bool {
		_, err := i.Status(ctx)
		return pgdial.SQLState(err) == "28P01" && strings.Contains(err.Error(), `password authentication failed for user "postgres"`)
	}
	if !refused(a) {
		t.Error("a new connection is not refused")
	}
	eventually(t, "the standby to refuse it too", func() bool { return refused(b) })
	if s, err := kept.Status(ctx); err != nil || len(s.Senders) != 1 || s.Senders[0].State != "streaming" {
		t.Errorf("the kept session shows %+v, %v", s.Senders, err)
	}
	check(t, kept.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication"))
	eventually(t, "the standby's words", func() bool {
		return strings.Contains(b.NoStream(), `password authentication failed for user "postgres"`)
	})
	if log := content(t, b.Log); strings.Contains(log, "password authentication failed") {
		t.Errorf("its log is not collected:\n%s", log)
	}

	check(t, errors.Join(a.Owner.writeFile(a.Replication.Passfile, []byte("*:*:*:postgres:another\n"), 0o600),
		os.WriteFile(a.SuperPassfile, []byte("localhost:*:*:postgres:another\n"), 0o600)))
	streams(t, b)
	eventually(t, "the log of its stream", func() bool { return b.NoStream() == "" }) // another process writes it
	if now, _, _ := b.Running(); now != postmaster {
		t.Error("it was restarted")
	}
}
