package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

func (p *program) resumeVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "resume CLUSTER",
		Short: "Protect a paused cluster again",
		Long: `End a pause. First the guard enforces the primary's lease again; only then may a member be promoted. Where the primary's
agent cannot be reached, a failover needs another proof than the end of the lease.`,
		Example: "  mainstay resume feed",
		Args:    words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.change(ctx, http.MethodPost, clusterPath(args[0], "resume"), nil,
				"resuming "+args[0]+": see `mainstay status` for its guard")
		}),
	}
	p.completeClusters(c)
	return c
}
