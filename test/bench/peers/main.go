// Command peers measures Mainstay beside Patroni with etcd, in one run on one machine: the write outage that one client sees
// of a killed postmaster, a switchover and a primary whose host is cut off the network, the time until the old primary
// streams again, and what an idle cluster takes of the CPUs. Run it as root with nothing else on the machine:
//
//	go run ./test/bench/peers -n 5
//
// Both have three members of PostgreSQL, of one version and with the same settings where a controller leaves them alone, and
// three more hosts with Mainstay's controllers or with etcd, each in a network namespace of its own. Patroni and etcd are the
// distribution's, which the command installs (install.sh). Patroni is tuned for short outages (patroni.yml.tmpl). With
// acks 1 Mainstay is compared with Patroni's synchronous mode, with acks 0 with its asynchronous one. One runs after the
// other, never beside it.
//
// It must never judge a time, nor favour a system: the client, the faults, and what counts as their end are one code for
// both (round.go); only how a system is started, asked for a switchover and known to be ready is its own (mainstay.go,
// patroni.go). A round that fails ends the rounds of its fault, and the command fails after the others; it
// fails as well if Mainstay with acks 1 has lost an acknowledged post. Everything that was started is ended, also when the
// command is interrupted. Flow enters by the arguments and leaves as one table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	n, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(2)
	}
	signal.Ignore(syscall.SIGPIPE) // where nobody reads the output any more, what was started must still be ended
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err = run(ctx, n)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// parse reads the number of rounds; mistakes of the flags themselves are told on usage as well.
func parse(args []string, usage io.Writer) (n int, err error) {
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(usage)
	f.IntVar(&n, "n", 5, "how often each fault is done to each system")
	if err := f.Parse(args); err != nil {
		return 0, err
	}
	if f.NArg() > 0 {
		return 0, fmt.Errorf("%q is not a flag; see -help", f.Args())
	}
	if n < 1 {
		return 0, fmt.Errorf("-n %d: measure at least once", n)
	}
	return n, nil
}

// run installs and builds what is needed, into a folder that it removes, and measures.
func run(ctx context.Context, n int) (err error) {
	if err := alone(); err != nil {
		return err
	}
	root, err := install(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mainstay-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL's user must get through
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "mainstay"), "./cmd/mainstay")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return compare(ctx, dir, n)
}

// alone refuses to run beside other platforms in network namespaces, or beside what a killed run left of one.
func alone() error {
	if os.Geteuid() != 0 {
		return errors.New("hosts are network namespaces, which only root may make: run it as root")
	}
	out, err := exec.Command("ip", "netns", "list").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip netns list: %w: %s (iproute2 is needed)", err, out)
	}
	if others := hosts(string(out)); len(others) > 0 {
		return fmt.Errorf("another platform runs here, or a killed run left it: network namespaces %s. Wait for its end, or remove it:\n"+
			"  for n in %[1]s; do ip netns pids $n | xargs -r kill -9; ip netns del $n; done", strings.Join(others, " "))
	}
	return nil
}

// hosts finds the namespaces of testbeds in what `ip netns list` prints: ms1-db-e1.
func hosts(list string) (found []string) {
	for line := range strings.Lines(list) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		var n int
		if _, err := fmt.Sscanf(name, "ms%d-", &n); err == nil {
			found = append(found, name)
		}
	}
	return found
}

// install runs install.sh, and returns the folder of the module.
func install(ctx context.Context) (root string, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's folder: %w; run it inside of the module", err)
	}
	root = strings.TrimSpace(string(out))
	cmd := exec.CommandContext(ctx, filepath.Join(root, "test", "bench", "peers", "install.sh"))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("install Patroni and etcd: %w", err)
	}
	return root, nil
}
