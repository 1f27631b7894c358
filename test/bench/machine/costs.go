// Package machine says what a machine's processes cost, and counts what was done on it: processes that were started, the
// time of the CPUs, memory, syncs of files, bytes over loopback. The benchmarks use it.
//
// It must never guess: a count that the kernel does not permit is an error that says so, not zero. It changes nothing on the
// machine, and stops no process to look at it.
package machine

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/test/testbed"
)

// How often each cost is measured. The median counts.
const (
	forks       = 100
	connections = 20
)

// Costs are what a figure of a benchmark depends on most, apart from what it measures.
type Costs struct {
	Fork       time.Duration // start a program that does nothing, and wait for its end
	Connect    time.Duration // a new connection to PostgreSQL over its own socket, with SELECT 1
	ConnectCPU time.Duration // CPU time of each of those, in the server's processes
}

func (c Costs) String() string {
	return fmt.Sprintf("this machine, now: fork + exec + exit + wait %s (median of %d); "+
		"a new connection to PostgreSQL with SELECT 1 %s (median of %d), %s of CPU in the server",
		milliseconds(c.Fork), forks, milliseconds(c.Connect), connections, milliseconds(c.ConnectCPU))
}

// JSON has the costs in milliseconds.
func (c Costs) JSON() map[string]float64 {
	in := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return map[string]float64{"fork": in(c.Fork), "connect": in(c.Connect), "connectCPU": in(c.ConnectCPU)}
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

// Measure takes both costs. server says how to reach a PostgreSQL that does nothing else, postmaster is its process.
func Measure(ctx context.Context, server pgdial.Config, postmaster int) (c Costs, err error) {
	if c.Fork, err = fork(ctx); err != nil {
		return c, err
	}
	label := func(p Process) string {
		if p.PID == postmaster {
			return "server"
		}
		return ""
	}
	before, err := Take(label)
	if err != nil {
		return c, err
	}
	if c.Connect, err = connect(ctx, server); err != nil {
		return c, err
	}
	after, err := Take(label)
	c.ConnectCPU = Spent(before, after)["server"] / connections
	return c, err
}

func fork(ctx context.Context) (time.Duration, error) {
	path, err := exec.LookPath("true")
	if err != nil {
		return 0, err
	}
	return median(forks, func() error { return exec.CommandContext(ctx, path).Run() })
}

func connect(ctx context.Context, server pgdial.Config) (time.Duration, error) {
	return median(connections, func() error {
		ctx, cancel := context.WithTimeout(ctx, pgdial.DefaultOnce)
		defer cancel()
		return pgdial.WithConn(ctx, server, func(c *sql.Conn) error {
			var one int
			return c.QueryRowContext(ctx, "SELECT 1").Scan(&one)
		})
	})
}

// median does something n times, and returns how long it took in the middle; the first error ends it.
func median(n int, do func() error) (time.Duration, error) {
	var all []time.Duration
	for range n {
		begun := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		all = append(all, time.Since(begun))
	}
	slices.Sort(all)
	return all[n/2], nil
}

// Application is the application_name of what a benchmark itself asks a server.
const Application = "bench"

// Server is how to reach a PostgreSQL of a testbed by its socket, as its superuser.
func Server(socket string) (pgdial.Config, error) {
	c := pgdial.Config{SocketDir: socket, Port: 5432, User: "postgres", Application: Application}
	if os.Geteuid() != 0 {
		return c, nil
	}
	u, err := user.Lookup(testbed.Owner())
	if err != nil {
		return c, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return c, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	c.OSUser = &pgdial.OSUser{UID: uint32(uid), GID: uint32(gid)}
	return c, err
}
