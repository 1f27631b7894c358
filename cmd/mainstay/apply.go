package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/controller/config"
	"mainstay/controller/wire"
)

// apply is one run of the verb.
type apply struct {
	p      *program
	file   string
	remove []string
	dryRun bool
	yes    bool
}

func (p *program) applyVerb() *cobra.Command {
	a := &apply{p: p}
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Store the wanted platform",
		Long: `Store a platform file as the wanted platform. It is checked first: each mistake is shown with its line, and then the
difference. A file from mainstay export is refused if the platform has changed since. Removing a member or a cluster needs
--remove NAME; it stops no PostgreSQL, deletes no data, and drops the replication slots kept for it. A primary cannot be
removed (switch over first), nor can a cluster that is not paused.

It asks before it changes anything, unless --yes is given. Without a terminal it needs --yes.`,
		Example: `  mainstay apply -f platform.yaml --dry-run
  mainstay export > p.yaml && vi p.yaml && mainstay apply -f p.yaml
  mainstay apply -f platform.yaml --remove feed-w1 --yes`,
		Args: words(),
		RunE: p.verb(func(ctx context.Context, _ []string) error { return a.run(ctx) }),
	}
	fileFlag(c, &a.file)
	c.Flags().StringSliceVar(&a.remove, "remove", nil, "member or cluster that may be removed; may be repeated")
	c.Flags().BoolVar(&a.dryRun, "dry-run", false, "show the difference and let the leader check it; change nothing")
	c.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return c
}

func (a *apply) run(ctx context.Context) error {
	w, err := a.p.wanted(a.file)
	if err != nil {
		return err
	}
	s, err := a.p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	var now wire.PlatformAnswer
	if err := a.p.ask(ctx, s, http.MethodGet, "/v1/platform", nil, &now); err != nil {
		return err
	}
	d := difference{Changes: config.Diff(now.Platform, w.platform), Version: now.Version}
	if w.base != 0 && w.base != now.Version && len(d.Changes) > 0 {
		return refusedf("%s was exported from version %d, but the platform is now at version %d; export it again and repeat your changes, "+
			"or delete its first line to apply it anyway", a.file, w.base, now.Version)
	}
	if err := a.removals(d.Changes); err != nil {
		return err
	}
	if len(d.Changes) == 0 {
		return a.p.showDiff(d)
	}
	return a.send(ctx, s, wire.ApplyRequest{Platform: w.platform, Base: now.Version, DryRun: a.dryRun, Remove: a.remove}, d)
}

// removals checks that --remove names exactly what this apply removes.
func (a *apply) removals(changes []config.Change) error {
	var gone []string
	for _, c := range changes {
		if c.Remove != "" {
			gone = append(gone, c.Remove)
		}
	}
	for _, name := range gone {
		if !slices.Contains(a.remove, name) {
			return refusedf("%s would be removed: %s is not in %s; put it back, or add --remove %s", name, name, a.file, name)
		}
	}
	for _, name := range a.remove {
		if !slices.Contains(gone, name) {
			return usagef("--remove %s: this apply does not remove it; delete it from %s, or omit the flag", name, a.file)
		}
	}
	return nil
}

// send applies the difference that was shown. Its base is the version that the difference was made from, so the leader
// refuses it if the platform has changed since.
func (a *apply) send(ctx context.Context, s *session, req wire.ApplyRequest, d difference) error {
	asked := !a.yes && !a.dryRun
	if asked {
		io.WriteString(a.p.stderr, config.FormatDiff(d.Changes))
		if err := a.p.yes(ctx, a.yes, fmt.Sprintf("apply %s?", changes(len(d.Changes)))); err != nil {
			return err
		}
	}
	var answer wire.ApplyAnswer
	if err := a.p.ask(ctx, s, http.MethodPut, "/v1/platform", req, &answer); err != nil {
		return err
	}
	if a.dryRun {
		d.Note = strings.Join(append(answer.Notes, "the leader would accept this; nothing was changed (--dry-run)"), "\n")
		return a.p.showDiff(d)
	}
	d.Applied, d.Version = answer.Applied, answer.Version
	d.Note = strings.Join(append(answer.Notes, fmt.Sprintf("applied: the platform is at version %d", d.Version)), "\n")
	if asked && a.p.global.output == "table" { // the changes stand above already
		_, err := io.WriteString(a.p.stdout, d.Note+"\n")
		return err
	}
	return a.p.showDiff(d)
}

func changes(n int) string {
	if n == 1 {
		return "this change"
	}
	return fmt.Sprintf("these %d changes", n)
}
