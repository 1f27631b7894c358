package main

import (
	"github.com/spf13/cobra"
)

func (p *program) siteVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:   "site COMMAND",
		Short: "Move the whole platform to another site, and show past moves",
		Long: `A site switchover moves all clusters and apps of the platform to one site, step by step: check, quiesce, clusters, apps,
routing, verify. It halts at a step that fails and waits for your decision: retry, undo or continue.`,
		Example: "  mainstay site switchover --to west --dry-run",
	}, p.siteSwitchoverVerb(), p.siteRetryVerb(), p.siteUndoVerb(), p.siteContinueVerb(), p.siteHistoryVerb())
}

// sitePath is a path of the API below the site switchovers; the parts were checked as names.
func sitePath(parts ...string) string {
	path := "/v1/site-switchovers"
	for _, part := range parts {
		path += "/" + part
	}
	return path
}
