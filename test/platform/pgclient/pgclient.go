// Package pgclient is how the programs of the sample platform reach PostgreSQL: as a careful customer would, with lib/pq,
// a DSN that names every member, and a deadline on every exchange.
//
// It must never ask the server to cancel a write. A cancelled wait for replication is *acknowledged* by PostgreSQL, with
// a mere WARNING, although no replica holds the commit. So writes run without a cancellable context, a socket deadline
// gives up on a server that hangs, and an answer that came with a WARNING is no acknowledgement (ErrWarned).
//
// Flow enters by Open, runs through Exec and Query, and leaves as rows or as an error after which the connection is gone.
package pgclient

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

// Defaults of Options, as a client that is configured for failover would choose them.
const (
	DefaultConnect   = 500 * time.Millisecond
	DefaultStatement = 500 * time.Millisecond
)

// Options are the habits of one client.
type Options struct {
	Name      string        // application_name, unless the DSN has one
	Connect   time.Duration // for each host: TCP, TLS and sign-in together; default DefaultConnect
	Statement time.Duration // for each exchange, from the first byte sent to the last received; default DefaultStatement
	AnyServer bool          // also accept a server that is read-only; otherwise the DSN's hosts are tried for a writable one
}

func (o Options) withDefaults() Options {
	if o.Connect <= 0 {
		o.Connect = DefaultConnect
	}
	if o.Statement <= 0 {
		o.Statement = DefaultStatement
	}
	return o
}

// ErrDSN is returned when a connection string cannot be read. The string is not shown: it may hold a password.
var ErrDSN = errors.New("the connection string cannot be read (not shown here, it may hold a password): " +
	"write it as host=a,b port=5432,5432 dbname=... user=... or postgres://user@a,b/db")

// Open prepares connections to the hosts of dsn, tried in its order until one is writable (target_session_attrs=read-write,
// unless the DSN says otherwise). It does not connect. The caller closes the DB. Errors: ErrDSN.
func Open(dsn string, o Options) (*sql.DB, error) {
	o = o.withDefaults()
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, ErrDSN
	}
	cfg.ConnectTimeout = o.Connect
	cfg.BinaryParameters = true // parse, bind and execute in one round trip
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = o.Name
	}
	if cfg.TargetSessionAttrs == "" && !o.AnyServer {
		cfg.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	c, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, ErrDSN
	}
	c.Dialer(dialer{connect: o.Connect, exchange: o.Statement})
	return sql.OpenDB(c), nil
}

// DSN reads the connection string from a file if one is named, else from the environment variable env. It is never an
// argument of a command, where every user of the host could read it.
func DSN(file, env string) (string, error) {
	if file == "" {
		if v := os.Getenv(env); v != "" {
			return v, nil
		}
		return "", fmt.Errorf("no connection string: set %s, or name a file that holds it with -dsn-file", env)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the connection string: %w", err)
	}
	if s := strings.TrimSpace(string(b)); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("file %s is empty: write the connection string into it", file)
}

// ReadOnly is the SQLSTATE with which a replica refuses a write (read_only_sql_transaction). Its session stays usable.
const ReadOnly = "25006"

// Transient tells whether err may pass once there is a primary again: a lost or refused connection, a server
// that starts, stops or recovers, one that turned read-only, an answer with a warning. Such a write is *unknown*: it may
// or may not have been committed.
func Transient(err error) bool {
	if err == nil || errors.Is(err, ErrDSN) || errors.Is(err, sql.ErrNoRows) {
		return false
	}
	e := pq.As(err)
	if e == nil { // sockets, EOF, driver.ErrBadConn, ErrWarned, contexts
		return true
	}
	switch e.Code.Class() {
	case "08", "53", "57", "40": // connection, resources, operator intervention, rollback
		return true
	}
	return e.Code == ReadOnly // this one is not the primary (any more)
}

// uncancelled drops cancellation from ctx, because lib/pq turns it into a cancel request (see the package comment).
func uncancelled(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
