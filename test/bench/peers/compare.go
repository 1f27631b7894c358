package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"mainstay/test/bench/machine"
)

// compare measures one system after the other and prints the table, also when it ends early.
func compare(ctx context.Context, dir string, n int) (err error) {
	t := &table{}
	defer func() { t.print(os.Stdout) }()
	var errs []error
	for _, one := range []struct {
		name  string
		start func(context.Context) (system, error)
	}{
		{mainstayWaits, func(ctx context.Context) (system, error) { return startMainstay(ctx, dir, programOf(dir), 1) }},
		{patroniWaits, func(ctx context.Context) (system, error) { return startPatroni(ctx, dir, true) }},
		{mainstayAlone, func(ctx context.Context) (system, error) { return startMainstay(ctx, dir, programOf(dir), 0) }},
		{patroniAlone, func(ctx context.Context) (system, error) { return startPatroni(ctx, dir, false) }},
	} {
		if err := measure(ctx, dir, n, t, one.name, one.start); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func measure(ctx context.Context, dir string, n int, t *table, name string,
	start func(context.Context) (system, error)) (err error) {
	fmt.Fprintln(os.Stderr, name+": starting")
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	s, err := start(starting)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if t.head == "" {
		if t.head, err = describe(ctx, s); err != nil {
			return err
		}
		fmt.Println(t.head)
	}
	r := &runner{system: s, dir: dir, result: t.of(name)}
	if err := r.measure(ctx, n); err != nil || name != mainstayWaits {
		return err
	}
	return r.result.kept()
}

// describe says what is compared, and what the machine is like, by the first system: as soon as its primary lasts for so long.
func describe(ctx context.Context, s system) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var costs machine.Costs
	var version string
	err := wait(ctx, "the cost of a connection", lookEvery, func() (bool, string) {
		primary, err := s.ready(ctx)
		if err == nil {
			costs, version, err = s.common().member(primary).costs(ctx)
		}
		return err == nil, fmt.Sprint(err)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\n%d CPUs, PostgreSQL %s, %s, %s; three members, three hosts of controllers or etcd, all on one machine",
		costs, runtime.NumCPU(), version, versionOf(ctx, "patroni"), versionOf(ctx, "etcd")), nil
}

// costs measures the machine with this server, whose version comes with it.
func (s server) costs(ctx context.Context) (costs machine.Costs, version string, err error) {
	c, err := machine.Server(s.socket)
	if err != nil {
		return costs, "", err
	}
	if costs, err = machine.Measure(ctx, c, s.postmaster()); err != nil {
		return costs, "", err
	}
	db, err := s.open()
	if err != nil {
		return costs, "", err
	}
	defer db.Close()
	err = db.QueryRowContext(ctx, "SHOW server_version").Scan(&version)
	return costs, version, err
}

// versionOf is the first line of a program's version.
func versionOf(ctx context.Context, program string) string {
	out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return program + " of unknown version"
	}
	return strings.TrimSpace(line)
}
