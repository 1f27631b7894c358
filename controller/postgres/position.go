package postgres

import (
	"context"
	"database/sql"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
)

// Position is the end of valid WAL on a standby's disk. Unknown counts for the fence, never for completeness.
type Position struct {
	LSN      platform.LSN
	Known    bool
	Timeline platform.Timeline
}

// atEnd are the startup process's waits that mean: everything in pg_wal has been replayed.
func atEnd(waitEvent string) bool {
	return waitEvent == "RecoveryWalStream" || waitEvent == "RecoveryRetrieveRetryInterval"
}

// EndKnown tells whether the larger of received and replayed is the end of a standby's WAL at this look: its
// receiver has run, or replay waits for more at the end of pg_wal.
func (s *Status) EndKnown() bool { return s.Receive != 0 || atEnd(s.StartupWait) }

// Position reads it, for a standby that receives nothing any more. The larger of received and replayed stands for it
// only if this postmaster ran the receiver: after a restart the received position is NULL, and replay understates it
// until the startup process waits at the end of pg_wal, on two looks one retry interval apart, at the same place.
func (i *Server) Position(ctx context.Context) (p Position, err error) {
	defer i.wrap("position of", &err)
	err = i.with(ctx, func(c *sql.Conn) error {
		p, _, err = i.positionOn(ctx, c)
		return err
	})
	return p, err
}

func (i *Server) positionOn(ctx context.Context, c *sql.Conn) (Position, Status, error) {
	s, err := i.statusOn(ctx, c)
	if err != nil {
		return Position{}, Status{}, err
	}
	p := Position{LSN: max(s.Receive, s.Replay), Timeline: s.Timeline}
	if !s.InRecovery {
		return Position{LSN: s.Flush, Timeline: s.Timeline}, s, nil // a primary's end moves: nothing to build on
	}
	if s.Receive != 0 {
		p.Known = true
		return p, s, nil
	}
	if !atEnd(s.StartupWait) {
		return p, s, nil
	}
	if err := wakeup.Pause(ctx, retryInterval); err != nil {
		return p, s, err
	}
	again, err := i.statusOn(ctx, c)
	if err != nil {
		return p, s, err
	}
	p.Known = again.Receive == 0 && again.Replay == s.Replay && again.Started.Equal(s.Started) &&
		again.InRecovery && atEnd(again.StartupWait)
	return p, again, nil
}

// replayed waits until replay waits for WAL at the end of pg_wal: all that can be replayed has been. Do not ask for
// replayed = received instead: the received position may end inside a record.
func replayed(ctx context.Context, c *sql.Conn) error {
	looks, before := 0, ""
	return poll(ctx, func() (bool, error) {
		var lsn, wait sql.NullString
		err := c.QueryRowContext(ctx, `SELECT pg_last_wal_replay_lsn(),
			(SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup')`).Scan(&lsn, &wait)
		if !atEnd(wait.String) || lsn.String != before {
			looks, before = 0, lsn.String
		}
		looks++
		return looks >= 2 && atEnd(wait.String), err
	})
}
