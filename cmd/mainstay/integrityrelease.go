package main

import (
	"context"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/controller/wire"
)

func (p *program) releaseVerb() *cobra.Command {
	var req wire.ReleaseRequest
	var yes bool
	c := &cobra.Command{
		Use:   "release CLUSTER|MEMBER --reason REASON",
		Short: "Let frozen replicas replay again",
		Long: `Let replicas replay again whose replay was frozen, because a comparison spoke against a page of their primary: one, or all of a
cluster. They replay all WAL that waits for them. If a later image of that page is among it, the primary's page takes the
place of theirs. No replica is frozen for the same evidence again. The history keeps your name and the reason.

The command shows what is released and makes you type the name. Without a terminal it needs --yes.`,
		Example: `  mainstay integrity release feed-e2 --reason "the rows of that page were restored" --dry-run`,
		Args:    words("CLUSTER|MEMBER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if strings.TrimSpace(req.Reason) == "" {
				return usagef("--reason is missing: give the reason, which history keeps")
			}
			return p.release(ctx, args[0], req, yes)
		}),
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for history (required)")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeClusters(c)
	return c
}

func (p *program) release(ctx context.Context, name string, req wire.ReleaseRequest, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	cluster, member, err := p.clusterOf(ctx, s, name)
	if err != nil {
		return err
	}
	req.Member = member
	path := clusterPath(cluster, "integrity", "release")
	plan := req
	plan.DryRun = true
	if _, err := p.plan(ctx, s, path, plan, req.DryRun); err != nil || req.DryRun {
		return err
	}
	if err := p.typed(ctx, yes, name, "its replay continues, for: "+req.Reason); err != nil {
		return err
	}
	return p.change(ctx, http.MethodPost, path, req, "released: "+name)
}

// clusterOf finds the cluster of that name, or the member of that name and its cluster.
func (p *program) clusterOf(ctx context.Context, s *session, name string) (cluster, member string, err error) {
	var status wire.Status
	if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &status); err != nil {
		return "", "", err
	}
	p.remember(s.name, status)
	for _, c := range status.Clusters {
		if c.Name == name {
			return name, "", nil
		}
	}
	for _, c := range status.Clusters {
		if hasMember(c, name) {
			return c.Name, name, nil
		}
	}
	return "", "", refusedf("there is no cluster or member %s; `mainstay status` lists them", name)
}
