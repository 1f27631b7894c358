package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

func (p *program) approveVerb() *cobra.Command {
	var dryRun, yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "approve OPERATION",
		Short: "Let a failover that waits for it move the primary to another site",
		Long: `Let a failover move the primary of its cluster to another site, where the cluster's failover.across-sites is approval. What would be
lost is said first. It approves the site alone: the old primary must still be proven fenced, and the new one must hold every
acknowledged commit. Your name stands in the history, and your word counts for this operation only.`,
		Example: "  mainstay approve feed-12 --dry-run\n  mainstay approve feed-12",
		Args:    words("OPERATION"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if err := checkWait(wait); err != nil {
				return err
			}
			return p.approve(ctx, args[0], wait, dryRun, yes)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done and lost, and do nothing")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for the end")
	c.Flags().BoolVar(&yes, "yes", false, "ask nothing")
	p.completeApprovals(c)
	return c
}

func (p *program) approve(ctx context.Context, id string, wait time.Duration, dryRun, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var st wire.Status
	if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st); err != nil {
		return err
	}
	p.remember(s.name, st)
	cluster, why := approvalOf(st, id)
	if cluster == "" {
		return refusedf("no failover %s is under way; `mainstay status` shows what waits for an approval", id)
	}
	if why == "" {
		why = "the failover does not wait for an approval now; given beforehand, it counts where one is needed"
	}
	plan := wire.OperationAnswer{Operation: id, DryRun: dryRun, Plan: []string{cluster + ": " + why}}
	if dryRun {
		return p.show(plan, func(o render.Options) string { return render.Plan(plan, o) + "nothing was changed (--dry-run)\n" })
	}
	io.WriteString(p.stderr, render.Plan(plan, p.style()))
	if err := p.yes(ctx, yes, "let the primary of "+cluster+" move to another site?"); err != nil {
		return err
	}
	if err := p.ask(ctx, s, http.MethodPost, "/v1/operations/"+id+"/approve", nil, nil); err != nil {
		return err
	}
	return p.follow(ctx, s, operationOf(cluster, id), wait)
}

// approvalOf is the cluster whose failover has that id, and what it would do if it were approved; "" where it does not wait.
func approvalOf(st wire.Status, id string) (cluster, why string) {
	for _, c := range st.Clusters {
		if c.Operation != nil && c.Operation.ID == id && c.Operation.Result == state.Running {
			cluster = c.Name
		}
	}
	for _, problem := range st.Problems {
		if cluster != "" && problem.Kind == health.ApprovalNeeded && problem.Cluster == cluster {
			why = problem.Evidence
		}
	}
	return cluster, why
}
