package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrRewindUnfinished is returned when a rewind of this data began and did not finish: it is neither old nor new.
var ErrRewindUnfinished = errors.New("a rewind of this data did not finish; rebuild the member")

// ElsewhereError is returned by Rewind where the cause lies outside of the data, which is as it was: its source could not be asked, or the
// host did not let the data's recovery begin. A copy would meet the same.
type ElsewhereError struct{ Err error }

func (e *ElsewhereError) Error() string { return e.Err.Error() }

// Unwrap returns what failed.
func (e *ElsewhereError) Unwrap() error { return e.Err }

// rewindMark lies in Conf while pg_rewind changes the data. It names the data, since Conf may outlive it.
func (i *Server) rewindMark() string { return filepath.Join(i.Conf, "rewinding") }

// Rewind makes a stopped, diverged member follow the source again, with pg_rewind. The source must have checkpointed on
// its timeline, and the WAL to be discarded must have been kept (KeepWAL, S9): both are the caller's. A target that
// crashed is first recovered, as a standby without an upstream, so standby.signal never leaves it; o says where
// that server runs (its cgroup).
func (i *Server) Rewind(ctx context.Context, from Source, o StartOptions) (err error) {
	defer i.wrap("rewind", &err)
	if err := i.stopped(); err != nil {
		return err
	}
	if exists(i.rewindMark()) {
		return ErrRewindUnfinished
	}
	conninfo, err := i.ConnInfo(from, cloneName, "postgres")
	if err != nil {
		return err
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return err
	}
	if err := i.sameChecksums(ctx, from, c.Checksums); err != nil {
		return err
	}
	if err := errors.Join(i.undoRewind(), i.restoreSignal(), i.takeOver()); err != nil {
		return err
	}
	if !c.Clean() {
		if err := i.recoverInPlace(ctx, o); err != nil {
			return err
		}
	}
	return i.rewind(ctx, from, conninfo)
}

// ErrChecksumsDiffer is returned where only one of the two servers has checksums on its pages. pg_rewind compares neither: it takes over
// the source's control file and leaves the other pages as they are. Then every page without a checksum is refused when it is read, or
// nothing is verified any more (seen on 15.18 and 18.6).
var ErrChecksumsDiffer = errors.New("only one of the two has data checksums, and a rewind would mix pages with and without: " +
	"rebuild the member")

func (i *Server) sameChecksums(ctx context.Context, from Source, own bool) error {
	var its string
	allowed, err := i.askSource(ctx, from, "its data_checksums", func(ctx context.Context, c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT pg_catalog.current_setting('data_checksums')").Scan(&its)
	})
	if err != nil {
		return &ElsewhereError{err}
	}
	if allowed && (its == "on") != own {
		return ErrChecksumsDiffer
	}
	return nil
}

// undoRewind restores what a rewind has moved or changed for its time, in this run of the agent or in an earlier one.
func (i *Server) undoRewind() error { return errors.Join(i.lock(), i.returnHostFiles()) }

func (i *Server) rewind(ctx context.Context, from Source, conninfo string) (err error) {
	own, err := i.Owner.ownFiles(i.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.undoRewind()) }()
	if err := i.moveHostFiles(ctx); err != nil {
		return err
	}
	if _, err := i.run(ctx, "pg_rewind", "--dry-run", "--no-ensure-shutdown", "-D", i.Data, "--source-server", conninfo); err != nil {
		return trialFailed(err, from) // nothing has been touched: it may be tried again
	}
	if err := i.nothingKeptInside(); err != nil {
		return err
	}
	if err := i.saveOwn(own); err != nil { // for a rebuild, should this not be finished
		return err
	}
	if err := i.unlock(own); err != nil {
		return err
	}
	if err := i.Owner.writeFile(i.rewindMark(), []byte(i.Data+"\n"), 0o600); err != nil {
		return err
	}
	if _, err := i.run(ctx, "pg_rewind", "--no-ensure-shutdown", "-D", i.Data, "--source-server", conninfo); err != nil {
		return errors.Join(err, i.restoreSignal())
	}
	// It copied the source's files over ours: signal, ALTER SYSTEM settings, and what belongs to this host's user.
	err = errors.Join(i.restoreSignal(), i.returnHostFiles(), i.putBack(i.Data, own),
		i.Owner.removeFile(filepath.Join(i.Data, "recovery.signal")), i.dropAutoConf(i.Data), i.dropAstray(ctx))
	if err != nil {
		return err
	}
	return errors.Join(i.Owner.removeFile(i.rewindMark()), i.OwnFilesWork())
}

