package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/controller/wakeup"
)

// Control is the content of the control file.
type Control = ondisk.Control

func (i *Server) controlFile() string { return filepath.Join(i.Data, "global", "pg_control") }

// ControlData reads the control file. Of a running server it may be old, and is no evidence.
func (i *Server) ControlData(ctx context.Context) (c Control, err error) {
	defer i.wrap("control data of", &err)
	c, _, err = i.control(ctx)
	return c, err
}

// control reads the control file in this process, or, in a layout that is not known here, by pg_controldata; native tells
// which.
func (i *Server) control(ctx context.Context) (c Control, native bool, err error) {
	path := i.controlFile()
	c, err = readControl(ctx, func() ([]byte, error) { return i.Owner.readBounded(path, ondisk.ControlFileSize) })
	if errors.Is(err, ondisk.ErrLayout) {
		c, err = i.controlByProgram(ctx)
		return c, false, err
	}
	return c, true, err
}

const (
	// A server overwrites its control file in place, so that a read may meet half of a write. Only bytes that stay the same
	// are corrupt.
	controlReads   = 10
	controlAgree   = 3
	controlBetween = 5 * time.Millisecond
)

// readControl reads until the checksum matches, or until reads in a row agree that it does not.
func readControl(ctx context.Context, read func() ([]byte, error)) (Control, error) {
	var before []byte
	agree := 0
	for range controlReads {
		file, err := read()
		if err != nil {
			return Control{}, err
		}
		c, err := ondisk.ParseControl(file)
		if !errors.Is(err, ondisk.ErrChecksum) {
			return c, err
		}
		if !bytes.Equal(file, before) {
			before, agree = file, 0
		}
		if agree++; agree == controlAgree {
			return Control{}, ErrCorruptControl
		}
		if err := wakeup.Pause(ctx, controlBetween); err != nil {
			return Control{}, err
		}
	}
	return Control{}, errControlMoves
}

var errControlMoves = errors.New("the control file changes between any two reads; stop the server that writes it")

func (i *Server) controlByProgram(ctx context.Context) (Control, error) {
	var out, warnings bytes.Buffer
	if err := i.stream(ctx, &out, &warnings, "pg_controldata", "-D", i.Data); err != nil {
		return Control{}, err
	}
	// pg_controldata only warns, from 17 on to stderr, and prints what it read.
	if strings.Contains(out.String()+warnings.String(), "CRC checksum does not match") {
		return Control{}, ErrCorruptControl
	}
	return parseControl(out.String())
}

// ErrCorruptControl is returned when the data directory's control file does not match its own checksum: its content
// cannot be trusted, and PostgreSQL does not start with it.
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
		PageSize:         r.number("Database block size"),
		RelationSegment:  r.number("Blocks per segment of large relation"),
		MaxConnections:   int(r.number("max_connections setting")),
		MaxWorkers:       int(r.number("max_worker_processes setting")),
		MaxWALSenders:    int(r.number("max_wal_senders setting")),
		MaxPrepared:      int(r.number("max_prepared_xacts setting")),
		MaxLocks:         int(r.number("max_locks_per_xact setting")),
		CommitTimestamps: f["track_commit_timestamp setting"] == "on",
		CatalogueVersion: f["Catalog version number"],
		XIDs: ondisk.XIDs{Next: r.xid("Latest checkpoint's NextXID"), Oldest: r.xid("Latest checkpoint's oldestXID"),
			OldestActive: r.xid("Latest checkpoint's oldestActiveXID")},
		Multi: ondisk.Multixacts{Next: r.xid("Latest checkpoint's NextMultiXactId"),
			NextMember: r.xid("Latest checkpoint's NextMultiOffset"), Oldest: r.xid("Latest checkpoint's oldestMultiXid")},
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

// xid reads a transaction, without the epoch that some have; 0 where there is none, which is no fault.
func (r *reader) xid(key string) uint32 {
	v := r.fields[key]
	n, err := strconv.ParseUint(v[strings.LastIndexByte(v, ':')+1:], 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
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
