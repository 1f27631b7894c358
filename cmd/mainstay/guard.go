package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mainstay/controller/agent"
	"mainstay/controller/config"
	"mainstay/fencing/guard"
	"mainstay/fencing/watchdog"
)

// guardVerb is started by the agent, never by a person. It takes no signal handling and no settings from this package: the
// guard outlives TERM, INT and HUP (L2).
func (p *program) guardVerb() *cobra.Command {
	c := &cobra.Command{
		Use:    "guard",
		Hidden: true,
		Short:  "Hold the lease of one member (started by the agent)",
		Long: `Hold the lease of one member, and kill its PostgreSQL when the lease lapses. The agent starts guards and configures them on
standard input; do not run this by hand.`,
		Example:            "  mainstay guard    # by the agent only",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			p.started = true
			if code := guard.Main(args); code != exitDone {
				return quietError{code}
			}
			return nil
		},
	}
	c.AddCommand(p.sweepVerb(), p.watchdogVerb())
	return c
}

// watchdogVerb is also started by the agent, and outlives signals as a guard does.
func (p *program) watchdogVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "watchdog",
		Short: "Hold and ping the hardware watchdog of this host (started by the agent)",
		Long: `Hold the hardware watchdog of this host, and ping it as long as no guard is overdue. The agent starts this process where the
platform file gives the host a watchdog, and configures it on standard input; do not run it by hand.`,
		Example: "  mainstay guard watchdog    # by the agent only",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			if code := watchdog.Main(); code != exitDone {
				return quietError{code}
			}
			return nil
		},
	}
}

// sweepVerb is run by the service manager whenever the agent has ended.
func (p *program) sweepVerb() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "sweep -f FILE",
		Short: "Kill every PostgreSQL of this host that has no guard any more",
		Long: `Kill every PostgreSQL of this host that Mainstay started or adopted and that has no running guard. The agent's systemd unit
runs it after the agent has ended: if the agent and all guards were killed at once, nothing else would stop PostgreSQL. It
leaves a member with a guard alone, and is refused while an agent runs. It may be run again.`,
		Example: "  mainstay guard sweep -f /etc/mainstay/agent.yaml",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if err := withoutFile(file, "agent"); err != nil {
				return err
			}
			cfg, err := config.LoadAgent(file)
			if err != nil {
				return err
			}
			swept, err := agent.Sweep(ctx, cfg)
			if err != nil {
				return err
			}
			return p.sweptAll(swept)
		}),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the agent's local file (required)")
	return c
}

func (p *program) sweptAll(swept []agent.Swept) error {
	failed := 0
	for _, s := range swept {
		p.say("%s", s)
		if s.Err != nil {
			failed++
		}
	}
	switch {
	case failed > 0:
		return fmt.Errorf("%d members of this host could not be checked, or may still run without a guard; fence the host", failed)
	case len(swept) == 0:
		p.say("no PostgreSQL of this host runs without a guard")
	}
	return nil
}
