package pgclient_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/internal/pgtest"
	"mainstay/test/platform/pgclient"
)

// silentPort is a server that accepts and never says a word, as a frozen one does.
func silentPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port // the kernel accepts for it
}

func TestFrozenServerIsGivenUp(t *testing.T) {
	dsn := "host=127.0.0.1 user=u dbname=d sslmode=disable port=" + strconv.Itoa(silentPort(t))
	db, err := pgclient.Open(dsn, pgclient.Options{Connect: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	begun := time.Now()
	_, err = db.Conn(context.Background())
	if took := time.Since(begun); err == nil || took > 3*time.Second {
		t.Fatalf("connecting to a silent server: err %v after %v, want an error soon after 100 ms", err, took)
	}
	if !pgclient.Transient(err) {
		t.Errorf("%v counts as permanent", err)
	}
}

func TestHostsAreTriedForAWritableOne(t *testing.T) {
	primary := pgtest.Start(t)
	standby := primary.Standby()
	dsn := pgtest.DSN(standby, primary)
	frozen := "host=127.0.0.1," + strings.TrimPrefix(dsn, "host=")
	frozen = strings.Replace(frozen, "port=", "port="+strconv.Itoa(silentPort(t))+",", 1)
	db, err := pgclient.Open(frozen, pgclient.Options{Connect: 200 * time.Millisecond, Name: "chooser"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var port int
	var name string
	if err := db.QueryRow("SELECT inet_server_port(), current_setting('application_name')").Scan(&port, &name); err != nil {
		t.Fatal(err)
	}
	if port != primary.Port || name != "chooser" {
		t.Errorf("got to port %d as %q, want the primary %d as chooser", port, name, primary.Port)
	}
}

func TestFrozenSessionEndsAtTheStatementDeadline(t *testing.T) {
	s := pgtest.Start(t)
	db, err := pgclient.Open(s.DSN(), pgclient.Options{Statement: 200 * time.Millisecond, Name: "victim"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Freeze("victim"); n != 1 {
		t.Fatalf("froze %d sessions, want 1", n)
	}
	begun := time.Now()
	_, err = pgclient.Exec(context.Background(), c, "CREATE TABLE t (n int)")
	if took := time.Since(begun); err == nil || took < 150*time.Millisecond || took > 3*time.Second {
		t.Fatalf("write on a frozen session: err %v after %v, want an error after 200 ms", err, took)
	}
	if _, err := pgclient.Exec(context.Background(), c, "SELECT 1"); err == nil {
		t.Error("the connection is still in use after its deadline: a late answer could pass for a new one")
	}
}

// A wait for replicas that is cut short is answered as a success with a warning. It must not count as acknowledged.
func TestCancelledWaitIsNoAcknowledgement(t *testing.T) {
	s := pgtest.Start(t)
	s.SQL("CREATE TABLE t (n int)")
	s.SQL("ALTER SYSTEM SET synchronous_standby_names = '*'")
	s.SQL("SELECT pg_reload_conf()")
	db, err := pgclient.Open(s.DSN(), pgclient.Options{Statement: 20 * time.Second, Name: "waiter"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kit.Within(t, time.Minute, "the list of standbys is loaded", func() bool {
		var v string
		return db.QueryRow("SHOW synchronous_standby_names").Scan(&v) == nil && v == "*"
	})
	c, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for { // a commit waits only once the checkpointer has told the sessions of the list as well
			if _, err := pgclient.Exec(context.Background(), c, "INSERT INTO t VALUES (1)"); err != nil {
				done <- err
				return
			}
		}
	}()
	kit.Within(t, time.Minute, "the commit waits for a replica, and is cancelled", func() bool {
		var cancelled bool
		err := db.QueryRow(`SELECT coalesce(bool_or(pg_cancel_backend(pid)), false) FROM pg_stat_activity
			WHERE application_name = 'waiter' AND wait_event = 'SyncRep'`).Scan(&cancelled)
		return err == nil && cancelled
	})
	err = <-done
	var warned *pgclient.ErrWarned
	if !errors.As(err, &warned) || !pgclient.Transient(err) {
		t.Fatalf("got %v, want ErrWarned", err)
	}
}

func TestDSN(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(file, []byte("host=a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_DSN", "host=b")
	if got, err := pgclient.DSN(file, "TEST_DSN"); got != "host=a" || err != nil {
		t.Errorf("from the file: %q, %v", got, err)
	}
	if got, err := pgclient.DSN("", "TEST_DSN"); got != "host=b" || err != nil {
		t.Errorf("from the environment: %q, %v", got, err)
	}
	if _, err := pgclient.DSN("", "TEST_DSN_UNSET"); err == nil || !strings.Contains(err.Error(), "TEST_DSN_UNSET") {
		t.Errorf("neither: %v, want an error that names the variable", err)
	}
	_, err := pgclient.Open("postgres://u:hunter2@a:b:c/", pgclient.Options{})
	if !errors.Is(err, pgclient.ErrDSN) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("bad DSN: %v, want ErrDSN without the password", err)
	}
}
