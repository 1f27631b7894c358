package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/controller/config"
	"mainstay/controller/wire"
)

func (p *program) completionVerb() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of a shell",
		Long: `Print a script that completes verbs, flags and names: bash, zsh, fish or powershell. Names of clusters and members come from
the last status that this command has seen; no request is sent.`,
		Example:   "  mainstay completion bash > /etc/bash_completion.d/mainstay\n  source <(mainstay completion zsh)",
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				for _, s := range shells {
					if args[0] == s {
						return nil
					}
				}
				return usagef("no completion for %s: want %s", quote(args[0]), strings.Join(shells, ", "))
			}
			return usagef("name one shell: %s", strings.Join(shells, ", "))
		},
		RunE: func(c *cobra.Command, args []string) error { return p.completion(c, args[0]) },
	}
}

func (p *program) completion(c *cobra.Command, shell string) error {
	verb := p.verb(func(context.Context, []string) error {
		switch root := c.Root(); shell {
		case "bash":
			return root.GenBashCompletionV2(p.stdout, true)
		case "zsh":
			return root.GenZshCompletion(p.stdout)
		case "fish":
			return root.GenFishCompletion(p.stdout, true)
		default:
			return root.GenPowerShellCompletionWithDesc(p.stdout)
		}
	})
	return verb(c, nil)
}

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeClusters completes the first argument with the clusters of the last status.
func (p *program) completeClusters(c *cobra.Command) {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		for _, cl := range p.lastStatus(cmd).Clusters {
			names = append(names, cl.Name)
		}
		return names, noFiles
	}
}

// completeHosts completes the first argument with the hosts of the last status.
func (p *program) completeHosts(c *cobra.Command) {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		for _, h := range p.lastStatus(cmd).Hosts {
			names = append(names, h.Name)
		}
		return names, noFiles
	}
}

// completeMembers completes the first argument with the clusters, and --to with the members of the named cluster.
func (p *program) completeMembers(c *cobra.Command) {
	p.completeClusters(c)
	register(c, "to", func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		for _, cl := range p.lastStatus(cmd).Clusters {
			if len(args) == 0 || cl.Name != args[0] {
				continue
			}
			for _, m := range cl.Members {
				if m.Name != cl.Primary {
					names = append(names, m.Name)
				}
			}
		}
		return names, noFiles
	})
}

// completeSites completes --to with the sites that have data.
func (p *program) completeSites(c *cobra.Command) {
	register(c, "to", func(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		for _, site := range p.lastStatus(cmd).Sites {
			if !site.Witness {
				names = append(names, site.Name)
			}
		}
		return names, noFiles
	})
}

// completeSiteChange completes the first argument with the site switchover that was running at the last status.
func (p *program) completeSiteChange(c *cobra.Command) {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if ch := p.lastStatus(cmd).Change; ch != nil && len(args) == 0 {
			names = append(names, ch.ID)
		}
		return names, noFiles
	}
}

// completeApprovals completes the first argument with the failovers that waited for an approval at the last status.
func (p *program) completeApprovals(c *cobra.Command) {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if st := p.lastStatus(cmd); len(args) == 0 {
			for _, a := range approvals(st) {
				if a.why != "" {
					names = append(names, a.operation)
				}
			}
		}
		return names, noFiles
	}
}

func (p *program) completeGlobals(root *cobra.Command) {
	register(root, "output", cobra.FixedCompletions([]string{"table", "json"}, noFiles))
	register(root, "context", func(cmd *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		_ = p.global.complete(cmd, p.env) // a wrong flag has no bearing on the names of contexts
		path, err := p.contextsFile()
		if err != nil {
			return nil, noFiles
		}
		all, err := config.LoadContext(path)
		if err != nil {
			return nil, noFiles
		}
		for name := range all.Contexts {
			names = append(names, name)
		}
		return names, noFiles
	})
}

// register panics if the flag does not exist, which is a mistake in this package.
func register(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// lastStatus is the status that completion works from; empty where this command has seen none.
func (p *program) lastStatus(cmd *cobra.Command) wire.Status {
	if p.global.complete(cmd, p.env) != nil {
		return wire.Status{}
	}
	t, err := p.target()
	if err != nil {
		return wire.Status{}
	}
	s, _ := p.recall(t.name)
	return s
}
