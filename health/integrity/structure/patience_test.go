package structure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/wakeup"
	"mainstay/test/damage"
	"mainstay/test/kit"
)

// slow is an index whose check waits for a second at each of its 60 rows, and not while it is built.
var slow = []string{"CREATE TABLE slow (id int)", "INSERT INTO slow SELECT generate_series(1, 60)",
	`CREATE FUNCTION wait(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
		IF pg_catalog.current_setting('mst.slow', true) = 'on' THEN PERFORM pg_catalog.pg_sleep(1); END IF; RETURN n; END $$`,
	"CREATE INDEX slow_wait ON slow (wait(id))", "ALTER DATABASE d SET mst.slow = on"}

// running waits until a check's statement runs, and returns its process.
func (l *lab) running(s *damage.Server) int {
	l.t.Helper()
	for {
		if n := l.number(s, "SELECT COALESCE(max(pid), 0) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND application_name = "+
			"'mainstay-check'"); n > 0 {
			return n
		}
		kit.Check(l.t, wakeup.Pause(testContext(l.t), 20*time.Millisecond))
	}
}

// begun runs a check of the slow index beside the test.
func (l *lab) begun(ctx context.Context, s *damage.Server, o Options) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() { ended <- l.run(ctx, s, o) }()
	return ended
}

// undecided: the index is unverified, with that reason, and nothing else is wrong.
func (l *lab) undecided(out outcome, why string) {
	l.t.Helper()
	kit.Check(l.t, out.err)
	got := out.of("public.slow_wait")
	if len(got) != 1 || got[0].State != Unverified || !strings.Contains(got[0].Why, why) || len(out.wrong()) > 0 {
		l.t.Errorf("%+v, want unverified because of %q; %+v", got, why, out.wrong())
	}
	if out.Counts[Heap].Clean == 0 {
		l.t.Error("nothing else was checked")
	}
}

// TestPatience: what ends a statement and is not about the data gives no verdict, and the rest is checked.
func TestPatience(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables[:2], slow, extensions)
		once := quick
		once.Tries = 1
		t.Run("deadline", func(t *testing.T) {
			l := l.of(t)
			o := quick
			o.Long = 300 * time.Millisecond
			out := l.run(testContext(t), l.primary, o)
			l.undecided(out, "statement timeout")
			if out.Retried != 2 && out.Retried != 3 {
				t.Errorf("%d tries had no verdict", out.Retried)
			}
		})
		t.Run("cancelled query", func(t *testing.T) {
			l := l.of(t)
			ended := l.begun(testContext(t), l.primary, once)
			l.sql(l.primary, fmt.Sprintf("SELECT pg_cancel_backend(%d)", l.running(l.primary)))
			l.undecided(<-ended, "user request")
		})
		t.Run("ended session", func(t *testing.T) {
			l := l.of(t)
			ended := l.begun(testContext(t), l.primary, once)
			l.sql(l.primary, fmt.Sprintf("SELECT pg_terminate_backend(%d)", l.running(l.primary)))
			l.undecided(<-ended, "its session was ended")
		})
		t.Run("gives way", func(t *testing.T) {
			l := l.of(t)
			ended := l.begun(testContext(t), l.primary, once)
			l.running(l.primary)
			began := time.Now()
			l.sql(l.primary, "SET lock_timeout = '30s'; ALTER TABLE slow ADD COLUMN IF NOT EXISTS more int")
			out := <-ended
			l.undecided(out, "gave way")
			if took := time.Since(began); out.GaveWay != 1 || took > 15*time.Second {
				t.Errorf("it gave way %d times, and the lock took %s", out.GaveWay, took)
			}
		})
		t.Run("lock", func(t *testing.T) {
			l := l.of(t)
			ctx := testContext(t)
			held := make(chan error, 1)
			go func() {
				_, err := l.primary.SQL(ctx, "d", "BEGIN; LOCK TABLE t; SELECT pg_sleep(300)")
				held <- err
			}()
			const locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 't'::regclass"
			for l.sql(l.primary, locked) != "1" {
				kit.Check(t, wakeup.Pause(ctx, 20*time.Millisecond))
			}
			o := once
			o.Long = 300 * time.Millisecond // of the slow index
			out := l.run(ctx, l.primary, o)
			l.sql(l.primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
			if err := <-held; err == nil {
				t.Error("the lock was released before")
			}
			l.undecided(out, "")
			if got := out.of("public.t"); len(got) != 2 || !strings.Contains(got[0].Why+got[1].Why, "lock timeout") {
				t.Errorf("%+v", got)
			}
		})
		t.Run("stopped", func(t *testing.T) {
			l := l.of(t)
			ctx, cancel := context.WithCancel(testContext(t))
			ended := l.begun(ctx, l.primary, quick)
			l.running(l.primary)
			began := time.Now()
			cancel()
			if out := <-ended; !errors.Is(out.err, context.Canceled) || time.Since(began) > 5*time.Second {
				t.Errorf("%v after %s", out.err, time.Since(began))
			}
			for l.sql(l.primary, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mainstay-check'") != "0" {
				if time.Since(began) > 20*time.Second {
					t.Fatal("its session has not ended")
				}
				kit.Check(t, wakeup.Pause(testContext(t), 50*time.Millisecond))
			}
		})
		t.Run("crash", func(t *testing.T) {
			l := l.of(t)
			o := quick
			o.Pause = 3 * time.Second // the server starts again
			ended := l.begun(testContext(t), l.primary, o)
			kit.Check(t, syscall.Kill(l.running(l.primary), syscall.SIGKILL))
			out := <-ended
			l.undecided(out, "not tried again")
		})
		t.Run("recovery", func(t *testing.T) { l.of(t).conflicts() })
	})
}

