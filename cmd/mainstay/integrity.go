package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/controller/wire"
)

func (p *program) integrityVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:   "integrity COMMAND",
		Short: "Check data for damage, and decide about what was found",
		Long: `Check data for damage, and decide about what was found. A member is excluded, and not promoted, once PostgreSQL or the
agent's scan has read pages that do not match their checksums. A replica is then rebuilt; a primary is reported with the
replicas that can take over. A replica's replay is frozen once a comparison speaks against its primary's page.`,
		Example: "  mainstay integrity show\n  mainstay integrity check feed\n  mainstay integrity scan /var/lib/postgresql/15/main",
	}, p.integrityShowVerb(), p.integrityCheckVerb(), p.scanVerb(), p.clearVerb(), p.releaseVerb(), p.repairVerb())
}

func (p *program) clearVerb() *cobra.Command {
	var req wire.ClearRequest
	var yes bool
	c := &cobra.Command{
		Use:   "clear CLUSTER MEMBER --reason REASON",
		Short: "Set the evidence against a member's data aside",
		Long: `Let a member be promoted again whose data is known to be damaged, for example because the page was repaired or its table
dropped. The history keeps your name and the reason. New evidence excludes the member again.

The command shows the evidence and makes you type the member's name. Without a terminal it needs --yes.`,
		Example: `  mainstay integrity clear feed feed-e2 --reason "the table of that page was restored" --dry-run`,
		Args:    words("CLUSTER", "MEMBER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if strings.TrimSpace(req.Reason) == "" {
				return usagef("--reason is missing: give the reason, which history keeps")
			}
			req.Member = args[1]
			return p.clearDamage(ctx, args[0], req, yes)
		}),
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for history (required)")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeClusters(c)
	return c
}

func (p *program) clearDamage(ctx context.Context, cluster string, req wire.ClearRequest, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	path := clusterPath(cluster, "integrity", "clear")
	plan := req
	plan.DryRun = true
	if _, err := p.plan(ctx, s, path, plan, req.DryRun); err != nil || req.DryRun {
		return err
	}
	if err := p.typed(ctx, yes, req.Member, "a member with damaged data may be promoted, for: "+req.Reason); err != nil {
		return err
	}
	return p.change(ctx, http.MethodPost, path, req, "cleared: "+req.Member+" may be promoted again")
}
