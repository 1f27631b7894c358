package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

func (p *program) repairVerb() *cobra.Command {
	req := wire.MendRequest{Fork: "main"}
	block := int64(-1)
	var dryRun, yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "repair MEMBER --relation RELATION --block N",
		Short: "Replace one damaged page of a replica by another member's",
		Long: `Replace one damaged page of a replica by the page of another member: by default of the one that it streams from. The agent stops
PostgreSQL for a moment, keeps the old page in the quarantine, writes the new one and reads it back, starts PostgreSQL again and
compares the page with the primary's. Whatever interrupts it, the old page or the new one is in place, and the agent's log and the
history say which.

A page fits if it was not changed after the position at which the replica would begin to replay, and the other member has written
out its pages up to there. Otherwise nothing is changed, and the command says what to wait for. The replica is stopped only
where commits can do without it.

--fork fsm or vm removes the whole map, which PostgreSQL makes anew. A page of an index is not replaced: REINDEX it on the
primary. A page of the primary is not replaced either: switch over first.

The command shows the plan and asks first, unless --yes is given. Without a terminal it needs --yes.`,
		Example: `  mainstay integrity repair feed-e2 --relation postgres.public.orders --block 42 --dry-run
  mainstay integrity repair feed-e2 --relation base/5/16384 --block 42 --from feed-w1`,
		Args: words("MEMBER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			switch {
			case req.Relation == "":
				return usagef("--relation is missing: database, schema and name, or a path such as base/5/16384")
			case block < 0 || block > 1<<32-2:
				return usagef("--block is missing, or no number of a block")
			case !slices.Contains([]string{"main", "fsm", "vm"}, req.Fork):
				return usagef("--fork %s: want main, fsm or vm", quote(req.Fork))
			}
			if err := checkWait(wait); err != nil {
				return err
			}
			req.Block = uint32(block)
			return p.repair(ctx, args[0], req, dryRun, yes, wait)
		}),
	}
	c.Flags().StringVar(&req.Relation, "relation", "", "database, schema and name, or the path of its first file (required)")
	c.Flags().Int64Var(&block, "block", block, "the page's number, counted over all of the relation's files (required)")
	c.Flags().StringVar(&req.Fork, "fork", req.Fork, "main, fsm or vm")
	c.Flags().StringVar(&req.From, "from", "", "the member whose page it gets (default the one that it streams from)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for the operation to end")
	return c
}

func (p *program) repair(ctx context.Context, member string, req wire.MendRequest, dryRun, yes bool, wait time.Duration) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	agents := check{p: p, name: member}
	if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &agents.status); err != nil {
		return err
	}
	p.remember(s.name, agents.status)
	for _, cl := range agents.status.Clusters {
		for _, m := range cl.Members {
			if m.Name != member {
				continue
			}
			agents.agents = p.dial(agentsOf(agents.status), s.store.ClientConfig(identity.RoleAgent, "", identity.ProtoHTTP))
			defer agents.agents.Close()
			return p.repairOf(ctx, s, &agents, cl.Name, m, req, dryRun, yes, wait)
		}
	}
	return refusedf("there is no member %s; `mainstay status` lists them", member)
}

func (p *program) repairOf(ctx context.Context, s *session, agents *check, cluster string, m wire.MemberStatus, req wire.MendRequest,
	dryRun, yes bool, wait time.Duration) error {
	var plan wire.MendPlan
	if err := agents.ask(ctx, m, http.MethodPost, "/mend", req, &plan); err != nil {
		return err
	}
	path := clusterPath(cluster, "integrity", "repair")
	repair := wire.RepairRequest{Member: m.Name, Page: plan.Page, From: plan.From, DryRun: true}
	var a wire.OperationAnswer
	if err := p.ask(ctx, s, http.MethodPost, path, repair, &a); err != nil {
		return err
	}
	a.Plan = append([]string{plan.Page + " is of " + plan.Relation}, append(plan.Steps, a.Plan...)...)
	if dryRun {
		return p.show(a, func(o render.Options) string { return render.Plan(a, o) + "nothing was changed (--dry-run)\n" })
	}
	if _, err := io.WriteString(p.stderr, render.Plan(a, p.style())); err != nil {
		return err
	}
	if err := p.yes(ctx, yes, "stop "+m.Name+" and mend "+plan.Page+" now?"); err != nil {
		return err
	}
	repair.DryRun = false
	return p.begin(ctx, s, path, repair, wait, func(id string) record { return operationOf(cluster, id) })
}
