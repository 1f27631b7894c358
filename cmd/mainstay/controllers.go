package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

func (p *program) controllersVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:     "controllers COMMAND",
		Short:   "Manage the controllers",
		Long:    "Manage the controllers, which elect a leader among themselves: three or five, on at least three sites.",
		Example: "  mainstay controllers list\n  mainstay controllers add 10.0.3.5:7101",
	}, p.controllersInitVerb(), p.controllersListVerb(), p.controllersAddVerb(), p.controllersRemoveVerb(), p.controllersTransferVerb(),
		p.controllersRecoverVerb())
}

func (p *program) controllersInitVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "init [ADDRESS...]",
		Short: "Form the group of controllers, once",
		Long: `Form one group of new controllers, and give the platform its identity. Run it once, when all of them run for the first time.
Without addresses it takes those of the context or of --controllers. A controller that already has data refuses.`,
		Example: "  mainstay controllers init 10.0.1.5:7101 10.0.2.5:7101 10.0.3.5:7101",
		Args:    func(_ *cobra.Command, args []string) error { return checkAddresses("ADDRESS", args) },
		RunE:    p.verb(p.controllersInit),
	}
}

func (p *program) controllersInit(ctx context.Context, addresses []string) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	if len(addresses) == 0 {
		addresses = s.controllers
	}
	ctx, cancel := p.request(ctx)
	defer cancel()
	if err := s.DoAt(ctx, addresses[0], http.MethodPost, "/v1/controllers/init", wire.InitRequest{Addresses: addresses}, nil); err != nil {
		return err
	}
	return p.show(map[string]any{"initialised": addresses}, func(render.Options) string {
		who := fmt.Sprintf("%d controllers now form one group", len(addresses))
		if len(addresses) == 1 {
			who = "the controller now forms a group of one, which tolerates no loss"
		}
		return who + "; next: mainstay apply -f platform.yaml\n"
	})
}

func (p *program) controllersListVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the controllers and their leader",
		Long: `List the controllers: which leads, which are reached, which version each runs. Where no leader answers, every known
controller is asked separately, and the exit code is 1.`,
		Example: "  mainstay controllers list",
		Args:    words(),
		RunE:    p.verb(func(ctx context.Context, _ []string) error { return p.controllersList(ctx) }),
	}
}

func (p *program) controllersList(ctx context.Context) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var a wire.Controllers
	err = p.ask(ctx, s, http.MethodGet, "/v1/controllers", nil, &a)
	// A controller that is not yet in a group answers only for itself.
	alone := ctx.Err() == nil && (leaderless(err) || err == nil && a.Leader == "")
	if alone {
		a = p.eachController(ctx, s)
	} else if err != nil {
		return err
	}
	err = p.show(a, func(o render.Options) string { return render.Controllers(a, o) })
	if err == nil && alone {
		err = quietError{exitFailed}
	}
	return err
}

// eachController asks every known controller for its identity.
func (p *program) eachController(ctx context.Context, s *session) wire.Controllers {
	a := wire.Controllers{Members: make([]wire.Controller, len(s.controllers))}
	var all sync.WaitGroup
	for i, address := range s.controllers {
		all.Go(func() { a.Members[i] = p.oneController(ctx, s, address) })
	}
	all.Wait()
	return a
}

func (p *program) oneController(ctx context.Context, s *session, address string) wire.Controller {
	ctx, cancel := context.WithTimeout(ctx, min(askAgent, p.global.timeout))
	defer cancel()
	var id wire.Identity
	c := wire.Controller{Address: address}
	if err := s.DoAt(ctx, address, http.MethodGet, "/v1/controller", nil, &id); err != nil {
		c.Error = wire.Why(err)
		return c
	}
	c.RaftID, c.Name, c.Version, c.Reached = id.RaftID, id.Name, id.Version, true
	if at, err := time.Parse(time.RFC3339, id.CertificateExpires); err == nil && identity.EndsSoon(at, time.Now()) {
		c.CertificateEnds = id.CertificateExpires
	}
	switch {
	case !id.Initialised:
		c.Error = "not part of a group yet: run `mainstay controllers init` once, or `mainstay controllers add " + address + "`"
	case id.Leader != "":
		c.Error = "takes " + id.Leader + " for the leader, at " + id.LeaderAddr
	default:
		c.Error = "knows no leader"
	}
	return c
}
