package feed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"mainstay/test/platform/pgclient"
)

// Timings of the store.
const (
	DefaultRetry = 10 * time.Second       // how long a request outlives its primary
	retryPause   = 10 * time.Millisecond  // at least, and at most: a new primary is worth asking for often, but where
	longestPause = 100 * time.Millisecond // connections are dear, as long as a try took: replicas have made a session for it
	maxConns     = 16
)

// Store keeps the posts. Its methods may be called from many goroutines; each repeats its statement on a fresh connection
// until it is answered, for the store's retry time or until ctx ends, then fails with ErrUnavailable.
type Store struct {
	db        *sql.DB
	readiness *readiness
	retry     time.Duration
}

// OpenStore prepares a store without connecting. retry zero is DefaultRetry. The caller closes it.
func OpenStore(dsn string, o pgclient.Options, retry time.Duration) (*Store, error) {
	db, err := pgclient.Open(dsn, o)
	if err != nil {
		return nil, err
	}
	own, err := pgclient.Open(dsn, o)
	if err != nil {
		db.Close()
		return nil, err
	}
	if retry <= 0 {
		retry = DefaultRetry
	}
	db.SetMaxOpenConns(maxConns)
	s := &Store{db: db, readiness: newReadiness(own), retry: retry}
	s.keepIdle()
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.readiness.close()) }

// EnsureSchema creates the tables, and waits for a primary until ctx ends.
func (s *Store) EnsureSchema(ctx context.Context) error {
	err := s.until(ctx, func(c *sql.Conn) error {
		_, err := pgclient.Exec(ctx, c, Schema)
		if e := pq.As(err); e != nil && (e.Code == "23505" || e.Code == "42P07") {
			return errRace // two app servers created the same table at once: look again
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("create the tables of the feed: %w", err)
	}
	return nil
}

// errRace is transient for until.
var errRace = errors.New("another app server is creating the tables")

// Add stores a post, once however often it is repeated. A nil error means its COMMIT was acknowledged.
// Errors: *Invalid, ErrConflict, ErrUnavailable.
func (s *Store) Add(ctx context.Context, p Post) error {
	if err := p.validate(); err != nil {
		return err
	}
	return s.do(ctx, func(c *sql.Conn) error {
		n, err := pgclient.Exec(ctx, c, InsertPost, p.ID, p.Author, p.Text)
		if err == nil && n == 0 {
			return ErrConflict
		}
		return err
	})
}

// Like records that someone likes a post; a second like of the same person changes nothing but is committed all the same
// (see Schema). Errors: *Invalid, ErrNotFound, ErrUnavailable.
func (s *Store) Like(ctx context.Context, id, who string) error {
	if !isUUID(id) {
		return ErrNotFound
	}
	if who == "" || len(who) > MaxAuthor {
		return &Invalid{"who", fmt.Sprintf("1 to %d bytes", MaxAuthor)}
	}
	return s.do(ctx, func(c *sql.Conn) error {
		_, err := pgclient.Exec(ctx, c, `INSERT INTO likes (post, who) VALUES ($1, $2)
			ON CONFLICT (post, who) DO UPDATE SET at = likes.at`, id, who)
		if e := pq.As(err); e != nil && e.Code == "23503" { // foreign key: no such post
			return ErrNotFound
		}
		return err
	})
}

// do is until with the store's own limit.
func (s *Store) do(ctx context.Context, try func(*sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.retry)
	defer cancel()
	return s.until(ctx, try)
}

// until repeats try while it fails transiently and ctx lasts. A running statement is not cancelled when ctx ends.
func (s *Store) until(ctx context.Context, try func(*sql.Conn) error) error {
	for {
		begun := time.Now()
		err := s.once(ctx, try)
		if err == nil || err != errRace && !pgclient.Transient(err) || isAnswer(err) {
			return err
		}
		s.dropIdle()
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last error: %v)", ErrUnavailable, err)
		case <-time.After(min(max(retryPause, time.Since(begun)), longestPause)):
		}
	}
}

// isAnswer tells the errors of this package from those of the connection.
func isAnswer(err error) bool {
	var invalid *Invalid
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) || errors.As(err, &invalid)
}

func (s *Store) once(ctx context.Context, try func(*sql.Conn) error) error {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	err = try(c)
	if pgclient.Transient(err) {
		pgclient.Discard(c)
	}
	return err
}

// dropIdle closes the pooled connections: after one has failed, the others most likely lead to the same lost primary, and
// each would cost a deadline to find out.
func (s *Store) dropIdle() {
	s.db.SetMaxIdleConns(-1)
	s.keepIdle()
}

func (s *Store) keepIdle() { s.db.SetMaxIdleConns(maxConns / 2) }
