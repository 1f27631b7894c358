package probe

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/postgres"
)

// patience bounds every single wait of the tests.
const patience = time.Minute

// pki is a platform's CA in a folder of its own.
type pki struct {
	t   *testing.T
	dir string
}

func newPKI(t *testing.T) pki {
	t.Helper()
	p := pki{t, t.TempDir()}
	check(t, identity.InitCA(p.dir, "social"))
	return p
}

// controller is the TLS of controller c1 towards members.
func (p pki) controller() *identity.Store { return p.store(identity.RoleController, "c1") }

func (p pki) store(role, name string) *identity.Store {
	p.t.Helper()
	files := p.issue(role, name)
	s, err := identity.Load(files)
	check(p.t, err)
	return s
}

func (p pki) issue(role, name string) identity.Files {
	p.t.Helper()
	r := identity.Request{Role: role, Name: name}
	if role == identity.RolePostgres {
		r.Addresses = []string{"127.0.0.1"}
	}
	paths, err := identity.Issue(p.dir, p.dir, r)
	check(p.t, err)
	return identity.Files{CA: filepath.Join(p.dir, "ca.crt"), Cert: paths[0], Key: paths[1]}
}

// primary is an initialised, running primary whose certificate is of that platform; it ends with the test.
func (p pki) primary() *postgres.Server {
	p.t.Helper()
	t := p.t
	dir, err := os.MkdirTemp("", "msp")
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	i := &postgres.Server{
		Member: "feed-e1", Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: freePort(t),
	}
	t.Cleanup(func() {
		end(t, i)
		check(t, os.RemoveAll(dir))
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
	check(t, err)
	i.TLS = p.give(dir, i.Owner)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(t, i.Initialise(ctx))
	check(t, i.WriteSettings(ctx, postgres.Settings{}))
	if _, err := i.Start(ctx, postgres.StartOptions{AsPrimary: true}); err != nil {
		t.Fatal(err)
	}
	check(t, i.WaitWritable(ctx))
	check(t, i.CreateRoles(ctx))
	return i
}

// give copies a member's certificate to where only its PostgreSQL can read it.
func (p pki) give(dir string, o postgres.Owner) postgres.TLSFiles {
	p.t.Helper()
	from := p.issue(identity.RolePostgres, "db-e1")
	to := postgres.TLSFiles{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "m.crt"), Key: filepath.Join(dir, "m.key")}
	for a, b := range map[string]string{from.CA: to.CA, from.Cert: to.Cert, from.Key: to.Key} {
		raw, err := os.ReadFile(a)
		check(p.t, err)
		check(p.t, os.WriteFile(b, raw, 0o600))
		check(p.t, os.Chown(b, int(o.UID), int(o.GID)))
	}
	return to
}

// end ends the postmaster, frozen or not; its children follow when it is gone.
func end(t *testing.T, i *postgres.Server) {
	pid, _, ok := i.Running()
	if !ok {
		return
	}
	check(t, syscall.Kill(pid, syscall.SIGQUIT))
	_ = syscall.Kill(pid, syscall.SIGCONT) // for one that is frozen; another may be gone already
	eventually(t, "the end of the server", func() bool { _, _, ok := i.Running(); return !ok })
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}
