// Package pgtest runs real PostgreSQL servers for the tests of the sample platform: each in its own directory, under a
// user PostgreSQL accepts, ended and removed with the test, also when it fails.
//
// It must never touch a server that it did not start. Flow enters by Start and Server.Standby; tests talk to Server.DSN.
package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/pgclient"
)

const startLimit = 60 * time.Second // a loaded machine of two CPUs is slow at initdb

// Server is one PostgreSQL instance, listening on loopback. Its methods fail the test.
type Server struct {
	Port int
	t    testing.TB
	bin  string
	dir  string // parent of data/ and of the socket, owned by cred
	cred *syscall.SysProcAttr
	cmd  *exec.Cmd // nil while stopped
	log  *bytes.Buffer
}

// Start runs initdb and the server. It skips the test where PostgreSQL is not installed.
func Start(t testing.TB) *Server {
	t.Helper()
	s := prepare(t)
	s.run("initdb", "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", s.data())
	s.Up()
	return s
}

// Standby clones s into a streaming replica and starts it.
func (s *Server) Standby() *Server {
	s.t.Helper()
	r := prepare(s.t)
	r.run("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", r.data(), "-d", s.DSN()+" application_name=standby")
	r.Up()
	return r
}

func prepare(t testing.TB) *Server {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Skip("no PostgreSQL under /usr/lib/postgresql: install one to run this test")
	}
	sort.Strings(bins)
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, bin: bins[len(bins)-1], dir: dir, Port: kit.FreePort(t), cred: &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}}
	t.Cleanup(func() { s.Kill(); os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		s.becomePostgres()
	}
	return s
}

// becomePostgres makes the server run as the user postgres, since it refuses to run as root.
func (s *Server) becomePostgres() {
	u, err := user.Lookup("postgres")
	if err != nil {
		s.t.Skip("root cannot run PostgreSQL, and there is no user postgres: run the test as another user")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(s.dir, uid, gid); err != nil {
		s.t.Fatal(err)
	}
	s.cred.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// DSN reaches this server alone.
func (s *Server) DSN() string { return DSN(s) }

// DSN reaches whichever of the servers is writable.
func DSN(servers ...*Server) string {
	var hosts, ports []string
	for _, s := range servers {
		hosts, ports = append(hosts, "127.0.0.1"), append(ports, strconv.Itoa(s.Port))
	}
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable",
		strings.Join(hosts, ","), strings.Join(ports, ","))
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.cred
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.dir}
	return cmd
}

func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if out, err := s.command(ctx, name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// SQL runs one statement on this server.
func (s *Server) SQL(query string, args ...any) {
	s.t.Helper()
	if err := s.try(query, args...); err != nil {
		s.t.Fatalf("port %d: %s: %v", s.Port, query, err)
	}
}

func (s *Server) try(query string, args ...any) error {
	db, err := pgclient.Open(s.DSN(), pgclient.Options{AnyServer: true, Statement: 5 * time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(query, args...)
	return err
}
