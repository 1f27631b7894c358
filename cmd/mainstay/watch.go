package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mainstay/controller/wakeup"
)

// redrawEvery is how often a watched status is drawn again.
const redrawEvery = time.Second

const clearScreen = "\x1b[H\x1b[2J"

func (p *program) watchVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "watch",
		Short:   "Show the status, redrawn each second",
		Long:    "Show the same screen as mainstay status, redrawn each second until interrupted: the same as mainstay status --watch.",
		Example: "  mainstay watch",
		Args:    words(),
		RunE:    p.verb(func(ctx context.Context, _ []string) error { return p.connected(ctx, p.watch) }),
	}
}

// watch draws the status each second. It draws an error too: the next attempt may succeed.
func (p *program) watch(ctx context.Context, s *session) error {
	for {
		if p.colours && p.global.output == "table" {
			if _, err := io.WriteString(p.stdout, clearScreen); err != nil {
				return err
			}
		}
		if err := p.status(ctx, s); err != nil && ctx.Err() == nil {
			unprinted := unprintedError{}
			if code := codeOf(err); code == exitRefused || code == exitUsage || errors.As(err, &unprinted) { // another attempt would fail too
				return err
			}
			p.complain(err)
		}
		if wakeup.Pause(ctx, redrawEvery) != nil {
			return nil
		}
	}
}
