package main

import (
	"context"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/wire"
)

func (p *program) exportVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print the platform as a platform file",
		Long: `Print the stored platform as a platform file. Its first line names the version: apply refuses the file if the platform has
changed since.`,
		Example: "  mainstay export > platform.yaml",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			var a wire.PlatformAnswer
			if err := p.withLeader(ctx, http.MethodGet, "/v1/platform", nil, &a); err != nil {
				return err
			}
			if a.Platform == nil {
				return refusedf("no platform has been applied yet; write a platform file and run `mainstay apply -f platform.yaml`")
			}
			return p.show(a, func(render.Options) string { return string(config.Export(a.Platform, a.Version)) })
		}),
	}
}
