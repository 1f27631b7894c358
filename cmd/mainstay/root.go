package main

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// globals are the flags that every verb has.
type globals struct {
	config, context      string
	controllers, agents  []string
	ca, cert, key        string
	output, timeoutText  string
	timeout              time.Duration
	controllersFromFlags bool // they come from --controllers or its variable, not from a context
}

// root is the whole tree of commands.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mainstay COMMAND",
		Short: "Keep a platform of PostgreSQL clusters and app servers available",
		Long: `Mainstay monitors the PostgreSQL primaries and replicas of a platform, fences what has failed, and promotes the right
replica, on this site or another. mainstay help lists its verbs, the problems that it reports and the pages of its guide.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused (the message says why), 4 timed out.
Every global flag has a variable: --controllers is MAINSTAY_CONTROLLERS, and so on. A flag overrides its variable, and a
variable overrides the context. NO_COLOR switches colours off.`,
		Example:       "  mainstay status\n  mainstay explain feed\n  mainstay switchover feed --to feed-e2 --dry-run",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return needsVerb(c) },
		Args:          p.knownVerb,
	}
	root.SuggestionsMinimumDistance = 2
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	p.global.flags(root)
	root.AddCommand(p.controllerVerb(), p.agentVerb(), p.guardVerb(), p.certVerb(), p.controllersVerb(), p.applyVerb(),
		p.diffVerb(), p.exportVerb(), p.validateVerb(), p.statusVerb(), p.watchVerb(), p.explainVerb(), p.historyVerb(),
		p.switchoverVerb(), p.failoverVerb(), p.approveVerb(), p.siteVerb(), p.pauseVerb(), p.resumeVerb(), p.ackVerb(), p.fenceVerb(),
		p.unfenceVerb(), p.integrityVerb(), p.backupVerb(), p.restoreVerb(), p.memberVerb(), p.dsnVerb(), p.localVerb(),
		p.versionVerb(), p.completionVerb())
	root.SetHelpCommand(p.helpVerb())
	root.InitDefaultHelpCmd()
	p.completeGlobals(root)
	return root
}

func (g *globals) flags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "contexts file (default ~/.config/mainstay/config.yaml)")
	f.StringVar(&g.context, "context", "", "platform to connect to, by its name in the contexts file")
	f.StringSliceVar(&g.controllers, "controllers", nil, "host:port of the controllers, instead of the context's")
	f.StringSliceVar(&g.agents, "agents", nil, "host:port of agents to ask where no leader answers")
	f.StringVar(&g.ca, "ca", "", "file of the platform's CA certificate")
	f.StringVar(&g.cert, "cert", "", "file of your certificate")
	f.StringVar(&g.key, "key", "", "file of your certificate's key")
	f.StringVarP(&g.output, "output", "o", "table", "table or json")
	f.StringVar(&g.timeoutText, "timeout", "10s", "how long to wait for one answer")
}

// complete takes the settings without a flag from the variables, and checks those that do not depend on the verb.
func (g *globals) complete(cmd *cobra.Command, env func(string) string) error {
	flags := cmd.Root().PersistentFlags()
	texts := map[string]*string{"config": &g.config, "context": &g.context, "ca": &g.ca, "cert": &g.cert, "key": &g.key,
		"output": &g.output, "timeout": &g.timeoutText}
	for name, dst := range texts {
		if v := env(variable(name)); v != "" && !flags.Changed(name) {
			*dst = v
		}
	}
	lists := map[string]*[]string{"controllers": &g.controllers, "agents": &g.agents}
	for name, dst := range lists {
		if v := env(variable(name)); v != "" && !flags.Changed(name) {
			*dst = strings.Split(v, ",")
		}
		if err := checkAddresses("--"+name, *dst); err != nil {
			return err
		}
	}
	g.controllersFromFlags = len(g.controllers) > 0
	return g.check()
}

func (g *globals) check() error {
	if !slices.Contains([]string{"table", "json"}, g.output) {
		output := g.output
		g.output = "table"
		return usagef("--output %q: want table or json", output)
	}
	d, err := time.ParseDuration(g.timeoutText)
	if err != nil || d <= 0 {
		return usagef("--timeout %q: want a time above zero with its unit, such as 10s", g.timeoutText)
	}
	g.timeout = d
	return nil
}

// variable is the name of a global flag's variable.
func variable(flag string) string { return "MAINSTAY_" + strings.ToUpper(flag) }

// knownVerb refuses an unknown verb; cobra suggests similar ones.
func (p *program) knownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	s := "unknown command " + quote(args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		s += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{errors.New(s)}
}

// needsVerb is the error of a command that only groups others.
func needsVerb(c *cobra.Command) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usagef("name a command: %s", strings.Join(names, ", "))
}

// group makes a command that only groups others.
func (p *program) group(c *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	c.Args = p.knownVerb
	c.RunE = func(c *cobra.Command, _ []string) error { return needsVerb(c) }
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(subs...)
	return c
}
