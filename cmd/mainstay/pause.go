package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) pauseVerb() *cobra.Command {
	var req wire.PauseRequest
	c := &cobra.Command{
		Use:   "pause CLUSTER --reason REASON",
		Short: "Stop protecting a cluster, for work by hand",
		Long: `Pause a cluster: no member is promoted, and the guard no longer kills a primary whose lease has lapsed. Its PostgreSQL keeps
running, and you may work on it by hand. A primary that crashes, or that you stop, stays down until the cluster is resumed; started by
hand it is read-only, because only the agent starts a primary.

With --for the pause ends automatically; without it, the pause lasts until mainstay resume.`,
		Example: `  mainstay pause feed --reason "storage firmware" --for 30m`,
		Args:    words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			switch {
			case strings.TrimSpace(req.Reason) == "":
				return usagef("--reason is missing: give the reason, which status shows")
			case req.For < 0:
				return usagef("--for %s: want a time above zero", req.For)
			}
			return p.change(ctx, http.MethodPost, clusterPath(args[0], "pause"), req, "paused "+args[0]+": no failover until it is resumed"+
				until(req.For))
		}),
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why (required)")
	c.Flags().DurationVar(&req.For, "for", 0, "resume automatically after this time")
	p.completeClusters(c)
	return c
}

func until(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return ", automatically in " + d.String()
}

// change sends a request whose answer has nothing to show, and prints done.
func (p *program) change(ctx context.Context, method, path string, in any, done string) error {
	if err := p.withLeader(ctx, method, path, in, nil); err != nil {
		return err
	}
	return p.show(map[string]string{"done": done}, func(render.Options) string { return done + "\n" })
}
