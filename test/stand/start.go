package stand

import (
	"context"
	"fmt"
	"net"

	"mainstay/controller/wire"
)

// Start starts everything, applies the platform, and waits until every replica streams.
func (s *Stand) Start(ctx context.Context) error {
	if err := s.Boot(ctx); err != nil {
		return err
	}
	if err := s.Apply(ctx); err != nil {
		return err
	}
	return s.WaitHealthy(ctx)
}

// Apply applies the stand's platform file, as soon as there is a leader to take it.
func (s *Stand) Apply(ctx context.Context) error {
	return s.Wait(ctx, "the platform to be applied", func() (bool, string) {
		out, err := s.CLI(ctx, "apply", "-f", s.path("etc", "platform.yaml"), "--yes")
		return err == nil, out
	})
}

// Boot starts every controller and agent and initialises the controllers. There is no platform yet.
func (s *Stand) Boot(ctx context.Context) error {
	for _, h := range s.Of(true) {
		if err := s.StartController(h.Controller); err != nil {
			return err
		}
	}
	if err := s.Wait(ctx, "the controllers to answer", func() (bool, string) {
		for _, h := range s.Of(true) {
			var id wire.Identity
			if err := s.ask(ctx, net.JoinHostPort(h.Address, "7101"), "/v1/controller", &id); err != nil {
				return false, err.Error()
			}
		}
		return true, ""
	}); err != nil {
		return err
	}
	if out, err := s.CLI(ctx, append([]string{"controllers", "init"}, s.ControllerAddresses()...)...); err != nil {
		return fmt.Errorf("controllers init: %w\n%s", err, out)
	}
	for _, h := range s.Of(false) {
		if err := s.StartAgent(h.Name); err != nil {
			return err
		}
	}
	return nil
}
