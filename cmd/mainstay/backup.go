package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

func (p *program) backupVerb() *cobra.Command {
	return p.group(&cobra.Command{
		Use:   "backup COMMAND",
		Short: "Make backups, and show that they can be restored",
		Long: `Make backups, and show that they can be restored. A backup counts once a server has started on the copy, has answered every check,
and all its pages were read; only then is it released to its targets, and read back from there. The platform file says when
backups are made (backup), the files of the agents say where they go (backup.targets).`,
		Example: "  mainstay backup list feed\n  mainstay backup run feed\n  mainstay backup verify feed --from vault",
	}, p.backupRunVerb(), p.backupListVerb(), p.backupShowVerb(), p.backupVerifyVerb(), p.backupDropVerb(), p.backupCancelVerb())
}

// work are the flags that all work for backups has.
type work struct {
	req  wire.BackupRequest
	yes  bool
	wait time.Duration
}

func (w *work) flags(c *cobra.Command) {
	c.Flags().StringVar(&w.req.Member, "member", "", "the member whose agent does it (default: a replica, the one found clean last)")
	c.Flags().BoolVar(&w.req.DryRun, "dry-run", false, "show what would be done, and do nothing")
	c.Flags().DurationVar(&w.wait, "wait", 12*time.Hour, "how long to wait for the end; it continues without this command")
}

func (p *program) backupRunVerb() *cobra.Command {
	w := work{req: wire.BackupRequest{Work: platform.BackupMake}}
	c := &cobra.Command{
		Use:   "run CLUSTER",
		Short: "Make a backup, check it, and release it to its targets",
		Long: `Make a backup now: copy, check, release. It is made by the agent of a replica, the one whose files were found clean last; by that of
the primary only where no replica can. On PostgreSQL 17 and newer it holds what has changed since the last one, if the
platform file asks for that (backup.full).

Ctrl-C ends this command, not the backup: "mainstay backup cancel CLUSTER" does.`,
		Example: "  mainstay backup run feed\n  mainstay backup run feed --full --member feed-e2",
		Args:    words("CLUSTER"),
		RunE:    p.verb(func(ctx context.Context, args []string) error { return p.workOn(ctx, args[0], w, "") }),
	}
	w.flags(c)
	c.Flags().BoolVar(&w.req.Full, "full", false, "copy all, also where an incremental backup would do")
	p.completeClusters(c)
	return c
}

func (p *program) backupVerifyVerb() *cobra.Command {
	w := work{req: wire.BackupRequest{Work: platform.BackupTest}}
	c := &cobra.Command{
		Use:   "verify CLUSTER [BACKUP]",
		Short: "Restore a backup from a target, and check it",
		Long: `Restore a backup from a target into a folder, start a server there that reaches nothing else, and check it like a new backup. How
long it took is kept with the backup: it is what a restore takes. Without BACKUP it is the newest good one; without --from
the target that was not tested for longest. A backup that fails is bad until it is restored
from that target.`,
		Example: "  mainstay backup verify feed\n  mainstay backup verify feed feed-b12 --from vault",
		Args:    words("CLUSTER", "[BACKUP]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			w.req.Backup = second(args)
			return p.workOn(ctx, args[0], w, "")
		}),
	}
	w.flags(c)
	c.Flags().StringVar(&w.req.Target, "from", "", "the target")
	p.completeClusters(c)
	return c
}

func second(args []string) string {
	if len(args) > 1 {
		return args[1]
	}
	return ""
}

func (p *program) backupDropVerb() *cobra.Command {
	w := work{req: wire.BackupRequest{Work: platform.BackupRemove}}
	c := &cobra.Command{
		Use:   "drop CLUSTER BACKUP",
		Short: "Remove a backup from its targets",
		Long: `Remove a backup from all its targets, and the WAL that only it needs. Expiry does that automatically for those beyond backup.keep. The
newest good backup cannot be removed, nor one that another is built on.

The command makes you type the backup's id. Without a terminal it needs --yes.`,
		Example: "  mainstay backup drop feed feed-b7 --dry-run",
		Args:    words("CLUSTER", "BACKUP"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			w.req.Backup = args[1]
			return p.workOn(ctx, args[0], w, "it cannot be restored any more")
		}),
	}
	w.flags(c)
	c.Flags().BoolVar(&w.yes, "yes", false, "do not ask")
	p.completeClusters(c)
	return c
}

func (p *program) backupCancelVerb() *cobra.Command {
	c := &cobra.Command{
		Use:     "cancel CLUSTER",
		Short:   "End the work for backups that is running",
		Long:    `End the work for the cluster's backups that is running. Nothing of it is released; what its agent has copied is removed.`,
		Example: "  mainstay backup cancel feed",
		Args:    words("CLUSTER"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			return p.change(ctx, http.MethodPost, clusterPath(args[0], "backups"), wire.BackupRequest{Cancel: true},
				"cancelled; its agent ends it")
		}),
	}
	p.completeClusters(c)
	return c
}

