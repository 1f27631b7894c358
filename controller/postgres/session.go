package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
)

// statementBound ends a statement of a kept session on the server's side, should nothing wait for its answer any more.
const statementBound = 2 * time.Second

// Session is a kept superuser session with the member's PostgreSQL, for repeated questions: a new connection costs the
// server a process. It shows what moves; see pgdial.Session for what it does not show. It runs single statements, each a
// transaction of its own, so that it holds no snapshot between them.
type Session struct {
	*pgdial.Session
	PID    int // of its backend
	server *Server
}

// Keep opens a session; the caller closes it. That it opens proves that new connections work.
func (i *Server) Keep(ctx context.Context) (s *Session, err error) {
	defer i.wrap("open a session with", &err)
	c := i.Local()
	c.Runtime["lock_timeout"] = "500" // a user may lock the table of the write probe, which shows nothing about the write path
	c.Runtime["statement_timeout"] = strconv.FormatInt(statementBound.Milliseconds(), 10)
	kept, err := pgdial.Keep(ctx, c)
	if err != nil {
		return nil, err
	}
	s = &Session{Session: kept, server: i}
	if err := s.Row(ctx, "SELECT pg_backend_pid()", &s.PID); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Status is Instance.Status on this session: what it shows of settings is proven by the session's first one alone.
func (s *Session) Status(ctx context.Context) (st Status, err error) {
	defer s.server.wrap("status of", &err)
	var raw []byte
	if err := s.Row(ctx, statusSQL(s.server.Binaries.Major), &raw); err != nil {
		return Status{}, err
	}
	return parseStatus(raw)
}

// Moving asks for what moves.
func (s *Session) Moving(ctx context.Context) (m Moving, err error) {
	defer s.server.wrap("look at", &err)
	var raw []byte
	if err := s.Row(ctx, movingSQL(s.server.Binaries.Major), &raw); err != nil {
		return Moving{}, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return Moving{}, fmt.Errorf("the server's answer: %w", err)
	}
	m.ConnInfo = redact(m.ConnInfo)
	return m, nil
}

const writeProbeSQL = `INSERT INTO mainstay.beat AS b (id, n, at) VALUES (1, 1, clock_timestamp())
	ON CONFLICT (id) DO UPDATE SET n = b.n + 1, at = excluded.at`

// WriteProbe makes a small commit that proves a primary's write path: flushed on this disk, waiting for no replica. CreateRoles
// made its table.
func (s *Session) WriteProbe(ctx context.Context) (err error) {
	defer s.server.wrap("write probe of", &err)
	return s.Exec(ctx, writeProbeSQL)
}

// AdvanceSlot moves an idle physical slot forward to what its member has; the caller never names more than that. An
// active slot is moved by its own sender, and a slot never goes back: both are left alone.
func (s *Session) AdvanceSlot(ctx context.Context, name string, to platform.LSN) (err error) {
	defer s.server.wrap("advance slot "+name+" of", &err)
	return s.Exec(ctx, `SELECT pg_replication_slot_advance(slot_name, $2::pg_lsn) FROM pg_replication_slots
		WHERE slot_name = $1 AND slot_type = 'physical' AND NOT active AND restart_lsn < $2::pg_lsn
		AND coalesce(wal_status, '') <> 'lost'`, name, to.String())
}

// Admits proves, on a new connection, that the postmaster still takes some, and tells what such a connection sees of the settings
// that a Moving has.
func (i *Server) Admits(ctx context.Context) (syncNames, connInfo string, err error) {
	defer i.wrap("open a new connection to", &err)
	const shown = "SELECT current_setting('synchronous_standby_names'), current_setting('primary_conninfo')"
	err = i.with(ctx, func(c *sql.Conn) error { return c.QueryRowContext(ctx, shown).Scan(&syncNames, &connInfo) })
	return syncNames, redact(connInfo), err
}
