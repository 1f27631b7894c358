package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) explainVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain CLUSTER",
		Short: "Say what is wrong, and what would happen if the primary failed now",
		Long: `Answer three questions about a cluster. What is wrong, and by which evidence? What would happen if the primary failed now,
with its host or alone: which member would be promoted, on which proof, losing at most what, in about how long? For every
other member: why would it not be promoted, and what would change that? The answers come from the engine that decides, run
on a copy of what it knows. The command also shows which proofs could fence the primary now, why the others could not, and
what protects each member.

Where no leader answers, the agents are asked directly.`,
		Example: "  mainstay explain feed",
		Args:    words("CLUSTER"),
		RunE:    p.verb(func(ctx context.Context, args []string) error { return p.explain(ctx, args[0]) }),
	}
	p.completeClusters(c)
	return c
}

func (p *program) explain(ctx context.Context, cluster string) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var a wire.ExplainAnswer
	err = p.ask(ctx, s, http.MethodGet, clusterPath(cluster, "explain"), nil, &a)
	if leaderless(err) && ctx.Err() == nil {
		return p.leaderless(ctx, s, cluster, err)
	}
	if err != nil {
		return err
	}
	return p.show(a, func(o render.Options) string { return render.Explain(a, o) })
}
