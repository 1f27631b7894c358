package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
)

// program is one run of the command with all its inputs and outputs, so that tests can replace them.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	asks           bool // standard input is a terminal, so questions can be answered
	colours        bool // standard output is a terminal
	// signals makes the context that INT and TERM end. It is called for every verb but guard, which outlives both (L2).
	signals func(context.Context) (context.Context, context.CancelFunc)
	hangups func() (hup <-chan os.Signal, stop func())
	dial    dialer
	// runController and runAgent are the daemons; they return when ctx ends or they cannot continue.
	runController func(context.Context, config.Controller, daemon) error
	runAgent      func(context.Context, config.Agent, daemon) error

	global  globals
	started bool // the arguments were understood and the verb has begun
}

// run executes one command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	out := &output{to: p.stdout}
	p.stdout = out
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err = out.judge(err); err == nil {
		return exitDone
	}
	if !p.started && codeOf(err) == exitFailed && out.err == nil {
		err = usageError{err}
	}
	p.complain(err)
	if codeOf(err) == exitUsage && p.global.output != "json" {
		fmt.Fprintf(p.stderr, "usage: %s\nhelp: %s --help\n", cmd.UseLine(), cmd.CommandPath())
	}
	return codeOf(err)
}

// output is standard output. It remembers a failed write: a command whose answer is lost has not succeeded.
type output struct {
	to  io.Writer
	err error // unprintedError: of the first write that failed
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.to.Write(b)
	if err == nil {
		return n, nil
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err // without "write /dev/stdout"
	}
	if o.err == nil {
		o.err = unprintedError{err}
	}
	return n, o.err
}

// judge returns the error of a command that ended with err. An error with a message of its own matters more than a lost answer.
func (o *output) judge(err error) error {
	if quiet := (quietError{}); err == nil || errors.As(err, &quiet) {
		return cmp.Or(o.err, err)
	}
	return err
}

// complain prints an error once: as text, or as JSON where a program reads the output.
func (p *program) complain(err error) {
	var silent quietError
	if errors.As(err, &silent) {
		return
	}
	if p.global.output == "json" {
		_ = writeJSON(p.stderr, map[string]any{"error": err.Error(), "exit": codeOf(err)}) // an error here can be reported nowhere
		return
	}
	fmt.Fprintf(p.stderr, "mainstay: %v\n", err)
	if leaderless(err) {
		fmt.Fprintln(p.stderr, "next: mainstay controllers list, which shows who answers; mainstay status asks the agents")
	}
}

// verb wraps the work of a verb: it completes the global settings, and signals end ctx.
func (p *program) verb(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := p.global.complete(cmd, p.env); err != nil {
			return err
		}
		p.started = true
		ctx, stop := p.signals(cmd.Context())
		defer stop()
		return work(ctx, args)
	}
}

// request bounds one exchange with a controller or agent by --timeout.
func (p *program) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.global.timeout)
}

func (p *program) style() render.Options {
	return render.Options{Color: p.colours && p.env("NO_COLOR") == "" && p.global.output == "table"}
}

// show prints an answer: as JSON with --output json, else as the text from draw.
func (p *program) show(value any, draw func(render.Options) string) error {
	if p.global.output == "json" {
		return writeJSON(p.stdout, value)
	}
	_, err := io.WriteString(p.stdout, draw(p.style()))
	return err
}

// say prints a line for the operator beside the answer: on standard error, so that output can be piped.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, format+"\n", args...)
}
