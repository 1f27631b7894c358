package postgres

import (
	"database/sql"
	"fmt"
	"testing"

	"mainstay/controller/pgdial"
)

// hostile is what a user gives new sessions of the database that ours use, by the first version that knows it.
var hostile = []struct {
	name, value string
	since       int
}{
	{name: "role", value: "mallory"}, {name: "search_path", value: "public"}, {name: "synchronous_commit", value: "remote_apply"},
	{name: "default_transaction_read_only", value: "on"}, {name: "default_transaction_isolation", value: "serializable"},
	{name: "default_transaction_deferrable", value: "on"}, {name: "lock_timeout", value: "1h"}, {name: "statement_timeout", value: "1h"},
	{name: "idle_in_transaction_session_timeout", value: "1h"}, {name: "idle_session_timeout", value: "1h", since: 14},
	{name: "transaction_timeout", value: "1h", since: 17}, {name: "exit_on_error", value: "on"},
	{name: "jit", value: "on"},
	{name: "default_table_access_method", value: "other"}, {name: "default_tablespace", value: "pg_global"},
	{name: "local_preload_libraries", value: "missing"}, {name: "session_preload_libraries", value: "missing"},
	{name: "event_triggers", value: "on", since: 17},
}

// loginTrigger writes, as one does that records who logs in: on a standby that fails.
var loginTrigger = []string{
	"CREATE TABLE public.logins (who name)", "GRANT INSERT ON public.logins TO PUBLIC",
	"CREATE FUNCTION public.record() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.logins VALUES (session_user); END'",
	"CREATE EVENT TRIGGER record ON login EXECUTE FUNCTION public.record()", "ALTER EVENT TRIGGER record ENABLE ALWAYS",
}

// raising is what that trigger becomes.
const raising = "CREATE OR REPLACE FUNCTION public.record() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN " +
	"RAISE EXCEPTION ''closed''; END'"

// TestUsersSettingsHaveNoSay: whatever a user gives new sessions of our database and roles, ours work, on the primary and on
// its standby, up to the promotion.
func TestUsersSettingsHaveNoSay(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, s := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	do := []string{"CREATE ROLE mallory", "DROP SCHEMA mainstay CASCADE", "CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler"}
	if a.Binaries.Major >= 17 {
		do = append(do, loginTrigger...)
	}
	for _, h := range hostile {
		if a.Binaries.Major >= h.since {
			do = append(do, fmt.Sprintf("ALTER DATABASE postgres SET %s = %s", h.name, quoteLiteral(h.value)))
		}
	}
	check(t, a.with(ctx, func(c *sql.Conn) error { return execAll(ctx, c, do) }))
	for _, i := range []*Server{a, b} {
		bare := i.Local()
		bare.Runtime = nil
		eventually(t, "a login that fails on "+i.Member, func() bool {
			return pgdial.SQLState(pgdial.WithConn(ctx, bare, func(*sql.Conn) error { return nil })) == "58P01"
		})
		states(t, i)
	}

	for _, c := range calls(a, a, s) {
		if err := c.do(testContext(t)); err != nil {
			t.Errorf("%s on the primary: %v", c.name, err)
		}
	}
	check(t, a.with(ctx, func(c *sql.Conn) error {
		var method, owner, analyze string
		var space int
		err := c.QueryRowContext(ctx, `SELECT amname, relowner::regrole, reltablespace, (SELECT option_value FROM
				pg_options_to_table(reloptions) WHERE option_name = 'autovacuum_analyze_threshold') FROM pg_class r JOIN pg_am m ON m.oid = relam
			WHERE r.oid = 'mainstay.beat'::regclass`).Scan(&method, &owner, &space, &analyze)
		if method != "heap" || owner != "postgres" || space != 0 || analyze != "2147483647" {
			t.Errorf("our table is %s of %s in tablespace %d, analyzed after %s changes", method, owner, space, analyze)
		}
		return err
	}))
	others(t, ca, a, b)
	if a.Binaries.Major >= 17 {
		check(t, a.exec(ctx, raising))
	}
	for _, c := range calls(a, b, s) {
		if err := c.do(testContext(t)); err != nil {
			t.Errorf("%s on the standby: %v", c.name, err)
		}
	}
	insert(t, a, 2) // so that it has diverged
	kill(t, a)
	follow(t, a, b)
	check(t, a.Rewind(testContext(t), b.source(), StartOptions{}))
	if a.Binaries.Major >= 17 && logins(t, b) != 0 {
		t.Error("a session of ours ran the login trigger")
	}
}

