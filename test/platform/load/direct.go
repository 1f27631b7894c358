package load

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lib/pq"

	"mainstay/test/platform/feed"
	"mainstay/test/platform/pgclient"
)

// author marks the posts of the load in the feed.
const author = "load"

// Direct writes straight to PostgreSQL, so that nothing but the database is measured. Its strategy: each writer keeps one
// connection to the first writable host of the DSN. After any error it drops it, waits 5 ms, and tries the hosts again in
// the DSN's order, as libpq does: a host that refuses costs well under a millisecond, one that swallows packets costs the
// connect limit (500 ms) in each round, a server that hangs costs the statement limit (500 ms) once. Nothing is ever
// cancelled on the server (see package pgclient).
type Direct struct {
	dsn string
	db  *sql.DB
}

// NewDirect prepares a target; the zero Options are its strategy's. The caller closes it after the clients that use it.
func NewDirect(dsn string, o pgclient.Options) (*Direct, error) {
	if o.Name == "" {
		o.Name = "loadclient"
	}
	db, err := pgclient.Open(dsn, o)
	if err != nil {
		return nil, err
	}
	db.SetMaxIdleConns(-1) // a connection belongs to a writer and ends with it
	return &Direct{dsn, db}, nil
}

// Close ends what connections are left.
func (d *Direct) Close() error { return d.db.Close() }

// Setup creates the feed's tables; see pgclient.Make.
func (d *Direct) Setup(ctx context.Context) error {
	if err := pgclient.Make(ctx, d.dsn, "loadclient", feed.Schema); err != nil {
		return fmt.Errorf("create the tables of the feed: %w", err)
	}
	return nil
}

// Writer implements Target.
func (d *Direct) Writer() Writer { return &directWriter{db: d.db} }

// Missing implements Target. The connection that reads first has a write acknowledged, so that a server that was primary
// once, and cannot acknowledge any more, has no say.
func (d *Direct) Missing(ctx context.Context, ids []string) ([]string, error) {
	c, err := d.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := insert(ctx, c, newID()); err != nil {
		return nil, err
	}
	present := make([]string, 0, len(ids))
	err = pgclient.Query(ctx, c, func(r *sql.Rows) error {
		var id string
		err := r.Scan(&id)
		present = append(present, id)
		return err
	}, feed.PresentPosts, pq.StringArray(ids))
	if err != nil {
		return nil, err
	}
	return without(ids, present), nil
}

func insert(ctx context.Context, c *sql.Conn, id string) error {
	n, err := pgclient.Exec(ctx, c, feed.InsertPost, id, author, "post "+id)
	if err == nil && n != 1 {
		err = fmt.Errorf("the insert of %s changed %d rows, want 1", id, n)
	}
	return err
}

// directWriter holds the one connection of a writer; nil: none.
type directWriter struct {
	db   *sql.DB
	conn *sql.Conn
}

func (w *directWriter) Write(ctx context.Context, id string) (err error) {
	if w.conn == nil {
		if w.conn, err = w.db.Conn(ctx); err != nil {
			w.conn = nil
			return err
		}
	}
	if err = insert(ctx, w.conn, id); err != nil {
		w.Close()
	}
	return err
}

func (w *directWriter) Close() {
	if w.conn != nil {
		w.conn.Close()
		w.conn = nil
	}
}
