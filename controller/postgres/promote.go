package postgres

import (
	"context"
	"database/sql"
	"errors"
)

// Promote asks a standby to become primary and does not wait: pg_promote's own wait looks only every 100 ms. The caller
// has prepared the timeline, calls WaitWritable, then RestoreStandbySignal, and checks Status.Timeline.
func (i *Instance) Promote(ctx context.Context) (err error) {
	defer i.wrap("promote", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		var sent bool
		if err := c.QueryRowContext(ctx, "SELECT pg_promote(wait => false)").Scan(&sent); err != nil {
			return err
		}
		if !sent {
			return errors.New("the server could not send the promotion request; see its log")
		}
		return nil
	})
}

// WaitWritable returns once the server has left recovery. A server that still starts up refuses connections; the wait
// goes on until ctx ends.
func (i *Instance) WaitWritable(ctx context.Context) (err error) {
	defer i.wrap("wait for writes on", &err)
	for {
		err := i.with(ctx, func(c *sql.Conn) error {
			return poll(ctx, func() (bool, error) {
				var recovering bool
				err := c.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering)
				return err == nil && !recovering, err
			})
		})
		if err == nil {
			return nil
		}
		if perr := pause(ctx, reconnectEvery); perr != nil {
			return err
		}
	}
}

// Checkpoint forces one. On a new primary it must precede any rewind from it: pg_rewind reads the timeline from the
// source's control file, which still names the old one.
func (i *Instance) Checkpoint(ctx context.Context) (err error) {
	defer i.wrap("checkpoint", &err)
	return i.exec(ctx, "CHECKPOINT")
}

// startupBlocked finds whether replay is paused, and whether it waits for somebody else's snapshot, lock or pin.
const startupBlocked = `SELECT pg_is_wal_replay_paused(), EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
	AND (wait_event_type IN ('Lock', 'BufferPin') OR wait_event LIKE 'RecoveryConflict%'))`

// endBlockers ends the sessions that hold a snapshot or a transaction; the startup process does not say which one it
// waits for.
const endBlockers = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)`

// UnblockReplay ends what keeps a sealed candidate from replaying: delays (by s with NoReplayDelay, written and loaded), a
// pause, and conflicting queries. pg_promote does nothing until those end. It returns once two looks in a row were free.
// It keeps the member sealed, whatever s says: settings written here must not let it receive again.
func (i *Instance) UnblockReplay(ctx context.Context, s Settings) (err error) {
	defer i.wrap("unblock the replay of", &err)
	s.NoReplayDelay, s.Sealed = true, true
	if err := i.WriteSettings(ctx, s); err != nil {
		return err
	}
	if err := i.Reload(ctx); err != nil {
		return err
	}
	free := 0
	return i.with(ctx, func(c *sql.Conn) error {
		return poll(ctx, func() (bool, error) {
			blocked, err := unblockOnce(ctx, c)
			if free++; blocked {
				free = 0
			}
			return free == 2, err
		})
	})
}

func unblockOnce(ctx context.Context, c *sql.Conn) (blocked bool, err error) {
	var paused, conflict bool
	if err := c.QueryRowContext(ctx, startupBlocked).Scan(&paused, &conflict); err != nil {
		return true, err
	}
	if paused {
		if _, err := c.ExecContext(ctx, "SELECT pg_wal_replay_resume()"); err != nil {
			return true, err
		}
	}
	if conflict {
		if _, err := c.ExecContext(ctx, endBlockers); err != nil {
			return true, err
		}
	}
	return paused || conflict, nil
}

// EndSenders ends WAL senders by pid, before a planned stop: a shutdown waits for those that are behind, and for logical
// ones. A pid that is no sender any more is left alone.
func (i *Instance) EndSenders(ctx context.Context, pids []int) (err error) {
	defer i.wrap("end senders of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		for _, pid := range pids {
			_, err := c.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication WHERE pid = $1", pid)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
