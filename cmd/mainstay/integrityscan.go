package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/health/integrity"
)

const (
	// mostFindings bounds what a scan lists; the counts have all.
	mostFindings = 100
	// scanSays is how often a scan says how far it is.
	scanSays = 5 * time.Second
)

func (p *program) scanVerb() *cobra.Command {
	rate := 50
	c := &cobra.Command{
		Use:   "scan DIRECTORY",
		Short: "Read every page of a data directory on this host",
		Long: `Read every page of a data directory on this host, of a server that runs or not, and report what does not match: checksums,
page headers, missing and short files. Nothing is changed, and the pages that it reads do not stay in the page cache. Run it
as PostgreSQL's user or as root.

A page that a running server was just writing is read again before it counts, and still a checkpoint may mend it: what is
found there is suspect, and damaged where a scan after the next checkpoint finds it again. The scans of the member's own agent
wait for that checkpoint. What could not be checked is listed as not verified. The exit code is 1 where damage was found.`,
		Example: "  mainstay integrity scan /var/lib/postgresql/15/main\n  mainstay integrity scan /var/lib/postgresql/15/main --rate 200",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("want one DIRECTORY: the data directory, for example /var/lib/postgresql/15/main")
			}
			return nil
		},
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if rate < 0 {
				return usagef("--rate must not be negative")
			}
			return p.scan(ctx, args[0], integrity.Options{Rate: int64(rate) << 20})
		}),
	}
	c.Flags().IntVar(&rate, "rate", rate, "MB to read in a second, at most; 0 is as fast as the disk allows")
	return c
}

func (p *program) scan(ctx context.Context, dir string, o integrity.Options) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	out := render.Scan{Directory: dir, Findings: []integrity.Finding{}}
	scanner := integrity.Scanner{Dir: dir}
	switch _, err := scanner.Redo(); {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s is not checked: %w; run it as PostgreSQL's user or as root", dir, err)
	case err != nil:
		return fmt.Errorf("%s is not checked: %w; want a data directory of PostgreSQL 14 to 18", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postmaster.pid")); err == nil {
		out.Running = true
		o.Positions = func(context.Context) (at integrity.Positions, err error) {
			at.Redo, err = scanner.Redo()
			return at, err
		}
	}
	began, said := time.Now(), time.Now()
	out.Result, err = scanner.Scan(ctx, o, integrity.Sink{
		Finding: func(f integrity.Finding) {
			if len(out.Findings) < mostFindings {
				out.Findings = append(out.Findings, f)
			}
		},
		Zero: func(z integrity.ZeroRun) { out.ZeroRuns++ },
		Progress: func(now integrity.Progress) {
			if time.Since(said) >= scanSays {
				said = time.Now()
				p.say("%s of %s read", render.Bytes(now.Done), render.Bytes(now.Total))
			}
		},
	})
	out.Took, out.Checksums = time.Since(began), out.Result.Layout.Checksums
	if err != nil {
		out.Ended = err.Error()
	}
	if printed := p.show(out, func(s render.Options) string { return render.Scanned(out, s) }); printed != nil {
		return printed
	}
	if err == nil && out.Result.Settled+out.Result.Unsettled > 0 {
		return quietError{exitFailed}
	}
	return err
}
