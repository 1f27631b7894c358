package main

import (
	"github.com/spf13/cobra"

	"mainstay/fencing/guard"
)

// guardVerb is started by the agent, never by a person. It takes no signal handling and no settings from here: the guard
// outlives TERM, INT and HUP (L2).
func (p *program) guardVerb() *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Hidden: true,
		Short:  "Hold the lease of one member (started by the agent)",
		Long: `Hold the lease of one member, and end its PostgreSQL when it lapses. The agent starts guards and configures them on standard
input; there is nothing to run by hand.`,
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
}
