package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"mainstay/controller/wire"
)

// siteWait is how long the verbs that follow a site switchover wait for its end: drains and hooks may take minutes.
const siteWait = 10 * time.Minute

func (p *program) siteSwitchoverVerb() *cobra.Command {
	var req wire.SiteSwitchoverRequest
	var yes bool
	var wait, backups time.Duration
	c := &cobra.Command{
		Use:   "switchover --to SITE",
		Short: "Move all clusters and apps to a site, without loss",
		Long: `Move the platform to a site. Everything is checked first, and the switchover does not start if a check fails. The apps are
drained and stopped, or asked to refuse writes; each cluster is switched over without loss; the apps start on the new site,
and make a real write and read. Hooks of the platform file run before and after the steps. To switch back, name the other
site.

The command shows the plan and asks, unless --yes is given; without a terminal it needs --yes. It prints each step with the
time since the first, and ends when the switchover has ended or halted. After a halt it prints the cause and the choices, and
its exit code is 1. The switchover continues if the command is interrupted.`,
		Example: `  mainstay site switchover --to west --dry-run
  mainstay site switchover --to west --reason "power work in east"`,
		Args: words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if req.To == "" {
				return usagef("--to is missing: name the site to move to")
			}
			if err := checkName("--to", req.To); err != nil {
				return err
			}
			if err := checkWaits(wait, backups); err != nil {
				return err
			}
			return p.siteSwitchover(ctx, req, wait, backups, yes)
		}),
	}
	c.Flags().StringVar(&req.To, "to", "", "site to move to (required)")
	c.Flags().StringVar(&req.Reason, "reason", "", "reason, for the history")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().DurationVar(&wait, "wait", siteWait, "how long to wait for the operation to end")
	backupsWait(c, &backups)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeSites(c)
	return c
}

func checkWait(wait time.Duration) error {
	if wait <= 0 {
		return usagef("--wait %s: want a time above zero", wait)
	}
	return nil
}

// checkWaits checks the bounds of a switchover's waits: for its end, and for base backups before it.
func checkWaits(wait, backups time.Duration) error {
	if backups < 0 {
		return usagef("--backups-wait is a duration, such as 10m; 0 waits for none")
	}
	return checkWait(wait)
}

func (p *program) siteSwitchover(ctx context.Context, req wire.SiteSwitchoverRequest, wait, backups time.Duration, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	plan := req
	plan.DryRun = true
	if _, err := p.plan(ctx, s, sitePath(), plan, req.DryRun); err != nil || req.DryRun {
		return err
	}
	if err := p.yes(ctx, yes, "move the platform to site "+req.To+" now?"); err != nil {
		return err
	}
	return p.afterBackups(ctx, backups, func() error { return p.begin(ctx, s, sitePath(), req, wait, siteSwitchoverOf) })
}
