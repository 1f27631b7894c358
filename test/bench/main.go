// Command bench measures the write outage that a client sees, and where the time went; or, with -calm, that nothing at all
// happens to a healthy platform on a busy machine; or, with -cost, what watching and acting cost. Run it with nothing else on
// the machine, as root for what needs a network of its own, and for -cost:
//
//	go run ./test/bench -n 20
//	go run ./test/bench -n 20 -only host-cut,switchover -json
//	go run ./test/bench -calm 30m -burn forks,fsync
//	go run ./test/bench -cost
//	go run ./test/bench -integrity -size 2048
//	go run ./test/bench -backup -size 1350
//
// The cost of a process and of a connection on the machine, at that moment, comes before all figures.
//
// The client writes every 10 ms straight to PostgreSQL (for faults of a site: through app servers, in turn, each with a
// limit of 300 ms to connect and of 1 s for an answer), from outside of every host. It finds the primary by a connection
// string that names every member with target_session_attrs=read-write: after an error it drops its connection, waits 5 ms
// and tries the hosts in turn (test/platform/load.Direct); one that swallows packets costs it 500 ms in each turn, and that
// is part of the figure.
//
// It must never judge a time, nor leave one out: a round that fails ends the rounds of its fault, and the command fails
// after the other faults. Three things alone are an error of what is measured: an acknowledged post that is missing where acks
// promise it, with -calm an automatic failover, and with -cost a count above its budget (budgets.go). Flow enters by the
// arguments, goes through the rounds of each fault (round.go), through calm.go or through cost.go, and leaves as tables or JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	signal.Ignore(syscall.SIGPIPE) // where nobody reads the output any more, what was started must still be ended
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err = run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run builds the program into a folder that it removes, and does what was asked for.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "mainstay-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL's user must get through
		return err
	}
	for path, of := range map[string]string{program(dir): "mainstay/cmd/mainstay", appServer(dir): "mainstay/test/platform/feedserver"} {
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, of).CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	switch {
	case o.calm > 0:
		return calm(ctx, dir, o)
	case o.cost:
		return cost(ctx, dir, o)
	case o.backup:
		return backupBench(ctx, dir, o)
	case o.integrity:
		return integrityBench(ctx, dir, o)
	}
	return measureAll(ctx, dir, o)
}

func program(dir string) string { return filepath.Join(dir, "mainstay") }

func appServer(dir string) string { return filepath.Join(dir, "feedserver") }
