package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/test/bench/machine"
	"mainstay/test/testbed"
)

// system is one of those that are compared: a running cluster of three members on hosts of their own.
type system interface {
	// ready waits until a fault may be done, and returns the primary.
	ready(ctx context.Context) (primary string, err error)
	// switchover asks for one, from that primary to whichever member the system takes. It may return when it is over.
	switchover(ctx context.Context, primary string) error
	// dsn is how the client finds the primary among all members.
	dsn() string
	// logs are the last lines of every log.
	logs() string
	// close ends and removes everything. The servers have been quit before.
	close() error
	common() *cluster
}

// cluster is what all systems have in common.
type cluster struct {
	net     *testbed.Netns
	members []server
	others  []string // hosts without PostgreSQL
}

// server is the PostgreSQL of a member, which has the name of its host.
type server struct{ name, address, data, socket string }

// network makes hosts for three members and three others.
func network() (*cluster, error) {
	members, others := []string{"db-e1", "db-e2", "db-w1"}, []string{"ctl-e", "ctl-w", "ctl-n"}
	net, err := testbed.NewNetns(slices.Concat(members, others)...)
	if err != nil {
		return nil, err
	}
	c := &cluster{net: net, others: others}
	for _, m := range members {
		c.members = append(c.members, server{name: m, address: net.Address(m)})
	}
	return c, nil
}

func (c *cluster) common() *cluster { return c }

func (c *cluster) member(name string) server {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return server{}
}

// processes marks those on the hosts, for machine.Take.
func (c *cluster) processes() func(machine.Process) string {
	inside := map[int]bool{}
	hosts := slices.Clone(c.others)
	for _, m := range c.members {
		hosts = append(hosts, m.name)
	}
	for _, h := range hosts {
		for _, pid := range c.net.Processes(h) {
			inside[pid] = true
		}
	}
	return func(p machine.Process) string {
		if inside[p.PID] {
			return "inside"
		}
		return ""
	}
}

// postmaster is the pid of the server's first process, 0 without one.
func (s server) postmaster() int {
	raw, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.SplitN(string(raw), "\n", 2)[0])
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != s.data {
		return 0
	}
	return pid
}

// quit ends the servers of a system whose daemons have ended, in the one fast way that gives shared memory back. What does
// not end in time is left to close.
func (c *cluster) quit() {
	deadline := time.Now().Add(5 * time.Second)
	for _, m := range c.members {
		if pid := m.postmaster(); pid != 0 {
			_ = testbed.Signal(syscall.SIGQUIT, pid)
		}
	}
	for _, m := range c.members {
		for m.postmaster() != 0 && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// open returns a pool that reaches a member as its superuser, over its socket, which no cut concerns. The caller closes it.
func (s server) open() (*sql.DB, error) {
	c, err := machine.Server(s.socket)
	if err != nil {
		return nil, err
	}
	db, err := pgdial.Open(c)
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// writable tells whether a member is a primary.
func (s server) writable(ctx context.Context) (yes bool, err error) {
	c, err := machine.Server(s.socket)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	err = pgdial.WithConn(ctx, c, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT NOT pg_catalog.pg_is_in_recovery()").Scan(&yes)
	})
	return yes, err
}

// exec runs a statement on a member.
func (s server) exec(ctx context.Context, text string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, text); err != nil {
		return fmt.Errorf("%s on %s: %w", text, s.name, err)
	}
	return nil
}

// application makes the client's role and database on the primary, as soon as there is one that lets it.
func application(ctx context.Context, s system) error {
	return wait(ctx, "the application's database", lookEvery, func() (bool, string) {
		primary, err := s.ready(ctx)
		for _, text := range []string{"CREATE ROLE feed LOGIN PASSWORD 'feed'", "CREATE DATABASE feed OWNER feed"} {
			if err == nil {
				err = s.common().member(primary).exec(ctx, text)
			}
			if code := pgdial.SQLState(err); code == "42710" || code == "42P04" { // it is there from an earlier try
				err = nil
			}
		}
		return err == nil, fmt.Sprint(err)
	})
}

// wait looks until done or ctx ends; why is the last reason that done gave.
func wait(ctx context.Context, what string, every time.Duration, done func() (ok bool, why string)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, why := done()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w; last: %s", what, context.Cause(ctx), why)
		case <-tick.C:
		}
	}
}
