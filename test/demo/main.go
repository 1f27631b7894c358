// Command demo shows the main job on a real platform of several processes on loopback: three controllers, two sites with
// three members, four app servers, a load that keeps a ledger. deploy/demo builds it and runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mainstay/fencing/process"
	"mainstay/test/platform/load"
	"mainstay/test/testbed"
)

func main() {
	work := flag.String("work", "", "folder with the programs mainstay and feedserver; the demo creates all its files below it")
	parent := flag.Int("parent", 0, "process whose end also ends the demo; 0 for none")
	binaries := flag.String("binaries", "", "folder of PostgreSQL's programs; empty for the newest in the usual places")
	tour := flag.Bool("tour", false, "go through crash, switchover and losses, then end")
	reaping := flag.Bool("reap", false, "end and remove what is below -work once standard input ends (internal)")
	flag.Parse()
	if *reaping {
		if err := reap(*work); err != nil {
			fmt.Fprintln(os.Stderr, "demo: clean up:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(*work, *binaries, *parent, *tour))
}

// Exit statuses: after Ctrl-C, as a shell has it, and if nothing was started because an address is taken.
const (
	interrupted  = 130
	addressTaken = 3
)

// run returns the exit status. After another one than 0 and these the logs are kept.
func run(work, binaries string, parent int, tour bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	orphaned := follow(parent, stop)
	r, err := startReaper(work)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	d := &demo{work: work, binaries: binaries, out: os.Stdout}
	err = d.run(ctx, tour)
	wanted := ctx.Err() != nil && !errors.Is(err, errVerdict) // Ctrl-C is how the demo ends
	if d.testbed != nil {
		d.testbed.Keep = err != nil && !wanted
	}
	cleaned := d.close()
	if orphaned() && wanted {
		return 1 // the shell cannot remove the folder any more: the reaper does
	}
	switch cleaned = errors.Join(cleaned, r.dismiss()); {
	case cleaned != nil:
		fmt.Fprintln(os.Stderr, "demo: clean up:", cleaned)
		return 1
	case wanted && tour:
		return interrupted
	case errors.As(err, new(*testbed.TakenError)):
		fmt.Fprintln(os.Stderr, failure(err, work))
		return addressTaken
	case err != nil && !wanted:
		fmt.Fprintln(os.Stderr, failure(err, work))
		return 1
	}
	return 0
}

// follow calls stop when a process has ended, 0 for none; orphaned tells whether it has.
func follow(pid int, stop func()) (orphaned func() bool) {
	if pid == 0 {
		return func() bool { return false }
	}
	h, err := process.Watch(pid)
	if err != nil || os.Getppid() != pid {
		stop()
		return func() bool { return true }
	}
	go func() { // lives as long as the demo
		<-h.Done()
		stop()
	}()
	return func() bool { return !h.Alive() }
}

type demo struct {
	work, binaries string

	out     *os.File
	testbed *testbed.Testbed
	ledger  *load.Ledger
	load    *load.Client
}

// Bounds of one step each. A quiet machine takes a tenth of them.
const (
	startLimit  = 10 * time.Minute // the platform, from nothing to posts through its app servers
	stopLimit   = 5 * time.Minute  // one stop of the tour, healthy before it and after it
	verifyLimit = time.Minute      // to read every acknowledged post back
)

func (d *demo) run(ctx context.Context, tour bool) error {
	var err error
	o := testbed.Options{Dir: d.path("platform"), Binary: d.path("mainstay"), Binaries: d.binaries, Log: d.out,
		Settings: []string{"durability: {acks: 1, from: other-site, when-short: degrade}"},
		Backup:   `checks: [{name: posts, database: feed, sql: "SELECT count(*) > 0 FROM posts"}]`,
		Apps:     &testbed.Apps{Server: d.path("feedserver"), Settings: []string{`verify: "http://{address}/verify"`}}}
	if d.testbed, err = testbed.New(o); err != nil {
		return err
	}
	d.say("Starting three controllers on three sites, and agents that manage PostgreSQL and app servers on two of them ...")
	begun := time.Now()
	start, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := d.testbed.Start(start); err != nil {
		return fmt.Errorf("the platform did not start: %w", err)
	}
	if err := d.apps(start); err != nil {
		return fmt.Errorf("the app servers did not start: %w", err)
	}
	d.say("The platform is up (%s).\n", time.Since(begun).Round(100*time.Millisecond))
	if tour {
		return d.tour(ctx)
	}
	return d.stay(ctx)
}

func (d *demo) path(name string) string { return filepath.Join(d.work, name) }

// apps has the agents start the app servers on the primary's site, and starts a load that posts through them.
func (d *demo) apps(ctx context.Context) error {
	if err := d.testbed.StartApps(ctx); err != nil {
		return err
	}
	target, err := load.NewHTTP(d.testbed.AppURLs(), 30*time.Second)
	if err != nil {
		return err
	}
	if d.ledger, err = load.OpenLedger(filepath.Join(d.testbed.Dir, "ledger")); err != nil {
		return err
	}
	o := load.Options{Target: target, Ledger: d.ledger, Writers: 2, Every: 20 * time.Millisecond, Retry: 50 * time.Millisecond}
	d.load, err = load.Start(context.WithoutCancel(ctx), o)
	if err != nil {
		return err
	}
	return d.testbed.Wait(ctx, "the first post through the app servers", func() (bool, string) {
		return len(d.ledger.IDs()) > 0, d.lastError("")
	})
}

// lastError is why a post since a mark was not acknowledged, most recently.
func (d *demo) lastError(mark string) string {
	r, err := d.load.Report(mark)
	if err != nil {
		return err.Error()
	}
	return r.Tally.LastError
}

// stay tells what to try, and runs until Ctrl-C.
func (d *demo) stay(ctx context.Context) error {
	env := filepath.Join(d.testbed.Dir, "env")
	var b strings.Builder
	for _, e := range d.testbed.Environment() {
		b.WriteString("export " + e + "\n")
	}
	fmt.Fprintf(&b, "export PATH=%s:$PATH\n", filepath.Join(d.testbed.Dir, "bin"))
	if err := os.WriteFile(env, []byte(b.String()), 0o644); err != nil {
		return err
	}
	c, err := d.testbed.Cluster(ctx)
	if err != nil {
		return err
	}
	pidFile := filepath.Join(d.testbed.Data(c.Primary), "postmaster.pid")
	d.say(`In another terminal:

  . %s
  mainstay status                         the platform on one screen (mainstay watch keeps it there)
  mainstay explain feed                   what would happen if the primary failed now
  mainstay switchover feed --dry-run      the plan of a switchover; without --dry-run it runs
  mainstay site switchover --to west      move everything to the other site, including app servers
  kill -9 $(head -1 %s)
                                          crash the primary %s, then run status again
  mainstay history feed                   what happened, why, and on which proof
  mainstay backup run feed                make a backup, prove it, release it; then mainstay backup list
  mainstay restore feed --to latest       the data of a moment ago, in a folder, proven

Kill any process: agents and controllers are restarted within a second, as by a service manager. Logs are in
%s/log. Ctrl-C ends everything and removes it.
`, env, pidFile, c.Primary, d.testbed.Dir)
	<-ctx.Done()
	d.say("\nEnding the demo ...")
	return d.verdict()
}

// errVerdict is returned when an acknowledged post is missing, or none could be read back.
var errVerdict = errors.New("the demo has failed")

// verdict reads every acknowledged post back.
func (d *demo) verdict() error {
	ctx, cancel := context.WithTimeout(context.Background(), verifyLimit)
	defer cancel()
	v, err := d.load.Verify(ctx)
	if err != nil {
		return fmt.Errorf("%w: read the acknowledged posts back: %w", errVerdict, err)
	}
	d.say("Acknowledged posts: %d, missing: %d", v.Checked, len(v.Missing))
	if len(v.Missing) > 0 {
		return fmt.Errorf("%w: %d acknowledged posts are missing", errVerdict, len(v.Missing))
	}
	return nil
}

func (d *demo) close() error {
	if d.load != nil {
		d.load.Stop()
		d.ledger.Close()
	}
	if d.testbed == nil {
		return nil
	}
	return d.testbed.Close()
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }
