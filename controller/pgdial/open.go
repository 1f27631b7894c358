package pgdial

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/lib/pq"
)

// Error is returned when a connection, or work on it, failed. It unwraps to the cause; errors.Is(err, context.DeadlineExceeded) always
// finds a passed deadline.
type Error struct {
	Place string // host:port or the socket
	User  string
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("PostgreSQL at %s as %s: %v%s", e.Place, e.User, e.Err, remedy(e.Err))
}

// remedy says what to do about a database that takes no sessions; "" for another error. No other database is used instead: a session kept
// in template1 would keep everybody from CREATE DATABASE.
func remedy(err error) string {
	var e *pq.Error
	if !errors.As(err, &e) || e.Routine != "InitPostgres" && e.Routine != "CheckMyDatabase" {
		return ""
	}
	switch e.Code {
	case "3D000":
		return "; Mainstay needs it: CREATE DATABASE, connected to another one of the primary"
	case "55000":
		return "; Mainstay needs it: ALTER DATABASE ... ALLOW_CONNECTIONS true, connected to another one of the primary"
	}
	return ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Open returns a pool whose connections bound every read and write by cfg.IO. The caller closes it. Use WithConn for evidence.
func Open(cfg Config) (*sql.DB, error) {
	return open(cfg, nil)
}

func open(cfg Config, once context.Context) (*sql.DB, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	connector, err := pq.NewConnectorConfig(cfg.pq())
	if err != nil {
		return nil, &Error{cfg.place(), cfg.User, err}
	}
	connector.Dialer(&dialer{cfg: cfg, once: once})
	return sql.OpenDB(connector), nil
}

// WithConn opens a new connection, runs f on it and closes it, all before ctx ends (DefaultOnce, if it has no end), whatever the server
// does. The server gets the same bound as statement_timeout.
func WithConn(ctx context.Context, cfg Config, f func(*sql.Conn) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultOnce)
		defer cancel()
	}
	err := withConn(ctx, cfg, f)
	if err == nil {
		return nil
	}
	if end, _ := ctx.Deadline(); ctx.Err() == nil && !time.Now().Before(end) {
		<-ctx.Done() // the socket's deadline fired a moment before the context's
	}
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%v)", cause, err)
	}
	var placed *Error
	if errors.As(err, &placed) {
		return err
	}
	return &Error{cfg.place(), cfg.User, err}
}

func withConn(ctx context.Context, cfg Config, f func(*sql.Conn) error) error {
	end, _ := ctx.Deadline()
	left := time.Until(end)
	if left <= 0 {
		return context.DeadlineExceeded
	}
	cfg.Runtime = withTimeout(cfg.Runtime, left)
	db, err := open(cfg, ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func withTimeout(in map[string]string, left time.Duration) map[string]string {
	out := map[string]string{"statement_timeout": strconv.FormatInt(max(left.Milliseconds(), 1), 10)}
	for k, v := range in {
		out[k] = v
	}
	return out
}
