// Command mainstay is the one binary of Mainstay: the daemons (controller, agent, guard) and the operator's verbs.
//
// This package turns flags, MAINSTAY_* variables and the contexts file into one call of the API (controller/wire) or of a
// daemon, and prints what comes back with cmd/mainstay/render. It must never decide anything about the platform, and
// never change anything that the operator has not named. Flow enters at main by the arguments and leaves as text on
// standard output (answers), standard error (messages) and an exit code: 0 done, 1 failed, 2 usage, 3 refused, 4 timed out.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	p := &program{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Getenv,
		asks:    terminal(os.Stdin) && terminal(os.Stderr),
		colours: terminal(os.Stdout),
		signals: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
			context.AfterFunc(ctx, stop) // the second signal ends a process that hangs
			return ctx, stop
		},
		hangups: hangups, dial: dialWire, runController: runController, runAgent: runAgent,
	}
	os.Exit(p.run(context.Background(), os.Args[1:]))
}

// hangups delivers HUP until stop is called.
func hangups() (hup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// terminal tells whether a file is a terminal.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
