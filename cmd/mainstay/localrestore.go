package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/backups"
	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/health/backup"
)

// localRestore holds the flags of `local restore`, and is its answer as JSON.
type localRestore struct {
	Cluster string   `json:"cluster"`
	Target  string   `json:"target"`
	Backup  string   `json:"backup"`
	Into    string   `json:"into"`
	Plan    []string `json:"plan"`
	// Unread are records at the target that cannot be read.
	Unread []string `json:"unread,omitempty"`
	// Reached is the position of the copy once it is proven, Seconds what the restore took.
	Reached platform.LSN `json:"reached,omitzero"`
	Seconds float64      `json:"seconds,omitempty"`
	Next    string       `json:"next,omitempty"`

	to       string
	dry, yes bool
}

func (p *program) localRestoreVerb(file *string) *cobra.Command {
	r := localRestore{}
	c := &cobra.Command{
		Use:   "restore CLUSTER --into DIR",
		Short: "Restore a cluster from a target, without controllers and members",
		Long: `Restore a cluster from what a target holds, where all its controllers, agents and members are lost. Of Mainstay it needs this command
and a file with the section backup of an agent's file (its targets; staging, if the file has no data), and of PostgreSQL the
programs of the backup's version. Run it as root or as PostgreSQL's user.

The records at the target say which backups were good when they were released. The copy is proven before the command ends: a
server that reaches nothing else recovers it and is stopped, and all its pages are read. The platform file's checks are not made.
--to is as with "mainstay restore". The folder must be absent or empty; where the restore fails, it leaves nothing there.

The command shows the plan and asks. Without a terminal it needs --yes.`,
		Example: "  sudo mainstay local restore feed --to latest --into /var/lib/postgresql/feed --dry-run\n" +
			"  sudo mainstay local restore feed -f agent.yaml --from vault --to 2026-11-30T12:00:00Z --into /var/lib/postgresql/feed",
		Args: words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			r.Cluster = args[0]
			if r.Into == "" {
				return usagef("--into is missing: name the folder for the copy")
			}
			return p.restoreLocally(ctx, *file, r)
		}),
	}
	c.Flags().StringVar(&r.Into, "into", "", "the folder for the copy, absent or empty (required)")
	c.Flags().StringVar(&r.Target, "from", "", "the target (default: the file's only one)")
	c.Flags().StringVar(&r.Backup, "backup", "", "the backup to begin from (default: the newest one that reaches the point)")
	c.Flags().StringVar(&r.to, "to", "", "latest, a time, an LSN or the name of a restore point (default: the end of the backup)")
	c.Flags().BoolVar(&r.dry, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().BoolVar(&r.yes, "yes", false, "do not ask")
	return c
}

func (p *program) restoreLocally(ctx context.Context, file string, r localRestore) error {
	until, err := restorePoint(r.to)
	if err != nil {
		return err
	}
	if file, err = p.agentFile(file, ""); err != nil {
		return err
	}
	cfg, err := config.LoadForRestore(file)
	if err != nil {
		return err
	}
	if r.Into, err = filepath.Abs(r.Into); err != nil {
		return err
	}
	p.say("reading what the target has of %s", r.Cluster)
	l, err := backups.OpenLocal(ctx, cfg, r.Target, r.Cluster)
	if err != nil {
		return err
	}
	planned, err := l.Prepare(ctx, r.Backup, until, r.Into)
	if err != nil {
		return err
	}
	r.Target, r.Backup, r.Plan, r.Unread = l.Target, planned.Backup.ID, planned.Plan, l.Unread
	for _, text := range r.Unread {
		p.say("warning: %s", text)
	}
	if r.dry {
		return p.show(r, func(render.Options) string { return r.text() + "nothing was changed (--dry-run)\n" })
	}
	p.say("%s", strings.TrimSuffix(r.text(), "\n"))
	if err := p.yes(ctx, r.yes, "restore into "+r.Into+"?"); err != nil {
		return err
	}
	began, told := time.Now(), backup.StepName("")
	done, err := planned.Run(ctx, func(at backup.Progress) {
		if at.Step != told {
			told = at.Step
			p.say("%s", at.Step)
		}
	})
	if err != nil {
		return fmt.Errorf("restore %s from %s: %w", r.Backup, r.Target, err)
	}
	r.Reached, r.Seconds, r.Next = done.Proof.Reached, time.Since(began).Seconds(), planned.Start()
	return p.show(r, func(render.Options) string { return r.text() })
}

func (r localRestore) text() string {
	if r.Next == "" {
		return "plan:\n  " + strings.Join(r.Plan, "\n  ") + "\n"
	}
	return fmt.Sprintf("%s was restored from %s up to %s in %.1fs, and is proven; it lies here, stopped: %s\nnext: %s\n"+
		"`mainstay help backups` says how it becomes the cluster\n", r.Backup, r.Target, r.Reached, r.Seconds, r.Into, r.Next)
}
