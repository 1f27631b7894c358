// Package pg is a real PostgreSQL for tests. Nothing but tests imports it.
package pg

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
	"mainstay/test/kit"
)

// Primary is an initialised, running primary named feed-e1 in a short directory; both are removed with the test. The test is skipped where
// there is no PostgreSQL, unless MAINSTAY_NEED_PG is set.
func Primary(t *testing.T) *postgres.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mso")
	kit.Check(t, err)
	kit.Check(t, os.Chmod(dir, 0o755))
	i := &postgres.Server{
		Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: kit.FreePort(t),
		Lock: &postgres.LockFile{},
	}
	t.Cleanup(func() {
		if pid, _, ok := i.Running(); ok {
			kit.Check(t, syscall.Kill(pid, syscall.SIGQUIT))
			_ = syscall.Kill(pid, syscall.SIGCONT) // for one that is frozen; another may be gone already
			kit.Eventually(t, "the end of the server", func() bool { _, _, ok := i.Running(); return !ok })
		}
		kit.Check(t, os.RemoveAll(dir))
	})
	if i.Binaries, err = postgres.Find(os.Getenv("MAINSTAY_PG_BIN")); err != nil {
		if os.Getenv("MAINSTAY_NEED_PG") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	i.Owner, err = postgres.OwnerOf("/proc/self")
	if os.Geteuid() == 0 {
		i.Owner, err = postgres.LookupOwner("postgres")
	}
	kit.Check(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
	defer cancel()
	kit.Check(t, i.Initialise(ctx))
	kit.Check(t, i.WriteSettings(ctx, postgres.Settings{}))
	if _, err := i.Start(ctx, postgres.StartOptions{AsPrimary: true}); err != nil {
		t.Fatal(err)
	}
	kit.Check(t, i.WaitWritable(ctx))
	kit.Check(t, i.CreateRoles(ctx))
	return i
}

// SQL runs one statement as the superuser.
func SQL(ctx context.Context, pg *postgres.Server, statement string) error {
	return pgdial.WithConn(ctx, pg.Local(), func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, statement)
		return err
	})
}

// Scan reads the one value that a query returns.
func Scan(ctx context.Context, pg *postgres.Server, query string, to any) error {
	return pgdial.WithConn(ctx, pg.Local(), func(c *sql.Conn) error { return c.QueryRowContext(ctx, query).Scan(to) })
}
