package damage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"mainstay/controller/osuser"
	"mainstay/controller/postgres"
)

// Server is a scratch server without Mainstay: a plain PostgreSQL on a socket in a folder of its own.
type Server struct {
	Binaries postgres.Binaries
	Owner    postgres.Owner
	Dir      string // has the data directory and the socket
	Data     string
	log      string
}

// Installations are the programs to test with: those of MAINSTAY_PG_BIN and of MAINSTAY_PG_BINS, a list, or else the newest in the usual
// places. Each major version is there once.
func Installations() (all []postgres.Binaries, err error) {
	seen := map[int]bool{}
	for _, dir := range append([]string{os.Getenv("MAINSTAY_PG_BIN")}, filepath.SplitList(os.Getenv("MAINSTAY_PG_BINS"))...) {
		b, err := postgres.Find(dir)
		if err != nil {
			return nil, err
		}
		if !seen[b.Major] {
			seen[b.Major] = true
			all = append(all, b)
		}
	}
	return all, nil
}

// TestOwner is the user that servers run as: postgres if we are root, which PostgreSQL refuses.
func TestOwner() (postgres.Owner, error) {
	if os.Geteuid() != 0 {
		return postgres.OwnerOf("/proc/self")
	}
	return postgres.LookupOwner("postgres")
}

// NewServer initialises a server in dir, which must be short (the socket is in it), and does not start it. Further arguments are initdb's.
func NewServer(ctx context.Context, b postgres.Binaries, o postgres.Owner, dir string, args ...string) (*Server, error) {
	s, err := at(b, o, dir)
	if err != nil {
		return nil, err
	}
	_, err = s.Run(ctx, "initdb", append([]string{"-N", "-k", "-A", "trust", "-U", "postgres", "--locale=C", "-D", s.Data}, args...)...)
	return s, err
}

// Existing is a server on data that is there already, such as a restored backup, with its socket in dir.
func Existing(b postgres.Binaries, o postgres.Owner, dir, data string) (*Server, error) {
	s, err := at(b, o, dir)
	if err == nil {
		s.Data = data
	}
	return s, err
}

func at(b postgres.Binaries, o postgres.Owner, dir string) (*Server, error) {
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, int(o.UID), int(o.GID))); err != nil {
		return nil, err
	}
	return &Server{Binaries: b, Owner: o, Dir: dir, Data: filepath.Join(dir, "data"), log: filepath.Join(dir, "log")}, nil
}

// Copy copies the data of a stopped server.
func (s *Server) Copy(ctx context.Context, dir string) (*Server, error) {
	c, err := at(s.Binaries, s.Owner, dir)
	if err != nil {
		return nil, err
	}
	return c, CopyData(ctx, s.Data, c.Data)
}

// CopyData copies the data directory of a stopped server.
func CopyData(ctx context.Context, from, to string) error {
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// Start starts the server with settings, and waits until it answers.
func (s *Server) Start(ctx context.Context, settings ...string) error {
	options := fmt.Sprintf("-k '%s' -c listen_addresses= -c fsync=off", s.Dir)
	for _, set := range settings {
		options += " -c " + set
	}
	_, err := s.Run(ctx, "pg_ctl", "-w", "-D", s.Data, "-l", s.log, "-o", options, "start")
	return err
}

// Stop stops it cleanly.
func (s *Server) Stop(ctx context.Context) error {
	_, err := s.Run(ctx, "pg_ctl", "-w", "-m", "fast", "-D", s.Data, "stop")
	return err
}

// Kill ends it where it still runs.
func (s *Server) Kill(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.Data, "postmaster.pid")); err != nil {
		return nil
	}
	_, err := s.Run(ctx, "pg_ctl", "-w", "-m", "immediate", "-D", s.Data, "stop")
	return err
}

// Follow makes a copy the standby of a server.
func (s *Server) Follow(primary *Server) error {
	conf := filepath.Join(s.Data, "postgresql.auto.conf")
	f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "primary_conninfo = 'host=%s user=postgres'\n", primary.Dir)
	signal := filepath.Join(s.Data, "standby.signal")
	return errors.Join(err, f.Close(), os.WriteFile(signal, nil, 0o600), sameOwner(conf, signal))
}

func sameOwner(of, path string) error {
	info, err := os.Stat(of)
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(st.Uid), int(st.Gid))
}

// SQL runs statements in a database, and returns what they print, without spaces at the ends.
func (s *Server) SQL(ctx context.Context, database string, statements ...string) (string, error) {
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", s.Dir, "-U", "postgres", "-d", database}
	for _, st := range statements {
		args = append(args, "-c", st)
	}
	return s.Run(ctx, "psql", args...)
}

// Checksums runs pg_checksums on a stopped server's data, and returns what it prints.
func (s *Server) Checksums(ctx context.Context) (string, error) {
	return s.Run(ctx, "pg_checksums", "--check", "-D", s.Data)
}

// Run runs one of PostgreSQL's programs as the owner, and returns what it prints. Its output goes to a file: a server that it starts keeps
// that open.
func (s *Server) Run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := os.CreateTemp("", "out")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Binaries.Dir, program), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	cmd.Env = append(os.Environ(), "PGOPTIONS=", "HOME=/")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: osuser.User{UID: s.Owner.UID, GID: s.Owner.GID}.Credential()}
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if err != nil {
		if program == "pg_ctl" {
			log, _ := os.ReadFile(s.log)
			text = append(text, log...)
		}
		return string(text), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(text))
	}
	return strings.TrimSpace(string(text)), readErr
}
