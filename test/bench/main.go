// Command bench measures the write outage that a client sees, and where the time went. It never judges: figures are
// printed, with the machine they come from. Run it with nothing else on the machine:
//
//	go run ./test/bench -n 20
//
// The client writes every 10 ms straight to PostgreSQL. It finds the primary by a connection string that names every
// member with target_session_attrs=read-write: after an error it drops its connection, waits 5 ms and tries the hosts in
// turn (test/platform/load.Direct).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/state"
	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
	"mainstay/test/stand"
)

func main() {
	n := flag.Int("n", 10, "how often each fault is measured")
	only := flag.String("only", "", "measure only the fault of this name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// fault is one thing that happens to the primary.
type fault struct {
	name string
	kind state.OperationKind
	do   func(ctx context.Context, s *stand.Stand, primary string) error
	heal func(s *stand.Stand, primary string) error
}

var faults = []fault{
	{"postmaster-killed", state.Failover, func(_ context.Context, s *stand.Stand, p string) error {
		return stand.Signal(syscall.SIGKILL, s.Postmaster(p))
	}, nil},
	{"host-killed", state.Failover, func(_ context.Context, s *stand.Stand, p string) error {
		return stand.Signal(syscall.SIGKILL, s.Everything(s.Host(p))...)
	}, func(s *stand.Stand, p string) error { return s.StartAgent(s.Host(p).Name) }},
	{"switchover", state.Switchover, func(ctx context.Context, s *stand.Stand, _ string) error {
		out, err := s.CLI(ctx, "switchover", "feed", "--yes")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}, nil},
}

func run(ctx context.Context, n int, only string) (err error) {
	dir, err := os.MkdirTemp("", "mainstay-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // PostgreSQL's user must get through
		return err
	}
	bin := filepath.Join(dir, "mainstay")
	if out, err := exec.Command("go", "build", "-o", bin, "mainstay/cmd/mainstay").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	s, err := stand.New(stand.Options{Dir: filepath.Join(dir, "stand"), Binary: bin})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	b := &bench{Stand: s}
	if err := b.begin(ctx); err != nil {
		return err
	}
	defer b.load.Stop()
	version, _ := s.SQL(ctx, "feed-e1", "postgres", "SHOW server_version")
	fmt.Printf("%d CPUs, PostgreSQL %s, 3 controllers, 3 members on 2 sites, acks 1, lease 5s, all on loopback of one machine\n", runtime.NumCPU(), version)
	for _, f := range faults {
		if only != "" && only != f.name {
			continue
		}
		if err := b.measure(ctx, f, n); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	v, err := b.load.Verify(ctx)
	if err == nil {
		fmt.Printf("acknowledged posts: %d, missing: %d\n", v.Checked, len(v.Missing))
	}
	return err
}

type bench struct {
	*stand.Stand
	load *load.Client
}

func (b *bench) begin(ctx context.Context) error {
	start, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := b.Start(start); err != nil {
		return err
	}
	dsn, err := b.Application(start)
	if err != nil {
		return err
	}
	direct, err := load.NewDirect(dsn, pgclient.Options{})
	if err != nil {
		return err
	}
	if err := direct.Setup(start); err != nil {
		return err
	}
	ledger, err := load.OpenLedger(filepath.Join(b.Dir, "ledger"))
	if err != nil {
		return err
	}
	b.load, err = load.Start(ctx, load.Options{Target: direct, Ledger: ledger, Writers: 1, Every: 10 * time.Millisecond, Threshold: 30 * time.Millisecond})
	return err
}

// measure does a fault n times, each time on a healthy cluster.
func (b *bench) measure(ctx context.Context, f fault, n int) error {
	var all samples
	for range n {
		one, err := b.once(ctx, f)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	all.print(f.name)
	return nil
}

func (b *bench) once(ctx context.Context, f fault) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := b.WaitHealthy(ctx); err != nil {
		return sample{}, err
	}
	c, err := b.Cluster(ctx)
	if err != nil {
		return sample{}, err
	}
	mark := b.load.Mark()
	begun := time.Now()
	if err := f.do(ctx, b.Stand, c.Primary); err != nil {
		return sample{}, err
	}
	var op state.Operation
	err = b.Wait(ctx, "the "+string(f.kind), func() (bool, string) {
		op, err = b.Last(ctx, f.kind)
		return err == nil && op.Epoch.Number > c.Epoch.Number && op.Result == state.Done, "not done"
	})
	if err != nil {
		return sample{}, err
	}
	if f.heal != nil {
		if err := f.heal(b.Stand, c.Primary); err != nil {
			return sample{}, err
		}
	}
	if err := b.WaitHealthy(ctx); err != nil {
		return sample{}, err
	}
	r, err := b.load.Report(mark)
	if err != nil || len(r.Outages) == 0 {
		return sample{}, fmt.Errorf("no outage was seen: %v", err)
	}
	return b.split(begun, op, longest(r.Outages)), nil
}

func longest(all []load.Outage) load.Outage {
	best := all[0]
	for _, o := range all {
		if o.End.Sub(o.Start) > best.End.Sub(best.Start) {
			best = o
		}
	}
	return best
}

// split tells where the time went, by the leader's record, the new primary's log and the client.
func (b *bench) split(begun time.Time, op state.Operation, o load.Outage) sample {
	at := map[string]time.Time{}
	for _, st := range op.Steps {
		if t, err := time.Parse(time.RFC3339, st.At); err == nil {
			at[st.Name] = t
		}
	}
	if t, ok := at["stop"]; ok { // a switchover: the outage begins with the stop, not with the request
		at["began"], begun = t, t
	}
	writable := b.writable(op.To, at["promote"])
	return sample{
		total: o.End.Sub(o.Start), detect: at["began"].Sub(begun), fence: at["promote"].Sub(at["began"]),
		promote: writable.Sub(at["promote"]), reconnect: o.End.Sub(writable), proof: string(op.Proof.Kind),
	}
}

// writable is when PostgreSQL's log says that it takes connections after a moment.
func (b *bench) writable(member string, after time.Time) time.Time {
	raw, _ := os.ReadFile(filepath.Join(filepath.Dir(b.Data(member)), "postgresql.log"))
	for _, line := range strings.Split(string(raw), "\n") {
		if !strings.Contains(line, "database system is ready to accept connections") {
			continue
		}
		if t, err := time.Parse("2006-01-02 15:04:05.000 MST", strings.SplitN(line, " [", 2)[0]); err == nil && t.After(after) {
			return t
		}
	}
	return after
}
