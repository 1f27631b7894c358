package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (p *program) memberVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:     "member COMMAND",
		Short:   "Work on one member",
		Long:    "Work on one member of a cluster: see what its repairs have removed and kept.",
		Example: "  mainstay member quarantine list feed-e1",
	}, p.quarantineVerb())
}

func (p *program) quarantineVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:   "quarantine COMMAND",
		Short: "Show and drop what repairs have removed and kept",
		Long: `A member that returns after a failover may hold WAL that the new primary does not have. Before a rewind or a rebuild removes
that WAL, it is counted and kept on the member's host. No commit in it is ever dropped automatically: where a further piece
would exceed the member's limit (quarantine.limit in the agent's file), the repair waits until you drop a piece.`,
		Example: "  mainstay member quarantine list\n  mainstay member quarantine show feed-e1_5-rewind",
	}, p.quarantineListVerb(), p.quarantineShowVerb(), p.quarantineDropVerb())
}

func (p *program) quarantineListVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [CLUSTER|MEMBER]",
		Short: "List what is kept, on all hosts",
		Long: `List what repairs have removed and kept, the oldest first on each host. The agents are asked directly, so it also works
without a leader. The exit code is 1 where an agent does not answer.`,
		Example: "  mainstay member quarantine list\n  mainstay member quarantine list feed --output json",
		Args:    words("[CLUSTER|MEMBER]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.quarantineList(ctx, strings.Join(args, ""))
		}),
	}
	c.ValidArgsFunction = p.completeNames
	return c
}

func (p *program) quarantineShowVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one piece, and the transactions in it",
		Long: `Show what one repair has removed: its member, its range of WAL, and its transactions, with the time of each commit and the
number of relations changed. The agent reads them from the kept WAL, for some seconds at most. For more, copy the folder and
run pg_waldump on it.`,
		Example: "  mainstay member quarantine show feed-e1_5-rewind",
		Args:    words("ID"),
		RunE:    p.verb(func(ctx context.Context, args []string) error { return p.quarantineShow(ctx, args[0]) }),
	}
	c.ValidArgsFunction = p.completePieces
	return c
}

func (p *program) quarantineDropVerb() *cobra.Command {
	var reason string
	var dryRun, yes bool
	c := &cobra.Command{
		Use:   "drop ID --reason REASON",
		Short: "Destroy one piece for good",
		Long: `Destroy what one repair has removed and kept. This cannot be undone: commits that exist nowhere else are lost with it. The
agent's log keeps your name and reason. The command shows what would be destroyed and makes you type the ID. Without a
terminal it needs --yes.`,
		Example: `  mainstay member quarantine drop feed-e1_5-rewind --dry-run
  mainstay member quarantine drop feed-e1_5-rewind --reason "posts restored by hand"`,
		Args: words("ID"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if strings.TrimSpace(reason) == "" && !dryRun {
				return usagef("--reason is missing: give the reason why it may be destroyed, for the agent's log")
			}
			return p.quarantineDrop(ctx, args[0], reason, dryRun, yes)
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "reason, for the agent's log (required)")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be destroyed, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.ValidArgsFunction = p.completePieces
	return c
}

// completeNames completes the first argument with the clusters and members of the last status.
func (p *program) completeNames(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	for _, cl := range p.lastStatus(cmd).Clusters {
		names = append(names, cl.Name)
		for _, m := range cl.Members {
			names = append(names, m.Name)
		}
	}
	return names, noFiles
}

// completePieces completes the first argument with the latest piece of each member, from the last status.
func (p *program) completePieces(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	for _, cl := range p.lastStatus(cmd).Clusters {
		for _, m := range cl.Members {
			if m.Seen != nil && m.Seen.Discarded != nil {
				names = append(names, pieceAt(m.Seen.Discarded.Kept))
			}
		}
	}
	return names, noFiles
}

// pieceAt is the ID of the piece kept at a place: a folder of that name, or a data directory with that suffix.
func pieceAt(place string) string {
	id := place[strings.LastIndex(place, "/")+1:]
	_, suffix, aside := strings.Cut(id, ".mainstay-aside-")
	if aside {
		return suffix
	}
	return id
}
