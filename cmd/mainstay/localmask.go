package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/postgres"
)

// masking holds the differences between `local mask` and `local unmask`.
type masking struct {
	verb, short, long, question string
	steps                       func(postgres.Service) []string
	do                          func(postgres.Service, context.Context) error
}

var maskService = masking{
	verb: "mask", short: "Keep the distribution's own service from starting a member",
	long: `Keep the distribution's own service from starting PostgreSQL on a member's data directory: it would run as a primary
without a lease. Run it as root on the member's host, after the adoption; a running PostgreSQL is not stopped. Where systemd
runs, the unit is masked. On Debian "disabled" is written into the cluster's start.conf, whose former content is kept beside
it as start.conf.mainstay.
` + "`mainstay local unmask`" + ` undoes both. Without a terminal it needs --yes.`,
	question: "from now on only Mainstay starts this PostgreSQL",
	steps:    postgres.Service.MaskSteps, do: postgres.Service.Mask,
}

var unmaskService = masking{
	verb: "unmask", short: "Give a member back to the distribution's own service",
	long: `Undo ` + "`mainstay local mask`" + `, when Mainstay no longer manages a member. Run it as root on the member's host. While the
member still belongs to a cluster, its service can start a primary without a lease. Without a terminal it needs --yes.`,
	question: "from now on the distribution's service can start this PostgreSQL without a lease",
	steps:    postgres.Service.UnmaskSteps, do: postgres.Service.Unmask,
}

// maskResult is the answer as JSON.
type maskResult struct {
	Member   string             `json:"member"`
	Data     string             `json:"data"`
	Services []postgres.Service `json:"services"`
	Steps    []string           `json:"steps"`
	Done     bool               `json:"done"`
}

func (p *program) maskVerb(k masking, file *string) *cobra.Command {
	var dry, yes bool
	c := &cobra.Command{
		Use: k.verb + " MEMBER", Short: k.short, Long: k.long,
		Example: "  sudo mainstay local " + k.verb + " feed-e1 --dry-run\n  sudo mainstay local " + k.verb + " feed-e1",
		Args:    words("MEMBER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.mask(ctx, k, *file, args[0], dry, yes)
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (p *program) mask(ctx context.Context, k masking, file, member string, dry, yes bool) error {
	file, err := p.agentFile(file, "")
	if err != nil {
		return err
	}
	cfg, err := config.LoadAgent(file)
	if err != nil {
		return err
	}
	r := maskResult{Member: member, Steps: []string{}}
	if r.Data, err = memberData(cfg, member); err != nil {
		return err
	}
	if r.Services, err = postgres.Services(r.Data); err != nil {
		return err
	}
	for _, s := range r.Services {
		r.Steps = append(r.Steps, k.steps(s)...)
	}
	if dry || len(r.Steps) == 0 {
		return p.show(r, func(render.Options) string { return r.text(k) })
	}
	if err := p.typed(ctx, yes, member, strings.Join(r.Steps, "\n")+"\n"+k.question); err != nil {
		return err
	}
	ctx, stop := p.request(ctx)
	defer stop()
	for _, s := range r.Services {
		if err := k.do(s, ctx); err != nil {
			return err
		}
	}
	r.Done = true
	return p.show(r, func(render.Options) string { return r.text(k) })
}

func (r maskResult) text(k masking) string {
	switch {
	case len(r.Services) == 0:
		return "no service on this host would start PostgreSQL on " + r.Data + "\n"
	case len(r.Steps) == 0:
		return "nothing to " + k.verb + " for " + r.Member + "\n"
	case r.Done:
		return "done:\n  " + strings.Join(r.Steps, "\n  ") + "\n"
	}
	return "would do:\n  " + strings.Join(r.Steps, "\n  ") + "\n"
}

// memberData is the data directory of a member, from the file of this host's agent.
func memberData(cfg config.Agent, member string) (string, error) {
	own, named := cfg.Members[member]
	dir := filepath.Join(cfg.Data, "members", member)
	if _, err := os.Stat(dir); err != nil && !named {
		return "", fmt.Errorf("this host has no member %s; its agent's file names: %s", member,
			strings.Join(slices.Sorted(maps.Keys(cfg.Members)), ", "))
	}
	if own.Data != "" {
		return own.Data, nil
	}
	return filepath.Join(dir, "data"), nil
}
