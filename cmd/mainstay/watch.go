package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (p *program) watchVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "watch",
		Short:   "Show the status, drawn again each second",
		Long:    "Show the same screen as mainstay status, drawn again each second until interrupted.",
		Example: "  mainstay watch",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			s, err := p.connect()
			if err != nil {
				return err
			}
			defer s.Close()
			return p.watch(ctx, s)
		}),
	}
}
