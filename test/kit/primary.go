package kit

import (
	"context"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
)

// Primary is an initialised, running primary named feed-e1 in a short directory; both are removed with the test. The test is skipped where
// there is no PostgreSQL, unless MAINSTAY_NEED_PG is set.
func Primary(t *testing.T) *postgres.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "mso")
	Check(t, err)
	Check(t, os.Chmod(dir, 0o755))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Check(t, err)
	Check(t, l.Close())
	i := &postgres.Server{
		Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port,
	}
	t.Cleanup(func() {
		if pid, _, ok := i.Running(); ok {
			Check(t, syscall.Kill(pid, syscall.SIGQUIT))
			_ = syscall.Kill(pid, syscall.SIGCONT) // for one that is frozen; another may be gone already
			Eventually(t, "the end of the server", func() bool { _, _, ok := i.Running(); return !ok })
		}
		Check(t, os.RemoveAll(dir))
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
	Check(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	Check(t, i.Initialise(ctx))
	Check(t, i.WriteSettings(ctx, postgres.Settings{}))
	if _, err := i.Start(ctx, postgres.StartOptions{AsPrimary: true}); err != nil {
		t.Fatal(err)
	}
	Check(t, i.WaitWritable(ctx))
	Check(t, i.CreateRoles(ctx))
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
