package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"mainstay/test/platform/load"
)

// errMissing makes verify fail; the ids are printed before.
var errMissing = errors.New("acknowledged posts are missing on the primary")

// ctl asks a running load client, and prints: of mark the token alone, of the others one line of key=value, then each
// outage or missing id on a line of its own.
func ctl(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("loadclient ctl", flag.ExitOnError)
	socket := f.String("socket", "loadclient.sock", "control socket of the running client")
	since := f.String("since", "", "report: count from this mark (default: the start of the run)")
	timeout := f.Duration("timeout", load.DefaultVerify, "limit of the request")
	asJSON := f.Bool("json", false, "print the answer as JSON")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: loadclient ctl [-socket S] [-since TOKEN] [-timeout T] [-json] report|mark|verify|stop")
		f.PrintDefaults()
	}
	f.Parse(args)
	if f.NArg() != 1 {
		f.Usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout+5*time.Second)
	defer cancel()
	a, err := load.Ask(ctx, *socket, load.Request{Verb: f.Arg(0), Since: *since, Timeout: *timeout})
	if err != nil {
		return err
	}
	if *asJSON {
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			return err
		}
	} else {
		show(a)
	}
	if a.Verification != nil && len(a.Verification.Missing) > 0 {
		return errMissing
	}
	return nil
}

func show(a load.Response) {
	switch {
	case a.Token != "":
		fmt.Println(a.Token)
	case a.Report != nil:
		fmt.Println(a.Report)
		for _, o := range a.Report.Outages {
			fmt.Println("outage", o.Start.Format(time.RFC3339Nano), o.End.Format(time.RFC3339Nano), o.Length)
		}
	case a.Verification != nil:
		fmt.Println(a.Verification)
		for _, id := range a.Verification.Missing {
			fmt.Println("missing", id)
		}
	}
}
