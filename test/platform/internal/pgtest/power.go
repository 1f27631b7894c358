package pgtest

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"syscall"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/pgclient"
)

// Up starts the server and waits until it answers.
func (s *Server) Up() {
	s.t.Helper()
	s.log = &bytes.Buffer{}
	cmd := s.command(context.Background(), "postgres", "-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "wal_retrieve_retry_interval=100ms",
		"-c", "max_connections=40", "-c", "shared_buffers=16MB", "-c", "hot_standby=on")
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = cmd
	kit.Within(s.t, startLimit, "server answers", func() bool { return s.try("SELECT 1") == nil })
}

// Stop is a clean, fast shutdown; Kill an immediate one, as after a crash. Both wait for the process, and do nothing to a
// server that is down.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill is described at Stop.
func (s *Server) Kill() { s.end(syscall.SIGQUIT) }

func (s *Server) end(sig os.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	last := time.AfterFunc(30*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait()
	last.Stop()
	s.cmd = nil
}

// Promote makes a standby primary and waits until it takes writes.
func (s *Server) Promote() {
	s.t.Helper()
	s.SQL("SELECT pg_promote(false)")
	kit.Within(s.t, startLimit, "promoted server is writable", func() bool {
		return s.try("CREATE TEMP TABLE writable (n int)") == nil
	})
}

// Freeze stops (SIGSTOP) the server's sessions of that application name, and returns how many; the test's end wakes them.
func (s *Server) Freeze(application string) int {
	s.t.Helper()
	db, err := pgclient.Open(s.DSN(), pgclient.Options{AnyServer: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT pid FROM pg_stat_activity WHERE application_name = $1", application)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			s.t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGCONT) }) // runs before Kill, which was registered earlier
	}
	return n
}
