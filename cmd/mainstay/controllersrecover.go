package main

import (
	"context"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller"
	"mainstay/controller/config"
)

func (p *program) controllersRecoverVerb() *cobra.Command {
	var file, reason string
	var dry, yes bool
	c := &cobra.Command{
		Use:   "recover -f FILE --reason REASON",
		Short: "Continue with one controller after the majority was lost for good",
		Long: `Make this host's controller, which must be stopped, the only controller of the platform, after the majority was lost for
good. It is the last resort: where a majority can be started again, start it instead. Recover one controller only: the
command is refused while another one answers.

A new generation begins. Agents that have heard of it no longer obey the old controllers, which cannot rejoin under their
names. What the old controllers did after the end of this controller's log is unknown. So a cluster keeps running where its
primary answers; any other waits for an operator (` + "`mainstay failover CLUSTER --to MEMBER --accept-loss REASON --fenced`" + `).

If the lost controllers still run somewhere and lead a primary, two primaries may accept writes until they hear of each
other. Make sure first that they are off, or cut off from all clients.

Run it on the controller's host as the controller's user. It makes you type the platform's name to confirm.
Without a terminal it needs --yes.`,
		Example: "  sudo -u mainstay mainstay controllers recover -f /etc/mainstay/controller.yaml --reason \"site east burnt down\" --dry-run",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if err := withoutFile(file, "controller"); err != nil {
				return err
			}
			if strings.TrimSpace(reason) == "" && !dry {
				return usagef("--reason is missing: give the reason; each cluster's history keeps it")
			}
			return p.controllersRecover(ctx, file, reason, dry, yes)
		}),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the controller's local file (required)")
	c.Flags().StringVar(&reason, "reason", "", "why, for the history (required)")
	c.Flags().BoolVar(&dry, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (p *program) controllersRecover(ctx context.Context, file, reason string, dry, yes bool) error {
	cfg, err := config.LoadController(file)
	if err != nil {
		return err
	}
	plan, err := controller.Recover(ctx, cfg, "", "", true)
	if err != nil {
		return err
	}
	if dry {
		return p.show(plan, func(o render.Options) string {
			return render.Recovery(recoveryView(plan), o) + "nothing was changed (--dry-run)\n"
		})
	}
	p.say("%s", strings.TrimSuffix(render.Recovery(recoveryView(plan), p.style()), "\n"))
	if err := p.typed(ctx, yes, plan.Platform, "what the lost controllers did since then is unknown, and they cannot rejoin"); err != nil {
		return err
	}
	done, err := controller.Recover(ctx, cfg, invoker(), reason, false)
	if err != nil {
		return err
	}
	return p.show(done, func(o render.Options) string { return render.Recovered(recoveryView(done), o) })
}

// invoker is the user who runs the command, for the history. No certificate is needed: no controller is there to check it.
func invoker() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	if name == "" {
		name = "unknown"
	}
	return name + " (controllers recover)"
}

func recoveryView(r controller.Recovery) render.RecoveryView {
	v := render.RecoveryView{Controller: r.Controller, Platform: r.Platform, Generation: r.Generation, Index: r.Index, Last: r.Last,
		Lost: r.Lost}
	for _, c := range r.Clusters {
		v.Clusters = append(v.Clusters, render.RecoveredCluster(c))
	}
	return v
}
