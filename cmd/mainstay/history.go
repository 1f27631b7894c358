package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) historyVerb() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "history CLUSTER [ID]",
		Short: "Show what was done to a cluster, why, and by which proof",
		Long: `Show the operations of a cluster, or one of them: the reason, the operator, the proof that fenced the old primary, every
position, each step with the time since the first, why the other members were not chosen, what may have been lost, and the
last prediction beside what happened.`,
		Example: "  mainstay history feed --limit 3\n  mainstay history feed feed-12",
		Args:    words("CLUSTER", "[ID]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if limit < 1 || limit > 1000 {
				return usagef("--limit %d: want 1 to 1000", limit)
			}
			return p.history(ctx, args, limit)
		}),
	}
	c.Flags().IntVar(&limit, "limit", 10, "number of latest operations to show")
	p.completeClusters(c)
	return c
}

func (p *program) history(ctx context.Context, args []string, limit int) error {
	path := clusterPath(args[0], "history") + fmt.Sprintf("?limit=%d", limit)
	if len(args) == 2 {
		path = clusterPath(args[0], "operations", args[1])
	}
	var a wire.HistoryAnswer
	if err := p.withLeader(ctx, http.MethodGet, path, nil, &a); err != nil {
		return err
	}
	if n := len(a.Operations); n > limit {
		a.Operations = a.Operations[n-limit:] // the latest stand last
	}
	return p.show(a, func(o render.Options) string { return render.History(a.Operations, o) })
}
