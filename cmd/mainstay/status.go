package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) statusVerb() *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the platform on one screen",
		Long: `Show the leader, the sites, and for every cluster its primary, epoch, durability set and members, with their roles, lag, what
is left of the lease and what protects them; then the problems, the worst first, and the command to run next.
mainstay help PROBLEM says what a problem means and what to do about it.

Where no leader answers, the agents are asked directly: what is left of leases, who vouches for a primary, for how long
promises bind. The exit code is then 1.`,
		Example: "  mainstay status\n  mainstay status --watch\n  mainstay status --output json",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if watch {
				return p.connected(ctx, p.watch)
			}
			return p.connected(ctx, p.status)
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
