package pgclient

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/lib/pq"
)

// ErrWarned is returned when a statement was answered, but with a WARNING: of a write, that is how PostgreSQL says that
// the wait for its replicas was cut short. The commit is local, and may be lost.
type ErrWarned struct{ Message string }

func (e *ErrWarned) Error() string {
	return "answered with a warning, so not acknowledged: " + e.Message + "; write it again to be sure"
}

// Exec runs one statement in its own transaction and returns the rows affected. A nil error means that the COMMIT was
// acknowledged, without a warning. ctx carries values only: the socket's deadline bounds the call. After an error that is
// not the server's own, and after a warning, c is broken for good, so that a late answer cannot be taken for the next one.
func Exec(ctx context.Context, c *sql.Conn, query string, args ...any) (rows int64, err error) {
	err = watched(c, func() error {
		res, err := c.ExecContext(uncancelled(ctx), query, args...)
		if err == nil {
			rows, err = res.RowsAffected()
		}
		return err
	})
	return rows, err
}

// Query runs one statement and calls scan for each row, under the rules of Exec.
func Query(ctx context.Context, c *sql.Conn, scan func(*sql.Rows) error, query string, args ...any) error {
	return watched(c, func() error {
		rows, err := c.QueryContext(uncancelled(ctx), query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// watched runs do on c and turns a warning into an error.
func watched(c *sql.Conn, do func() error) error {
	warned := ""
	err := c.Raw(func(dc any) error {
		pq.SetNoticeHandler(dc.(driver.Conn), func(e *pq.Error) {
			if e.Severity == "WARNING" {
				warned = e.Message
			}
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("connection is gone: %w", err)
	}
	if err = do(); err == nil && warned != "" {
		err = &ErrWarned{warned}
	}
	if err != nil && pq.As(err) == nil {
		Discard(c)
	}
	return err
}

// Discard closes c and keeps it out of the pool.
func Discard(c *sql.Conn) {
	c.Raw(func(any) error { return driver.ErrBadConn })
	c.Close()
}
