package postgres

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mainstay/health"
	"mainstay/test/kit"
)

// reloadableFor is a managed setting that a reload changes, a value of the user's, and ours.
func reloadableFor(i *Server) (name, value, ours string) {
	if i.Binaries.Major >= 18 {
		return "idle_replication_slot_timeout", "60", "0"
	}
	return "max_slot_wal_keep_size", "-1", "10240MB"
}

// TestOverridden: what ALTER SYSTEM gives a managed setting is told with ours and the statement that ends it, before a reload already; what
// a start takes out, what is the user's, and the same value are no matter.
func TestOverridden(t *testing.T) {
	i, ctx := newPrimary(t, newAuthority(t), "feed-e1"), testContext(t)
	name, value, ours := reloadableFor(i)
	overridden := func(want ...health.Override) {
		t.Helper()
		if got := must(i.Overridden(mustStatus(t, i).Last, false)); !slices.Equal(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	run := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			check(t, i.exec(ctx, s))
		}
	}
	overridden()
	run("ALTER SYSTEM SET "+name+" = '"+value+"'", "ALTER SYSTEM SET wal_receiver_timeout = '3s'", "ALTER SYSTEM SET work_mem = '5MB'",
		"ALTER SYSTEM SET max_wal_senders = 20", "ALTER SYSTEM SET restore_command = 'false'")
	one := health.Override{Name: name, Value: value, Wanted: ours, Mend: "run `ALTER SYSTEM RESET " + name + "; SELECT pg_reload_conf();`"}
	overridden(one)
	check(t, i.Reload(ctx))
	overridden(one)
	mend, reload, _ := strings.Cut(strings.Trim(strings.TrimPrefix(one.Mend, "run "), "`"), "; ")
	run(mend, reload)
	overridden()

	run("ALTER SYSTEM SET primary_conninfo = 'host=x password=secret'")
	got := must(i.Overridden(mustStatus(t, i).Last, false))
	if len(got) != 1 || got[0].Value != "host=x password=***" || got[0].Wanted != "" {
		t.Errorf("%+v", got)
	}
	run("ALTER SYSTEM RESET primary_conninfo")

	more := filepath.Join(i.Conf, "more.conf")
	check(t, i.Owner.writeFile(more, []byte("wal_receiver_timeout = 1min\n"), 0o600))
	main, err := os.ReadFile(i.mainFile())
	check(t, err)
	check(t, i.Owner.writeFile(i.mainFile(), append(main, "include 'more.conf'\n"...), 0o600))
	run("ALTER SYSTEM RESET wal_receiver_timeout")
	overridden(health.Override{Name: "wal_receiver_timeout", Value: "1min", Wanted: "3s",
		Mend: "delete it from " + more + " and run `SELECT pg_reload_conf();`"})
}

