package main

import (
	"context"
	"io"
	"net/http"
	"strings"
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
		Use:   "approve OPERATION|CLUSTER",
		Short: "Let a waiting failover move the primary to another site",
		Long: `Let a failover move the primary of its cluster to another site, where the cluster's failover.across-sites is approval. The
command shows first what would be lost. You approve only the change of site: the old primary must still be proven fenced, and
the new one must hold every acknowledged commit. The history keeps your name, and the approval counts for this operation only.
CLUSTER means the running failover of that cluster. Without a terminal it needs --yes.`,
		Example: "  mainstay approve feed-12 --dry-run\n  mainstay approve feed-12",
		Args:    words("OPERATION|CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if err := checkWait(wait); err != nil {
				return err
			}
			return p.approve(ctx, args[0], wait, dryRun, yes)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done and lost, and do nothing")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait for the operation to end")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeApprovals(c)
	return c
}

func (p *program) approve(ctx context.Context, name string, wait time.Duration, dryRun, yes bool) error {
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
	a, err := approvalNamed(approvals(st), name)
	if err != nil {
		return err
	}
	if a.why == "" {
		a.why = "the failover does not wait for an approval now; yours counts if it needs one later"
	}
	plan := wire.OperationAnswer{Operation: a.operation, DryRun: dryRun, Plan: []string{a.cluster + ": " + a.why}}
	if dryRun {
		return p.show(plan, func(o render.Options) string { return render.Plan(plan, o) + "nothing was changed (--dry-run)\n" })
	}
	io.WriteString(p.stderr, render.Plan(plan, p.style()))
	if err := p.yes(ctx, yes, "let the primary of "+a.cluster+" move to another site?"); err != nil {
		return err
	}
	if err := p.ask(ctx, s, http.MethodPost, "/v1/operations/"+a.operation+"/approve", nil, nil); err != nil {
		return err
	}
	return p.follow(ctx, s, operationOf(a.cluster, a.operation), wait)
}

// approval is a running failover; why says what an approval would make it do, "" where it does not wait for one.
type approval struct{ operation, cluster, why string }

func approvals(st wire.Status) (all []approval) {
	for _, c := range st.Clusters {
		if c.Operation == nil || c.Operation.Result != state.Running {
			continue
		}
		a := approval{operation: c.Operation.ID, cluster: c.Name}
		for _, problem := range st.Problems {
			if problem.Kind == health.ApprovalNeeded && problem.Cluster == c.Name {
				a.why = problem.Evidence
			}
		}
		all = append(all, a)
	}
	return all
}

// approvalNamed finds the failover by the name of its operation or of its cluster. It refuses a name that means two failovers
// and lists their other names.
func approvalNamed(all []approval, name string) (approval, error) {
	var waiting, others []string
	var found approval
	for _, a := range all {
		if a.why != "" {
			waiting = append(waiting, a.operation)
		}
		switch name {
		case a.operation:
			found, others = a, append(others, a.cluster)
		case a.cluster:
			found, others = a, append(others, a.operation)
		}
	}
	switch len(others) {
	case 0:
		return found, refusedf("no failover %s is running; %s", name, wire.ApprovalsNow(waiting))
	case 1:
		return found, nil
	}
	return found, refusedf("%s is the name of an operation and of a cluster; run `mainstay approve %s`", name,
		strings.Join(others, "` or `mainstay approve "))
}
