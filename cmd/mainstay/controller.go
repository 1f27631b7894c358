package main

import (
	"context"

	"github.com/spf13/cobra"

	"mainstay/controller/config"
)

func (p *program) controllerVerb() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "controller -f FILE",
		Short: "Run a controller of the platform",
		Long: `Run a controller: one of three or five that elect a leader among themselves. It runs until TERM or INT. HUP checks the
local file and reads the certificates again; the log names every change that needs a restart.`,
		Example: "  mainstay controller -f /etc/mainstay/controller.yaml",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			if err := withoutFile(file, "controller"); err != nil {
				return err
			}
			cfg, err := config.LoadController(file)
			if err != nil {
				return err
			}
			check := func() error { _, err := config.LoadController(file); return err }
			return p.start(ctx, cfg.Log, check, func(ctx context.Context, d daemon) error { return p.runController(ctx, cfg, d) })
		}),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the controller's local file (required)")
	return c
}
