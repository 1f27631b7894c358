package postgres

import (
	"context"
	"database/sql"
	"errors"
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// patience bounds every single wait of the tests.
const patience = 2 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// needPostgres skips only where PostgreSQL is absent and nobody insists. MAINSTAY_PG_BIN names the programs to test with; "" is the
// newest in the usual places.
func needPostgres(t *testing.T) Binaries {
	t.Helper()
	b, err := Find(os.Getenv("MAINSTAY_PG_BIN"))
	if err != nil {
		if os.Getenv("MAINSTAY_NEED_PG") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return b
}

func testOwner(t *testing.T) Owner {
	t.Helper()
	if os.Geteuid() != 0 {
		return must(OwnerOf("/proc/self"))
	}
	o, err := LookupOwner("postgres")
	if err != nil {
		t.Skip("as root the tests need the user postgres: ", err)
	}
	return o
}

// newServer makes an instance that is not initialised, in a short directory that goes away with the test.
func newServer(t *testing.T, ca *authority, member string) *Server {
	t.Helper()
	b, o := needPostgres(t), testOwner(t)
	dir := must(os.MkdirTemp("", "mst"))
	check(t, os.Chmod(dir, 0o755))
	i := &Server{
		Member: member, Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: kit.FreePort(t), Binaries: b, Owner: o, Lock: &LockFile{},
	}
	i.TLS = ca.issue(t, dir, ReplicationUser, o)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(i.Log)
			t.Logf("log of %s:\n%s", member, log)
		}
		kill(t, i)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return i
}

// kill ends a whole server, frozen or not, and waits until its children are gone.
func kill(t *testing.T, i *Server) {
	t.Helper()
	master, _, ok := i.Running()
	if !ok {
		return
	}
	pids, err := i.children()
	check(t, err)
	for _, pid := range append([]int{master}, pids...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}
	eventually(t, "the end of the server", func() bool {
		for _, pid := range append([]int{master}, pids...) {
			if st, err := readStat(pid); err == nil && st.state != "Z" {
				return false
			}
		}
		_, _, ok := i.Running()
		return !ok
	})
}

// counted makes a server log what it has to do, and returns a check of what it and others have had to do since the last check.
func counted(t *testing.T, i *Server, others ...*Server) (took func(what string, want kit.Work)) {
	t.Helper()
	logs := []string{i.Log}
	for _, o := range others {
		logs = append(logs, o.Log)
	}
	ctx := testContext(t)
	check(t, i.exec(ctx, "ALTER SYSTEM SET log_checkpoints = on"))
	check(t, i.exec(ctx, "ALTER SYSTEM SET log_replication_commands = on"))
	check(t, i.Reload(ctx))
	before := kit.WorkOf(t, logs...)
	return func(what string, want kit.Work) {
		t.Helper()
		now := kit.WorkOf(t, logs...)
		if got := now.Since(before); got != want {
			t.Errorf("%s took %+v, want %+v", what, got, want)
		}
		before = now
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, look func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { return look(), nil }); err != nil {
		t.Fatalf("waited in vain for %s", what)
	}
}

// start starts and waits until it answers as asked.
func start(t *testing.T, i *Server, primary bool) *Process {
	t.Helper()
	ctx := testContext(t)
	p, err := i.Start(ctx, StartOptions{AsPrimary: primary})
	check(t, err)
	if primary {
		check(t, i.WaitWritable(ctx))
		check(t, i.RestoreStandbySignal(ctx))
		return p
	}
	eventually(t, i.Member+" to answer", func() bool { _, err := i.Status(ctx); return err == nil })
	return p
}

// newPrimary is an initialised, running primary with roles and one row in table t.
func newPrimary(t *testing.T, ca *authority, member string) *Server {
	t.Helper()
	i, ctx := newServer(t, ca, member), testContext(t)
	check(t, i.Initialise(ctx))
	check(t, i.WriteSettings(ctx, Settings{}))
	start(t, i, true)
	check(t, i.CreateRoles(ctx))
	check(t, i.exec(ctx, "CREATE TABLE public.t (n int)"))
	insert(t, i, 1)
	return i
}

// newStandby is a running clone that streams.
func newStandby(t *testing.T, ca *authority, member string, from *Server) (*Server, Settings) {
	t.Helper()
	i, ctx := newServer(t, ca, member), testContext(t)
	check(t, from.EnsureSlots(ctx, []string{SlotName(member)}, nil))
	check(t, i.Clone(ctx, from.source(), SlotName(member), nil, nil))
	s := follow(t, i, from)
	start(t, i, false)
	streams(t, i)
	return i, s
}

func (i *Server) source() Source { return Source{"127.0.0.1", i.Port} }

// follow writes settings that stream from another instance.
func follow(t *testing.T, i, from *Server) Settings {
	t.Helper()
	s := Settings{PrimaryConnInfo: must(i.ConnInfo(from.source(), i.Member, "")), PrimarySlot: SlotName(i.Member)}
	check(t, i.WriteSettings(testContext(t), s))
	return s
}

func streams(t *testing.T, i *Server) {
	t.Helper()
	ctx := testContext(t)
	eventually(t, i.Member+" to stream", func() bool {
		s, err := i.Status(ctx)
		return err == nil && s.Receiver != nil && s.Receiver.Status == "streaming"
	})
}

func insert(t *testing.T, i *Server, n int) {
	t.Helper()
	check(t, i.exec(testContext(t), "INSERT INTO public.t VALUES ($1)", n))
}

// rows counts the rows of t with that value; -1 if it cannot.
func rows(t *testing.T, i *Server, n int) int {
	t.Helper()
	ctx, got := testContext(t), -1
	_ = i.with(ctx, func(c *sql.Conn) error { // -1 tells
		return c.QueryRowContext(ctx, "SELECT count(*) FROM public.t WHERE n = $1", n).Scan(&got)
	})
	return got
}

// removePidFile removes what a killed server left, where the pid in it may belong to another process by now.
func removePidFile(t *testing.T, i *Server) {
	t.Helper()
	check(t, os.Remove(filepath.Join(i.Data, "postmaster.pid")))
}
