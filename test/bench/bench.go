package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
	"mainstay/test/testbed"
)

// Limits of one step each; an interrupt ends it sooner.
const (
	startLimit  = 2 * time.Minute // the platform, from nothing to healthy
	roundLimit  = 4 * time.Minute // one fault, healthy before it and after it
	verifyLimit = time.Minute     // to read every acknowledged post back
)

// bench is a healthy platform of one setting, with the sample application's tables.
type bench struct {
	*testbed.Testbed
	net    *testbed.Netns // nil on loopback
	direct *load.Direct
	target load.Target  // direct, or the app servers
	load   *load.Client // of the fault that is measured
}

// open starts a platform in a folder of its own below dir. The caller closes it. testbed.ErrNotAllowed: the setting needs
// network namespaces, and this process may not make them.
func open(ctx context.Context, dir string, on setting) (_ *bench, err error) {
	b := &bench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	o := testbed.Options{Binary: program(dir), Settings: []string{fmt.Sprintf("durability: {acks: %d}", on.acks)}}
	if o.Dir, err = os.MkdirTemp(dir, "bed-"); err != nil {
		return nil, err
	}
	if on.network {
		names := []string{"db-e1", "db-e2", "db-w1", "ctl-e", "ctl-w", "ctl-n"}
		if on.sites {
			names = append(names, "db-w2", "app-e1", "app-e2", "app-w1", "app-w2")
			o.Members, o.Apps = 4, &testbed.Apps{Server: appServer(dir)}
			o.Settings = []string{fmt.Sprintf("durability: {acks: %d, from: other-site, when-short: degrade}", on.acks)}
		}
		if b.net, err = testbed.NewNetns(names...); err != nil {
			return nil, err
		}
		o.Network = b.net
	}
	if b.Testbed, err = testbed.New(o); err != nil {
		return nil, err
	}
	return b, b.begin(ctx)
}

func (b *bench) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		return err
	}
	if b.Apps != nil {
		return b.throughApps(ctx)
	}
	dsn, err := b.Application(ctx)
	if err != nil {
		return err
	}
	if b.direct, err = load.NewDirect(dsn, pgclient.Options{}); err != nil {
		return err
	}
	b.target = b.direct
	return b.Wait(ctx, "the tables of the feed", func() (bool, string) {
		err := b.direct.Setup(ctx)
		return err == nil, fmt.Sprint(err)
	})
}

// throughApps makes the app servers those that are written to; they make their tables themselves.
func (b *bench) throughApps(ctx context.Context) error {
	err := b.StartApps(ctx)
	if err != nil {
		return err
	}
	if b.direct, err = load.NewDirect(b.DSN(), pgclient.Options{}); err != nil {
		return err
	}
	b.target, err = load.NewHTTP(b.AppURLs(), time.Second)
	return err
}

// healthy waits for a healthy cluster, and for the app servers to reach their goals.
func (b *bench) healthy(ctx context.Context) error {
	if err := b.WaitHealthy(ctx); err != nil || b.Apps == nil {
		return err
	}
	return b.WaitApps(ctx)
}

// close ends and removes everything, whatever is stopped or cut, and tells what no program may ever have logged.
func (b *bench) close() error {
	var errs []error
	if b.direct != nil {
		errs = append(errs, b.direct.Close())
	}
	if b.Testbed != nil {
		if alarms := b.Alarms(); len(alarms) > 0 {
			errs = append(errs, errors.New(strings.Join(alarms, "\n")))
		}
		errs = append(errs, b.Testbed.Close())
	}
	if b.net != nil {
		errs = append(errs, b.net.Close())
	}
	return errors.Join(errs...)
}

// client starts a load with a ledger of its own, and returns what ends it.
func (b *bench) client(ctx context.Context, name string, fresh bool) (end func() error, err error) {
	ledger, err := load.OpenLedger(filepath.Join(b.Dir, "ledger-"+name))
	if err != nil {
		return nil, err
	}
	target := b.target
	if fresh {
		target = anew{b.direct}
	}
	b.load, err = load.Start(ctx, load.Options{Target: target, Ledger: ledger, Writers: 1, Every: 10 * time.Millisecond,
		Threshold: 30 * time.Millisecond})
	if err != nil {
		return nil, errors.Join(err, ledger.Close())
	}
	return func() error { return errors.Join(b.load.Stop(), ledger.Close()) }, nil
}

// acknowledged waits until ten more posts are.
func (b *bench) acknowledged(ctx context.Context) error {
	mark := b.load.Mark()
	return b.Wait(ctx, "posts to be acknowledged", func() (bool, string) {
		r, err := b.load.Report(mark)
		return err == nil && r.Tally.Acked >= 10, r.Tally.LastError
	})
}

// verify reads every acknowledged post back.
func (b *bench) verify(ctx context.Context) (load.Verification, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	return b.load.Verify(ctx)
}

// anew is a Target whose writers connect for each write.
type anew struct{ *load.Direct }

func (a anew) Writer() load.Writer { return once{a.Direct.Writer()} }

type once struct{ load.Writer }

func (o once) Write(ctx context.Context, id string) error {
	defer o.Writer.Close()
	return o.Writer.Write(ctx, id)
}
