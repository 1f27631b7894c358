package main

import (
	"context"

	"github.com/spf13/cobra"

	"mainstay/controller/config"
)

func (p *program) agentVerb() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "agent -f FILE",
		Short: "Run the agent of this host",
		Long: `Run the agent that manages the members of this host. It runs until TERM or INT; PostgreSQL and the guards keep running
without it, as long as their lease lasts. HUP checks the local file and reads the certificates again; the log names every
change that needs a restart.`,
		Example: "  mainstay agent -f /etc/mainstay/agent.yaml",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if err := withoutFile(file, "agent"); err != nil {
				return err
			}
			cfg, err := config.LoadAgent(file)
			if err != nil {
				return err
			}
			check := func() error { _, err := config.LoadAgent(file); return err }
			return p.start(ctx, cfg.Log, check, func(ctx context.Context, d daemon) error { return p.runAgent(ctx, cfg, d) })
		}),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the agent's local file (required)")
	return c
}