// TestAlteredIsReset: what the agent loads is in force afterwards, whatever ALTER SYSTEM has set instead. Other settings stay as they are.
func TestAlteredIsReset(t *testing.T) {
	i, ctx := newPrimary(t, newAuthority(t), "feed-e1"), testContext(t)
	var notices []string
	i.Notice = func(text string) { notices = append(notices, text) }
	set := Settings{SyncNames: `ANY 1 ("feed-e2_2")`}
	check(t, i.WriteSettings(ctx, set))
	want := map[string]string{"synchronous_standby_names": set.SyncNames}
	check(t, i.Apply(ctx, want, nil))
	for _, s := range []string{"ALTER SYSTEM SET synchronous_standby_names = ''", "ALTER SYSTEM SET work_mem = '5MB'",
		"SELECT pg_reload_conf()"} {
		check(t, i.exec(ctx, s))
	}
	kit.Eventually(t, "the override", func() bool { return mustStatus(t, i).SyncNames == "" })
	check(t, i.Apply(ctx, want, nil))
	check(t, i.Loaded(ctx, "synchronous_standby_names", set.SyncNames))
	if s := must(i.ShowSetting(ctx, "work_mem")); s.Value != "5MB" {
		t.Errorf("work_mem is %+v", s)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "ALTER SYSTEM had set synchronous_standby_names") {
		t.Errorf("notices %q", notices)
	}

	// Where it cannot be reset the error names it.
	if i.Binaries.Major >= 17 {
		check(t, i.exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = ''"))
		raw := must(i.Owner.readFile(i.managedFile()))
		check(t, i.Owner.writeFile(i.managedFile(), append(raw, "allow_alter_system = off\n"...), 0o600))
		check(t, i.Reload(ctx))
		var over *OverriddenError
		if err := i.Apply(ctx, want, nil); !errors.As(err, &over) || over.Got.Name != "synchronous_standby_names" {
			t.Errorf("with allow_alter_system off: %v", err)
		}
	}
}

// TestUnapplied: of the start-time settings from ALTER SYSTEM, the next start removes those that are ours, and applies the others and what
// is the user's to raise.
func TestUnapplied(t *testing.T) {
	i, ctx := newPrimary(t, newAuthority(t), "feed-e1"), testContext(t)
	for _, s := range []string{"port = 1", "wal_log_hints = off", "cluster_name = 'x'", "max_replication_slots = 3", "max_wal_senders = 20",
		"max_connections = 33"} {
		check(t, i.exec(ctx, "ALTER SYSTEM SET "+s))
	}
	check(t, i.Reload(ctx))
	var waiting, removed []string
	kit.Eventually(t, "the reload", func() bool {
		waiting, removed = i.Unapplied(mustStatus(t, i))
		return len(removed) > 0
	})
	if want := []string{"max_connections", "max_wal_senders"}; !slices.Equal(waiting, want) {
		t.Errorf("waiting %q, want %q", waiting, want)
	}
	want := []string{"cluster_name = x, ", "max_replication_slots = 3, ", "port = 1, ", "wal_log_hints = off, "}
	if len(removed) != len(want) {
		t.Fatalf("removed %q, want %q", removed, want)
	}
	for n := range want {
		if !strings.HasPrefix(removed[n], want[n]) {
			t.Errorf("removed %q, want %q", removed[n], want[n])
		}
	}
	if !strings.HasSuffix(removed[3], " with on. To remove it now, run `ALTER SYSTEM RESET wal_log_hints; SELECT pg_reload_conf();`") {
		t.Error(removed[3])
	}

	i.Kept = i.Kept.Want(mustStatus(t, i).Wanted, nil) // as the agent does
	check(t, i.WriteSettings(ctx, Settings{}))
	check(t, i.StopFast(ctx))
	eventually(t, "its end", func() bool { _, _, ok := i.Running(); return !ok })
	start(t, i, true)
	status := mustStatus(t, i)
	if waiting, removed = i.Unapplied(status); len(waiting)+len(removed) > 0 || must(i.ShowSetting(ctx, "wal_log_hints")).Value != "on" ||
		status.InForce["max_wal_senders"] != "20" {
		t.Errorf("after the start: %q, %q, %+v", waiting, removed, status.InForce)
	}
}

// TestOverriddenAfterAdoption: on a server that was adopted and not started again, ours are where the user's ALTER SYSTEM writes too.
func TestOverriddenAfterAdoption(t *testing.T) {
	i, ctx := newPrimary(t, newAuthority(t), "feed-e1"), testContext(t)
	name, value, ours := reloadableFor(i)
	check(t, i.AlterSystem(ctx, map[string]string{name: ours, "primary_slot_name": "x", "wal_receiver_timeout": "3s"}))
	overridden := func(want ...health.Override) {
		t.Helper()
		if got := must(i.Overridden(mustStatus(t, i).Last, true)); !slices.Equal(got, want) {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	overridden()
	check(t, i.exec(ctx, "ALTER SYSTEM SET "+name+" = '"+value+"'"))
	check(t, i.exec(ctx, "ALTER SYSTEM RESET wal_receiver_timeout"))
	overridden(health.Override{Name: name, Value: value, Wanted: ours, Mend: "run `ALTER SYSTEM SET " + name + " = '" + ours +
		"'; SELECT pg_reload_conf();`"},
		health.Override{Name: "wal_receiver_timeout", Wanted: "3s",
			Mend: "run `ALTER SYSTEM SET wal_receiver_timeout = '3s'; SELECT pg_reload_conf();`"})
}

// TestManagedAreTheServers: no role, database or session can give a managed setting a value of its own, so files alone can override one.
func TestManagedAreTheServers(t *testing.T) {
	i, ctx := newPrimary(t, newAuthority(t), "feed-e1"), testContext(t)
	var names string
	check(t, i.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, `SELECT coalesce(string_agg(name || ' (' || context || ')', ', '), '') FROM pg_catalog.pg_settings
			WHERE name = ANY (string_to_array($1, ' ')) AND context NOT IN ('internal', 'postmaster', 'sighup')`,
			strings.Join(ManagedKeys(), " ")).Scan(&names)
	}))
	if names != "" {
		t.Errorf("these can be set by others than the server's files: %s", names)
	}
	name, _, _ := reloadableFor(i)
	for _, statement := range []string{"ALTER ROLE postgres SET ", "ALTER DATABASE postgres SET "} {
		if err := i.exec(context.WithoutCancel(ctx), statement+name+" = 1"); err == nil {
			t.Errorf("%s%s succeeded", statement, name)
		}
	}
}
