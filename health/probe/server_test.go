package probe

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/postgres"
	"mainstay/test/kit"
	"mainstay/test/kit/certs"
)

// pki is a platform's CA in a folder of its own.
type pki struct {
	t *testing.T
	certs.Authority
}

func newPKI(t *testing.T) pki {
	t.Helper()
	return pki{t, certs.New(t, "social")}
}

// controller is the TLS of controller c1 towards members.
func (p pki) controller() *identity.Store { return p.Store(identity.RoleController, "c1") }

// primary is an initialised, running primary whose certificate is of that platform; it ends with the test.
func (p pki) primary() *postgres.Server {
	p.t.Helper()
	t := p.t
	dir, err := os.MkdirTemp("", "msp")
	kit.Check(t, err)
	kit.Check(t, os.Chmod(dir, 0o755))
	i := &postgres.Server{
		Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: kit.FreePort(t),
	}
	t.Cleanup(func() {
		end(t, i)
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
	i.TLS = p.give(dir, i.Owner)
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

// give copies a member's certificate to where only its PostgreSQL can read it.
func (p pki) give(dir string, o postgres.Owner) postgres.TLSFiles {
	p.t.Helper()
	from := p.Files(identity.RolePostgres, "db-e1")
	to := postgres.TLSFiles{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "m.crt"), Key: filepath.Join(dir, "m.key")}
	for a, b := range map[string]string{from.CA: to.CA, from.Cert: to.Cert, from.Key: to.Key} {
		raw, err := os.ReadFile(a)
		kit.Check(p.t, err)
		kit.Check(p.t, os.WriteFile(b, raw, 0o600))
		kit.Check(p.t, os.Chown(b, int(o.UID), int(o.GID)))
	}
	return to
}

// end ends the postmaster, frozen or not; its children follow when it is gone.
func end(t *testing.T, i *postgres.Server) {
	pid, _, ok := i.Running()
	if !ok {
		return
	}
	kit.Check(t, syscall.Kill(pid, syscall.SIGQUIT))
	_ = syscall.Kill(pid, syscall.SIGCONT) // for one that is frozen; another may be gone already
	kit.Eventually(t, "the end of the server", func() bool { _, _, ok := i.Running(); return !ok })
}
