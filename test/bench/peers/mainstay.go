package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"mainstay/test/stand"
)

// mainstay is a stand in network namespaces.
type mainstay struct {
	*cluster
	stand *stand.Stand
}

// startMainstay brings one up, to health, with the application's database. program is the built command.
func startMainstay(ctx context.Context, dir, program string, acks int) (_ system, err error) {
	s := &mainstay{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.cluster, err = network(); err != nil {
		return nil, err
	}
	o := stand.Options{Binary: program, Network: s.net, Settings: []string{fmt.Sprintf("durability: {acks: %d}", acks)}}
	if o.Dir, err = os.MkdirTemp(dir, "mainstay-"); err != nil {
		return nil, err
	}
	if s.stand, err = stand.New(o); err != nil {
		return nil, err
	}
	for i, m := range s.members {
		member := s.stand.Host(m.name).Member
		s.members[i].data, s.members[i].socket = s.stand.Data(member), s.stand.Socket(member)
	}
	if err := s.stand.Start(ctx); err != nil {
		return nil, err
	}
	return s, application(ctx, s)
}

// ready waits for health, and for promises from before an agent's start; it lifts the block that the last failover left.
func (s *mainstay) ready(ctx context.Context) (string, error) {
	err := s.stand.WaitHealthy(ctx)
	if err != nil {
		return "", err
	}
	if err := s.stand.WaitPromises(ctx); err != nil {
		return "", err
	}
	primary := ""
	err = wait(ctx, "the block of the last failover to be lifted", lookEvery, func() (bool, string) {
		if err := s.stand.Ack(ctx); err != nil {
			return false, err.Error()
		}
		c, err := s.stand.Cluster(ctx)
		primary = s.stand.Host(c.Primary).Name
		return err == nil && primary != "", fmt.Sprint(err)
	})
	return primary, err
}

func (s *mainstay) switchover(ctx context.Context, _ string) error {
	if out, err := s.stand.CLI(ctx, "switchover", "feed", "--yes"); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (s *mainstay) dsn() string { return s.stand.DSN() }

func (s *mainstay) logs() string { return s.stand.Logs(15) }

func (s *mainstay) close() error {
	var errs []error
	if s.stand != nil {
		for _, m := range s.members {
			if s.stand.Proc("agent "+m.name) != nil {
				errs = append(errs, s.stand.Kill("agent "+m.name, syscall.SIGKILL))
			}
		}
		s.quit()
		errs = append(errs, s.stand.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.net.Close())
	}
	return errors.Join(errs...)
}

// programOf is where run has built the command.
func programOf(dir string) string { return filepath.Join(dir, "mainstay") }
