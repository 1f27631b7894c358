package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"mainstay/test/bench/machine"
	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
	"mainstay/test/testbed"
)

// Limits and pauses.
const (
	startLimit  = 3 * time.Minute // a system, from nothing to ready
	roundLimit  = 5 * time.Minute // one fault, ready before it and after it
	verifyLimit = time.Minute     // to read every acknowledged post back
	settling    = 15 * time.Second
	idleFor     = time.Minute
	lookEvery   = 500 * time.Millisecond // at a system that is waited for, outside of what is measured
	streamEvery = 50 * time.Millisecond  // at the new primary, on a connection that is kept, for the old one's return
)

// Faults, in the order in which they are done.
const (
	killed     = "postmaster killed"
	switched   = "switchover"
	hostCut    = "host cut"
	afterwards = ": rejoin of the old primary" // after the name of a fault
	idleCPU    = "idle, CPU seconds a minute"
)

// runner measures one system.
type runner struct {
	system
	dir    string
	load   *load.Client
	result *result
}

// measure takes the idle minute, then n rounds of each fault, and reads every acknowledged post back.
func (r *runner) measure(ctx context.Context, n int) (err error) {
	if err := r.idle(ctx); err != nil {
		return fmt.Errorf("%s: %w", idleCPU, err)
	}
	end, err := r.client(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	var errs []error
	for _, f := range []string{killed, switched, hostCut} {
		if ctx.Err() == nil {
			errs = append(errs, r.rounds(ctx, f, n))
		}
	}
	return errors.Join(append(errs, r.verify(ctx))...)
}

// rounds does a fault n times; one that fails is the last.
func (r *runner) rounds(ctx context.Context, fault string, n int) error {
	for i := range n {
		if err := r.round(ctx, fault); err != nil {
			return fmt.Errorf("%s, round %d of %d: %w\n%s", fault, i+1, n, err, r.logs())
		}
	}
	return nil
}

// idle is what all processes of the system take while nothing is asked of it.
func (r *runner) idle(ctx context.Context) error {
	if err := pause(ctx, settling); err != nil {
		return err
	}
	c := r.common()
	before, err := machine.Take(c.processes())
	if err != nil {
		return err
	}
	if err := pause(ctx, idleFor); err != nil {
		return err
	}
	after, err := machine.Take(c.processes())
	if err != nil {
		return err
	}
	r.result.add(idleCPU, machine.Spent(before, after)["inside"])
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// client starts the one that writes: every 10 ms, to the first writable server of all, with a new connection after an error.
func (r *runner) client(ctx context.Context) (end func() error, err error) {
	direct, err := load.NewDirect(r.dsn(), pgclient.Options{})
	if err != nil {
		return nil, err
	}
	if err := r.tables(ctx, direct); err != nil {
		return nil, errors.Join(err, direct.Close())
	}
	folder, err := os.MkdirTemp(r.dir, "ledger-")
	if err != nil {
		return nil, errors.Join(err, direct.Close())
	}
	ledger, err := load.OpenLedger(filepath.Join(folder, "ledger"))
	if err != nil {
		return nil, errors.Join(err, direct.Close())
	}
	r.load, err = load.Start(ctx, load.Options{Target: direct, Ledger: ledger})
	if err != nil {
		return nil, errors.Join(err, ledger.Close(), direct.Close())
	}
	return func() error { return errors.Join(r.load.Stop(), ledger.Close(), direct.Close()) }, nil
}

// tables makes them, as soon as there is a primary that lets it.
func (r *runner) tables(ctx context.Context, direct *load.Direct) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return wait(ctx, "the application's tables", lookEvery, func() (bool, string) {
		err := direct.Setup(ctx)
		return err == nil, fmt.Sprint(err)
	})
}

// round does one fault to a ready system, and measures it.
func (r *runner) round(ctx context.Context, fault string) error {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	was, err := r.ready(ctx)
	if err != nil {
		return err
	}
	if err := r.acknowledged(ctx); err != nil {
		return err
	}
	outage, primary, err := r.strike(ctx, fault, was)
	from := time.Now()
	if fault == hostCut {
		err = errors.Join(err, r.common().net.HealAll())
	}
	if err != nil {
		return err
	}
	if fault != hostCut {
		from = outage.End
	}
	if err := r.returned(ctx, primary, was); err != nil {
		return err
	}
	rejoin := time.Since(from)
	r.result.add(fault, outage.Length)
	r.result.add(fault+afterwards, rejoin)
	fmt.Fprintf(os.Stderr, "%s, %s: outage %.3f s, rejoin %.3f s\n", r.result.name, fault, outage.Length.Seconds(), rejoin.Seconds())
	return nil
}

// acknowledged waits until ten more posts are.
func (r *runner) acknowledged(ctx context.Context) error {
	mark := r.load.Mark()
	return wait(ctx, "posts to be acknowledged", 20*time.Millisecond, func() (bool, string) {
		r, err := r.load.Report(mark)
		return err == nil && r.Tally.Acked >= 10, r.Tally.LastError
	})
}

// strike does a fault and returns at the first write after it that another server has acknowledged.
func (r *runner) strike(ctx context.Context, fault, was string) (o load.Outage, primary string, err error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	mark, done := r.load.Mark(), make(chan struct{})
	go func() {
		defer close(done)
		if err := r.do(ctx, fault, was); err != nil {
			cancel(fmt.Errorf("%s of %s: %w", fault, was, err))
		}
	}()
	defer func() { <-done }()
	for {
		if o, err = r.load.AwaitWrite(waiting, mark); err != nil {
			return o, "", errors.Join(err, context.Cause(waiting))
		}
		mark = r.load.Mark() // for a next one, if the old primary had failed for a moment only
		for _, m := range r.common().members {
			if m.name == was {
				continue
			}
			if yes, err := m.writable(ctx); err == nil && yes {
				return o, m.name, nil
			}
		}
	}
}

func (r *runner) do(ctx context.Context, fault, primary string) error {
	c := r.common()
	switch fault {
	case killed:
		return testbed.Signal(syscall.SIGKILL, c.member(primary).postmaster())
	case hostCut:
		return c.net.Cut(primary)
	}
	return r.switchover(ctx, primary)
}

// returned waits until the old primary streams from the new one.
func (r *runner) returned(ctx context.Context, primary, old string) error {
	db, err := r.common().member(primary).open()
	if err != nil {
		return err
	}
	defer db.Close()
	address := r.common().member(old).address
	return wait(ctx, old+" to stream from "+primary, streamEvery, func() (bool, string) {
		n, err := streams(ctx, db, address)
		return n > 0, fmt.Sprint(err)
	})
}

// streaming is how many replicas stream from a server.
func (s server) streaming(ctx context.Context) (int, error) {
	db, err := s.open()
	if err != nil {
		return 0, err
	}
	defer db.Close()
	return streams(ctx, db, "")
}

// streams counts a server's streaming replicas, those at an address if one is given.
func streams(ctx context.Context, db *sql.DB, address string) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM pg_catalog.pg_stat_replication
		WHERE state = 'streaming' AND $1 IN ('', pg_catalog.host(client_addr))`, address).Scan(&n)
	return n, err
}

// verify reads every acknowledged post back, unless the command was interrupted.
func (r *runner) verify(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	v, err := r.load.Verify(ctx)
	r.result.checked, r.result.missing = v.Checked, len(v.Missing)
	return err
}
