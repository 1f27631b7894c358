package postgres

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"

	"mainstay/controller/pgdial"
)

// TestNoShadowIsCalled: a role that may create in schema public has made every function and operator that our statements name
// a second time, and the path that new sessions get looks there first. None may be called: it would run as the superuser. What
// each statement means is read from PostgreSQL's own parse trees, so that one which is not evaluated counts as well.
func TestNoShadowIsCalled(t *testing.T) {
	ca := newAuthority(t)
	a := newLogging(t, ca)
	ctx := testContext(t)
	b, s := newStandby(t, ca, "feed-w1", a)
	shadow(t, a)
	eventually(t, "the shadows on the standby", func() bool {
		err := b.exec(ctx, "SELECT public.take(1, 1)")
		return err != nil && strings.Contains(err.Error(), "a shadow was called")
	})

	control := a.Local()
	delete(control.Runtime, "search_path")
	before := size(t, a.Log)
	err := pgdial.WithConn(ctx, control, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "SELECT pg_is_in_recovery(), 1::numeric - 1")
		return err
	})
	if found := foreign(t, a, before); err == nil || len(found) < 2 {
		t.Fatalf("without a path of our own nothing is shadowed, so this test shows nothing: %v, %v", err, found)
	}

	for _, i := range []*Server{a, b} {
		before := size(t, i.Log)
		for _, c := range calls(a, i, s) {
			if err := c.do(testContext(t)); err != nil {
				t.Errorf("%s on %s: %v", c.name, i.Member, err)
			}
		}
		if found := foreign(t, i, before); len(found) > 0 {
			t.Errorf("on %s our statements name what a user made: %v", i.Member, found)
		}
	}
}

// TestWriteProbeOfAUser: a table of a user's in place of ours would run its triggers as the superuser.
func TestWriteProbeOfAUser(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx := testContext(t)
	for _, statement := range []string{
		"CREATE ROLE mallory", "DROP SCHEMA mainstay CASCADE", "GRANT CREATE ON DATABASE postgres TO mallory",
		"SET ROLE mallory; CREATE SCHEMA mainstay; CREATE TABLE mainstay.beat (id int PRIMARY KEY, n bigint, at timestamptz)",
	} {
		check(t, i.exec(ctx, statement))
	}
	if err := i.CreateRoles(ctx); err == nil || !strings.Contains(err.Error(), "belongs to mallory") {
		t.Errorf("a user's table is taken for ours: %v", err)
	}
	check(t, i.exec(ctx, "ALTER SCHEMA mainstay OWNER TO postgres"))
	if err := i.CreateRoles(ctx); err == nil {
		t.Error("a user's table in our schema is taken for ours")
	}
}

// newLogging is a primary that logs what statements mean, and whose sessions look into schema public first.
func newLogging(t *testing.T, ca *authority) *Server {
	t.Helper()
	i, ctx := newServer(t, ca, "feed-e1"), testContext(t)
	check(t, i.Initialise(ctx))
	f := must(os.OpenFile(filepath.Join(i.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0))
	_, err := io.WriteString(f, "\nsearch_path = 'public, pg_catalog'\ndebug_print_parse = on\n")
	check(t, errors.Join(err, f.Close()))
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.CreateRoles(ctx))
	check(t, i.exec(ctx, "CREATE TABLE public.t (n int)"))
	insert(t, i, 1)
	return i
}

var (
	callText     = regexp.MustCompile(`\b([a-z_0-9]+)\(`)
	operatorText = regexp.MustCompile(`[-+*/<>=~!@#%^&|?]+`)
)

// named are the words before a parenthesis, and the operators, in the sources of this package and of the probes.
func named(t *testing.T) (functions, operators []string) {
	t.Helper()
	paths := append(must(filepath.Glob("*.go")), must(filepath.Glob("../../health/probe/*.go"))...)
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		raw := string(must(os.ReadFile(path)))
		for _, m := range callText.FindAllStringSubmatch(raw, -1) {
			functions = append(functions, m[1])
		}
		operators = append(operators, operatorText.FindAllString(raw, -1)...)
	}
	operators = append(operators, "~~", "!~~") // LIKE
	return functions, operators
}

// shadow has mallory, who may create in schema public of database postgres, make them all. Those whose arguments only C code can
// take cannot be made.
func shadow(t *testing.T, i *Server) {
	t.Helper()
	ctx := testContext(t)
	functions, operators := named(t)
	made := 0
	check(t, i.with(ctx, func(c *sql.Conn) error {
		if err := execAll(ctx, c, []string{"CREATE ROLE mallory", "GRANT CREATE ON SCHEMA public TO mallory", "SET ROLE mallory",
			makeShadow}); err != nil {
			return err
		}
		return c.QueryRowContext(ctx, "SELECT pg_temp.shadow($1, $2)", pq.Array(functions), pq.Array(operators)).Scan(&made)
	}))
	if made < 300 {
		t.Fatalf("only %d shadows were made", made)
	}
}

