package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"
)

func (p *program) ackVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "ack CLUSTER",
		Short: "Acknowledge an automatic failover",
		Long: `After an automatic failover, the next failover that rests on inference (no controller reaches the primary) waits for a
while, so that a faulty network does not move the primary back and forth. ack ends that wait. A failure that an agent has
seen itself, such as a crash, never waits.`,
		Example: "  mainstay ack feed",
		Args:    words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.change(ctx, http.MethodPost, clusterPath(args[0], "ack"), nil, "acknowledged: the next automatic failover of "+args[0]+
				" does not wait")
		}),
	}
	p.completeClusters(c)
	return c
}
