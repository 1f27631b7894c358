// Package register reads and writes registers (key -> value) in PostgreSQL from several clients at once, keeps when each
// operation was called and when it returned, and lets porcupine say whether the history is one that a single register
// could have had (linearizable): a stale read, a lost write and a write from a second primary are none.
//
// It must never take an operation without an answer for one without effect: its outcome stays open to the end. And it
// must never read without a write. With quorum-sealed a fenced primary may answer plain reads until its lease ends, and a
// primary restarted after a crash shows commits that no replica holds (the limits in safety.md): such reads promise
// nothing. So a read also updates its row and waits until that is durable, as a write does: the value that it saw comes before that
// commit in the log, so a member that holds the commit holds that value.
//
// Flow enters by Start, each client records its operations, and it leaves by Check.
package register

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lib/pq"

	"mainstay/test/platform/pgclient"
)

// Defaults of Options.
const (
	DefaultEvery = 20 * time.Millisecond
	DefaultLimit = 500 * time.Millisecond
)

// retryPause follows an attempt that could not connect, or lost its connection: each new one costs the server a process.
const retryPause = 100 * time.Millisecond

// A register is given up for the next one after so many operations, or so many writes whose outcome is open: the work of
// the check grows with their number, exponentially with the latter.
const (
	mostOperations = 300
	mostOpen       = 4
)

const (
	schema = `CREATE SCHEMA IF NOT EXISTS mainstay_test;
		CREATE TABLE IF NOT EXISTS mainstay_test.register (run text, key int, value bigint NOT NULL DEFAULT 0, reads bigint NOT NULL DEFAULT 0, PRIMARY KEY (run, key))`
	write = `INSERT INTO mainstay_test.register AS r (run, key, value) VALUES ($1, $2, $3)
		ON CONFLICT (run, key) DO UPDATE SET value = excluded.value`
	read = `INSERT INTO mainstay_test.register AS r (run, key) VALUES ($1, $2)
		ON CONFLICT (run, key) DO UPDATE SET reads = r.reads + 1 RETURNING value`
)

// Options describe one run.
type Options struct {
	// Clients are connection strings, one for each client. Some should reach whichever member is writable, and some one
	// member each, so that one that believes to be primary is asked whatever the others believe.
	Clients []string
	Every   time.Duration // from one attempt of a client to its next; default DefaultEvery
	Limit   time.Duration // for connecting, and for each statement; default DefaultLimit
}

// Tester is a run. Its methods may be called from many goroutines, also after Stop.
type Tester struct {
	o       Options
	run     string // registers of other runs are other registers
	cancel  context.CancelFunc
	clients sync.WaitGroup
	start   time.Time // all times are since it, by the monotonic clock

	mu       sync.Mutex
	key      int // of the register in use
	used     int // operations on it
	open     int // of them, writes whose outcome is open
	value    int64
	done     []operation
	attempts int
	last     error // why an attempt failed, most recently
}

// operation is one read or write as its client saw it.
type operation struct {
	client, key    int
	write          bool
	value          int64 // written, or read
	called, ending time.Duration
	open           bool // no answer: a write that may take effect at any time from its call on
}

// Setup makes the table; see pgclient.Make.
func Setup(ctx context.Context, dsn string) error {
	if err := pgclient.Make(ctx, dsn, "register", schema); err != nil {
		return fmt.Errorf("create the table of the registers: %w", err)
	}
	return nil
}

// Start begins to read and write. The caller stops it; the end of ctx does too.
func Start(ctx context.Context, o Options) (*Tester, error) {
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &Tester{o: o, cancel: cancel, start: time.Now(), run: fmt.Sprintf("%x", rand.Uint64())}
	var dbs []*sql.DB
	for n, dsn := range o.Clients {
		db, err := pgclient.Open(dsn, pgclient.Options{Name: "register", Connect: o.Limit, Statement: o.Limit, AnyServer: true})
		if err != nil {
			cancel()
			return nil, fmt.Errorf("client %d: %w", n, err)
		}
		db.SetMaxIdleConns(-1)
		dbs = append(dbs, db)
	}
	for n, db := range dbs {
		t.clients.Go(func() { t.loop(ctx, n, db) })
	}
	return t, nil
}

// Answered is the number of operations that were answered so far.
func (t *Tester) Answered() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.done {
		if !o.open {
			n++
		}
	}
	return n
}

// Stop ends the run and waits for the running operations.
func (t *Tester) Stop() {
	t.cancel()
	t.clients.Wait()
}

// loop is the life of one client. It keeps a connection while the server answers, a replica's too.
func (t *Tester) loop(ctx context.Context, client int, db *sql.DB) {
	defer db.Close()
	var conn *sql.Conn
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
			return
		case <-next.C:
		}
		begun := time.Now()
		if conn = t.attempt(ctx, client, db, conn); conn == nil {
			next.Reset(max(retryPause, t.o.Every))
			continue
		}
		next.Reset(t.o.Every - time.Since(begun))
	}
}

// attempt makes one operation on conn, or on a new connection, and returns the connection to use next, if any.
func (t *Tester) attempt(ctx context.Context, client int, db *sql.DB, conn *sql.Conn) *sql.Conn {
	var err error
	if conn == nil {
		if conn, err = db.Conn(ctx); err != nil {
			t.record(nil, err) // nothing was asked yet
			return nil
		}
	}
	op := t.next(client)
	if op.write {
		_, err = pgclient.Exec(ctx, conn, write, t.run, op.key, op.value)
	} else {
		err = pgclient.Query(ctx, conn, func(r *sql.Rows) error { return r.Scan(&op.value) }, read, t.run, op.key)
	}
	op.ending = time.Since(t.start)
	switch op.open = err != nil; {
	case err == nil:
		t.record(&op, nil)
		return conn
	case refused(err):
		t.record(nil, err)
		return conn
	case !op.write:
		t.record(nil, err) // a read without an answer saw nothing, and changed no value
	default:
		t.record(&op, err)
	}
	conn.Close()
	return nil
}

// next draws an operation on the register in use. Values are never written twice.
func (t *Tester) next(client int) operation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used >= mostOperations || t.open >= mostOpen {
		t.key, t.used, t.open = t.key+1, 0, 0
	}
	t.used++
	op := operation{client: client, key: t.key, write: rand.IntN(2) == 0}
	if op.write {
		t.value++
		op.value = t.value
	}
	op.called = time.Since(t.start)
	return op
}

// record keeps an operation (nil: one without effect) and why it failed, if it did.
func (t *Tester) record(op *operation, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.attempts++
	if err != nil {
		t.last = err
	}
	if op == nil {
		return
	}
	t.done = append(t.done, *op)
	if op.open && op.key == t.key {
		t.open++
	}
}

// refused tells whether the server said no before it did anything: it is read-only, so the write is not there.
func refused(err error) bool {
	var warned *pgclient.ErrWarned
	if errors.As(err, &warned) {
		return false // committed on this server, if nowhere else
	}
	e := pq.As(err)
	return e != nil && e.Code == pgclient.ReadOnly
}
