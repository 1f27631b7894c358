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
)

func (p *program) siteRetryVerb() *cobra.Command {
	return p.siteDecisionVerb(state.DecisionRetry, "Retry the step at which a site switchover has halted",
		`Retry the step at which a site switchover has halted, after you have repaired the cause that it names. Hooks and app servers
that have already confirmed are not asked again.`)
}

func (p *program) siteUndoVerb() *cobra.Command {
	return p.siteDecisionVerb(state.DecisionUndo, "Undo a halted site switchover",
		`Undo a halted site switchover: clusters that have moved are switched back to the site of their former primary, and the apps
with them. Hooks are not run. The exit code is 0 if everything has moved back.`)
}

func (p *program) siteContinueVerb() *cobra.Command {
	return p.siteDecisionVerb(state.DecisionContinue, "Continue a halted site switchover with its next step",
		`Continue a site switchover although the step at which it has halted is not done. What has not moved stays in place.`)
}

// siteDecisionVerb makes the verb for one decision about a halted site switchover.
func (p *program) siteDecisionVerb(decision, short, long string) *cobra.Command {
	var dryRun, yes bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   decision + " [CHANGE]",
		Short: short,
		Long: long + "\n\nWithout CHANGE it means the running switchover. The command shows what it will do and asks, unless --yes is given;\n" +
			"then it follows the switchover. Without a terminal it needs --yes.",
		Example: "  mainstay site " + decision + " --dry-run\n  mainstay site " + decision + " site-4",
		Args:    words("[CHANGE]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if err := checkWait(wait); err != nil {
				return err
			}
			return p.siteDecision(ctx, decision, args, wait, dryRun, yes)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().DurationVar(&wait, "wait", siteWait, "how long to wait for the operation to end")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	p.completeSiteChange(c)
	return c
}

func (p *program) siteDecision(ctx context.Context, decision string, args []string, wait time.Duration, dryRun, yes bool) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	ch, err := p.runningChange(ctx, s, args)
	if err != nil {
		return err
	}
	if dryRun {
		return p.show(ch, func(o render.Options) string {
			return render.Decision(decision, *ch, o) + "nothing was changed (--dry-run)\n"
		})
	}
	io.WriteString(p.stderr, render.Decision(decision, *ch, p.style()))
	if err := p.yes(ctx, yes, decision+" now?"); err != nil {
		return err
	}
	r := siteSwitchoverOf(ch.ID)
	if err := p.ask(ctx, s, http.MethodPost, sitePath(ch.ID, "word"), wire.SiteDecisionRequest{Decision: decision, Version: ch.Version},
		nil); err != nil {
		return err
	}
	if decision == state.DecisionUndo || ch.Undoing {
		r.wanted = state.Abandoned
	}
	return p.follow(ctx, s, r, wait)
}

// runningChange is the running site switchover, if it has the given name and has halted.
func (p *program) runningChange(ctx context.Context, s *session, args []string) (*wire.SiteChange, error) {
	var st wire.Status
	if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st); err != nil {
		return nil, err
	}
	p.remember(s.name, st)
	switch ch := st.Change; {
	case ch == nil:
		return nil, refusedf("no site switchover is running; `mainstay site history` shows those that have ended")
	case len(args) > 0 && ch.ID != args[0]:
		return nil, refusedf("%s is not running, %s is; `mainstay site history %s` shows how it ended", args[0], ch.ID, args[0])
	case ch.Halted == "":
		return nil, refusedf("site switchover %s has not halted: it runs step %s; `mainstay status` shows what it waits for", ch.ID, ch.Step)
	default:
		return ch, nil
	}
}
