package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
)

// Promotion is how a standby becomes primary.
type Promotion struct {
	Settings Settings          // of the primary; its durability set is loaded before the first write
	Timeline platform.Timeline // the number to take, never used before
	// Arm is called last, before PostgreSQL is asked: no lease, no promotion (L2).
	Arm func() error
	// Archived is up to where the former primary had archived its WAL; 0 if that is not known. Unarchived, if not nil, is told which
	// segments the archiver will be given for it, before they are.
	Archived   platform.LSN
	Unarchived func(Unarchived) error
	// Spare are backends that are not ended though they may stand in replay's way: they hold a snapshot for a moment only.
	Spare []int
}

// Promote makes a sealed standby primary, and returns once it is writable: it ends whatever keeps replay from its end (delays, a pause,
// conflicting queries: pg_promote does nothing until those end), loads the durability set, reserves the timeline, waits until all
// WAL at hand is replayed, and calls pg_promote. All of it takes one new connection, made after the reload, which outlives
// the promotion. The member stays sealed meanwhile, even against the settings: they must not let it receive again. The caller
// checks Status.Timeline afterwards. shown is what that connection saw last; zero, if it was lost on the way.
func (i *Server) Promote(ctx context.Context, p Promotion) (shown Status, err error) {
	defer i.wrap("promote", &err)
	s := p.Settings
	s.NoReplayDelay, s.Sealed = true, true
	if err := i.WriteSettings(ctx, s); err != nil {
		return Status{}, err
	}
	asked := false
	err = i.Apply(ctx, map[string]string{"synchronous_standby_names": s.SyncNames}, func(c *sql.Conn) error {
		if err := unblock(ctx, c, p.Spare); err != nil {
			return err
		}
		if err := i.noUpstream(ctx, c); err != nil {
			return err
		}
		if err := i.PrepareTimeline(ctx, p.Timeline, nil); err != nil {
			return err
		}
		if err := replayed(ctx, c); err != nil {
			return err
		}
		if err := i.archiveFormer(ctx, c, p); err != nil { // an archive is not worth an outage
			i.notice("the archive may lack WAL of the former primary: " + err.Error())
		}
		if err := p.Arm(); err != nil {
			return err
		}
		if err := i.wal().free(p.Timeline); err != nil {
			return err
		}
		if err := promote(ctx, c); err != nil {
			return err
		}
		asked = true
		if err := writable(ctx, c); err != nil {
			return err
		}
		shown, err = i.statusOn(ctx, c)
		return err
	})
	if asked && err != nil {
		shown, err = Status{}, i.WaitWritable(ctx) // the connection may have been ended, and the promotion goes through all the same
	}
	if err != nil {
		return Status{}, err
	}
	return shown, i.RestoreStandbySignal(ctx)
}

// noUpstream ends a receiver that still runs. The member may have been told to lead a while ago, and its upstream may follow a later
// primary by now: its WAL would take the promotion to a number that the controllers assign again.
func (i *Server) noUpstream(ctx context.Context, c *sql.Conn) error {
	receivers, err := i.receivers(ctx, c)
	if err != nil || len(receivers) == 0 {
		return err
	}
	return i.endReceivers(ctx, c)
}

// promote does not let pg_promote wait: it would look only every 100 ms.
func promote(ctx context.Context, c *sql.Conn) error {
	var sent bool
	if err := c.QueryRowContext(ctx, "SELECT pg_promote(wait => false)").Scan(&sent); err != nil {
		return err
	}
	if !sent {
		return errors.New("the server could not send the promotion request; see its log")
	}
	return nil
}

// writable returns once the server has left recovery.
func writable(ctx context.Context, c *sql.Conn) error {
	return poll(ctx, func() (bool, error) {
		var recovering bool
		err := c.QueryRowContext(ctx, "SELECT pg_is_in_recovery()").Scan(&recovering)
		return err == nil && !recovering, err
	})
}

// WaitWritable returns once the server has left recovery. A server that still starts up refuses connections; the wait
// continues until ctx ends.
func (i *Server) WaitWritable(ctx context.Context) (err error) {
	defer i.wrap("wait for writes on", &err)
	for {
		err := ErrStarting
		if i.state() != stateStarting {
			err = i.with(ctx, func(c *sql.Conn) error { return writable(ctx, c) })
		}
		if err == nil {
			return nil
		}
		if perr := wakeup.Pause(ctx, reconnectEvery); perr != nil {
			return err
		}
	}
}

// Checkpoint forces one. On a new primary it must precede any rewind from it: pg_rewind reads the timeline from the
// source's control file, which still names the old one.
func (i *Server) Checkpoint(ctx context.Context) (err error) {
	defer i.wrap("checkpoint", &err)
	return i.exec(ctx, "CHECKPOINT")
}

// Open completes the opening of a primary that has just become writable, on one new connection: it must be on the timeline that
// its epoch has, our accounts exist, and, if asked for, a CHECKPOINT stands on that timeline, so that others can be rewound from
// here.
func (i *Server) Open(ctx context.Context, timeline platform.Timeline, checkpoint bool) (s Status, err error) {
	defer i.wrap("open", &err)
	err = i.with(ctx, func(c *sql.Conn) error {
		if s, err = i.statusOn(ctx, c); err != nil {
			return err
		}
		if s.InRecovery || s.Timeline != timeline {
			return fmt.Errorf("it is on timeline %d, but its epoch has %d: it has diverged and is not opened", s.Timeline, timeline)
		}
		if err := i.createRoles(ctx, c); err != nil || !checkpoint {
			return err
		}
		_, err := c.ExecContext(ctx, "CHECKPOINT")
		return err
	})
	return s, err
}

// startupBlocked finds whether replay is paused, and whether it waits for another session's snapshot, lock or pin.
const startupBlocked = `SELECT pg_is_wal_replay_paused(), EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
	AND (wait_event_type IN ('Lock', 'BufferPin') OR wait_event LIKE 'RecoveryConflict%'))`

// endBlockers ends the sessions that hold a snapshot or a transaction; the startup process does not say which one it
// waits for. Those of $1 are spared.
const endBlockers = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'
	AND pid <> pg_backend_pid() AND pid <> ALL ($1) AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)`

// unblock ends a pause and conflicting queries. It returns once two looks in a row were free.
func unblock(ctx context.Context, c *sql.Conn, spare []int) error {
	free := 0
	return poll(ctx, func() (bool, error) {
		blocked, err := unblockOnce(ctx, c, spare)
		if free++; blocked {
			free = 0
		}
		return free == 2, err
	})
}

func unblockOnce(ctx context.Context, c *sql.Conn, spare []int) (blocked bool, err error) {
	var paused, conflict bool
	if err := c.QueryRowContext(ctx, startupBlocked).Scan(&paused, &conflict); err != nil {
		return true, err
	}
	if paused {
		if err := resumeReplay(ctx, c); err != nil {
			return true, err
		}
	}
	if conflict {
		if err := endSessions(ctx, c, spare); err != nil {
			return true, err
		}
	}
	return paused || conflict, nil
}

// endSessions ends sessions that may block replay, except those spared. No list is sent as an empty one: nothing differs from all of NULL.
func endSessions(ctx context.Context, c *sql.Conn, spare []int) error {
	_, err := c.ExecContext(ctx, endBlockers, pq.Array(append([]int{}, spare...)))
	return err
}

// EndSenders ends WAL senders by pid, before a planned stop: a shutdown waits for those that are behind, and for logical
// ones. A pid that is no sender any more is left alone.
func (i *Server) EndSenders(ctx context.Context, pids []int) (err error) {
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
