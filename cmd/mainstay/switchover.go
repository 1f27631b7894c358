package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

func (p *program) switchoverVerb() *cobra.Command {
	var req wire.SwitchoverRequest
	var yes bool
	var wait, backups time.Duration
	c := &cobra.Command{
		Use:   "switchover CLUSTER",
		Short: "Hand the primary role over to a replica, without loss",
		Long: `Hand the primary role over to a replica: the primary is checkpointed and stopped cleanly, the replica catches up to its last
record and is promoted, and the old primary rejoins as a replica. No acknowledged commit is lost: where that cannot be shown
beforehand, the switchover is refused and nothing is changed.

The command prints each step with the time since the first, and ends when the operation has ended. The operation continues if
the command is interrupted. It shows the plan and asks first, unless --yes is given. Without a terminal it needs --yes.`,
		Example: `  mainstay switchover feed --dry-run
  mainstay switchover feed --to feed-e2 --reason "kernel update of db-e1"`,
		Args: words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if req.To != "" {
				if err := checkName("--to", req.To); err != nil {
					return err
				}
			}
			if err := checkWaits(wait, backups); err != nil {
				return err
			}
			return p.switchover(ctx, args[0], req, wait, backups, yes)
		}),
	}
	c.Flags().StringVar(&req.To, "to", "", "member to promote (default the best candidate)")
	c.Flags().StringVar(&req.Reason, "reason", "", "reason, for the history")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().DurationVar(&wait, "wait", 60*time.Second, "how long to wait for the operation to end")
	backupsWait(c, &backups)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeMembers(c)
	return c
}

func backupsWait(c *cobra.Command, bound *time.Duration) {
	c.Flags().DurationVar(bound, "backups-wait", 10*time.Minute,
		"how long to wait for base backups to end, where the platform file says base-backups: wait")
}

func (p *program) switchover(ctx context.Context, cluster string, req wire.SwitchoverRequest, wait, backups time.Duration,
	yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	path := clusterPath(cluster, "switchover")
	if req.DryRun || !yes {
		plan := req
		plan.DryRun = true
		shown, err := p.plan(ctx, s, path, plan, req.DryRun)
		if err != nil || req.DryRun {
			return err
		}
		req.To = shown.Target // what is confirmed is what begins, or nothing: another member may be the best candidate by then
		if err := p.yes(ctx, yes, "switch over "+cluster+" now?"); err != nil {
			return err
		}
	}
	return p.afterBackups(ctx, backups, func() error {
		return p.begin(ctx, s, path, req, wait, func(id string) record { return operationOf(cluster, id) })
	})
}

// backupsEvery is how often a switchover that waits for a base backup is asked for again.
const backupsEvery = time.Second

// afterBackups begins an operation once no base backup prevents it; it waits for that at most bound.
func (p *program) afterBackups(ctx context.Context, bound time.Duration, begin func() error) error {
	waiting, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for said := false; ; said = true {
		err := begin()
		var refusal *wire.RefusalError
		if !errors.As(err, &refusal) || refusal.Err.Code != wire.CodeBackup {
			return err
		}
		if waiting.Err() != nil {
			return err
		}
		if !said {
			p.say("waiting for at most %s: %s", bound, err)
		}
		if wakeup.Pause(waiting, min(backupsEvery, bound)) != nil {
			return err
		}
	}
}

// plan asks what an operation would do, and shows it: as the answer if it is the last, else beside it.
func (p *program) plan(ctx context.Context, s *session, path string, req any, last bool) (a wire.OperationAnswer, err error) {
	if err := p.ask(ctx, s, http.MethodPost, path, req, &a); err != nil {
		return a, err
	}
	if last {
		return a, p.show(a, func(o render.Options) string { return render.Plan(a, o) + "nothing was changed (--dry-run)\n" })
	}
	_, err = io.WriteString(p.stderr, render.Plan(a, p.style()))
	return a, err
}

// begin starts an operation and follows it to its end.
func (p *program) begin(ctx context.Context, s *session, path string, req any, wait time.Duration, of func(id string) record) error {
	var a wire.OperationAnswer
	if err := p.ask(ctx, s, http.MethodPost, path, req, &a); err != nil {
		return err
	}
	for _, w := range a.Warnings {
		p.say("warning: %s", w)
	}
	return p.follow(ctx, s, of(a.Operation), wait)
}
