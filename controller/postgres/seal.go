package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/wakeup"
)

// retryInterval is wal_retrieve_retry_interval, as the settings fix it, and a margin.
const retryInterval = 60 * time.Millisecond

// Seal stops receiving, in the order of the safety rules: the setting emptied on disk and loaded, the receiver process
// ended, none seen on two looks one retry interval apart; only then it reads the position. The caller has persisted the seal's
// number before. It is done only if err is nil; calling it again is fine. A failover waits for it, and a new connection
// costs most: it makes one, after the reload, and does everything on that. shown is what that connection saw last. A position
// that is not known is read again by the caller.
func (i *Server) Seal(ctx context.Context, s Settings) (at Position, shown Status, err error) {
	defer i.wrap("seal", &err)
	s.Sealed = true
	if err := i.WriteSettings(ctx, s); err != nil {
		return Position{}, Status{}, err
	}
	// The settings alone are no seal: a receiver runs on while the startup process is busy in a conflict.
	err = i.Apply(ctx, map[string]string{"primary_conninfo": "", "restore_command": ""}, func(c *sql.Conn) error {
		if err := i.endReceivers(ctx, c); err != nil {
			return err
		}
		at, shown, err = i.positionOn(ctx, c)
		return err
	})
	if err == nil && !at.Known {
		err = i.replayAtOnce(ctx, s)
	}
	return at, shown, err
}

// replayAtOnce lifts a configured delay of replay, until the next settings: without a receiver the end of the WAL is known only once all
// of it has been replayed. Where it is known the delay stays.
func (i *Server) replayAtOnce(ctx context.Context, s Settings) error {
	s.NoApplyDelay = true
	if err := i.WriteSettings(ctx, s); err != nil {
		return err
	}
	return i.Reload(ctx)
}

// Quieten lets a standby that is sealed for long look for WAL less often. The next settings, those of a promotion too, end it at once: a
// reload wakes the process that waits.
func (i *Server) Quieten(ctx context.Context, s Settings) (err error) {
	defer i.wrap("quieten", &err)
	s.Sealed, s.Quiet = true, true
	if err := i.WriteSettings(ctx, s); err != nil {
		return err
	}
	return i.Reload(ctx)
}

// receiversEnded is how often receivers are ended before the seal fails: one that the startup process had asked for before it took
// the new settings may begin after the others were ended.
const receiversEnded = 4

// endReceivers ends the WAL receivers, and makes sure that none comes back.
func (i *Server) endReceivers(ctx context.Context, c *sql.Conn) error {
	for range receiversEnded {
		receivers, err := i.receivers(ctx, c)
		for n := 0; err == nil && n < len(receivers); n++ {
			err = i.endChild(ctx, receivers[n])
		}
		if err != nil {
			return err
		}
		none, err := i.noReceiver(ctx, c)
		if err != nil || none {
			return err
		}
	}
	return errors.New("a WAL receiver came back each time after it was ended; seal again")
}

// noReceiver: none on two looks, one retry interval apart.
func (i *Server) noReceiver(ctx context.Context, c *sql.Conn) (bool, error) {
	for look := range 2 {
		if look > 0 {
			if err := wakeup.Pause(ctx, retryInterval); err != nil {
				return false, err
			}
		}
		receivers, err := i.receivers(ctx, c)
		if err != nil || len(receivers) > 0 {
			return false, err
		}
	}
	return true, nil
}

// receivers finds WAL receivers by the server's view and by the process table: a process that is just starting or ending
// is missing from one of them.
func (i *Server) receivers(ctx context.Context, c *sql.Conn) ([]int, error) {
	rows, err := c.QueryContext(ctx, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	seen := map[int]bool{}
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			return nil, err
		}
		seen[pid] = true
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return i.withChildren(seen)
}

// withChildren adds those that the process table knows.
func (i *Server) withChildren(seen map[int]bool) ([]int, error) {
	children, err := i.children()
	if err != nil {
		return nil, err
	}
	for _, pid := range children {
		raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended since
		if strings.Contains(string(raw), "walreceiver") {
			seen[pid] = true
		}
	}
	return slices.Collect(maps.Keys(seen)), nil
}

// children lists the living child processes of the postmaster.
func (i *Server) children() ([]int, error) {
	master, _, ok := i.Running()
	if !ok {
		return nil, ErrNotRunning
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil && st.ppid == master && st.state != "Z" {
			out = append(out, pid)
		}
	}
	return out, nil
}

// EndChildren ends child processes of the postmaster by pid, also while it shuts down and takes no connections.
func (i *Server) EndChildren(ctx context.Context, pids []int) (err error) {
	defer i.wrap("end processes of", &err)
	for _, pid := range pids {
		if err := i.endChild(ctx, pid); err != nil {
			return err
		}
	}
	return nil
}

// endChild sends SIGTERM to a child of the postmaster through a pidfd, so that a reused pid is never hit, and waits.
func (i *Server) endChild(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	master, _, ok := i.Running()
	st, err := readStat(pid)
	if err != nil || !ok || st.ppid != master {
		return nil // not ours, or no longer; the next look tells
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	err = poll(ctx, func() (bool, error) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return n > 0, err
	})
	if err != nil {
		return fmt.Errorf("process %d does not end: %w", pid, err)
	}
	return nil
}
