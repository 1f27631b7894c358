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

	"mainstay/test/platform/load"
	"mainstay/test/stand"
)

func main() {
	bin := flag.String("bin", "", "folder with the programs mainstay and feedserver")
	dir := flag.String("dir", "", "folder for the demo's files; removed at the end")
	tour := flag.Bool("tour", false, "go through crash, switchover and losses by itself, then end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	d := &demo{bin: *bin, out: os.Stdout}
	err := d.run(ctx, *dir, *tour)
	if ctx.Err() != nil && !*tour && !errors.Is(err, errVerdict) {
		err = nil // Ctrl-C is how the demo ends
	}
	if cerr := d.close(); cerr != nil {
		fmt.Fprintln(os.Stderr, "demo: clean up:", cerr)
		os.Exit(1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	bin    string
	out    *os.File
	stand  *stand.Stand
	ledger *load.Ledger
	load   *load.Client
}

func (d *demo) run(ctx context.Context, dir string, tour bool) error {
	var err error
	o := stand.Options{Dir: dir, Binary: filepath.Join(d.bin, "mainstay"),
		Settings: []string{"durability: {acks: 1, from: other-site, when-short: degrade}"},
		Apps:     &stand.Apps{Server: filepath.Join(d.bin, "feedserver"), Settings: []string{`verify: "http://{address}/verify"`}}}
	if d.stand, err = stand.New(o); err != nil {
		return err
	}
	d.say("Starting three controllers on three sites, and agents that look after PostgreSQL and app servers on two of them ...")
	begun := time.Now()
	start, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := d.stand.Start(start); err != nil {
		return err
	}
	if err := d.apps(start); err != nil {
		return err
	}
	d.say("The platform is up (%s).\n", time.Since(begun).Round(100*time.Millisecond))
	if tour {
		return d.tour(ctx)
	}
	return d.stay(ctx)
}

// apps has the agents start the app servers on the primary's site, and starts a load that posts through them.
func (d *demo) apps(ctx context.Context) error {
	if err := d.stand.StartApps(ctx); err != nil {
		return err
	}
	target, err := load.NewHTTP(d.stand.AppURLs(), 30*time.Second)
	if err != nil {
		return err
	}
	if d.ledger, err = load.OpenLedger(filepath.Join(d.stand.Dir, "ledger")); err != nil {
		return err
	}
	d.load, err = load.Start(context.WithoutCancel(ctx), load.Options{Target: target, Ledger: d.ledger, Writers: 2, Every: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	return d.stand.Wait(ctx, "the first post through the app servers", func() (bool, string) {
		return len(d.ledger.IDs()) > 0, ""
	})
}

// stay tells what to try, and runs until Ctrl-C.
func (d *demo) stay(ctx context.Context) error {
	env := filepath.Join(d.stand.Dir, "env")
	var b strings.Builder
	for _, e := range d.stand.Environment() {
		b.WriteString("export " + e + "\n")
	}
	fmt.Fprintf(&b, "export PATH=%s:$PATH\n", filepath.Join(d.stand.Dir, "bin"))
	if err := os.WriteFile(env, []byte(b.String()), 0o644); err != nil {
		return err
	}
	c, err := d.stand.Cluster(ctx)
	if err != nil {
		return err
	}
	pidFile := filepath.Join(d.stand.Data(c.Primary), "postmaster.pid")
	d.say(`In another terminal:

  . %s
  mainstay status                         the platform on one screen (mainstay watch keeps it there)
  mainstay explain feed                   what would happen if the primary died right now
  mainstay switchover feed --dry-run      what a planned change would do; without --dry-run it does it
  mainstay site switchover --to west      everything moves to the other site: app servers too
  kill -9 $(head -1 %s)
                                          crash the primary %s and look again
  mainstay history feed                   what happened, why, and on which proof

Kill what you like: agents and controllers are started again within a second, as a service manager would. Logs lie in
%s/log. Ctrl-C ends everything and removes it.
`, env, pidFile, c.Primary, d.stand.Dir)
	<-ctx.Done()
	d.say("\nEnding the demo ...")
	return d.verdict()
}

// errVerdict is returned when an acknowledged post is missing, or none could be read back.
var errVerdict = errors.New("the demo has failed")

// verdict reads every acknowledged post back.
func (d *demo) verdict() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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
	if d.stand == nil {
		return nil
	}
	return d.stand.Close()
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }
