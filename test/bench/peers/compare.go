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

// describe says what is compared, and what the machine is like, by the first system.
func describe(ctx context.Context, s system) (string, error) {
	primary, err := s.ready(ctx)
	if err != nil {
		return "", err
	}
	m := s.common().member(primary)
	c, err := machine.Server(m.socket)
	if err != nil {
		return "", err
	}
	costs, err := machine.Measure(ctx, c, m.postmaster())
	if err != nil {
		return "", err
	}
	db, err := m.open()
	if err != nil {
		return "", err
	}
	defer db.Close()
	var version string
	if err := db.QueryRowContext(ctx, "SHOW server_version").Scan(&version); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\n%d CPUs, PostgreSQL %s, %s, %s; three members, three hosts of controllers or etcd, all on one machine",
		costs, runtime.NumCPU(), version, versionOf(ctx, "patroni"), versionOf(ctx, "etcd")), nil
}

// versionOf is the first line of what a program says of itself.
func versionOf(ctx context.Context, program string) string {
	out, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil || line == "" {
		return program + " of unknown version"
	}
	return strings.TrimSpace(line)
}
