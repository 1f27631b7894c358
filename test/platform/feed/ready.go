package feed

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"mainstay/test/platform/pgclient"
)

// readyLimit bounds the answer to "do you reach a writable primary?": it must come before the caller gives up, which is
// after a second: a reachability check without an answer does not count.
const readyLimit = 700 * time.Millisecond

var (
	errSlow     = errors.New("no writable primary answered within " + readyLimit.String())
	errReadOnly = errors.New("the server is read-only: it is not the primary any more")
)

// readiness asks whether a writable primary is reached, on a connection of its own that is kept while it works, so that a
// busy pool is not taken for a lost primary, nor a dead host in the connection string for one. One question is running
// at a time, which further callers join.
type readiness struct {
	db  *sql.DB
	all sync.WaitGroup

	mu    sync.Mutex
	asked *question // the running one, or nil
}

type question struct {
	done chan struct{} // closed when err is the answer
	err  error
}

func newReadiness(db *sql.DB) *readiness {
	db.SetMaxOpenConns(1)
	return &readiness{db: db}
}

// close waits for the last question, which the limits of the connection bound.
func (r *readiness) close() error {
	r.all.Wait()
	return r.db.Close()
}

func (r *readiness) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	q := r.join()
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		return errSlow
	}
}

// join returns the running question, and begins one where there is none.
func (r *readiness) join() *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked == nil {
		q := &question{done: make(chan struct{})}
		r.asked = q
		r.all.Go(func() {
			q.err = r.once()
			if q.err != nil {
				q.err = r.once() // the connection that was kept may have led to an earlier primary
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = nil
			close(q.done)
		})
	}
	return r.asked
}

func (r *readiness) once() error {
	c, err := r.db.Conn(context.Background()) // bounded by the limits of the connection
	if err != nil {
		return err
	}
	defer c.Close()
	writable := false
	err = pgclient.Query(context.Background(), c, func(rows *sql.Rows) error { return rows.Scan(&writable) },
		"SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::bool FROM (SELECT count(*) FROM "+
			"(SELECT FROM posts LIMIT 1) p) q")
	if err == nil && !writable {
		err = errReadOnly
	}
	if err != nil {
		pgclient.Discard(c)
	}
	return err
}

// Ready tells, within a second, whether a writable primary with the feed's tables is reached.
func (s *Store) Ready(ctx context.Context) error { return s.readiness.ask(ctx) }
