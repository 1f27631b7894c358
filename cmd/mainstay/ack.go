package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

func (p *program) ackVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "ack CLUSTER",
		Short: "Say that you have seen an automatic failover",
		Long: `After an automatic failover the next one that rests on inference (nobody reaches the primary) waits for a while, so that a
sick network does not throw the platform back and forth. ack lifts that at once. What an agent has seen itself, such as a
crash, never waits.`,
		Example: "  mainstay ack feed",
		Args:    words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.change(ctx, http.MethodPost, clusterPath(args[0], "ack"), nil, "acknowledged: the next automatic failover of "+args[0]+" does not wait")
		}),
	}
	p.completeClusters(c)
	return c
}
