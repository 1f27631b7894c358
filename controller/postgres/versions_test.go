package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/pgdial"
)

// TestAllowAlterSystem: a server that its user started and that forbids ALTER SYSTEM is not adopted; one that we started needs none.
func TestAllowAlterSystem(t *testing.T) {
	a, etc := outside(t)
	ctx := testContext(t)
	file := filepath.Join(etc, "conf.d", "mine.conf")
	refused := func() (found []string) {
		refusals, _, err := a.AdoptChecks(ctx)
		check(t, err)
		for _, r := range refusals {
			found = append(found, r.String())
		}
		return found
	}
	if r, off := refused(), mustStatus(t, a).AlterSystemOff; len(r) > 0 || off != "" {
		t.Fatalf("allowed: %v, %q", r, off)
	}
	if a.Binaries.Major < 17 {
		return
	}
	before := content(t, file)
	put(t, file, before+"allow_alter_system = off\n")
	check(t, a.Reload(ctx))
	line := fmt.Sprintf("%s line %d", file, strings.Count(before, "\n")+1)
	if r, off := refused(), mustStatus(t, a).AlterSystemOff; len(r) != 1 || !strings.Contains(r[0], line) || off != line {
		t.Errorf("forbidden in %s: %v, %q", line, r, off)
	}
	_, facts, err := a.AdoptChecks(ctx)
	check(t, err)
	a.Kept = facts.Keep()
	check(t, a.WriteSettings(ctx, Settings{}))
	if err := a.AlterSystem(ctx, map[string]string{"primary_conninfo": ""}); pgdial.SQLState(err) != "0A000" {
		t.Errorf("ALTER SYSTEM: %v", err)
	}
	stop(t, a)
	start(t, a, true)
	shows(t, a, map[string]string{"allow_alter_system": "off"})
	if r := refused(); len(r) > 0 {
		t.Errorf("started by us: %v", r)
	}
	want := Settings{SyncNames: `ANY 1 ("feed-w1")`}
	check(t, a.WriteSettings(ctx, want))
	_, err = a.Load(ctx, map[string]string{"synchronous_standby_names": want.SyncNames})
	check(t, err)
}

// TestReservedConnections: clients that fill the server leave room for the controllers' probes and for pg_rewind, where its user
// reserves connections.
func TestReservedConnections(t *testing.T) {
	if b := needPostgres(t); b.Major < 16 {
		t.Skipf("PostgreSQL %d has no reserved_connections", b.Major)
	}
	ca := newAuthority(t)
	i, ctx := newServer(t, ca, "feed-e1"), testContext(t)
	check(t, i.Initialise(ctx))
	put(t, filepath.Join(i.Data, "postgresql.conf"), "max_connections = 10\nreserved_connections = 2\n")
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.CreateRoles(ctx))
	dir, me := t.TempDir(), must(OwnerOf("/proc/self"))
	pass := filepath.Join(dir, "pass")
	check(t, os.WriteFile(pass, []byte("*:*:*:app:secret\n"), 0o600))
	check(t, i.exec(ctx, "CREATE ROLE app LOGIN PASSWORD 'secret'"))
	login := func(c pgdial.Config) (*sql.Conn, error) {
		c.Host, c.Port, c.Database = "127.0.0.1", i.Port, "postgres"
		db, err := pgdial.Open(c)
		check(t, err)
		t.Cleanup(func() { db.Close() })
		return db.Conn(ctx)
	}
	full := func() bool {
		_, err := login(pgdial.Config{User: "app", Passfile: pass})
		if err != nil && pgdial.SQLState(err) != pgdial.TooManyConnections {
			t.Fatal(err)
		}
		return err != nil
	}
	eventually(t, "the server to be full", full)
	for user, files := range map[string]TLSFiles{ProbeUser: ca.issue(t, dir, "c1", me, "controller"),
		ReplicationUser: ca.issue(t, dir, ReplicationUser, me)} {
		if _, err := login(pgdial.Config{User: user, TLS: files}); err != nil {
			t.Errorf("%s on a server that is full: %v", user, err)
		}
	}
	if !full() {
		t.Error("the server was not full")
	}
}

// TestSettingsByVersion: a setting that older versions do not know keeps them from starting.
func TestSettingsByVersion(t *testing.T) {
	const name = "idle_replication_slot_timeout"
	for major, want := range map[int]string{13: "", 17: "", 18: "0"} {
		i := &Server{Binaries: Binaries{Major: major}}
		v, ours := i.Values(Settings{})[name]
		if v != want || ours != (want != "") || strings.Contains(i.render(Settings{}), name) != ours {
			t.Errorf("on %d it is %q", major, v)
		}
	}
	if !slices.Contains(ManagedKeys(), name) {
		t.Error("it is not listed")
	}
	if b := needPostgres(t); b.Major < 18 {
		return
	}
	i, ctx := newServer(t, newAuthority(t), "feed-e1"), testContext(t)
	check(t, i.Initialise(ctx))
	f := must(os.OpenFile(filepath.Join(i.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0))
	_, err := f.WriteString("\n" + name + " = 1s\n")
	check(t, err)
	check(t, f.Close())
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	shows(t, i, map[string]string{name: "0"})
}

func stop(t *testing.T, i *Server) {
	t.Helper()
	check(t, i.StopFast(testContext(t)))
	eventually(t, "the end of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
}