// workOn shows the plan, begins work for backups, and follows it to its end. danger is what to confirm, "" for nothing.
func (p *program) workOn(ctx context.Context, cluster string, w work, danger string) error {
	if err := checkWait(w.wait); err != nil {
		return err
	}
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	path, plan := clusterPath(cluster, "backups"), w.req
	plan.DryRun = true
	if _, err := p.plan(ctx, s, path, plan, w.req.DryRun); err != nil || w.req.DryRun {
		return err
	}
	if danger != "" {
		if err := p.typed(ctx, w.yes, w.req.Backup, danger); err != nil {
			return err
		}
	}
	var a wire.OperationAnswer
	if err := p.ask(ctx, s, http.MethodPost, path, w.req, &a); err != nil {
		return err
	}
	return p.followWork(ctx, s, cluster, a, w.wait)
}

// followWork prints each step of work for backups, and its end.
func (p *program) followWork(ctx context.Context, s *session, cluster string, began wire.OperationAnswer, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	path, told := clusterPath(cluster, "backups"), ""
	more := "it continues without this command: `mainstay backup list " + cluster + "`"
	for {
		var b wire.Backups
		err := p.ask(ctx, s, http.MethodGet, path, nil, &b)
		switch {
		case err != nil && ctx.Err() == nil && !passing(err):
			return fmt.Errorf("follow the work on %s: %w; %s", began.Backup, err, more)
		case err == nil && (b.Job == nil || b.Job.Number != began.Work):
			return p.workEnded(b, began)
		case err == nil:
			if b.Progress != nil && b.Progress.Step != told {
				told = b.Progress.Step
				p.say("%s", render.JobText(b))
			}
		}
		if wakeup.Pause(ctx, followEvery) == nil {
			continue
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return timeoutError{fmt.Sprintf("the work on %s has not ended within %s; %s", began.Backup, wait, more)}
		}
		return fmt.Errorf("interrupted; %s", more)
	}
}

// workEnded shows what came of work that has ended.
func (p *program) workEnded(b wire.Backups, began wire.OperationAnswer) error {
	if b.Last == nil || b.Last.Job.Number != began.Work {
		return fmt.Errorf("the work on %s has ended, and other work since: see `mainstay backup show %s %[1]s`", began.Backup, b.Cluster)
	}
	if err := p.show(b.Last, func(render.Options) string { return b.Last.Outcome + "\n" }); err != nil {
		return err
	}
	if !b.Last.Done {
		if b.Last.Job.Work != platform.BackupRestore {
			p.say("next: `mainstay backup show %s %s` has the evidence", b.Cluster, began.Backup)
		}
		return quietError{exitFailed}
	}
	return nil
}

func (p *program) backupListVerb() *cobra.Command {
	c := &cobra.Command{
		Use:   "list [CLUSTER]",
		Short: "List backups, what runs, and when the next is due",
		Long: `List the backups of a cluster, or of all, the newest first, with what runs for them now and what is wrong. RESTORED says how long the
last restore test took, and from which target.`,
		Example: "  mainstay backup list\n  mainstay backup list feed --output json",
		Args:    words("[CLUSTER]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			all, err := p.catalogues(ctx, strings.Join(args, ""))
			if err != nil {
				return err
			}
			return p.show(all, func(o render.Options) string { return render.Catalogue(all, o) })
		}),
	}
	p.completeClusters(c)
	return c
}

// catalogues are the backups of one cluster, or of all that have any.
func (p *program) catalogues(ctx context.Context, cluster string) (all []wire.Backups, err error) {
	s, err := p.connect()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	names := []string{cluster}
	if cluster == "" {
		var st wire.Status
		if err := p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &st); err != nil {
			return nil, err
		}
		names = nil
		for _, c := range st.Clusters {
			names = append(names, c.Name)
		}
	}
	all = []wire.Backups{}
	for _, name := range names {
		var b wire.Backups
		if err := p.ask(ctx, s, http.MethodGet, clusterPath(name, "backups"), nil, &b); err != nil {
			return nil, err
		}
		if cluster != "" || b.Plan != nil || len(b.Backups) > 0 {
			all = append(all, b)
		}
	}
	return all, nil
}

func (p *program) backupShowVerb() *cobra.Command {
	c := &cobra.Command{
		Use:     "show CLUSTER BACKUP",
		Short:   "Show what is known of one backup",
		Long:    `Show one backup: its verdict and evidence, what was done and how long it took, each check, the receipts of its targets, restore tests.`,
		Example: "  mainstay backup show feed feed-b12",
		Args:    words("CLUSTER", "BACKUP"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			all, err := p.catalogues(ctx, args[0])
			if err != nil {
				return err
			}
			for _, b := range all[0].Backups {
				if b.ID == args[1] {
					return p.show(b, func(o render.Options) string { return render.Backup(b, o) })
				}
			}
			return refusedf("there is no backup %s of cluster %s; `mainstay backup list %[2]s` lists them", args[1], args[0])
		}),
	}
	p.completeClusters(c)
	return c
}
