package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// Control is the control file, pg_control: what the data directory says of itself while no server runs, and lags
// behind while one does.
type Control struct {
	SystemID         string
	State            string // PostgreSQL's words: "shut down", "in production", ...
	Checkpoint       platform.LSN
	Redo             platform.LSN
	Timeline         platform.Timeline // of the latest checkpoint
	PrevTimeline     platform.Timeline
	MinRecovery      platform.LSN // zero: none
	MinTimeline      platform.Timeline
	BackupEndNeeded  bool // a base backup that has not been replayed to its end
	Checksums        bool
	WALLogHints      bool
	WALLevel         string
	SegmentSize      uint64 // bytes
	BlockSize        uint64 // of WAL, bytes
	MaxConnections   int
	MaxWorkers       int
	MaxWALSenders    int
	MaxPrepared      int
	MaxLocks         int
	CatalogueVersion string
}

// Clean tells whether the last server on this data ended by a completed shutdown.
func (c *Control) Clean() bool { return c.State == "shut down" || c.State == "shut down in recovery" }

// ControlData reads the control file by way of pg_controldata.
func (i *Instance) ControlData(ctx context.Context) (c Control, err error) {
	defer i.wrap("control data of", &err)
	out, err := i.run(ctx, "pg_controldata", "-D", i.Data)
	if err != nil {
		return Control{}, err
	}
	if strings.Contains(out, "CRC checksum does not match") {
		return Control{}, ErrCorruptControl // pg_controldata only warns, and prints what it read
	}
	return parseControl(out)
}

// ErrCorruptControl is returned when the data directory's control file does not match its own checksum: nothing it says
// can be believed, and PostgreSQL does not start with it.
var ErrCorruptControl = errors.New("the control file (global/pg_control) is corrupt: its checksum does not match")

// parseControl reads pg_controldata's "key: value" lines; a key this version lacks leaves its field zero, except those
// that safety rests on.
func parseControl(out string) (Control, error) {
	f := fields{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			f[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	r := &reader{fields: f}
	c := Control{
		SystemID:         r.must("Database system identifier"),
		State:            r.must("Database cluster state"),
		Checkpoint:       r.lsn("Latest checkpoint location"),
		Redo:             r.lsn("Latest checkpoint's REDO location"),
		Timeline:         platform.Timeline(r.number("Latest checkpoint's TimeLineID")),
		PrevTimeline:     platform.Timeline(r.number("Latest checkpoint's PrevTimeLineID")),
		MinRecovery:      r.lsn("Minimum recovery ending location"),
		MinTimeline:      platform.Timeline(r.number("Min recovery ending loc's timeline")),
		BackupEndNeeded:  f["End-of-backup record required"] == "yes" || r.lsn("Backup start location") != 0,
		Checksums:        r.number("Data page checksum version") > 0,
		WALLogHints:      f["wal_log_hints setting"] == "on",
		WALLevel:         f["wal_level setting"],
		SegmentSize:      r.number("Bytes per WAL segment"),
		BlockSize:        r.number("WAL block size"),
		MaxConnections:   int(r.number("max_connections setting")),
		MaxWorkers:       int(r.number("max_worker_processes setting")),
		MaxWALSenders:    int(r.number("max_wal_senders setting")),
		MaxPrepared:      int(r.number("max_prepared_xacts setting")),
		MaxLocks:         int(r.number("max_locks_per_xact setting")),
		CatalogueVersion: f["Catalog version number"],
	}
	return c, r.err
}

type fields map[string]string

// reader keeps the first error, so that parsing reads as a list.
type reader struct {
	fields fields
	err    error
}

func (r *reader) must(key string) string {
	v, ok := r.fields[key]
	if !ok && r.err == nil {
		r.err = fmt.Errorf("pg_controldata printed no %q; is it of another major version than the data?", key)
	}
	return v
}

func (r *reader) number(key string) uint64 {
	n, err := strconv.ParseUint(r.must(key), 10, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("pg_controldata: %s: %w", key, err)
	}
	return n
}

func (r *reader) lsn(key string) platform.LSN {
	l, err := platform.ParseLSN(r.must(key))
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("pg_controldata: %s: %w", key, err)
	}
	return l
}
