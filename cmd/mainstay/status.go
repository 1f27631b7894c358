package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

// redrawEvery is how often a watched status is drawn again.
const redrawEvery = time.Second

const clearScreen = "\x1b[H\x1b[2J"

func (p *program) statusVerb() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the platform on one screen",
		Long: `Show the leader, the sites, and for every cluster its primary, epoch, durability set and members, with their roles, lag, what
is left of the lease and what protects them; then the problems, the worst first, and the command to run next.

Where no leader answers, the agents are asked directly: what is left of leases, who vouches for a primary, for how long
promises bind. The exit code is then 1.`,
		Example: "  mainstay status\n  mainstay status --watch\n  mainstay status --output json",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			defer s.Close()
			if watch {
				return p.watch(ctx, s)
			}
			return p.status(ctx, s)
		}),
	}
	c.Flags().BoolVar(&watch, "watch", false, "draw it again each second until interrupted")
	return c
}

func (p *program) status(ctx context.Context, s *session) error {
	var st wire.Status
	err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st)
	if leaderless(err) && ctx.Err() == nil {
		return p.leaderless(ctx, s, "", err)
	}
	if err != nil {
		return err
	}
	p.remember(s.name, st)
	return p.show(st, func(o render.Options) string { return render.Status(st, o) })
}

// watch draws the status each second. An error is drawn as well: the next second may be better.
func (p *program) watch(ctx context.Context, s *session) error {
	for {
		if p.colours && p.global.output == "table" {
			io.WriteString(p.stdout, clearScreen)
		}
		if err := p.status(ctx, s); err != nil && ctx.Err() == nil {
			if codeOf(err) == exitRefused {
				return err
			}
			p.complain(nil, err)
		}
		if !pause(ctx, redrawEvery) {
			return nil
		}
	}
}
