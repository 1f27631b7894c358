package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/controller/wire"
)

func (p *program) failoverVerb() *cobra.Command {
	var req wire.FailoverRequest
	var yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "failover CLUSTER --to MEMBER --accept-loss REASON",
		Short: "Promote a member by your decision, where commits may be lost",
		Long: `Promote a member although it cannot be shown to hold every acknowledged commit. Mainstay fails over automatically where no
commit is lost; use this verb where it waits and an operator must decide. The history keeps your name and reason, and the
decision counts for one attempt only.

--accept-loss replaces only the proof of completeness: the old primary must still be proven fenced. --fenced replaces that
proof too. Give it only after you have made sure that the old primary's host is off, or cut off from all clients: otherwise
two primaries may accept writes.

The command shows what may be lost and makes you type the cluster's name. Without a terminal it needs --yes.`,
		Example: `  mainstay failover feed --to feed-w1 --accept-loss "site east is flooded" --dry-run
  mainstay failover feed --to feed-w1 --accept-loss "site east is flooded" --fenced`,
		Args: words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if err := checkFailover(req, wait); err != nil {
				return err
			}
			return p.failover(ctx, args[0], req, wait, yes)
		}),
	}
	c.Flags().StringVar(&req.To, "to", "", "member to promote (required)")
	c.Flags().StringVar(&req.AcceptLoss, "accept-loss", "", "reason why a loss is acceptable, for the history (required)")
	c.Flags().BoolVar(&req.Fenced, "fenced", false, "you have made sure that the old primary is off")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done and lost, and do nothing")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for the operation to end")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeMembers(c)
	return c
}

func checkFailover(req wire.FailoverRequest, wait time.Duration) error {
	switch {
	case req.To == "":
		return usagef("--to is missing: name the member to promote")
	case strings.TrimSpace(req.AcceptLoss) == "":
		return usagef("--accept-loss is missing: give the reason why a loss is acceptable")
	}
	if err := checkWait(wait); err != nil {
		return err
	}
	return checkName("--to", req.To)
}

// failover first shows what may be lost (S4 requires that the operator knows beforehand), then asks for the cluster's name.
func (p *program) failover(ctx context.Context, cluster string, req wire.FailoverRequest, wait time.Duration, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	path := clusterPath(cluster, "failover")
	plan := req
	plan.DryRun = true
	if !req.DryRun {
		p.withoutOperator(ctx, s, cluster)
	}
	if _, err := p.plan(ctx, s, path, plan, req.DryRun); err != nil || req.DryRun {
		return err
	}
	question := "acknowledged commits may be lost, for: " + req.AcceptLoss
	if req.Fenced {
		question += "\nyou state that the old primary is off; if it is not, two primaries may accept writes"
	}
	if err := p.typed(ctx, yes, cluster, question); err != nil {
		return err
	}
	return p.begin(ctx, s, path, req, wait, func(id string) record { return operationOf(cluster, id) })
}

// withoutOperator prints what Mainstay does automatically now, which may be enough; the plan says what it would do if the
// primary failed. An error here does not stop the failover.
func (p *program) withoutOperator(ctx context.Context, s *session, cluster string) {
	var a wire.ExplainAnswer
	if err := p.ask(ctx, s, http.MethodGet, clusterPath(cluster, "explain"), nil, &a); err != nil {
		return
	}
	if a.Now != "" {
		p.say("now: %s", a.Now)
	}
}
