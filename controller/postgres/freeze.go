package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"mainstay/controller/platform"
)

// ReplayPaused is the state of a replay that has stopped (Status.PauseState). One that is only asked to pause finishes its record first.
const ReplayPaused = "paused"

// PauseReplay asks a standby to pause its replay, and returns once it has. The standby continues receiving WAL on the stream that it has,
// but asks for no other one (PostgreSQL's documentation, "Recovery Control Functions"; RecoveryPauseLoop waits there alone).
func (i *Server) PauseReplay(ctx context.Context) (err error) {
	defer i.wrap("pause the replay of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		if _, err := c.ExecContext(ctx, "SELECT pg_wal_replay_pause()"); err != nil {
			return err
		}
		return poll(ctx, func() (bool, error) {
			var state string
			err := c.QueryRowContext(ctx, "SELECT pg_get_wal_replay_pause_state()").Scan(&state)
			return state == ReplayPaused, err
		})
	})
}

// ErrHeld is returned where a resume would promote a standby, because it was started with Settings.Hold.
var ErrHeld = errors.New("it holds at a recovery target, where a resume promotes it: restart it without first")

// ResumeReplay ends a pause.
func (i *Server) ResumeReplay(ctx context.Context) (err error) {
	defer i.wrap("resume the replay of", &err)
	return i.with(ctx, func(c *sql.Conn) error { return resumeReplay(ctx, c) })
}

func resumeReplay(ctx context.Context, c *sql.Conn) error {
	var held bool
	if err := c.QueryRowContext(ctx, "SELECT current_setting('recovery_target_lsn') <> ''").Scan(&held); err != nil {
		return err
	}
	if held {
		return ErrHeld
	}
	_, err := c.ExecContext(ctx, "SELECT pg_wal_replay_resume()")
	return err
}

// HoldAt is where a stopped standby must be held that shall replay no further: the least position at which its data is consistent. Its
// files have nothing newer.
func (i *Server) HoldAt(ctx context.Context) (platform.LSN, error) {
	c, err := i.ControlData(ctx)
	switch {
	case err != nil:
		return 0, err
	case c.MinRecovery == 0 || c.BackupEndNeeded:
		return 0, fmt.Errorf("%s has no position at which its replay could be held: it has not run as a standby", i.Member)
	}
	return c.MinRecovery, nil
}
