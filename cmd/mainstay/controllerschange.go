package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/wire"
)

func (p *program) controllersAddVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "add ADDRESS",
		Short: "Add a running controller to the group",
		Long: `Add a running controller without data to the group. It receives the whole state and then votes. Add a new controller before
you remove an old one: two controllers tolerate the loss of none.`,
		Example: "  mainstay controllers add 10.0.3.6:7101",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("name one ADDRESS, such as 10.0.3.6:7101")
			}
			return checkAddresses("ADDRESS", args)
		},
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.change(ctx, http.MethodPost, "/v1/controllers", wire.AddController{Address: args[0]},
				"added "+args[0]+": see `mainstay controllers list`")
		}),
	}
}

func (p *program) controllersRemoveVerb() *cobra.Command {
	var dryRun, yes bool
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a controller from the group",
		Long: `Remove a controller from the group. It stops voting at once; stop its process afterwards. It cannot rejoin with its old data:
empty its folder and add it as a new controller. Without a terminal the command needs --yes.`,
		Example: "  mainstay controllers remove c3 --dry-run\n  mainstay controllers remove c3",
		Args:    words("NAME"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.controllersRemove(ctx, args[0], dryRun, yes)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be left, and do nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (p *program) controllersRemove(ctx context.Context, name string, dryRun, yes bool) error {
	var a wire.Controllers
	if err := p.withLeader(ctx, http.MethodGet, "/v1/controllers", nil, &a); err != nil {
		return err
	}
	rest := 0
	for _, m := range a.Members {
		if m.Name != name && m.RaftID != name {
			rest++
		}
	}
	if rest == len(a.Members) {
		return refusedf("there is no controller %s; `mainstay controllers list` shows them", name)
	}
	if rest == 0 {
		return refusedf("%s is the last controller; none would be left to lead", name)
	}
	left := fmt.Sprintf("%d would be left, tolerating the loss of %d", rest, (rest-1)/2)
	if dryRun {
		plan := map[string]any{"remove": name, "left": rest, "tolerates": (rest - 1) / 2}
		return p.show(plan, func(render.Options) string {
			return "would remove " + name + ": " + left + "; nothing was changed (--dry-run)\n"
		})
	}
	if err := p.yes(ctx, yes, "remove "+name+"? "+left); err != nil {
		return err
	}
	return p.change(ctx, http.MethodDelete, "/v1/controllers/"+name, nil, "removed "+name+": stop its process")
}

func (p *program) controllersTransferVerb() *cobra.Command {
	var req wire.TransferRequest
	c := &cobra.Command{
		Use:   "transfer [--to NAME]",
		Short: "Let another controller lead",
		Long: `Hand leadership to another controller, before work on the leader's host. It takes milliseconds; no lease lapses, and running
operations continue.`,
		Example: "  mainstay controllers transfer --to c2",
		Args:    words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error {
			to := "another controller"
			if req.To != "" {
				if err := checkName("--to", req.To); err != nil {
					return err
				}
				to = req.To
			}
			return p.change(ctx, http.MethodPost, "/v1/controllers/transfer", req, "leadership was handed to "+to)
		}),
	}
	c.Flags().StringVar(&req.To, "to", "", "controller that takes over (default any)")
	return c
}
