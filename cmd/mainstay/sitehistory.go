package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) siteHistoryVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "history [CHANGE]",
		Short: "Show site switchovers: operator, steps, hooks, halts",
		Long: `Show the last site switchovers, or one of them: the reason, the operator, how long each step took, the answers of hooks and
app servers, each halt with its decision, and the outcome.`,
		Example: "  mainstay site history\n  mainstay site history site-4",
		Args:    words("[CHANGE]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			var a wire.HistoryAnswer
			if err := p.withLeader(ctx, http.MethodGet, sitePath(args...), nil, &a); err != nil {
				return err
			}
			return p.show(a, func(o render.Options) string { return render.History(a.Operations, o) })
		}),
	}
	p.completeSiteChange(c)
	return c
}
