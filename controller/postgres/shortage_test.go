package postgres

import (
	"database/sql"
	"errors"
	"mainstay/test/kit"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestShortage: a standby with less of a setting than its primary replays no further. That is told apart from a pause of an operator's;
// a start that raises the setting ends it, and the promotion after that leaves a server that runs.
func TestShortage(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, settings := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	short := func() []string {
		s, err := b.Status(ctx)
		check(t, err)
		why, err := b.Shortage(ctx, s)
		check(t, err)
		return why
	}

	check(t, b.exec(ctx, "SELECT pg_wal_replay_pause()"))
	eventually(t, "the pause", func() bool { s, err := b.Status(ctx); return err == nil && s.PauseState == "paused" })
	if why := short(); len(why) > 0 {
		t.Errorf("replay was paused by hand: %q", why)
	}
	check(t, b.exec(ctx, "SELECT pg_wal_replay_resume()"))

	check(t, a.StopFast(ctx))
	eventually(t, "the end of the primary", func() bool { _, _, ok := a.Running(); return !ok })
	file, err := os.OpenFile(a.userConfig(), os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = file.WriteString("max_connections = 130\nmax_locks_per_transaction = 80\n")
	check(t, errors.Join(err, file.Close()))
	start(t, a, true)
	took := counted(t, a, b)
	insert(t, a, 2)
	want := []string{"max_connections is 100, and its primary has 130", "max_locks_per_transaction is 64, and its primary has 80"}
	eventually(t, "the shortage", func() bool { return slices.Equal(short(), want) })

	check(t, b.StopFast(ctx))
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	p, err := b.Start(ctx, StartOptions{})
	check(t, err)
	<-p.Done() // as it is, it does not even start
	if p.Err() == nil {
		t.Fatal("a standby that is short of a setting was expected to refuse to start")
	}
	_, err = b.Start(ctx, StartOptions{Raise: true})
	check(t, err)
	eventually(t, "what it had not replayed", func() bool { return rows(t, b, 2) == 1 })
	took("the shortage", kit.Work{Starts: 2})
	s, err := b.Status(ctx)
	check(t, err)
	if strings.Join(s.Raised, " ") != "max_connections max_locks_per_transaction" || len(short()) > 0 {
		t.Errorf("raised %q, short of %q", s.Raised, short())
	}
	_, _, err = b.Seal(ctx, settings)
	check(t, err)
	_, err = b.Promote(ctx, Promotion{Settings: Settings{}, Timeline: 2, Arm: func() error { return nil }})
	check(t, err)
	check(t, b.with(ctx, func(c *sql.Conn) error {
		var n int
		err := c.QueryRowContext(ctx, "SELECT current_setting('max_connections')::int").Scan(&n)
		if n != 130 {
			t.Errorf("max_connections is %d after the promotion", n)
		}
		return err
	}))
}
