package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"mainstay/test/testbed"
)

// mainstay is a testbed in network namespaces.
type mainstay struct {
	*cluster
	testbed *testbed.Testbed
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
	o := testbed.Options{Binary: program, Network: s.net, Settings: []string{fmt.Sprintf("durability: {acks: %d}", acks)}}
	if o.Dir, err = os.MkdirTemp(dir, "mainstay-"); err != nil {
		return nil, err
	}
	if s.testbed, err = testbed.New(o); err != nil {
		return nil, err
	}
	for i, m := range s.members {
		member := s.testbed.Host(m.name).Member
		s.members[i].data, s.members[i].socket = s.testbed.Data(member), s.testbed.Socket(member)
	}
	if err := s.testbed.Start(ctx); err != nil {
		return nil, err
	}
	return s, application(ctx, s)
}

// ready waits for health, and for promises from before an agent's start; it lifts the block that the last failover left.
func (s *mainstay) ready(ctx context.Context) (string, error) {
	err := s.testbed.WaitHealthy(ctx)
	if err != nil {
		return "", err
	}
	if err := s.testbed.WaitPromises(ctx); err != nil {
		return "", err
	}
	primary := ""
	err = wait(ctx, "the block of the last failover to be lifted", lookEvery, func() (bool, string) {
		if err := s.testbed.Ack(ctx); err != nil {
			return false, err.Error()
		}
		c, err := s.testbed.Cluster(ctx)
		primary = s.testbed.Host(c.Primary).Name
		return err == nil && primary != "", fmt.Sprint(err)
	})
	return primary, err
}

func (s *mainstay) switchover(ctx context.Context, _ string) error {
	if out, err := s.testbed.CLI(ctx, "switchover", "feed", "--yes"); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (s *mainstay) dsn() string { return s.testbed.DSN() }

func (s *mainstay) logs() string { return s.testbed.Logs(15) }

func (s *mainstay) close() error {
	var errs []error
	if s.testbed != nil {
		for _, m := range s.members {
			if s.testbed.Proc("agent "+m.name) != nil {
				errs = append(errs, s.testbed.Kill("agent "+m.name, syscall.SIGKILL))
			}
		}
		s.quit()
		errs = append(errs, s.testbed.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.net.Close())
	}
	return errors.Join(errs...)
}

// programOf is where run has built the command.
func programOf(dir string) string { return filepath.Join(dir, "mainstay") }
