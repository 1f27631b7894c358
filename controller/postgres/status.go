package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"mainstay/controller/platform"
)

// Status is the result of one statement on one connection. A zero LSN or timeline is unknown.
type Status struct {
	Moving
	SystemID string `json:"system_id"`
	Version  string `json:"version"`

	// Asked is when the connection of this very look was started, by the server's clock.
	Asked time.Time `json:"asked"`

	// Oldest is where the oldest WAL begins that is still in its pg_wal.
	Oldest platform.LSN `json:"oldest"`

	SyncNamesFile string `json:"sync_names_file"`
	ConnInfoFile  string `json:"conninfo_file"`
	// AlterSystemOff is where allow_alter_system is turned off; "" where it is not.
	AlterSystemOff string `json:"alter_system_off"`

	PendingRestart []string `json:"pending_restart"`
	// Unusable are lines of the configuration files, as they are now, that this server cannot use: the first three. A wrong value of a
	// start-time setting is not among them, since the server says the same of a right one that waits for a restart.
	Unusable []string `json:"unusable"`
	// Demanded are the settings that must not be lower on a standby than on its primary; Raised those of them that the command line gave.
	Demanded map[string]int `json:"demanded"`
	Raised   []string       `json:"raised"`
	// Held: a standby that was started with Settings.Hold.
	Held bool `json:"held"`
	// SyncSlots is synchronized_standby_slots, "" before 17.
	SyncSlots string `json:"sync_slots"`
	// Wanted are the values in the user's files now, loaded or not, of settings that are theirs to raise, and InForce those of the
	// server, except those from its command line.
	Wanted  map[string]string `json:"wanted"`
	InForce map[string]string `json:"in_force"`
	// Last are the settings that a file gives its value after mainstay.conf, or ALTER SYSTEM, as the files are now, loaded or not.
	Last []FileSetting `json:"last"`
	// UserSlots are slots that are not ours and outlive their session, by name: the maxUserSlots that hold most WAL. MoreUserSlots counts
	// the others.
	UserSlots     []UserSlot `json:"user_slots"`
	MoreUserSlots int        `json:"more_user_slots"`
	// Damage is how many pages did not match their checksums when they were read, in which databases, and when the last did; "" for
	// none. Each server counts for its own data, until its statistics are reset.
	Damage  string `json:"damage"`
	Damaged int64  `json:"damaged"` // how many those are

	// Archiver is nil where this server archives nothing.
	Archiver *Archiver `json:"archiver"`
	// Collations are databases whose default collation has another version on this host than was recorded, at most maxUserSlots.
	Collations []Collation `json:"collations"`
	// IOWorkers are the processes that read for all sessions, from 18 on with io_method = worker.
	IOWorkers []int `json:"io_workers"`
}

// Archiver is what the archiver has done, and what waits for it.
type Archiver struct {
	Archived string `json:"archived"` // the last file that was archived, "" for none since the statistics were reset
	Failed   string `json:"failed"`   // the last file that failed, if none was archived after that
	Failures int64  `json:"failures"` // all that were counted
	Waiting  int    `json:"waiting"`  // files
	Kept     int64  `json:"kept"`     // bytes of all files of WAL
	Segment  int64  `json:"segment"`  // bytes of one
	// Until is where the oldest WAL begins that a primary has not archived; 0 from a standby.
	Until platform.LSN `json:"until"`
}

// Collation is a collation of a database.
type Collation struct {
	Database string `json:"name"`
	Provider string `json:"provider"` // "libc", "ICU" or "builtin"
	Recorded string `json:"recorded"` // the version of it that the database's text was ordered with
	Offered  string `json:"offered"`  // this host's; "" if it has none
	// Of is "" for the database's default; otherwise which collation of columns and indexes it is.
	Of string `json:"of"`
}

// Moving is the part of a Status that changes while nothing is wrong. A kept session reads it often, and cheaply.
type Moving struct {
	InRecovery bool      `json:"in_recovery"`
	Started    time.Time `json:"started"` // the postmaster
	// Timeline is that of the WAL being written (primary) or received and replayed (standby); CheckpointTimeline that of
	// the latest checkpoint: only when the two are equal may others be rewound from here.
	Timeline           platform.Timeline `json:"timeline"`
	CheckpointTimeline platform.Timeline `json:"checkpoint_timeline"`

	Insert platform.LSN `json:"insert"` // primary only
	Flush  platform.LSN `json:"flush"`  // primary only

	Receive     platform.LSN `json:"receive"` // standby; zero if this postmaster has run no receiver
	Replay      platform.LSN `json:"replay"`
	ReplayAgeMS int64        `json:"replay_age_ms"` // of its last transaction, while it has WAL to replay; see health.Member
	Paused      bool         `json:"paused"`
	PauseState  string       `json:"pause_state"`  // "not paused", "pause requested", "paused"
	StartupWait string       `json:"startup_wait"` // wait event of the startup process
	Receiver    *Receiver    `json:"receiver"`

	Senders []Sender `json:"senders"`
	Slots   []Slot   `json:"slots"`

	// SyncNames and ConnInfo are settings (primary_conninfo with a password hidden). Only a new connection proves them: an
	// idle session reads the file at its next statement, perhaps before the postmaster has.
	SyncNames string `json:"sync_names"` // synchronous_standby_names
	ConnInfo  string `json:"conninfo"`

	SyncWaits   int `json:"sync_waits"` // backends that wait for an acknowledgement
	Connections int `json:"connections"`
}

// Refresh is s with what has moved since, as m shows. Settings stay as s has them, and so does a standby's timeline where m
// knows only an older one: within the life of a postmaster it never falls.
func (s Status) Refresh(m Moving) Status {
	if m.InRecovery && s.Started.Equal(m.Started) {
		m.Timeline = max(m.Timeline, s.Timeline)
	}
	m.SyncNames, m.ConnInfo = s.SyncNames, s.ConnInfo
	s.Moving = m
	return s
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
	Name     string       `json:"name"`
	Physical bool         `json:"physical"`
	Active   bool         `json:"active"`
	Restart  platform.LSN `json:"restart"`
	Worn     bool         `json:"worn"` // EnsureSlots makes it anew
}

// UserSlot is a replication slot that is not ours.
type UserSlot struct {
	Name        string `json:"name"`
	Logical     bool   `json:"logical"`
	Active      bool   `json:"active"`
	Held        int64  `json:"held"`         // bytes of WAL up to the server's position; -1 where none is reserved
	CatalogXmin uint32 `json:"catalog_xmin"` // 0 for none
	WALStatus   string `json:"wal_status"`
	Failover    bool   `json:"failover"` // from 17 on
	Synced      bool   `json:"synced"`   // from 17 on
}

// Status asks the server about itself, as the superuser, on a new connection, in one round trip.
func (i *Server) Status(ctx context.Context) (s Status, err error) {
	defer i.wrap("status of", &err)
	err = i.with(ctx, func(c *sql.Conn) error {
		s, err = i.statusOn(ctx, c)
		return err
	})
	return s, err
}

func (i *Server) statusOn(ctx context.Context, c *sql.Conn) (Status, error) {
	var raw []byte
	if err := c.QueryRowContext(ctx, statusSQL(i.Binaries.Major)).Scan(&raw); err != nil {
		return Status{}, err
	}
	return parseStatus(raw)
}

func parseStatus(raw []byte) (s Status, err error) {
	if err := json.Unmarshal(raw, &s); err != nil {
		return Status{}, fmt.Errorf("the server's answer: %w", err)
	}
	s.ConnInfo = redact(s.ConnInfo)
	return s, nil
}
