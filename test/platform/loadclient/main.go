// Command loadclient writes to the sample platform all the time and keeps a ledger of what was acknowledged.
//
//	loadclient run -urls http://10.0.1.21:8080,http://10.0.2.21:8080 -ledger l.jsonl -socket l.sock
//	PLATFORM_DSN='host=10.0.1.11,10.0.2.11 dbname=feed user=feed' loadclient run -ledger l.jsonl -socket l.sock
//	M=$(loadclient ctl -socket l.sock mark); ...; loadclient ctl -socket l.sock -since $M report
//	loadclient ctl -socket l.sock verify
//
// The connection string comes from PLATFORM_DSN or from a file, never from an argument. Exit codes: 0 done, 1 failed or
// posts missing, 2 usage.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = "usage: loadclient run|ctl [flags]; loadclient run -h and loadclient ctl -h list the flags"

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	switch verb, args := os.Args[1], os.Args[2:]; verb {
	case "run":
		err = run(ctx, args)
	case "ctl":
		err = ctl(ctx, args)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "loadclient:", err)
		os.Exit(1)
	}
}
