package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mainstay/controller/pgdial"
)

// TestAccounts logs in over the network: the application with its password, the probe with its certificate.
func TestAccounts(t *testing.T) {
	ca := newAuthority(t)
	i := newPrimary(t, ca, "feed-e1")
	ctx, dir := testContext(t), filepath.Dir(i.Conf)
	file := filepath.Join(dir, "password")
	check(t, os.WriteFile(file, []byte("it's \\ secret\n"), 0o600))
	o := InitOptions{Database: "social", Role: "app", PasswordFile: file}
	check(t, i.CreateApplication(ctx, o))
	check(t, i.CreateApplication(ctx, o))
	check(t, i.CreateRoles(ctx))

	pass := filepath.Join(dir, "pass")
	check(t, os.WriteFile(pass, fmt.Appendf(nil, "127.0.0.1:%d:social:app:it's \\\\ secret\n", i.Port), 0o600))
	who := func(c pgdial.Config) (name string, err error) {
		c.Host, c.Port = "127.0.0.1", i.Port
		err = pgdial.WithConn(ctx, c, func(c *sql.Conn) error {
			return c.QueryRowContext(ctx, "SELECT current_user").Scan(&name)
		})
		return name, err
	}
	if name, err := who(pgdial.Config{User: "app", Database: "social", Passfile: pass}); err != nil || name != "app" {
		t.Fatalf("application: %q %v", name, err)
	}
	if _, err := who(pgdial.Config{User: "app", Database: "social"}); err == nil {
		t.Fatal("the application came in without its password")
	}
	me := must(OwnerOf("/proc/self"))
	probe := ca.issue(t, dir, "c1", me, "controller")
	if name, err := who(pgdial.Config{User: ProbeUser, TLS: probe, VerifyHost: true}); err != nil || name != ProbeUser {
		t.Fatalf("probe: %q %v", name, err)
	}
	if _, err := who(pgdial.Config{User: ReplicationUser, TLS: probe}); err == nil {
		t.Fatal("a certificate opened another account")
	}
	for unit, name := range map[string]string{"viewer": "c1", "agent": ProbeUser, "": ProbeUser, "a": "c1,OU=controller"} {
		if _, err := who(pgdial.Config{User: ProbeUser, TLS: ca.issue(t, t.TempDir(), name, me, unit)}); pgdial.SQLState(err) != "28000" {
			t.Fatalf("the certificate of %s %s opened the probe's account, or was not looked at: %v", unit, name, err)
		}
	}
	stranger := newAuthority(t).issue(t, t.TempDir(), "c1", me, "controller")
	if _, err := who(pgdial.Config{User: ProbeUser, TLS: stranger}); err == nil {
		t.Fatal("a stranger's certificate was taken")
	}
}
