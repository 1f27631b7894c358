package supervisor

import (
	"context"
	"errors"
	"strings"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/pgdial"
	"mainstay/controller/postgres"
	"mainstay/health"
)

const (
	// sessionLife bounds the life of a kept session: a backend's memory grows with what it has seen.
	sessionLife = 10 * time.Minute
	// proveEvery is how often a new connection proves that a primary's postmaster accepts connections; standbyProveEvery is the same for a
	// standby's. Signs of a hang shorten it: see proofDue.
	proveEvery        = 5 * time.Second
	standbyProveEvery = 20 * time.Second
	// proveAgain is how soon a proof is retried while there is reason to doubt.
	proveAgain = time.Second
	// sessionSilent is how long a kept session may be silent before a new connection is tried beside it.
	sessionSilent = 250 * time.Millisecond
	// fullEvery is how often the session reads everything, not only the values that change often.
	fullEvery = 10 * time.Second
	// saturatedFor is how long a refusal for lack of connection slots counts as current.
	saturatedFor = proveAgain * 3 / 2
)

// errStopping is the result of a look while PostgreSQL shuts down: a smart shutdown waits for every session, so none is kept.
var errStopping = errors.New("PostgreSQL is shutting down")

// lookSession is the kept session of the looks, with the values read through it. Only the look in progress uses it.
type lookSession struct {
	sess *postgres.Session // nil for none
	pid  int               // its postmaster
	pg   *postgres.Server

	begun  time.Duration   // when the session was opened
	full   time.Duration   // when everything was last read
	proof  postgres.Status // the last values from a new connection
	status postgres.Status // the proof's settings, with newer values of those that change often

	// proved is when the last answered new connection began, tried when the last one began.
	proved, tried time.Duration
	saturated     time.Duration // when the last new connection refused for lack of slots began; 0: none since one was accepted
	queued        int           // consecutive looks at which connections waited to be accepted
	fault         string        // the server's message if it refused the last new connection; "" for lack of slots, or a stop
}

func (l *lookSession) end() {
	if l.sess != nil {
		l.sess.Close()
	}
	l.sess = nil
}

// isSaturated tells whether, as far as known, new connections are refused for lack of slots now.
func (l *lookSession) isSaturated(now time.Duration) bool {
	return l.saturated != 0 && now-l.saturated < saturatedFor
}

// proven stores the values that a new connection has shown.
func (l *lookSession) proven(s postgres.Status) {
	l.proof = s
	l.status = s.Refresh(l.moved(s))
}

// moved is the last known values that change often, if they are from the same postmaster as s.
func (l *lookSession) moved(s postgres.Status) postgres.Moving {
	if l.status.Started.Equal(s.Started) && l.status.InRecovery == s.InRecovery {
		return l.status.Moving
	}
	return s.Moving
}

// renew opens a new session and reads everything through it, which is also a proof.
func (l *lookSession) renew(ctx context.Context, pg *postgres.Server) (*postgres.Status, error) {
	l.tried = boottime.Now()
	sess, err := pg.Keep(ctx)
	if err != nil {
		l.refused(err)
		return nil, err
	}
	s, err := sess.Status(ctx)
	if err != nil {
		sess.Close()
		l.fault = faultOf(err)
		return nil, err
	}
	l.end()
	l.sess, l.begun, l.full = sess, l.tried, l.tried
	l.proved, l.saturated, l.fault = l.tried, 0, ""
	l.proof, l.status = s, s
	return &s, nil
}

// refused notes a new connection that was not accepted. Any answer of the server shows that the postmaster accepts connections.
func (l *lookSession) refused(err error) {
	l.fault = faultOf(err)
	switch code := pgdial.SQLState(err); {
	case saturated(err):
		l.saturated = l.tried
	case code != "" && code != pgdial.CannotConnectNow && code != cancelled:
		l.proved, l.saturated = l.tried, 0
	}
}

// faultOf is the server's reason for refusing a connection, for the operator. It is "" if the server was not asked, or if it hangs,
// starts, stops or has no slot left, which reports show separately.
func faultOf(err error) string {
	if code := pgdial.SQLState(err); code == "" || strings.HasPrefix(code, "57") || saturated(err) {
		return ""
	}
	return health.Brief(err)
}

// prove opens a new connection, whose settings take precedence where they differ from the known ones. A refusal is an answer.
func (l *lookSession) prove(ctx context.Context, pg *postgres.Server) error {
	l.tried = boottime.Now()
	names, conninfo, err := pg.Admits(ctx)
	switch {
	case err == nil:
		l.proved, l.saturated, l.fault = l.tried, 0, ""
		if names != l.status.SyncNames || conninfo != l.status.ConnInfo {
			_, err = l.renew(ctx, pg)
		}
	case hung(err):
	default:
		l.refused(err)
		err = nil
	}
	return err
}