const makeShadow = `CREATE FUNCTION pg_temp.shadow(functions text[], operators text[]) RETURNS int LANGUAGE plpgsql AS $make$
DECLARE r record; made int := 0; body text := 'LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION ''a shadow was called''; END $$';
BEGIN
	FOR r IN SELECT p.proname, pg_get_function_arguments(p.oid) AS args, pg_get_function_result(p.oid) AS result FROM pg_proc p
			WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY (functions) LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s', r.proname, r.args, coalesce(r.result, 'text'), body);
			made := made + 1;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	FOR r IN SELECT o.oid, oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result FROM pg_operator o
			WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprname = ANY (operators) AND oprleft <> 0 LOOP
		BEGIN
			EXECUTE format('CREATE FUNCTION public.op_%s(%s, %s) RETURNS %s %s', r.oid, r.l, r.r, r.result, body);
			EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.op_%s)', r.oprname, r.l, r.r, r.oid);
			made := made + 1;
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
	END LOOP;
	-- not exactly PostgreSQL's own, but a better match of ours than those: found first whatever the path's order
	CREATE FUNCTION public.take(numeric, int) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a shadow was called'; END $$;
	CREATE OPERATOR public.- (LEFTARG = numeric, RIGHTARG = int, FUNCTION = public.take);
	RETURN made + 1;
END $make$`

func size(t *testing.T, path string) int64 {
	t.Helper()
	return must(os.Stat(path)).Size()
}

// resolved is what a parse tree says a call, an operator or an aggregate is. Objects of users have numbers from 16384 on.
var resolved = regexp.MustCompile(`:(opno|opfuncid|funcid|aggfnoid|winfnoid) (\d+)`)

// foreign are the objects of users that statements logged since then call.
func foreign(t *testing.T, i *Server, since int64) (found []string) {
	t.Helper()
	all := resolved.FindAllStringSubmatch(string(must(os.ReadFile(i.Log))[since:]), -1)
	if len(all) == 0 {
		t.Fatalf("no parse tree in the log of %s", i.Member)
	}
	for _, m := range all {
		if n := must(strconv.Atoi(m[2])); n >= 16384 && !slices.Contains(found, m[0]) {
			found = append(found, m[0])
		}
	}
	return found
}

type call struct {
	name string
	do   func(context.Context) error
}

// calls is everything that runs statements on i, a itself or its standby, which is promoted at last.
func calls(a, i *Server, s Settings) []call {
	slot := SlotName("feed-x")
	both := []call{
		{"status", func(ctx context.Context) error { _, err := i.Status(ctx); return err }},
		{"reload", i.Reload},
		{"a setting that keeps a reload from working", func(ctx context.Context) error {
			return i.with(ctx, func(c *sql.Conn) error { return wanted(reloadFailure(ctx, c, errors.New("cause"))) })
		}},
		{"setting", func(ctx context.Context) error { _, err := i.ShowSetting(ctx, "port"); return err }},
		{"adopt", func(ctx context.Context) error { _, _, err := i.AdoptChecks(ctx); return err }},
		{"waiting", func(ctx context.Context) error { _, err := i.Waiting(ctx, s); return err }},
		{"replaces", func(ctx context.Context) error { _, err := i.Replaces(ctx, s); return err }},
		{"the user's settings", func(ctx context.Context) error { _, err := i.userSettings(ctx); return err }},
		{"position", func(ctx context.Context) error { _, err := i.Position(ctx); return err }},
		{"checkpoint", i.Checkpoint},
		{"alter system", func(ctx context.Context) error {
			return i.AlterSystem(ctx, map[string]string{"recovery_min_apply_delay": "0"})
		}},
		{"give back", i.GiveBack},
		{"senders", func(ctx context.Context) error { return i.EndSenders(ctx, []int{1 << 30}) }},
		{"a session", func(ctx context.Context) error {
			return onSession(ctx, i, func(k *Session) error {
				_, err1 := k.Status(ctx)
				_, err2 := k.Moving(ctx)
				return errors.Join(err1, err2)
			})
		}},
		{"admits", func(ctx context.Context) error { _, _, err := i.Admits(ctx); return err }},
		{"load", func(ctx context.Context) error {
			_, err := i.Load(ctx, map[string]string{"port": strconv.Itoa(i.Port)})
			return err
		}},
		{"slots", func(ctx context.Context) error {
			return errors.Join(i.EnsureSlots(ctx, []string{slot, "mainstay_y"}, nil),
				onSession(ctx, i, func(k *Session) error { return k.AdvanceSlot(ctx, slot, 1) }),
				i.EnsureSlots(ctx, nil, []string{slot}), i.DropIdleSlots(ctx))
		}},
	}
	if a == i {
		return append(both, call{"roles", i.CreateRoles}, call{"beat", func(ctx context.Context) error {
			return onSession(ctx, i, func(k *Session) error { return k.WriteProbe(ctx) })
		}}, call{"application", func(ctx context.Context) error {
			return i.CreateApplication(ctx, InitOptions{Database: "app", Role: "app"})
		}})
	}
	return append(both,
		call{"seal", func(ctx context.Context) error { _, _, err := i.Seal(ctx, s); return err }},
		call{"blockers", func(ctx context.Context) error { return i.exec(ctx, endBlockers, pq.Array([]int{})) }},
		call{"paused", func(ctx context.Context) error { return i.exec(ctx, "SELECT pg_wal_replay_pause()") }},
		call{"promote", func(ctx context.Context) error {
			_, err := i.Promote(ctx, Promotion{Settings: s, Timeline: 7, Arm: func() error { return nil }})
			return err
		}},
		call{"open", func(ctx context.Context) error { _, err := i.Open(ctx, 7, true); return err }},
		call{"writable", i.WaitWritable})
}

func onSession(ctx context.Context, i *Server, f func(*Session) error) error {
	k, err := i.Keep(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	return f(k)
}

// wanted turns around an error that is what was asked for.
func wanted(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return nil
}
