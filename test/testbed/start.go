package testbed

import (
	"context"
	"errors"
	"net"
	"strings"

	"mainstay/controller/wire"
)

// Start starts everything, applies the platform, and waits until every replica streams.
func (s *Testbed) Start(ctx context.Context) error {
	if err := s.Boot(ctx); err != nil {
		return err
	}
	if err := s.Apply(ctx); err != nil {
		return err
	}
	if err := s.WaitHealthy(ctx); err != nil {
		return err
	}
	return s.WaitPromises(ctx) // a primary that ended before would be started again where it was
}

// Mend undoes what a fault may have left behind: disks are thawed and emptied, daemons that do not run are started.
func (s *Testbed) Mend() error {
	errs := []error{s.thawAll()}
	for name := range s.disks.mounts {
		errs = append(errs, s.Empty(name))
	}
	for _, h := range s.Hosts {
		switch {
		case h.Controller != "" && len(s.Daemons("controller "+h.Controller)) == 0:
			errs = append(errs, s.StartController(h.Controller))
		case h.Controller == "" && len(s.Daemons("agent "+h.Name)) == 0:
			errs = append(errs, s.StartAgent(h.Name))
		}
	}
	return errors.Join(errs...)
}

// Apply applies the testbed's platform file, as soon as there is a leader to take it.
func (s *Testbed) Apply(ctx context.Context) error {
	return s.Wait(ctx, "the platform to be applied", func() (bool, string) {
		out, err := s.CLI(ctx, "apply", "-f", s.path("etc", "platform.yaml"), "--yes")
		return err == nil, out
	})
}

// Boot starts every controller and agent and initialises the controllers. There is no platform yet.
func (s *Testbed) Boot(ctx context.Context) error {
	for _, h := range s.Of(true) {
		if err := s.StartController(h.Controller); err != nil {
			return err
		}
	}
	if err := s.Wait(ctx, "the controllers to answer", func() (bool, string) {
		for _, h := range s.Of(true) {
			var id wire.Identity
			if err := s.ask(ctx, net.JoinHostPort(h.Address, controllerPort), "/v1/controller", &id); err != nil {
				return false, err.Error()
			}
		}
		return true, ""
	}); err != nil {
		return err
	}
	if err := s.Wait(ctx, "the controllers to be initialised", func() (bool, string) { // the command finishes what an earlier one began
		out, err := s.CLI(ctx, append([]string{"controllers", "init"}, s.ControllerAddresses()...)...)
		return err == nil || strings.Contains(out, "already initialised"), out
	}); err != nil {
		return err
	}
	for _, h := range s.Hosts {
		if h.Controller != "" {
			continue
		}
		if err := s.StartAgent(h.Name); err != nil {
			return err
		}
	}
	return nil
}