// readAnew takes over what a kept session may be asked again. What a new connection alone proves stays, such as
// synchronous_standby_names in force, and what does not change while a server runs.
func readAnew(status *postgres.Status, s postgres.Status) {
	status.PendingRestart, status.Unusable, status.Timeline, status.Oldest = s.PendingRestart, s.Unusable, s.Timeline, s.Oldest
	status.Damage, status.Damaged = s.Damage, s.Damaged
	status.UserSlots, status.MoreUserSlots = s.UserSlots, s.MoreUserSlots
	status.Archiver, status.Collations, status.IOWorkers = s.Archiver, s.Collations, s.IOWorkers
	status.AlterSystemOff, status.Wanted, status.InForce, status.SyncSlots = s.AlterSystemOff, s.Wanted, s.InForce, s.SyncSlots
	status.Last = s.Last
}

// look reads the values that change often from the session; err is nil if it has answered. A silent session proves nothing: a new
// connection is tried beside it, and replaces it if that is answered.
func (l *lookSession) look(ctx context.Context, pg *postgres.Server) (changed bool, err error) {
	var s postgres.Status
	var moving postgres.Moving
	everything := boottime.Now()-l.full > fullEvery
	sess, done := l.sess, make(chan error, 1)
	go func() { // every path below waits for it
		var err error
		if everything {
			s, err = sess.Status(ctx)
			moving = s.Moving
		} else {
			moving, err = sess.Moving(ctx)
		}
		done <- err
	}()
	patience := time.NewTimer(sessionSilent)
	defer patience.Stop()
	select {
	case err = <-done:
	case <-patience.C:
		l.sess = nil
		if _, err := l.renew(ctx, pg); err == nil {
			sess.Abort()
			<-done
			sess.Close()
			return false, nil
		}
		l.sess = sess
		err = <-done // bounded by ctx
	}
	if err != nil {
		return false, err
	}
	if everything {
		l.full = boottime.Now()
		changed = s.SyncNamesFile != l.status.SyncNamesFile || s.ConnInfoFile != l.status.ConnInfoFile
		readAnew(&l.status, s)
	}
	changed = changed || moving.SyncNames != l.status.SyncNames || moving.ConnInfo != l.status.ConnInfo
	l.status = l.status.Refresh(moving)
	return changed, nil
}

// ask is a look's question to PostgreSQL. A kept session answers it if there is one; the settings in the answer are those that a new
// connection has shown. An error beside an answer concerns new connections: through a kept session alone, a hanging postmaster would
// stay unnoticed.
func (m *observer) ask(ctx context.Context, pg *postgres.Server) (*postgres.Status, error) {
	l, signs := &m.session, pg.Signs(!m.session.status.InRecovery)
	defer func() {
		if l.sess != nil {
			m.backends.look.Store(int64(l.sess.PID))
		}
	}()
	if signs.PID != l.pid || l.pg != pg {
		l.end()
		*l = lookSession{pid: signs.PID, pg: pg}
	}
	if signs.Stopping {
		l.end()
		return nil, errStopping
	}
	if signs.Starting && l.sess == nil {
		return nil, postgres.ErrStarting
	}
	if m.paused() {
		defer l.end() // its user may want a smart stop, which waits for sessions
	}
	if l.queued++; !signs.Queued {
		l.queued = 0
	}
	var full error
	if l.sess == nil || boottime.Now()-l.begun > sessionLife {
		s, err := l.renew(ctx, pg)
		if l.sess == nil || !saturated(err) {
			return s, err
		}
		full = err // the old session stays: without it a full primary would no longer be known as one
	}
	if s := m.takeShown(); s != nil {
		l.proven(*s)
	}
	changed, err := l.look(ctx, pg)
	switch {
	case err != nil && hung(err):
		return nil, err
	case err != nil: // an ended session is news, but no evidence against the server
		l.end()
		return l.renew(ctx, pg)
	case changed && !m.acting(): // an act that changes settings proves them itself
		return l.renew(ctx, pg)
	case full != nil:
		err = full
	case m.proofDue(signs):
		err = l.prove(ctx, pg)
	}
	return &l.status, err
}

// proofDue tells whether a new connection must be made only to prove that the postmaster accepts one.
func (m *observer) proofDue(signs postgres.Signs) bool {
	l, now := &m.session, boottime.Now()
	every := proveEvery
	if l.status.InRecovery {
		every = standbyProveEvery
	}
	m.mu.Lock()
	doubt := m.hangs.writes.stall.age(now, 0) > writeProbeFine
	m.mu.Unlock()
	doubt = doubt || signs.Stopped || l.queued > 1 || l.saturated != 0 || l.tried > l.proved
	return now-l.proved > every || doubt && now-l.tried > proveAgain
}
