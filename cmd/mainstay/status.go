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
		Long: `Show the leader, the sites, and every cluster with its primary, epoch, durability set and members: their roles, lag,
remaining lease and protection; then the problems, the worst first, and the command to run next. mainstay help PROBLEM
explains a problem and what to do about it.

Where no leader answers, the agents are asked directly for the remaining leases, for the members whose promises keep a
primary running, and for how long the promises bind them. The exit code is then 1.`,
		Example: "  mainstay status\n  mainstay status --watch\n  mainstay status --output json",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if watch {
				return p.connected(ctx, p.watch)
			}
			return p.connected(ctx, p.status)
		}),
	}
	c.Flags().BoolVar(&watch, "watch", false, "redraw it each second until interrupted")
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
