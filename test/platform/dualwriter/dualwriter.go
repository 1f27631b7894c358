// Package dualwriter is the client on each host that tries to write all the time: it sends INSERTs to every member by its
// own address, whatever its role, and proves it when two of them acknowledged as primary at once (S1).
//
// It must never accuse without proof: Overlaps is sound whatever the delays between client and server. It must never
// cancel a write or count an answer that came with a warning (see package pgclient).
//
// Flow enters by Start, each host's goroutine records its acknowledgements, and it leaves by Reigns and Overlaps.
package dualwriter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"

	"mainstay/test/platform/pgclient"
)

// Defaults of Options.
const (
	DefaultEvery = 10 * time.Millisecond
	DefaultLimit = 500 * time.Millisecond
)

// retryPause follows an attempt that could not connect, or lost its connection: each new one costs the server a process.
const retryPause = 100 * time.Millisecond

const (
	schema = `CREATE SCHEMA IF NOT EXISTS mainstay_test;
		CREATE TABLE IF NOT EXISTS mainstay_test.writes (host text NOT NULL, n bigint NOT NULL, at timestamptz NOT NULL)`
	// The answer names the timeline the row was written on: the first 8 digits of the name of the WAL file.
	insert = `INSERT INTO mainstay_test.writes VALUES ($1, $2, clock_timestamp())
		RETURNING substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)`
)

// Host is one member, reached by an address of its own (never one that moves to another member).
type Host struct{ Name, DSN string }

// Options describe one run.
type Options struct {
	Hosts []Host
	Every time.Duration // from one attempt on a host to the next; default DefaultEvery
	Limit time.Duration // for connecting, and for each statement; default DefaultLimit
}

// Tester is a run. Its methods may be called from many goroutines, also after Stop.
type Tester struct {
	o      Options
	cancel context.CancelFunc
	hosts  sync.WaitGroup
	start  time.Time // all times are since it, by the monotonic clock

	mu    sync.Mutex
	acks  []Ack
	tried map[string]int
	last  map[string]error // by host: why it did not acknowledge, most recently
}

// Start begins to write to all hosts. The caller stops it; the end of ctx does too.
func Start(ctx context.Context, o Options) (*Tester, error) {
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	ctx, cancel := context.WithCancel(ctx)
	t := &Tester{o: o, cancel: cancel, start: time.Now(), tried: map[string]int{}, last: map[string]error{}}
	dbs := map[string]*sql.DB{}
	for _, h := range o.Hosts {
		db, err := pgclient.Open(h.DSN, pgclient.Options{Name: "dualwriter", Connect: o.Limit, Statement: o.Limit, AnyServer: true})
		if err == nil && dbs[h.Name] != nil {
			err = errors.New("named twice")
		}
		if err != nil {
			cancel()
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		db.SetMaxIdleConns(-1)
		dbs[h.Name] = db
	}
	for name, db := range dbs {
		t.hosts.Go(func() { t.write(ctx, name, db) })
	}
	return t, nil
}

// Stop ends the run and waits for the running attempts.
func (t *Tester) Stop() {
	t.cancel()
	t.hosts.Wait()
}

// Tried returns how many attempts a host has seen, and its latest refusal (nil: none yet).
func (t *Tester) Tried(host string) (attempts int, refusal error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tried[host], t.last[host]
}

// write is the loop of one host. It keeps a connection while the server answers, a replica's too, on which the first write
// after a promotion succeeds: sessions from before a failover must be refused as new ones are.
func (t *Tester) write(ctx context.Context, host string, db *sql.DB) {
	defer db.Close()
	var conn *sql.Conn
	next := time.NewTimer(0)
	defer next.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
			return
		case <-next.C:
		}
		begun := time.Now()
		if conn = t.attempt(ctx, host, n, db, conn); conn == nil {
			next.Reset(max(retryPause, t.o.Every))
			continue
		}
		next.Reset(t.o.Every - time.Since(begun))
	}
}

// attempt makes one INSERT on conn, or on a new connection, and returns the connection to use next, if any.
func (t *Tester) attempt(ctx context.Context, host string, n int, db *sql.DB, conn *sql.Conn) *sql.Conn {
	a := Ack{Host: host, N: n}
	var err error
	if conn == nil {
		conn, err = db.Conn(ctx)
	}
	if err == nil {
		a.Started = time.Since(t.start)
		err = pgclient.Query(ctx, conn, func(r *sql.Rows) error { return r.Scan(&a.Timeline) }, insert, host, n)
		a.Acked = time.Since(t.start)
		if e := pq.As(err); e != nil && (e.Code == "42P01" || e.Code == "3F000") { // no such table, no such schema
			_, err = pgclient.Exec(ctx, conn, schema)
			err = errors.Join(errors.New("the table was missing"), err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried[host]++
	if err == nil {
		t.acks = append(t.acks, a)
		return conn
	}
	t.last[host] = err
	if e := pq.As(err); e != nil && e.Code == pgclient.ReadOnly {
		return conn
	}
	if conn != nil {
		conn.Close()
	}
	return nil
}