// conflicts: a standby's recovery ends the statement, or waits for it a while.
func (l *lab) conflicts() {
	once := quick
	once.Tries = 1
	s := l.standby("max_standby_streaming_delay=0")
	ended := l.begun(testContext(l.t), s, once)
	l.running(s)
	l.sql(l.primary, "BEGIN; LOCK TABLE slow; SELECT pg_switch_wal(); COMMIT")
	l.undecided(<-ended, "conflict with recovery")

	l.sql(s, "ALTER SYSTEM SET max_standby_streaming_delay = -1", "SELECT pg_reload_conf()")
	kit.Check(l.t, s.Stop(testContext(l.t)), s.Start(testContext(l.t)))
	ended = l.begun(testContext(l.t), s, once)
	l.running(s)
	l.sql(l.primary, "BEGIN; LOCK TABLE slow; SELECT pg_switch_wal(); COMMIT")
	out := <-ended
	l.undecided(out, "gave way")
	if out.GaveWay != 1 {
		l.t.Errorf("it gave way %d times", out.GaveWay)
	}
}

// TestLastConnections: the connections that a server keeps for its superuser are left to others.
func TestLastConnections(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		l.begin(tables[:2], extensions)
		kit.Check(t, l.primary.Stop(testContext(t)))
		l.start(l.primary, "max_connections=8", "superuser_reserved_connections=4")
		ctx, cancel := context.WithCancel(testContext(t))
		var held []chan error
		for range 4 {
			ended := make(chan error, 1)
			go func() {
				_, err := l.primary.SQL(ctx, "d", "SELECT pg_sleep(300)")
				ended <- err
			}()
			held = append(held, ended)
		}
		for l.number(l.primary, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") < 4 {
			kit.Check(t, wakeup.Pause(ctx, 20*time.Millisecond))
		}
		o := quick
		o.Tries = 2
		out := l.run(ctx, l.primary, o)
		if !errors.Is(out.err, ErrNoServer) || !errors.Is(out.err, errFull) {
			t.Errorf("with all but the reserved connections taken: %v", out.err)
		}
		l.sql(l.primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
		cancel()
		for _, h := range held {
			<-h
		}
		for l.number(l.primary, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'") > 1 {
			kit.Check(t, wakeup.Pause(testContext(t), 20*time.Millisecond))
		}
		kit.Check(t, l.run(testContext(t), l.primary, o).err)
	})
}