// dropAstray removes the segments of timelines above the source's, from 17 on: pg_rewind keeps those that it read, also of the line that it
// discards, and a standby that has such a file at its position seems to be on that timeline. They have been kept with the WAL that is
// discarded (S9). Without a backup label pg_rewind found nothing to do.
func (i *Server) dropAstray(ctx context.Context) error {
	if !exists(filepath.Join(i.Data, "backup_label")) {
		return nil
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return err
	}
	all, err := i.wal().segments(c.SegmentSize)
	for _, s := range all {
		if s.timeline > c.Timeline {
			err = errors.Join(err, i.Owner.removeFile(filepath.Join(i.wal().dir(), s.name(c.SegmentSize))))
		}
	}
	return err
}

// recoverInPlace brings a crashed data directory to a clean state: pg_rewind's own way, a single-user server, refuses to
// run with standby.signal in place. The server listens on a private socket only, replays to the end of pg_wal, and is
// stopped.
func (i *Server) recoverInPlace(ctx context.Context, o StartOptions) (err error) {
	dir, err := i.Owner.makeTemp(os.TempDir(), "mainstay-*")
	if err != nil {
		return err
	}
	defer i.Owner.removeAll(dir)
	private := *i
	private.Socket = dir
	p, err := private.Start(ctx, StartOptions{CgroupFD: o.CgroupFD, Raise: true, overrides: []pair{
		{"listen_addresses", ""}, {"unix_socket_directories", dir}, {"primary_conninfo", ""}, {"primary_slot_name", ""},
		{"restore_command", ""}, {"recovery_min_apply_delay", "0"}, {"hot_standby", "on"},
	}})
	if err != nil {
		return err
	}
	if err = private.replayAndStop(ctx, p); err == nil {
		return nil
	}
	var ended *endedError
	if errors.As(err, &ended) {
		if fault := private.Fault(ctx, p); fault.Said != "" {
			ended.said = fault.Said
			if !fault.Data && p.byItself() {
				return &ElsewhereError{fmt.Errorf("recover the crashed data: %w", err)}
			}
		}
	}
	_ = private.StopImmediate(context.WithoutCancel(ctx)) // the caller's error tells more
	return errors.Join(fmt.Errorf("recover the crashed data (see %s): %w", i.Log, err), waitFor(p, 5*time.Second))
}

// endedError: a server that was started to recover crashed data has ended before that was done.
type endedError struct {
	err  error
	said string // why, as its log says; "" if it does not
}

func (e *endedError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("the server ended: %v", e.err)
	}
	return fmt.Sprintf("the server ended: %s (%v)", e.said, e.err)
}

func (i *Server) replayAndStop(ctx context.Context, p *Process) error {
	for {
		err := ErrStarting
		if i.state() != stateStarting {
			err = i.with(ctx, func(c *sql.Conn) error {
				if err := replayed(ctx, c); err != nil {
					return err
				}
				_, err := c.ExecContext(ctx, "CHECKPOINT") // a restartpoint: little is left for the shutdown
				return err
			})
		}
		if err == nil {
			break
		}
		select {
		case <-p.Done():
			return &endedError{err: p.Err()}
		case <-ctx.Done():
			return err
		case <-time.After(reconnectEvery): // it refuses connections while it starts
		}
	}
	if err := i.StopFast(ctx); err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	c, err := i.ControlData(ctx)
	if err == nil && !c.Clean() {
		err = fmt.Errorf("after recovery and stop its state is %q", c.State)
	}
	return err
}

func waitFor(p *Process, limit time.Duration) error {
	select {
	case <-p.Done():
		return nil
	case <-time.After(limit):
		return fmt.Errorf("postmaster %d does not end", p.PID)
	}
}