// states compares what our sessions show with what they state, and with what the user gives others.
func states(t *testing.T, i *Server) {
	t.Helper()
	ctx := testContext(t)
	check(t, i.with(ctx, func(c *sql.Conn) error {
		ours := pgdial.Sessions(i.Binaries.Major, true)
		for _, h := range hostile {
			if i.Binaries.Major < h.since {
				continue
			}
			var got string
			err := c.QueryRowContext(ctx, "SELECT current_setting($1)", h.name).Scan(&got)
			if want, stated := ours[h.name]; err != nil || got == h.value || stated && got != want {
				t.Errorf("%s of a session on %s is %q, want %q (%v)", h.name, i.Member, got, want, err)
			}
			delete(ours, h.name)
		}
		if len(ours) > 0 {
			t.Errorf("stated, and not tried: %v", ours)
		}
		return nil
	}))
	k, err := i.Keep(ctx)
	check(t, err)
	defer k.Close()
	var bound, lock string
	check(t, k.Row(ctx, "SELECT current_setting('statement_timeout'), current_setting('lock_timeout')", &bound, &lock))
	if bound != "2s" || lock != "500ms" {
		t.Errorf("a kept session on %s has statement_timeout %s and lock_timeout %s", i.Member, bound, lock)
	}
}

func logins(t *testing.T, i *Server) (n int) {
	t.Helper()
	ctx := testContext(t)
	check(t, i.with(ctx, func(c *sql.Conn) error { return c.QueryRowContext(ctx, "SELECT count(*) FROM public.logins").Scan(&n) }))
	return n
}

// others logs in the roles that are no superusers: they state what they may, and what only a superuser may set our roles are given,
// but for the libraries, without which nobody is served.
func others(t *testing.T, ca *authority, a, b *Server) {
	t.Helper()
	ctx := testContext(t)
	me, dir := must(OwnerOf("/proc/self")), t.TempDir()
	login := func(i *Server, user string) error {
		c := pgdial.Config{Host: "127.0.0.1", Port: i.Port, User: user, TLS: ca.issue(t, dir, user, me), Runtime: pgdial.Sessions(0, false)}
		if user == ProbeUser {
			c.TLS = ca.issue(t, dir, "c1", me, "controller")
		}
		return pgdial.WithConn(ctx, c, func(c *sql.Conn) error {
			var who string
			err := c.QueryRowContext(ctx, "SELECT current_user FROM pg_is_in_recovery()").Scan(&who)
			if err == nil && who != user {
				err = fmt.Errorf("logged in as %s", who)
			}
			return err
		})
	}
	each := func(what string, want func(i *Server, user string) string) {
		for _, i := range []*Server{a, b} {
			for _, user := range []string{ProbeUser, ReplicationUser} {
				code := want(i, user)
				var err error
				eventually(t, fmt.Sprintf("%s to come to %q for %s on %s (%v)", what, code, user, i.Member, err), func() bool {
					err = login(i, user)
					return pgdial.SQLState(err) == code && (code != "" || err == nil)
				})
			}
		}
	}
	each("a library that is missing", func(*Server, string) string { return "58P01" })
	check(t, a.exec(ctx, "ALTER DATABASE postgres RESET session_preload_libraries"))
	each("all but the libraries", func(*Server, string) string { return "" })
	if a.Binaries.Major < 17 {
		return
	}
	check(t, a.exec(ctx, "ALTER ROLE "+ProbeUser+" RESET event_triggers"))
	each("a login trigger that writes", func(i *Server, user string) string {
		if i == b && user == ProbeUser {
			return "25006"
		}
		return ""
	})
	check(t, a.exec(ctx, "TRUNCATE public.logins"))
	check(t, a.CreateRoles(ctx)) // as at each opening
	each("the next opening", func(*Server, string) string { return "" })
}

// TestOpenUnderATrigger: a user's event trigger that forbids every change of the schema keeps no member from being opened again.
func TestOpenUnderATrigger(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx := testContext(t)
	for _, statement := range []string{
		"CREATE FUNCTION public.forbid() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not here''; END'",
		"CREATE EVENT TRIGGER forbid ON ddl_command_start EXECUTE FUNCTION public.forbid()",
	} {
		check(t, i.exec(ctx, statement))
	}
	if err := i.exec(ctx, "CREATE SCHEMA IF NOT EXISTS mainstay"); i.Binaries.Major < 17 && err == nil {
		t.Error("the trigger does nothing, so this test shows nothing")
	}
	_, err := i.Open(ctx, 1, true)
	check(t, err)
}
