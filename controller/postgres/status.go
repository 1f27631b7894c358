package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
)

// Status is what a new connection showed, in one statement. A zero LSN or timeline is unknown.
type Status struct {
	InRecovery bool      `json:"in_recovery"`
	SystemID   string    `json:"system_id"`
	Version    string    `json:"version"`
	Started    time.Time `json:"started"` // the postmaster
	// Timeline is that of the WAL being written (primary) or received and replayed (standby); CheckpointTimeline that of
	// the latest checkpoint: only when the two are equal may others be rewound from here.
	Timeline           platform.Timeline `json:"timeline"`
	CheckpointTimeline platform.Timeline `json:"checkpoint_timeline"`

	Insert platform.LSN `json:"insert"` // primary only
	Flush  platform.LSN `json:"flush"`  // primary only

	Receive     platform.LSN `json:"receive"` // standby; zero if this postmaster has run no receiver
	Replay      platform.LSN `json:"replay"`
	Paused      bool         `json:"paused"`
	PauseState  string       `json:"pause_state"`  // "not paused", "pause requested", "paused"
	StartupWait string       `json:"startup_wait"` // wait event of the startup process
	Receiver    *Receiver    `json:"receiver"`

	// Asked is when the connection of this very look was started, by the server's clock.
	Asked time.Time `json:"asked"`

	Senders []Sender `json:"senders"`
	Slots   []Slot   `json:"slots"`

	SyncNames     string `json:"sync_names"` // synchronous_standby_names
	SyncNamesFile string `json:"sync_names_file"`
	ConnInfo      string `json:"conninfo"` // primary_conninfo, a password hidden
	ConnInfoFile  string `json:"conninfo_file"`

	PendingRestart   []string `json:"pending_restart"`
	SyncWaits        int      `json:"sync_waits"` // backends that wait for an acknowledgement
	Connections      int      `json:"connections"`
	MaxConnections   int      `json:"max_connections"`
	ChecksumFailures int64    `json:"checksum_failures"` // over all databases, since their statistics were reset
}

// Receiver is the WAL receiver of a standby.
type Receiver struct {
	PID     int          `json:"pid"`
	Status  string       `json:"status"` // "streaming", "waiting", ...
	Host    string       `json:"host"`
	Port    int          `json:"port"`
	Slot    string       `json:"slot"`
	Written platform.LSN `json:"written"`
	Flushed platform.LSN `json:"flushed"`
	AgeMS   int64        `json:"age_ms"` // since its last message, by the server's clock; -1: none yet
}

// Sender is one WAL sender.
type Sender struct {
	PID          int          `json:"pid"`
	Name         string       `json:"name"` // application_name
	Addr         string       `json:"addr"`
	State        string       `json:"state"`
	Sent         platform.LSN `json:"sent"`
	Write        platform.LSN `json:"write"`
	Flush        platform.LSN `json:"flush"`
	Replay       platform.LSN `json:"replay"`
	Started      time.Time    `json:"started"`
	SyncPriority int          `json:"sync_priority"`
	SyncState    string       `json:"sync_state"`
	Logical      bool         `json:"logical"`
}

// Slot is one replication slot.
type Slot struct {
	Name      string       `json:"name"`
	Physical  bool         `json:"physical"`
	Active    bool         `json:"active"`
	Restart   platform.LSN `json:"restart"`
	WALStatus string       `json:"wal_status"` // "reserved", "extended", "unreserved", "lost"
}

// Status asks the server about itself, as the superuser, on a new connection, in one round trip.
func (i *Instance) Status(ctx context.Context) (s Status, err error) {
	defer i.wrap("status of", &err)
	var raw []byte
	err = i.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, statusSQL(i.Binaries.Major)).Scan(&raw)
	})
	if err != nil {
		return Status{}, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return Status{}, fmt.Errorf("the server's answer: %w", err)
	}
	s.ConnInfo = redact(s.ConnInfo)
	return s, nil
}

const beatSQL = `INSERT INTO mainstay.beat AS b (id, n, at) VALUES (1, 1, clock_timestamp())
	ON CONFLICT (id) DO UPDATE SET n = b.n + 1, at = excluded.at`

// Beat makes the small commit that proves a primary's write path: flushed on this disk, waiting for no replica, on a new
// connection. CreateRoles made its table. A user's lock on it, or a server that is read-only by default, proves nothing.
func (i *Instance) Beat(ctx context.Context) (err error) {
	defer i.wrap("beat of", &err)
	c := i.Local()
	c.Runtime["lock_timeout"], c.Runtime["default_transaction_read_only"] = "500", "off"
	return pgdial.WithConn(ctx, c, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, beatSQL)
		return err
	})
}
