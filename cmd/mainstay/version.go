package main

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

// release is set by the build of a release: -ldflags "-X main.release=1.2.3".
var release string

// version is the release, or else the commit that the binary was built from.
func version() string {
	if release != "" {
		return release
	}
	commit, changed := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && len(s.Value) >= 12:
				commit = s.Value[:12]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = "+changes"
			}
		}
	}
	return "dev-" + commit + changed
}

func (p *program) versionVerb() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Long:    "Print the version of this binary, and the versions of the API that it speaks.",
		Example: "  mainstay version --output json",
		Args:    words(),
		RunE: p.verb(func(context.Context, []string) error {
			v := map[string]any{"version": version(), "go": runtime.Version(), "protocolMin": wire.ProtocolMin, "protocolMax": wire.ProtocolMax}
			return p.show(v, func(render.Options) string { return "mainstay " + version() + " (" + runtime.Version() + ")\n" })
		}),
	}
}
