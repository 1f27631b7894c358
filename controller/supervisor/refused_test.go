package supervisor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"mainstay/controller/member"
	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// TestRefusedIsTold: a server that runs and turns the agent away, for another reason than want of slots, says why in the
// report, also while the kept session still answers; once it lets the agent in, nothing is said.
func TestRefusedIsTold(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	t.Cleanup(func() { m.observer.session.end() })
	session := func() *lookSession { return &m.observer.session }
	told := func(want string) health.Member {
		t.Helper()
		m.observer.look(ctx)
		r := m.Snapshot()
		if (want == "") != (r.Error == "") || !strings.Contains(r.Error, want) {
			t.Errorf("it reports %q, want %q", r.Error, want)
		}
		return r
	}
	if r := told(""); r.Role != health.RolePrimary {
		t.Fatalf("%+v", r)
	}
	m.durable.SystemID = m.view.seen.SystemID // the agent manages it
	keep, err := pg.Keep(ctx)
	check(t, err)
	defer keep.Close()
	check(t, keep.Exec(ctx, "ALTER ROLE postgres NOLOGIN"))
	session().proved = 0 // a proof is due
	if r := told("not permitted to log in"); r.Role != health.RolePrimary {
		t.Errorf("the kept session answers: %+v", r)
	}
	session().end()
	if r := told("not permitted to log in"); r.Role != health.RoleUnknown || r.Stale != 0 {
		t.Errorf("no server answers: %+v", r)
	}
	check(t, keep.Exec(ctx, "ALTER ROLE postgres LOGIN"))
	told("")
	check(t, keep.Exec(ctx, "ALTER ROLE postgres NOLOGIN"))
	session().end()
	told("not permitted to log in")
	check(t, keep.Exec(ctx, "ALTER ROLE postgres LOGIN"))
	told("")
	other := pg.Local()
	other.Database = "template1"
	there := func(statement string) {
		t.Helper()
		check(t, pgdial.WithConn(ctx, other, func(c *sql.Conn) error { _, err := c.ExecContext(ctx, statement); return err }))
	}
	there("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
	session().end()
	told("(55000); Mainstay needs it: ALTER DATABASE ... ALLOW_CONNECTIONS true")
	there("DROP DATABASE postgres WITH (FORCE)")
	session().end()
	told("(3D000); Mainstay needs it: CREATE DATABASE")
	check(t, pg.StopImmediate(ctx))
	eventually(t, "its end", func() bool { _, _, ok := pg.Running(); return !ok })
	if r := told(""); r.Process == health.ProcessRunning {
		t.Errorf("it has ended: %+v", r)
	}
}

func TestFaultOf(t *testing.T) {
	server := func(code pqerror.Code) error { return fmt.Errorf("open: %w", &pq.Error{Code: code, Message: "closed"}) }
	for _, c := range []struct {
		err  error
		told bool
	}{
		{server("28000"), true}, {server("P0001"), true}, {server("25006"), true}, {server("58P01"), true}, {server("42704"), true},
		{server("53300"), false}, {server("57P03"), false}, {server("57P01"), false}, {server("57014"), false},
		{context.DeadlineExceeded, false}, {errors.New("connection refused"), false},
	} {
		if got := faultOf(c.err); c.told != strings.Contains(got, "closed") || c.told == (got == "") {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}

func TestSealless(t *testing.T) {
	where := postgres.Status{AlterSystemOff: "/etc/pg.conf line 7"}
	for _, c := range []struct {
		name string
		d    member.Durable
		s    postgres.Status
		want string
	}{
		{"started by its agent", member.Durable{}, where, ""},
		{"allowed", member.Durable{AlterSystem: true}, postgres.Status{}, ""},
		{"adopted", member.Durable{AlterSystem: true}, where, "/etc/pg.conf line 7"},
	} {
		if got := sealless(c.d, c.s); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
