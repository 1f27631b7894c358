package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mainstay/test/bench/machine"
)

// meter counts what happens on a testbed from its beginning to stop.
type meter struct {
	b      *bench
	starts *machine.Starts
	lack   error                     // why starts is nil
	logs   map[string]int64          // where each server's log ended at the beginning
	syncs  map[string]*machine.Syncs // by kind of process
	blind  error                     // why syncs is nil
	first  reading
	wal    int64 // where it ended at the beginning
}

// reading is what has been counted up to a moment.
type reading struct {
	at       time.Time
	procs    machine.Snapshot
	busy     time.Duration // of all CPUs
	loopback int64         // bytes
	syncs    map[string]int64
}

// record is what came in that time, one by one.
type record struct {
	starts      []machine.Start
	lack        error // why starts are not known
	connections []connection
	wal         int64 // bytes
}

// meter starts to count, while that member is primary. The caller stops or closes it.
func (b *bench) meter(ctx context.Context, primary string) (_ *meter, err error) {
	m := &meter{b: b, logs: map[string]int64{}}
	if m.wal, err = b.written(ctx, primary); err != nil {
		return nil, err
	}
	procs, err := machine.Take(b.label)
	if err != nil {
		return nil, err
	}
	if err := m.countSyncs(procs); err != nil {
		m.blind = err
	}
	for member := range b.members() {
		info, err := os.Stat(b.serverLog(member))
		if err != nil {
			return nil, errors.Join(err, m.close())
		}
		m.logs[member] = info.Size()
	}
	if m.first, err = m.read(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	m.starts, m.lack = machine.RecordStarts(b.label)
	return m, nil
}

// countSyncs counts those of each kind of process; a launcher's are its postmaster's, which it starts.
func (m *meter) countSyncs(procs machine.Snapshot) error {
	m.syncs = map[string]*machine.Syncs{}
	for _, kind := range []string{controllerKind, agentKind, guardKind, postgresKind} {
		pids := procs.PIDs(func(label string) bool {
			of := kindOf(label)
			return of == kind || kind == postgresKind && of == launcherKind
		})
		s, err := machine.CountSyncs(kind == postgresKind, pids...)
		if err != nil {
			m.closeSyncs()
			return err
		}
		m.syncs[kind] = s
	}
	return nil
}

func (m *meter) closeSyncs() {
	for _, s := range m.syncs {
		s.Close()
	}
	m.syncs = nil
}

func (m *meter) read() (r reading, err error) {
	r = reading{at: time.Now(), syncs: map[string]int64{}}
	var errs [3]error
	r.loopback, errs[0] = machine.Loopback()
	r.busy, errs[1] = machine.Busy()
	r.procs, errs[2] = machine.Take(m.b.label)
	for kind, s := range m.syncs {
		n, err := s.Count()
		if err != nil {
			return r, err
		}
		r.syncs[kind] = n
	}
	return r, errors.Join(errs[:]...)
}

// stop ends the counting, while that member is primary, and returns what came one by one.
func (m *meter) stop(ctx context.Context, primary string) (r record, err error) {
	r.lack = m.lack
	if m.starts != nil {
		if r.starts, err = m.starts.Stop(); err != nil {
			r.lack = err
		}
		m.starts = nil
	}
	for member, from := range m.logs {
		text, err := readFrom(m.b.serverLog(member), from)
		if err != nil {
			return r, err
		}
		r.connections = append(r.connections, connections(member, text)...)
	}
	end, err := m.b.written(ctx, primary)
	r.wal = end - m.wal
	return r, errors.Join(err, m.close())
}

// close gives back what stop has not.
func (m *meter) close() (err error) {
	if m.starts != nil {
		_, err = m.starts.Stop()
		m.starts = nil
	}
	m.closeSyncs()
	return err
}

func (b *bench) serverLog(member string) string {
	return filepath.Join(filepath.Dir(b.Data(member)), "postgresql.log")
}

func readFrom(path string, offset int64) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return string(raw[min(offset, int64(len(raw))):]), nil
}

// logConnections makes every server log them, from now on, as soon as it lets that.
func (b *bench) logConnections(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return b.Wait(ctx, "the servers to log connections", func() (bool, string) {
		err := b.setLogging(ctx)
		return err == nil, fmt.Sprint(err)
	})
}

func (b *bench) setLogging(ctx context.Context) error {
	for member := range b.members() {
		for _, s := range logSettings {
			if _, err := b.SQL(ctx, member, "postgres", "ALTER SYSTEM SET "+s); err != nil {
				return err
			}
		}
		if _, err := b.SQL(ctx, member, "postgres", "SELECT pg_reload_conf()"); err != nil {
			return err
		}
	}
	return nil
}

// written is the end of a primary's WAL, in bytes since the cluster was made.
func (b *bench) written(ctx context.Context, primary string) (int64, error) {
	text, err := b.SQL(ctx, primary, "postgres", "SELECT pg_current_wal_insert_lsn() - '0/0'")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the end of the WAL of %s: %w", primary, err)
	}
	return n, nil
}
