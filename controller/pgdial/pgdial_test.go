package pgdial

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const limit = 200 * time.Millisecond

// silent listens and never answers; accepted connections stay open until the test ends.
func silent(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func endsInTime(t *testing.T, begin time.Time) {
	t.Helper()
	if took := time.Since(begin); took > limit+2*time.Second {
		t.Fatalf("took %s with a bound of %s", took, limit)
	}
}

func TestSilentServerEndsAtDeadline(t *testing.T) {
	dir := t.TempDir()
	silent(t, "unix", filepath.Join(dir, ".s.PGSQL.5432"))
	tests := map[string]Config{
		"tcp":  {Host: "127.0.0.1", Port: port(silent(t, "tcp", "127.0.0.1:0")), User: "x"},
		"unix": {SocketDir: dir, Port: 5432, User: "x"},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			begin := time.Now()
			err := WithConn(ctx, cfg, func(*sql.Conn) error { return nil })
			endsInTime(t, begin)
			var placed *Error
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &placed) || placed.Place == "" {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func TestCancelEndsAtOnce(t *testing.T) {
	cfg := Config{Host: "127.0.0.1", Port: port(silent(t, "tcp", "127.0.0.1:0")), User: "x"}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	stop := time.AfterFunc(limit, cancel)
	defer stop.Stop()
	begin := time.Now()
	if err := WithConn(ctx, cfg, func(*sql.Conn) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	endsInTime(t, begin)
}

func TestPoolBoundsEachRead(t *testing.T) {
	db, err := Open(Config{Host: "127.0.0.1", Port: port(silent(t, "tcp", "127.0.0.1:0")), User: "x", IO: limit})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	begin := time.Now()
	if err := db.Ping(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("error %v", err)
	}
	endsInTime(t, begin)
}

// TestPeerIdentity: the other end sees the given uid, and this process has its own back.
func TestPeerIdentity(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take another identity")
	}
	path := filepath.Join(socketDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := dialUnix(ctx, path, &OSUser{UID: 65534, GID: 65533})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if cred := credentials(t, peer); cred.Uid != 65534 || cred.Gid != 65533 {
		t.Fatalf("the server saw %+v", cred)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks { // a file made by root's threads belongs to root, so do the threads
		fi, err := os.Stat(filepath.Join("/proc/self/task", task.Name()))
		if err == nil && fi.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Fatalf("thread %s kept uid %d", task.Name(), fi.Sys().(*syscall.Stat_t).Uid)
		}
	}
}

// TestFullQueue: connect does not wait for a unix socket whose queue is full, so dialUnix must, and only so long.
func TestFullQueue(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can take another identity")
	}
	path := filepath.Join(socketDir(t), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), os.Chmod(path, 0o777), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	begin := time.Now()
	for range 10 {
		c, err := dialUnix(ctx, path, &OSUser{UID: 65534, GID: 65534})
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			endsInTime(t, begin)
			return
		}
		defer c.Close()
	}
	t.Fatal("ten connections fitted into a queue of none")
}

// socketDir is a directory that other users may enter.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgdial")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func credentials(t *testing.T, c net.Conn) *unix.Ucred {
	t.Helper()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		t.Fatal(err)
	}
	if cerr != nil {
		t.Fatal(cerr)
	}
	return cred
}

func TestConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]Config{
		"nowhere": {Port: 1, User: "x"}, "both": {Host: "a", SocketDir: "b", Port: 1, User: "x"},
		"no port": {Host: "a", User: "x"}, "no user": {Host: "a", Port: 1},
	} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestEnvironmentHasNoSay: a PGHOST of the operator's shell must not redirect the agent.
func TestEnvironmentHasNoSay(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere")
	t.Setenv("PGSSLMODE", "disable")
	cfg := Config{Host: "10.0.0.1", Port: 5433, User: "x", TLS: TLSFiles{CA: "ca"}}
	if got := cfg.pq(); got.Host != "10.0.0.1" || got.SSLMode != "verify-ca" || got.Port != 5433 {
		t.Fatalf("%+v", got)
	}
}
