package structure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/wakeup"
)

const (
	// dialBound bounds the opening of a session, and grace is for how much longer than the server the client waits.
	dialBound = 5 * time.Second
	grace     = 5 * time.Second
	// watchAfter is when a statement is watched for sessions that wait for it, and watchEvery how often.
	watchAfter = time.Second
	watchEvery = time.Second
)

// session is a kept connection to one database.
type session struct {
	*pgdial.Session
	database string
	pid      int
	life     string        // changes when the server starts, and when it has recovered from a crash
	bound    time.Duration // its statement_timeout; 0: the longest
}

// config is how a session of a check connects.
func (x *check) config(database string, bound time.Duration) pgdial.Config {
	c := x.Local
	c.Database, c.Application = database, "mainstay-check"
	c.Runtime = maps.Clone(c.Runtime)
	if c.Runtime == nil {
		c.Runtime = map[string]string{}
	}
	maps.Copy(c.Runtime, map[string]string{
		// A session may hold an exclusive lock for long.
		"lock_timeout": "2000", "statement_timeout": fmt.Sprint(bound.Milliseconds()),
		// A closed connection ends the statement.
		"client_connection_check_interval": "1000",
		// Errors are judged by their words, too.
		"lc_messages": "C",
	})
	return c
}

const bornSQL = `SELECT pg_backend_pid(), COALESCE((SELECT max(backend_start)::text FROM pg_stat_activity
	WHERE backend_type = 'checkpointer'), ''), (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
	> current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`

// errFull is returned where only connections are left that a server keeps for its superuser: they are for those who must act.
var errFull = errors.New("the server has no connections left but the reserved ones")

// open returns the session with a database. An error that is not the context's is ErrNoServer, or the server's refusal.
func (x *check) open(ctx context.Context, database string) (*session, error) {
	if x.sess != nil && x.sess.database == database && !x.sess.Lost() {
		return x.sess, nil
	}
	x.leave()
	ctx, cancel := context.WithTimeout(ctx, dialBound)
	defer cancel()
	kept, err := pgdial.Keep(ctx, x.config(database, x.o.Long))
	if err != nil {
		return nil, err
	}
	s := &session{Session: kept, database: database}
	full := false
	if err := s.Row(ctx, bornSQL, &s.pid, &s.life, &full); err != nil {
		s.Close()
		return nil, err
	}
	if full {
		s.Close()
		return nil, errFull
	}
	x.sess = s
	return s, nil
}

// leave closes the session.
func (x *check) leave() {
	if x.sess != nil {
		x.sess.Close()
		x.sess = nil
	}
}

// once runs one statement in a database.
func (x *check) once(ctx context.Context, database string, bound time.Duration, each func(*sql.Rows) error, statement string,
	args ...any) answer {
	s, err := x.open(ctx, database)
	if err == nil && s.bound != bound {
		err = s.Exec(ctx, fmt.Sprintf("SET statement_timeout = %d", max(1, bound.Milliseconds())))
		s.bound = bound
	}
	if err != nil {
		a := answer{fate: fateOf(err), err: err, unopened: true}
		if a.fate != refused && a.fate != broken && a.fate != doubtful { // a login reads the catalog
			a.fate = again
		}
		return a
	}
	bounded, cancel := context.WithTimeout(ctx, bound+grace)
	defer cancel()
	stop := x.watch(bounded, s)
	err = s.Query(bounded, each, statement, args...)
	a := answer{fate: fateOf(err), err: err}
	a.yielded = stop() && err != nil
	if a.fate == lost && !x.crashed(ctx, database, s.life) {
		a.fate = again
	}
	return a
}

// crashed tells, after a session has ended while its statement ran, whether the server has crashed: then the statement may have been why. A
// server that does not come back counts as one. A postmaster that has yet to notice the death of a backend may still accept a session, so
// that the old life counts only if it is seen once more after a pause.
func (x *check) crashed(ctx context.Context, database, life string) bool {
	for try, lives := 1, 0; ; try++ {
		s, err := x.open(ctx, database)
		switch {
		case err == nil && s.life != life:
			return true
		case err == nil:
			if lives++; lives == 2 {
				return false
			}
			x.leave()
		case try >= x.o.Tries+lives:
			return true
		}
		if wakeup.Pause(ctx, x.o.Pause) != nil {
			return true
		}
	}
}

// watch lets a statement give way: to a session that waits for its lock, behind which all others would queue, and to recovery on a standby.
// stop ends it, waits for that, and tells whether the statement was cancelled.
func (x *check) watch(ctx context.Context, s *session) (stop func() (yielded bool)) {
	ctx, cancel := context.WithCancel(ctx)
	var cancelled atomic.Bool
	ended := make(chan struct{}) // closed when the watcher has ended
	go func() {
		defer close(ended)
		if wakeup.Pause(ctx, watchAfter) == nil {
			x.watching(ctx, s, &cancelled)
		}
	}()
	return func() bool {
		cancel()
		<-ended
		return cancelled.Load()
	}
}

const waitsSQL = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND %d = ANY (pg_blocking_pids(pid)))
	OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
		AND (wait_event_type = 'Lock' OR wait_event LIKE 'RecoveryConflict%%'))`

// watching asks in a session of its own. Without one, the statement is not watched: it ends at its deadline at the latest.
func (x *check) watching(ctx context.Context, s *session, cancelled *atomic.Bool) {
	dial, cancel := context.WithTimeout(ctx, dialBound)
	defer cancel()
	own, err := pgdial.Keep(dial, x.config(s.database, dialBound))
	if err != nil {
		return
	}
	defer own.Close()
	for {
		var waits bool
		if err := own.Row(ctx, fmt.Sprintf(waitsSQL, s.pid), &waits); err != nil {
			return
		}
		if waits {
			cancelled.Store(true)
			var sent bool
			_ = own.Row(ctx, fmt.Sprintf("SELECT pg_cancel_backend(%d)", s.pid), &sent) // the session may have ended
			return
		}
		if wakeup.Pause(ctx, watchEvery) != nil {
			return
		}
	}
}

// answer is what a statement has come to, after its tries.
type answer struct {
	fate     fate
	err      error
	yielded  bool // it was cancelled because something waited for it
	unopened bool // there was no session to run it in
}

// ask runs a statement until it has a verdict, as often as the options say. begin is called before each try. The error is only that the
// check cannot continue: the context's, or ErrNoServer.
func (x *check) ask(ctx context.Context, database string, bound time.Duration, begin func(), each func(*sql.Rows) error, statement string,
	args ...any) (answer, error) {
	for try := 1; ; try++ {
		if begin != nil {
			begin()
		}
		a := x.once(ctx, database, bound, each, statement, args...)
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		if a.fate != again {
			return a, nil
		}
		x.result.Retried++
		if a.yielded {
			x.result.GaveWay++
		}
		if try >= x.o.Tries {
			if a.unopened {
				return a, fmt.Errorf("%w: %w", ErrNoServer, a.err)
			}
			return a, nil
		}
		if err := wakeup.Pause(ctx, x.o.Pause); err != nil {
			return answer{}, err
		}
	}
}

// unverified is the reason of a verdict that a statement did not give.
func (a answer) unverified() string {
	switch {
	case a.fate == lost:
		return "the server crashed while this was checked: not tried again"
	case a.yielded:
		return "no verdict after some tries: it gave way to sessions or to recovery, which waited for its lock or its snapshot"
	case a.fate == again && pgdial.SQLState(a.err) == "":
		return "no verdict after some tries: its session was ended"
	case a.fate == again:
		return "no verdict after some tries: " + text(a.err)
	default:
		return text(a.err)
	}
}
