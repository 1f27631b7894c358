package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
)

// run writes until it is told to stop, by a signal or by ctl stop, and prints the report of the whole run.
func run(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet("loadclient run", flag.ExitOnError)
	urls := f.String("urls", "", "app servers to write through, separated by commas (default: PostgreSQL itself)")
	dsnFile := f.String("dsn-file", "", "file that holds the connection string (default: PLATFORM_DSN)")
	ledger := f.String("ledger", "ledger.jsonl", "file of acknowledged posts; an existing one is continued")
	socket := f.String("socket", "loadclient.sock", "control socket, for loadclient ctl")
	writers := f.Int("writers", 1, "how many write at the same time")
	every := f.Duration("every", load.DefaultEvery, "from one write of a writer to its next")
	threshold := f.Duration("threshold", load.DefaultThreshold, "a longer time without an acknowledgement is an outage")
	wait := f.Duration("wait", time.Minute, "how long to wait for a first primary (PostgreSQL only)")
	f.Parse(args)

	o := load.Options{Writers: *writers, Every: *every, Threshold: *threshold}
	if *urls != "" {
		if o.Target, err = load.NewHTTP(strings.Split(*urls, ","), 0); err != nil {
			return err
		}
	} else {
		d, err := direct(ctx, *dsnFile, *wait)
		if err != nil {
			return err
		}
		defer d.Close()
		o.Target = d
	}
	if o.Ledger, err = load.OpenLedger(*ledger); err != nil {
		return err
	}
	defer o.Ledger.Close()
	return serve(ctx, *socket, o)
}

// direct reaches PostgreSQL and makes sure of the tables.
func direct(ctx context.Context, dsnFile string, wait time.Duration) (*load.Direct, error) {
	dsn, err := pgclient.DSN(dsnFile, "PLATFORM_DSN")
	if err != nil {
		return nil, err
	}
	d, err := load.NewDirect(dsn, pgclient.Options{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err := d.Setup(ctx)
		if err == nil {
			return d, nil
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func serve(ctx context.Context, socket string, o load.Options) error {
	l, err := load.ListenControl(socket)
	if err != nil {
		return err
	}
	c, err := load.Start(ctx, o)
	if err != nil {
		l.Close()
		return err
	}
	fmt.Println("writing; control socket", socket)
	err = load.ServeControl(ctx, l, c)
	err = errors.Join(err, c.Stop())
	r, _ := c.Report("")
	fmt.Println(r)
	return err
}
