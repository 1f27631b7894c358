package pgdial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// closeBound bounds the closing message of a session: the server may be frozen.
const closeBound = 100 * time.Millisecond

// Session is one kept connection. It dials once: database/sql's own reconnects would hide the loss of a session. It ends with the first
// failure that is not the server's answer to a statement, and with a FATAL answer.
//
// A kept session proves nothing about new connections, nor about the settings that they would get. It serves one caller at a time; only
// Abort may be called concurrently.
type Session struct {
	cfg   Config
	db    *sql.DB
	conn  *sql.Conn
	raw   *boundedConn
	stmts map[string]*sql.Stmt
	lost  atomic.Bool
}

// Keep opens a session, before ctx ends (DefaultOnce, if it has no end). The caller closes it.
func Keep(ctx context.Context, cfg Config) (s *Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, DefaultOnce) // or sooner
	defer cancel()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	connector, err := pq.NewConnectorConfig(cfg.pq())
	if err != nil {
		return nil, &Error{cfg.place(), cfg.User, err}
	}
	d := &keptDialer{dialer: dialer{cfg: cfg, once: ctx}}
	connector.Dialer(d)
	s = &Session{cfg: cfg, db: sql.OpenDB(connector), stmts: map[string]*sql.Stmt{}}
	s.db.SetMaxOpenConns(1)
	if s.conn, err = s.db.Conn(ctx); err != nil {
		s.db.Close()
		return nil, s.fault(ctx, err)
	}
	s.raw = d.made
	s.raw.stop() // from here on each call has its own bound
	return s, nil
}

// keptDialer returns the connection that it has made.
type keptDialer struct {
	dialer
	made *boundedConn
}

// DialContext returns the kept connection, once.
func (d *keptDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dialer.DialContext(ctx, network, address)
	if b, ok := c.(*boundedConn); ok {
		d.made = b
	} else if err == nil {
		c.Close()
		return nil, errors.New("a kept session is for local connections")
	}
	return c, err
}

// Row runs a statement without parameters that returns one row, prepared at its first use, before ctx ends.
func (s *Session) Row(ctx context.Context, statement string, into ...any) error {
	return s.within(ctx, func() error {
		st, err := s.prepared(statement)
		if err != nil {
			return err
		}
		return st.QueryRow().Scan(into...)
	})
}

// Exec runs a statement, prepared at its first use, before ctx ends.
func (s *Session) Exec(ctx context.Context, statement string, args ...any) error {
	return s.within(ctx, func() error {
		st, err := s.prepared(statement)
		if err != nil {
			return err
		}
		_, err = st.Exec(args...)
		return err
	})
}

// Query runs a statement that may take long, before ctx ends (DefaultOnce, if it has no end), and calls each for every row of its answer.
func (s *Session) Query(ctx context.Context, each func(*sql.Rows) error, statement string, args ...any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultOnce)
		defer cancel()
	}
	return s.until(ctx, func() error {
		rows, err := s.conn.QueryContext(context.Background(), statement, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := each(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func (s *Session) prepared(statement string) (*sql.Stmt, error) {
	if st := s.stmts[statement]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), statement)
	if err == nil {
		s.stmts[statement] = st
	}
	return st, err
}

// within bounds one call by ctx, or by DefaultOnce, if that is sooner.
func (s *Session) within(ctx context.Context, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultOnce) // or sooner
	defer cancel()
	return s.until(ctx, call)
}

// until bounds one call by the end of ctx through the connection itself: lib/pq would keep waiting.
func (s *Session) until(ctx context.Context, call func() error) error {
	if s.lost.Load() {
		return &Error{s.cfg.place(), s.cfg.User, ErrLost}
	}
	s.raw.until, _ = ctx.Deadline()
	stop := context.AfterFunc(ctx, s.Abort)
	err := call()
	stop()
	if err == nil {
		return nil
	}
	var answer *pq.Error
	if !errors.As(err, &answer) || answer.Severity != "ERROR" {
		s.lost.Store(true)
	}
	return s.fault(ctx, err)
}

// ErrLost is returned for a call on a session that has ended.
var ErrLost = errors.New("the session has ended")

// fault adds the place to an error; errors.Is(err, context.DeadlineExceeded) always finds a passed bound.
func (s *Session) fault(ctx context.Context, err error) error {
	end, _ := ctx.Deadline()
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%v)", cause, err)
	} else if cause == nil && !time.Now().Before(end) && !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w (%v)", context.DeadlineExceeded, err)
	}
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	return &Error{s.cfg.place(), s.cfg.User, err}
}

// Lost tells whether the session has ended.
func (s *Session) Lost() bool { return s.lost.Load() }

// Abort ends the session and its running call at once.
func (s *Session) Abort() {
	s.lost.Store(true)
	s.raw.Conn.Close()
}

// Close ends the session, with a closing message to the server.
func (s *Session) Close() {
	if !s.lost.Swap(true) {
		s.raw.until = time.Now().Add(closeBound)
	}
	s.conn.Close()
	s.db.Close()
	s.raw.Conn.Close()
}
