package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// demand is a setting that must not be lower on a standby than on its primary, whose value is in the control file that the standby
// keeps: with less it does not start, or, where it learns of it while it runs, replays no further and shuts down when it is promoted
// (PostgreSQL's documentation, "Hot Standby", Administrator's Overview; seen on 15.18).
type demand struct {
	name string
	of   func(Control) int
}

var demands = []demand{
	{"max_connections", func(c Control) int { return c.MaxConnections }},
	{"max_worker_processes", func(c Control) int { return c.MaxWorkers }},
	{"max_wal_senders", func(c Control) int { return c.MaxWALSenders }},
	{"max_prepared_transactions", func(c Control) int { return c.MaxPrepared }},
	{"max_locks_per_transaction", func(c Control) int { return c.MaxLocks }},
}

// Shortage names the settings that are lower on a standby that has stopped replaying than on its primary. It is empty for one that replays,
// and for one whose replay an operator has paused.
func (i *Server) Shortage(ctx context.Context, s Status) (short []string, err error) {
	if !s.InRecovery || !s.Paused {
		return nil, nil
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range demands {
		if have, want := s.Demanded[d.name], d.of(c); have < want {
			short = append(short, fmt.Sprintf("%s is %d, and its primary has %d", d.name, have, want))
		}
	}
	return short, nil
}

// raised are the settings, for the command line, that a stopped standby must be given to start: its own configuration has less.
func (i *Server) raised(ctx context.Context) (up []pair, err error) {
	c, err := i.ControlData(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range demands {
		out, err := i.run(ctx, "postgres", "-D", i.Data, "-c", "config_file="+i.mainFile(), "-C", d.name)
		if err != nil {
			return nil, err
		}
		have, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			return nil, fmt.Errorf("postgres -C %s: %w", d.name, err)
		}
		if want := d.of(c); have < want {
			up = append(up, pair{d.name, strconv.Itoa(want)})
			i.notice(fmt.Sprintf("its own configuration says %s = %d, but its primary had %d: started with the primary's value", d.name, have, want))
		}
	}
	return up, nil
}
